//! Which accelerator a domain gets: KVM where it truly runs a guest, which only a guest can show.
//!
//! That `/dev/kvm` opens says little: a host that is itself a virtual machine may run real-mode code through KVM and
//! fail in a kernel's first instructions. So a boot sector goes the way of a kernel's entry, once per boot of the host
//! and per QEMU, and its exit code is the verdict.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::boot_sector::{PROBE_EXIT, probe_image};
use super::printable;
use crate::config::domain::Accelerator;
use crate::error::{Context, Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::hypervisor::{ChosenAccelerator, FIRST_DESCRIPTOR};
use crate::types::ByteSize;

/// The guest takes 0.15 s where KVM works; real-mode code that the host has to emulate takes seconds.
const LIMIT: Duration = Duration::from_millis(1_500);
/// A verdict of "too slow" may be the load of the moment, so it is tried again after this.
const SLOW_AGAIN: Duration = Duration::from_secs(600);
/// Memory of the probe's guest, in MiB.
const MEMORY: u64 = 32;

/// What a probe showed, as `host/probe.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Verdict {
    key: Key,
    /// Seconds since 1970-01-01T00:00:00Z.
    seen: u64,
    /// Why KVM does not run a guest; none where it does.
    why_not: Option<String>,
    too_slow: bool,
}

/// A verdict holds for one boot of the host and one QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Key {
    boot: String,
    qemu: std::path::PathBuf,
    size: u64,
    /// Seconds since 1970-01-01T00:00:00Z.
    changed: i64,
}

/// The accelerator to use, and a warning for the operator where it is not what one would wish.
///
/// `kvm` is taken at its word wherever `/dev/kvm` is there, with a warning if the probe's guest did not get through:
/// the operator may know better, say with another CPU model.
///
/// # Errors
/// Where KVM is asked for and this host has none.
pub fn choose(gate: &Gate, wanted: Accelerator) -> Result<(ChosenAccelerator, Option<String>)> {
    let slow = |why: &str| format!("this host runs guests in software, many times slower: {why}");
    match wanted {
        Accelerator::Tcg => Ok((ChosenAccelerator::Tcg, None)),
        Accelerator::Auto => Ok(match why_not(gate)? {
            None => (ChosenAccelerator::Kvm, None),
            Some(why) => (ChosenAccelerator::Tcg, Some(slow(&why))),
        }),
        Accelerator::Kvm => match why_not(gate)? {
            None => Ok((ChosenAccelerator::Kvm, None)),
            Some(why) if Path::new("/dev/kvm").exists() => {
                Ok((ChosenAccelerator::Kvm, Some(format!("KVM did not run the probe's guest: {why}"))))
            }
            Some(why) => Err(Failure::not_found("KVM is asked for, and this host has none")
                .because(std::io::Error::other(why))
                .hint("write accelerator = \"auto\"; or turn on virtualisation in the firmware, and load kvm_intel or kvm_amd")),
        },
    }
}

/// Why KVM does not run a guest here; none where it does. From the record of an earlier probe where there is one.
fn why_not(gate: &Gate) -> Result<Option<String>> {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => {}
        Err(error) => return Ok(Some(format!("/dev/kvm cannot be opened ({error})"))),
    }
    let Some(key) = key(&gate.policy().host.qemu) else {
        // A start will say that QEMU is missing, better than this could.
        return Ok(None);
    };
    let path = gate.layout().host().join("probe.json");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let known: Option<Verdict> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known
        && known.key == key
        && !(known.too_slow && now.saturating_sub(known.seen) > SLOW_AGAIN.as_secs())
    {
        return Ok(known.why_not);
    }
    let (why_not, too_slow) = run(gate, ChosenAccelerator::Kvm)?;
    let verdict = Verdict { key, seen: now, why_not, too_slow };
    // The record only saves time: a host whose root cannot be written still gets its answer.
    if let Err(failure) = record(&path, &verdict) {
        tracing::warn!("the verdict on KVM is not kept: {failure}");
    }
    Ok(verdict.why_not)
}

pub(super) fn key(qemu: &Path) -> Option<Key> {
    let facts = std::fs::metadata(qemu).ok()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(Key { boot: boot.trim().into(), qemu: qemu.into(), size: facts.len(), changed: facts.mtime() })
}

/// Keeps what was found, as JSON.
pub(super) fn record(path: &Path, found: &impl Serialize) -> Result<()> {
    let saying = || format!("cannot write {}", path.display());
    let bytes = serde_json::to_vec_pretty(found).context(saying)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).context(saying)?;
    // Two commands may probe at once; each writes its own file, and the last one stands.
    let fresh = path.with_extension(format!("json.{}", std::process::id()));
    std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path)).context(saying)
}

