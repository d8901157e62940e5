//! Notes, of plugins that mean well and of others.

use super::*;
use crate::types::{Note, VolumeName};

fn answers(root: &Path, answer: Return) -> Pool {
    let gate = gate(root, Mode::Perform);
    defined(&gate);
    scripted(&gate, Box::new(move |_, _, _| Ok(answer.clone())))
}

#[test]
fn notes_are_read_as_they_are_and_no_others_are_believed() {
    let root = tempfile::tempdir().unwrap();
    let volume: VolumeName = "a".parse().unwrap();
    let read = |answer| answers(root.path(), answer).notes(&volume);
    assert_eq!(read(Return::Notes(vec![7])).unwrap(), [Note::new(7).unwrap()]);
    assert_eq!(read(Return::Notes(vec![])).unwrap(), []);
    for bad in [
        Return::Notes(vec![0]),
        Return::Notes(vec![7, 1 << 56]),
        Return::Notes((1..=65).collect()),
        Return::Nothing,
        Return::Volumes(vec![]),
    ] {
        assert_eq!(read(bad.clone()).unwrap_err().kind, Kind::PluginFault, "{bad:?}");
    }
    let mut other = answers(root.path(), Return::Notes(vec![7]));
    assert_eq!(other.leave_note(&volume, Note::random()).unwrap_err().kind, Kind::PluginFault);
    assert_eq!(other.remove_note(&volume, Note::random()).unwrap_err().kind, Kind::PluginFault);
}
