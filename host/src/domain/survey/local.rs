//! Whether a domain could move at all, by what this host knows alone: files are read, and nobody is asked.

use crate::config::domain::{DiskDevice, DomainDefinition};
use crate::domain::record::Record;
use crate::domain::state::State;

/// Why it could not move now, each a few words; none where nothing here is in the way. What another host says is a plan's to
/// find out.
pub fn obstacles(definition: Option<&DomainDefinition>, record: &Record, state: State) -> Vec<String> {
    let mut all = Vec::new();
    match state {
        State::Off | State::Running | State::Paused => {}
        State::Starting | State::Preserved | State::Stopping => all.push(format!("it is {}", state.as_str())),
        State::Ceded | State::Elsewhere => all.push("it is, or may be, another host's".to_owned()),
    }
    if state == State::Off && record.saved.as_deref().is_some_and(std::path::Path::exists) {
        all.push("its guest's state is saved here".to_owned());
    }
    let changing = record.run.as_ref().is_some_and(|run| run.changing.is_some());
    if record.saving.is_some() || record.copying.is_some() || record.moving.is_some() || changing {
        all.push("its memory or its disks are being written elsewhere, or it is being changed".to_owned());
    }
    match definition {
        None => all.push("its definition cannot be read".to_owned()),
        Some(definition) if definition.disks.iter().any(|disk| disk.device == DiskDevice::Cdrom) => {
            all.push("a disc is in a drive (--eject)".to_owned());
        }
        Some(_) => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};

    #[test]
    fn what_is_known_here_alone_is_told() {
        let definition = |more: &str| {
            let text = format!("name = \"a\"\nmemory = \"32MiB\"\n{more}");
            parse(text.as_bytes(), "x.toml", &mut RandomIdentity).unwrap()
        };
        let plain = definition("");
        let mut record = Record::new(&plain);
        for state in State::ALL {
            let moves = matches!(state, State::Off | State::Running | State::Paused);
            assert_eq!(obstacles(Some(&plain), &record, state).is_empty(), moves, "{state:?}");
        }
        let disc = definition("[[disk]]\nvolume = \"default/installer\"\ndevice = \"cdrom\"\n");
        assert!(obstacles(Some(&disc), &record, State::Running)[0].contains("--eject"));
        assert_eq!(obstacles(None, &record, State::Off).len(), 1);
        record.saved = Some("/".into());
        assert!(obstacles(Some(&plain), &record, State::Off)[0].contains("saved"));
        assert!(obstacles(Some(&plain), &record, State::Running).is_empty(), "it was restored meanwhile");
    }
}
