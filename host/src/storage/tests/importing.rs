//! Disks of other hosts, filled into volumes.

use super::*;

/// A plugin that makes volumes as `honest` does, and finds them.
fn finding(gate: &Gate, ledger: &mut Ledger, call: Call) -> Result<Return> {
    match &call {
        Call::Storage { function: StorageCall::Find { name }, .. } => Ok(Return::Volume(facts(
            name,
            std::fs::metadata(gate.layout().root().join("images").join(name)).unwrap().len(),
        ))),
        _ => honest(gate, ledger, call),
    }
}

fn disk(root: &Path, name: &str, bytes: &[u8]) -> Import {
    let path = root.canonicalize().unwrap().join(format!("old-{name}"));
    std::fs::write(&path, bytes).unwrap();
    let source = crate::gate::operation::ForeignImage {
        path,
        format: crate::types::DiskFormat::Raw,
        part: None,
        checksum: None,
    };
    let facts = inspect_foreign(&gate(root, Mode::Perform), &source).unwrap();
    Import { volume: name.parse().unwrap(), source, facts }
}

#[test]
fn disks_of_another_host_become_volumes_all_or_none() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let mut pool = defined(&gate);
    pool.backend = Some(Backend::Scripted(Box::new(finding)));
    let (a, b) = (disk(root.path(), "a", &[1; 700]), disk(root.path(), "b", &[2; 1024]));
    let mut begun = Vec::new();
    let all = pool
        .import_volumes(&[a.clone(), b.clone()], |import| begun.push(import.volume.to_string()), || Ok(()))
        .unwrap();
    assert_eq!((all.len(), begun), (2, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(images(root.path()).len(), 2);
    let made = std::fs::read(root.path().join("images/a")).unwrap();
    assert!(made.len() == 1024 && made[..700] == [1; 700] && made[700..] == [0; 324]);

    // The second is not there any more: the first goes too.
    let (c, d) = (disk(root.path(), "c", &[3; 512]), disk(root.path(), "d", &[4; 512]));
    std::fs::remove_file(&d.source.path).unwrap();
    assert_eq!(pool.import_volumes(&[c, d], |_| {}, || Ok(())).unwrap_err().kind, Kind::NotFound);
    assert_eq!(images(root.path()).len(), 2);
    assert!(!gate.layout().pool(&"default".parse().unwrap()).join("ledger.jsonl").exists());
}

#[test]
fn a_volume_that_was_there_is_never_written_over_whatever_the_plugin_says() {
    let root = tempfile::tempdir().unwrap();
    let gate = gate(root.path(), Mode::Perform);
    let mut pool = defined(&gate);
    pool.create_volume(&spec("a")).unwrap();
    // It answers as if it had made it just now.
    pool.backend = Some(Backend::Scripted(Box::new(|_, _, call| match call {
        Call::Storage { function: StorageCall::Create { name, size, .. }, .. } => {
            Ok(Return::Volume(facts(&name, size)))
        }
        other => panic!("{other:?}"),
    })));
    let before = std::fs::read(root.path().join("images/a")).unwrap();
    let failure = pool.import_volumes(&[disk(root.path(), "a", &[9; 512])], |_| {}, || Ok(())).unwrap_err();
    assert_eq!(failure.kind, Kind::Conflict, "{failure}");
    assert_eq!(std::fs::read(root.path().join("images/a")).unwrap(), before);
}
