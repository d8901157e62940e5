//! Pools over a plugin that is played by the test: it answers calls, and asks the gate as the plugin would.

mod away;
mod importing;
mod native;
mod notes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::call::Backend;
use super::*;
use crate::config::policy::{DirectoryGrant, HostInterface, PluginGrants, Policy};
use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Kind, Result};
use crate::gate::operation::ImageRef;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation};
use crate::layout::Layout;
use crate::plugin::manifest::{SettingKind, SettingSchema};
use crate::plugin::{Manifest, Patience};
use crate::sandbox::protocol::{AttachAccess, Attachment, Call, PluginKind, Return, StorageCall, VolumeFacts};
use crate::types::{Access, PoolName};

pub(super) type Script = Box<dyn FnMut(&Gate, &mut Ledger, Call) -> Result<Return> + Send>;

fn gate(root: &Path, mode: Mode) -> Gate {
    let grant = |name: &str, access| (name.parse().unwrap(), DirectoryGrant { path: root.join(name), access });
    let grants = PluginGrants {
        interfaces: vec![HostInterface::Images],
        directories: [grant("images", Access::ReadWrite), grant("media", Access::ReadOnly)].into(),
        ..PluginGrants::default()
    };
    let policy = Policy {
        plugins: [("storage-file".parse().unwrap(), grants)].into(),
        pools: [("file".to_owned(), "storage-file".parse().unwrap())].into(),
        ..Policy::default()
    };
    Gate::new(Layout::new(root), Arc::new(policy), mode)
}

fn definition() -> PoolDefinition {
    PoolDefinition {
        name: "default".parse().unwrap(),
        kind: "file".into(),
        settings: [("directory".to_owned(), "images".to_owned())].into(),
    }
}

fn path(directory: &str, name: &str) -> ImageRef {
    ImageRef {
        plugin: "storage-file".parse().unwrap(),
        directory: directory.parse().unwrap(),
        path: name.parse().unwrap(),
    }
}

fn ask(gate: &Gate, ledger: &mut Ledger, operation: Operation) -> Result<()> {
    gate.perform(&Actor::Plugin("storage-file".parse().unwrap()), ledger, operation, Vec::new()).map(drop)
}

fn facts(name: &str, size: u64) -> VolumeFacts {
    VolumeFacts { name: name.into(), size, allocated: None, format: ImageFormat::Raw, backing: None }
}

/// A plugin that behaves: raw files named after their volumes.
fn honest(gate: &Gate, ledger: &mut Ledger, call: Call) -> Result<Return> {
    let Call::Storage { function, settings, .. } = call else { panic!("{call:?}") };
    assert_eq!(settings, [("directory".to_owned(), "images".to_owned())]);
    match function {
        StorageCall::Info => Ok(Return::PoolInfo {
            identity: "here".into(),
            capacity: None,
            available: None,
            reachable_from_peers: false,
            max_name: 100,
        }),
        StorageCall::Create { name, size, format, preallocation } => {
            let size = ByteSize::from_bytes(size);
            let image = path("images", &name);
            ask(gate, ledger, Operation::ImageCreate { image, format, size, preallocation, backing: None })?;
            Ok(Return::Volume(facts(&name, size.bytes())))
        }
        StorageCall::Delete { name } => {
            ask(gate, ledger, Operation::ImageDelete { image: path("images", &name) })?;
            Ok(Return::Nothing)
        }
        StorageCall::Resize { name, size } => {
            let size = ByteSize::from_bytes(size);
            ask(gate, ledger, Operation::ImageResize { image: path("images", &name), size })?;
            Ok(Return::Volume(facts(&name, size.bytes())))
        }
        StorageCall::Attach { name, .. } => Ok(Return::Attachment(Attachment::File {
            directory: "images".into(),
            path: name,
            format: ImageFormat::Raw,
        })),
        other => panic!("{other:?}"),
    }
}

