//! Image operations through the gate, with the real `qemu-img`. As root the tools run as the plugin's user; the same
//! tests hold for an ordinary user.

mod chain;
mod crash;
mod disk;
mod foreign;
mod identity;
mod life;

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::config::policy::{DirectoryGrant, HostInterface, PluginGrants, Policy};
use crate::error::Failure;
use crate::gate::operation::{ImageFacts, ImageFormat, ImageRef, ImageSnapshot, Preallocation};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome};
use crate::layout::Layout;
use crate::types::{Access, ByteSize};

const MIB: u64 = 1 << 20;

/// A host with one plugin, `p`, that has the directory `images`.
struct Host {
    root: tempfile::TempDir,
    gate: Gate,
    ledger: Ledger,
}

impl Host {
    fn new() -> Host {
        Host::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Policy)) -> Host {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("images");
        let grants = PluginGrants {
            interfaces: vec![HostInterface::Images],
            directories: [("images".parse().unwrap(), DirectoryGrant { path, access: Access::ReadWrite })].into(),
            ..PluginGrants::default()
        };
        let mut policy = Policy { plugins: [("p".parse().unwrap(), grants)].into(), ..Policy::default() };
        change(&mut policy);
        let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
        let ledger = Ledger::open(&root.path().join("ledger.jsonl")).unwrap();
        Host { root, gate, ledger }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("images").join(name)
    }

    /// An open of the directory makes it.
    fn ready() -> Host {
        let mut host = Host::new();
        host.perform(Operation::DirectorySpace { plugin: "p".parse().unwrap(), directory: "images".parse().unwrap() })
            .unwrap();
        host
    }

    fn perform_as(&mut self, actor: &Actor, operation: Operation) -> Result<(Outcome, Vec<OwnedFd>), Failure> {
        self.gate.perform(actor, &mut self.ledger, operation, Vec::new()).map(|done| (done.outcome, done.descriptors))
    }

    fn perform(&mut self, operation: Operation) -> Result<Outcome, Failure> {
        self.perform_as(&Actor::Plugin("p".parse().unwrap()), operation).map(|(outcome, _)| outcome)
    }

    fn open(&mut self, path: &str, format: ImageFormat) -> Result<(Vec<ImageFormat>, Vec<OwnedFd>), Failure> {
        let operation = Operation::ImageOpen { image: image(path), format, access: Access::ReadWrite };
        match self.perform_as(&Actor::Operator, operation)? {
            (Outcome::Chain { formats }, descriptors) => Ok((formats, descriptors)),
            other => panic!("{other:?}"),
        }
    }

    fn inspect(&mut self, path: &str) -> Result<ImageFacts, Failure> {
        match self.perform(Operation::ImageInspect { image: image(path) })? {
            Outcome::Image { facts } => Ok(facts),
            other => panic!("{other:?}"),
        }
    }

    fn snapshots(&mut self, path: &str) -> Vec<ImageSnapshot> {
        match self.perform(Operation::SnapshotList { image: image(path) }).unwrap() {
            Outcome::Snapshots { all } => all,
            other => panic!("{other:?}"),
        }
    }

    fn snapshot_names(&mut self, path: &str) -> Vec<String> {
        self.snapshots(path).into_iter().map(|s| s.name).collect()
    }

    /// Performs and seals.
    fn change(&mut self, operation: Operation) -> Outcome {
        let outcome = self.perform(operation).unwrap();
        self.seal();
        outcome
    }

    fn seal(&mut self) {
        self.gate.seal(&mut self.ledger).unwrap();
        assert!(self.ledger.is_empty());
    }

    /// As a later command finds it: from the ledger on disk.
    fn undo(&mut self) {
        self.ledger = Ledger::open(&self.root.path().join("ledger.jsonl")).unwrap();
        self.gate.undo(&mut self.ledger).unwrap();
        assert!(self.ledger.is_empty());
    }

    /// Does `operation` as a fief that dies before it can record what came of it.
    fn die_after(&mut self, operation: &Operation) -> Result<(), Failure> {
        self.ledger.intend(&Actor::Operator, operation).unwrap();
        crate::gate::perform::act(&self.gate, operation, Vec::new()).map(|_| ())
    }

    /// As a fief that dies before it begins.
    fn die_before(&mut self, operation: &Operation) {
        self.ledger.intend(&Actor::Operator, operation).unwrap();
    }

    /// All names below the directory.
    fn names(&self) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, all: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, all);
                } else {
                    all.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut all = Vec::new();
        let base = self.path("");
        walk(&base, &base, &mut all);
        all.sort();
        all
    }

    fn owner(&self, name: &str) -> (u32, u32) {
        let metadata = std::fs::metadata(self.path(name)).unwrap();
        (metadata.uid(), metadata.mode() & 0o7777)
    }

    /// The user that images of `p` belong to.
    fn plugin_user(&self) -> u32 {
        let plugin = "p".parse().unwrap();
        crate::gate::identity::plugin_uid(self.gate.layout(), self.gate.policy(), &plugin)
            .unwrap()
            .unwrap_or_else(|| rustix::process::geteuid().as_raw())
    }
}

fn image(path: &str) -> ImageRef {
    ImageRef { plugin: "p".parse().unwrap(), directory: "images".parse().unwrap(), path: path.parse().unwrap() }
}

fn create(path: &str, format: ImageFormat, size: u64) -> Operation {
    let (size, preallocation) = (ByteSize::from_bytes(size), Preallocation::Sparse);
    Operation::ImageCreate { image: image(path), format, size, preallocation, backing: None }
}

fn linked(path: &str, backing: &str, size: u64) -> Operation {
    Operation::ImageCreate {
        image: image(path),
        format: ImageFormat::Qcow2,
        size: ByteSize::from_bytes(size),
        preallocation: Preallocation::Sparse,
        backing: Some(backing.parse().unwrap()),
    }
}

fn resize(path: &str, size: u64) -> Operation {
    Operation::ImageResize { image: image(path), size: ByteSize::from_bytes(size) }
}

fn delete(path: &str) -> Operation {
    Operation::ImageDelete { image: image(path) }
}

fn rename(path: &str, to: &str) -> Operation {
    Operation::ImageRename { image: image(path), to: to.parse().unwrap() }
}

fn copy(path: &str, snapshot: Option<&str>, target: &str, format: ImageFormat) -> Operation {
    let snapshot = snapshot.map(|name| name.parse().unwrap());
    Operation::ImageCopy { image: image(path), snapshot, target: target.parse().unwrap(), format }
}

fn snapshot(path: &str, name: &str) -> Operation {
    Operation::SnapshotCreate { image: image(path), snapshot: name.parse().unwrap() }
}

fn qemu(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program).args(arguments).arg(path).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes one byte value over the first 64 KiB that a guest sees.
fn write(path: &Path, format: ImageFormat, value: u8) {
    qemu("qemu-io", &["-f", format.as_str(), "-c", &format!("write -P {value} 0 64K")], path);
}

/// Checks that a guest sees that byte value there.
fn reads(path: &Path, format: ImageFormat, value: u8) {
    let output = Command::new("qemu-io")
        .args(["-r", "-f", format.as_str(), "-c", &format!("read -P {value} 0 64K")])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains("failed"), "{said}");
}