/// Runs the probe's guest. Why it did not get through, and whether it was only too slow.
fn run(gate: &Gate, accelerator: ChosenAccelerator) -> Result<(Option<String>, bool)> {
    let descriptor = FIRST_DESCRIPTOR;
    let (kvm, accel, cpu) = match accelerator {
        ChosenAccelerator::Kvm => (true, "kvm", "host"),
        ChosenAccelerator::Tcg => (false, "tcg", "max"),
    };
    let file = json!({
        "driver": "file", "node-name": "disk", "filename": format!("/dev/fdset/{descriptor}"),
        "read-only": true, "locking": "off",
    });
    let disk = json!({"driver": "virtio-blk-pci", "drive": "disk", "bootindex": 0});
    let arguments = [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine",
        "q35,usb=off,vmport=off,dump-guest-core=off",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-m",
        &format!("size={MEMORY}M"),
        "-display",
        "none",
        "-add-fd",
        &format!("fd={descriptor},set={descriptor}"),
        "-blockdev",
        &file.to_string(),
        "-device",
        &disk.to_string(),
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4",
    ]
    .map(String::from)
    .to_vec();
    let command = HypervisorCommand {
        program: gate.policy().host.qemu.clone(),
        arguments,
        host_network: false,
        kvm,
        userfaults: false,
        memory: ByteSize::from_mib(MEMORY),
    };
    let operation = Operation::HypervisorProbe { command, limit_ms: LIMIT.as_millis() as u32 };
    let done = gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, vec![image()?])?;
    Ok(match done.outcome {
        Outcome::Probed { code: Some(PROBE_EXIT), .. } => (None, false),
        Outcome::Probed { said, timed_out, .. } => {
            // Where KVM gives up on an instruction, QEMU says so and pauses the guest: that is no slowness.
            let error = said.iter().find(|line| line.contains("error"));
            let words = error.or(said.last()).map(|line| format!(" ({})", printable(line))).unwrap_or_default();
            let late = if timed_out { format!(" within {LIMIT:?}") } else { String::new() };
            let why = format!("a guest of one sector did not get through KVM{late}{words}");
            (Some(why), timed_out && error.is_none())
        }
        other => return Err(Failure::other(format!("the gate answered a probe with {other:?}"))),
    })
}

/// The probe's disk in memory, open for reading only, as QEMU wants a read-only node's descriptor.
fn image() -> Result<OwnedFd> {
    let saying = || "cannot make the probe's disk".to_owned();
    let memory = rustix::fs::memfd_create("fief-probe-disk", rustix::fs::MemfdFlags::CLOEXEC).context(saying)?;
    let file = std::fs::File::from(memory);
    std::os::unix::fs::FileExt::write_all_at(&file, &probe_image(), 0).context(saying)?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    Ok(std::fs::File::open(path).context(saying)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::Policy;
    use crate::gate::Mode;
    use crate::layout::Layout;

    fn gate(root: &Path) -> Gate {
        Gate::new(Layout::new(root), std::sync::Arc::new(Policy::default()), Mode::Perform)
    }

    #[test]
    fn the_probe_gets_through_where_an_accelerator_works() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(run(&gate(root.path()), ChosenAccelerator::Tcg).unwrap(), (None, false));
    }

    #[test]
    fn a_choice_is_recorded_and_the_record_is_used() {
        let root = tempfile::tempdir().unwrap();
        let gate = gate(root.path());
        let first = choose(&gate, Accelerator::Auto).unwrap();
        assert_eq!(first.1.is_some(), first.0 == ChosenAccelerator::Tcg);
        let path = root.path().join("host/probe.json");
        if !path.exists() {
            assert_eq!(first.0, ChosenAccelerator::Tcg, "only a host without /dev/kvm goes unprobed");
            return;
        }
        let mut verdict: Verdict = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        verdict.why_not = Some("the record says so".into());
        verdict.too_slow = false;
        record(&path, &verdict).unwrap();
        let (chosen, warning) = choose(&gate, Accelerator::Auto).unwrap();
        assert_eq!(chosen, ChosenAccelerator::Tcg);
        assert!(warning.unwrap().contains("the record says so"));

        verdict.key.boot = "another boot".into();
        record(&path, &verdict).unwrap();
        assert_eq!(choose(&gate, Accelerator::Auto).unwrap().0, first.0);
    }

    #[test]
    fn software_emulation_needs_no_probe() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(choose(&gate(root.path()), Accelerator::Tcg).unwrap(), (ChosenAccelerator::Tcg, None));
        assert!(!root.path().join("host").exists());
    }
}