fn scripted(gate: &Gate, script: Script) -> Pool {
    Pool {
        gate: gate.clone(),
        definition: definition(),
        plugin: "storage-file".parse().unwrap(),
        settings: Some(vec![("directory".into(), "images".into())]),
        chosen: BTreeMap::new(),
        patience: Patience::Work,
        wires: None,
        backend: Some(Backend::Scripted(script)),
    }
}

fn defined(gate: &Gate) -> Pool {
    scripted(gate, Box::new(honest)).written().unwrap()
}

fn spec(name: &str) -> VolumeSpec {
    VolumeSpec {
        name: name.parse().unwrap(),
        size: ByteSize::from_mib(1),
        format: ImageFormat::Raw,
        preallocation: Preallocation::Sparse,
    }
}

fn images(root: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(root.join("images")).map_or_else(|_| Vec::new(), |all| all.map(|e| e.unwrap().path()).collect())
}

#[test]
fn a_pool_is_defined_once_found_by_name_and_forgotten_with_its_volumes_kept() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    assert!(Pool::all(&gate).unwrap().is_empty());
    let mut pool = defined(&gate);
    defined(&gate);
    pool.create_volume(&spec("a")).unwrap();
    assert_eq!(Pool::all(&gate).unwrap(), [definition()]);
    assert_eq!(*Pool::open(&gate, &definition().name).unwrap().definition(), definition());

    let mut other = scripted(&gate, Box::new(honest));
    other.definition.settings.clear();
    assert_eq!(other.written().map(drop).unwrap_err().kind, Kind::Conflict);

    let failure = Pool::open(&gate, &"defalt".parse().unwrap()).map(drop).unwrap_err();
    assert_eq!((failure.kind, failure.hint.as_deref()), (Kind::NotFound, Some("did you mean default?")));
    Pool::delete(&gate, &definition().name).unwrap();
    assert_eq!(Pool::delete(&gate, &definition().name).unwrap_err().kind, Kind::NotFound);
    assert_eq!(images(root.path()), [root.path().join("images/a")]);
    assert_eq!(std::fs::read_dir(gate.layout().pools()).unwrap().count(), 0);
}

#[test]
fn a_definition_that_policy_or_the_schema_does_not_know_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let failure = Pool::define(&gate, PoolDefinition { kind: "fil".into(), ..definition() }).map(drop).unwrap_err();
    assert!(failure.kind == Kind::Usage && failure.hint.unwrap().contains("did you mean \"file\"?"));

    let manifest = |kind| Manifest {
        settings: vec![SettingSchema {
            key: "directory".into(),
            kind: SettingKind::Directory,
            default: None,
            required: true,
            doc: String::new(),
        }],
        ..Manifest::plain(kind)
    };
    let mut pool = scripted(&gate, Box::new(honest));
    assert!(pool.fit(&manifest(PluginKind::Storage)).is_ok());
    assert_eq!(pool.fit(&manifest(PluginKind::Network)).unwrap_err().kind, Kind::Usage);
    pool.definition.settings.insert("directory".into(), "image".into());
    let failure = pool.fit(&manifest(PluginKind::Storage)).unwrap_err();
    assert!(failure.kind == Kind::Denied && failure.hint.unwrap().contains("\"images\""));
    pool.definition.settings.clear();
    assert_eq!(pool.fit(&manifest(PluginKind::Storage)).unwrap_err().kind, Kind::Usage);
    assert!(!gate.layout().pools().exists());
}

#[test]
fn a_change_that_fails_or_lies_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    defined(&gate).create_volume(&spec("kept")).unwrap();
    let before = images(root.path());
    let after_doing = |answer: fn() -> Result<Return>| -> Script {
        Box::new(move |gate, ledger, call| {
            honest(gate, ledger, call)?;
            answer()
        })
    };
    type Answer = fn() -> Result<Return>;
    let lies: [(Kind, Answer); 6] = [
        (Kind::NoRoom, || Err(Failure::new(Kind::NoRoom, "no"))),
        (Kind::PluginFault, || Err(Failure::new(Kind::PluginFault, "trapped"))),
        (Kind::PluginFault, || Ok(Return::Nothing)),
        (Kind::PluginFault, || Ok(Return::Volume(facts("other", 1 << 30)))),
        (Kind::PluginFault, || Ok(Return::Volume(facts("new", 512)))),
        (Kind::PluginFault, || Ok(Return::Volume(VolumeFacts { format: ImageFormat::Qcow2, ..facts("new", 1 << 30) }))),
    ];
    for (kind, answer) in lies {
        let failure = scripted(&gate, after_doing(answer)).create_volume(&spec("new")).unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains("default/new"), "{failure}");
        assert_eq!(images(root.path()), before);
    }
    let mut liar = scripted(&gate, after_doing(|| Ok(Return::Findings(vec![]))));
    assert!(liar.delete_volume(&"kept".parse().unwrap()).is_err());
    assert!(liar.resize_volume(&"kept".parse().unwrap(), ByteSize::from_mib(2)).is_err());
    assert_eq!(images(root.path()), before);
    assert_eq!(std::fs::metadata(&before[0]).unwrap().len(), 1 << 20);
    assert!(!gate.layout().pool(&definition().name).join("ledger.jsonl").exists());
}

#[test]
fn the_next_change_undoes_one_that_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let mut pool = defined(&gate);
    let path_of_ledger = gate.layout().pool(&definition().name).join("ledger.jsonl");
    let mut ledger = Ledger::open(&path_of_ledger).unwrap();
    honest(&gate, &mut ledger, call("cut-off")).unwrap();
    drop(ledger);
    assert!(root.path().join("images/cut-off").exists());
    pool.create_volume(&spec("next")).unwrap();
    assert_eq!(images(root.path()), [root.path().join("images/next")]);

    honest(&gate, &mut Ledger::open(&path_of_ledger).unwrap(), call("cut-off")).unwrap();
    Pool::delete(&gate, &definition().name).unwrap();
    assert_eq!(images(root.path()), [root.path().join("images/next")]);
}

#[test]
fn whoever_opens_a_pool_undoes_a_change_that_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    defined(&gate);
    let folder = gate.layout().pool(&definition().name);
    honest(&gate, &mut Ledger::open(&folder.join("ledger.jsonl")).unwrap(), call("cut-off")).unwrap();
    // Its change is under way, as far as anyone can see; and a dry run changes nothing.
    let held = crate::sys::durable::lock(&folder.join("lock"), std::time::Duration::ZERO).unwrap();
    Pool::open(&gate, &definition().name).unwrap();
    drop(held);
    Pool::open(&self::gate(root.path(), Mode::DryRun), &definition().name).unwrap();
    assert_eq!(images(root.path()).len(), 2, "the image and its first name");
    Pool::open(&gate, &definition().name).unwrap();
    assert!(images(root.path()).is_empty() && !folder.join("ledger.jsonl").exists());
    // One that was killed, or had no room, before its first line was whole.
    for torn in ["", "{\"line\":\"int"] {
        std::fs::write(folder.join("ledger.jsonl"), torn).unwrap();
        Pool::open(&gate, &definition().name).unwrap();
        assert!(!folder.join("ledger.jsonl").exists());
        std::fs::write(folder.join("ledger.jsonl"), torn).unwrap();
        assert!(Pool::recover(&gate, &definition().name).unwrap().is_empty());
        assert!(!folder.join("ledger.jsonl").exists());
    }
}

fn call(name: &str) -> Call {
    Call::Storage {
        pool: "default".into(),
        settings: vec![("directory".into(), "images".into())],
        function: StorageCall::Create {
            name: name.into(),
            size: 1 << 20,
            format: ImageFormat::Raw,
            preallocation: Preallocation::Sparse,
        },
    }
}

#[test]
fn a_question_that_changes_something_is_the_plugins_fault_and_undone() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    defined(&gate);
    let mut sly = scripted(
        &gate,
        Box::new(|gate, ledger, _| {
            honest(gate, ledger, call("sly"))?;
            Ok(Return::Volumes(vec![]))
        }),
    );
    assert_eq!(sly.volumes().unwrap_err().kind, Kind::PluginFault);
    assert!(images(root.path()).is_empty());
}

#[test]
fn changes_of_one_pool_wait_for_each_other() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    defined(&gate);
    let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (gate, inside) = (gate.clone(), inside.clone());
            scope.spawn(move || {
                let script: Script = Box::new(move |gate, ledger, call| {
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0, "two at once");
                    let answer = honest(gate, ledger, call);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    answer
                });
                scripted(&gate, script).create_volume(&spec(&format!("v{n}"))).unwrap();
            });
        }
    });
    assert_eq!(images(root.path()).len(), 4);
}

#[test]
fn a_dry_run_writes_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let dry = gate(root.path(), Mode::DryRun);
    defined(&dry);
    assert!(!dry.layout().pools().exists());
    defined(&gate(root.path(), Mode::Perform));
    scripted(&dry, Box::new(honest)).create_volume(&spec("a")).unwrap();
    assert!(images(root.path()).is_empty());
    Pool::delete(&dry, &definition().name).unwrap();
    assert_eq!(Pool::all(&dry).unwrap().len(), 1);
}

#[test]
fn a_volume_is_attached_as_open_files_below_what_was_granted() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let mut pool = defined(&gate);
    pool.create_volume(&spec("a")).unwrap();
    let source = pool.attach(&"a".parse().unwrap(), AttachAccess::Exclusive).unwrap();
    let Way::Files(chain) = source.way else { panic!("{source:?}") };
    assert_eq!((chain.len(), chain[0].0, source.read_only), (1, ImageFormat::Raw, false));
    assert!(pool.attach(&"a".parse().unwrap(), AttachAccess::ReadOnly).unwrap().read_only);

    std::fs::create_dir(root.path().join("media")).unwrap();
    std::fs::write(root.path().join("media/cd"), [0; 512]).unwrap();
    std::fs::write(root.path().join("secret"), [0; 512]).unwrap();
    let attach = |directory: &str, path: &str, access| {
        let attachment = Attachment::File { directory: directory.into(), path: path.into(), format: ImageFormat::Raw };
        let mut pool = scripted(&gate, Box::new(move |_, _, _| Ok(Return::Attachment(attachment.clone()))));
        pool.attach(&"a".parse().unwrap(), access).map(drop).map_err(|failure| failure.kind)
    };
    assert_eq!(attach("media", "cd", AttachAccess::ReadOnly), Ok(()));
    assert_eq!(attach("media", "cd", AttachAccess::Exclusive), Err(Kind::Denied));
    assert_eq!(attach("other", "a", AttachAccess::ReadOnly), Err(Kind::Denied));
    assert_eq!(attach("images", "../secret", AttachAccess::ReadOnly), Err(Kind::PluginFault));
    assert_eq!(attach("images", "/etc/passwd", AttachAccess::ReadOnly), Err(Kind::PluginFault));
    assert_eq!(attach("im/ages", "a", AttachAccess::ReadOnly), Err(Kind::PluginFault));
    assert_eq!(attach("images", "missing", AttachAccess::ReadOnly), Err(Kind::NotFound));
    let mut served = scripted(&gate, Box::new(|_, _, _| Ok(Return::Attachment(Attachment::Served))));
    // It says so, and exports nothing to serve with.
    let served = served.attach(&"a".parse().unwrap(), AttachAccess::ReadOnly).map(drop);
    assert_eq!(served.unwrap_err().kind, Kind::PluginFault);
}

#[test]
fn a_broken_definition_hides_no_other_pool() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    defined(&gate);
    for (name, text) in [("broken", "name = 3"), ("misnamed", "name = \"x\"\nkind = \"file\""), ("empty", "")] {
        let folder = gate.layout().pool(&name.parse::<PoolName>().unwrap());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("pool.toml"), text).unwrap();
        assert_eq!(Pool::open(&gate, &name.parse().unwrap()).map(drop).unwrap_err().kind, Kind::Usage);
    }
    std::fs::write(gate.layout().pools().join("file"), "").unwrap();
    assert_eq!(Pool::all(&gate).unwrap(), [definition()]);
}
