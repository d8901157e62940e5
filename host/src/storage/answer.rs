//! What of a plugin's answer is believed. Pure: the words of an answer come from another room, and each is checked
//! before it is shown, written down or acted on.

use std::collections::BTreeSet;

use super::PoolInfo;
use crate::error::{Failure, Kind, Result};
use crate::gate::operation::SnapshotFacts;
use crate::sandbox::protocol::{Attachment, Fence, Return, VolumeFacts};
use crate::types::{ByteSize, Note, PluginId, SnapshotName, VolumeName};

/// Longest identity of a pool and longest name of a backing image, in bytes.
const TEXT_MAX: usize = 1024;

/// Who answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct From<'a>(pub &'a PluginId);

impl From<'_> {
    pub(super) fn fault(self, what: impl Into<String>) -> Failure {
        Failure {
            causes: vec![what.into()],
            ..Failure::new(Kind::PluginFault, format!("plugin {} gave an answer that fief does not accept", self.0))
        }
        .hint("nothing was changed; tell the plugin's author, with `fief plugin logs`")
    }

    fn other(self, wanted: &str, answer: &Return) -> Failure {
        let given = match answer {
            Return::Nothing => "nothing",
            Return::PoolInfo { .. } => "facts of a pool",
            Return::Volume(_) => "a volume",
            Return::Volumes(_) => "volumes",
            Return::Attachment(_) => "an attachment",
            Return::Snapshot(_) => "a snapshot",
            Return::Snapshots(_) => "snapshots",
            Return::Fence(_) => "a fence",
            Return::Notes(_) => "notes",
            Return::Port(_) => "a port",
            Return::Findings(_) => "findings",
            Return::Outcome(_) => "an outcome",
        };
        self.fault(format!("it was asked for {wanted} and gave {given}"))
    }

    fn text(self, what: &str, text: &str) -> Result<()> {
        if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(self.fault(format!("{what} is empty, too long or holds control characters")));
        }
        Ok(())
    }

    fn size(self, what: &str, bytes: u64) -> Result<ByteSize> {
        if bytes > i64::MAX as u64 {
            return Err(self.fault(format!("{what} is {bytes} bytes, which is too large")));
        }
        Ok(ByteSize::from_bytes(bytes))
    }

    pub(super) fn nothing(self, answer: &Return) -> Result<()> {
        match answer {
            Return::Nothing => Ok(()),
            other => Err(self.other("nothing", other)),
        }
    }

    pub(super) fn pool_info(self, answer: Return) -> Result<PoolInfo> {
        match answer {
            Return::PoolInfo { identity, capacity, available, reachable_from_peers, max_name: _ } => {
                self.text("the pool's identity", &identity)?;
                let capacity = capacity.map(|bytes| self.size("the capacity", bytes)).transpose()?;
                let available = available.map(|bytes| self.size("the room that is left", bytes)).transpose()?;
                Ok(PoolInfo { identity, capacity, available, reachable_from_peers })
            }
            other => Err(self.other("facts of a pool", &other)),
        }
    }

    /// A volume of that name.
    pub(super) fn volume(self, answer: Return, name: &VolumeName) -> Result<VolumeFacts> {
        match answer {
            Return::Volume(facts) => {
                self.facts(&facts)?;
                if facts.name != name.as_str() {
                    return Err(self.fault(format!("it was asked for the volume {name} and named {:?}", facts.name)));
                }
                Ok(facts)
            }
            other => Err(self.other("a volume", &other)),
        }
    }

    /// By name, no name twice.
    pub(super) fn volumes(self, answer: Return) -> Result<Vec<VolumeFacts>> {
        match answer {
            Return::Volumes(mut all) => {
                let mut seen = BTreeSet::new();
                for facts in &all {
                    self.facts(facts)?;
                    if !seen.insert(facts.name.as_str()) {
                        return Err(self.fault(format!("it named the volume {} twice", facts.name)));
                    }
                }
                all.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(all)
            }
            other => Err(self.other("volumes", &other)),
        }
    }

    fn facts(self, facts: &VolumeFacts) -> Result<()> {
        if let Err(invalid) = facts.name.parse::<VolumeName>() {
            return Err(self.fault(format!("the volume's name {:?} is not one: {invalid}", facts.name)));
        }
        self.size("the volume's size", facts.size)?;
        if let Some(allocated) = facts.allocated {
            self.size("what the volume takes", allocated)?;
        }
        facts.backing.as_deref().map_or(Ok(()), |backing| self.text("the name of the backing volume", backing))
    }

    pub(super) fn at_least(self, facts: VolumeFacts, size: ByteSize) -> Result<VolumeFacts> {
        if facts.size < size.bytes() {
            return Err(self.fault(format!(
                "the volume {} has {} bytes, and {} were asked for",
                facts.name,
                facts.size,
                size.bytes()
            )));
        }
        Ok(facts)
    }

    pub(super) fn snapshot(self, answer: Return, name: &SnapshotName) -> Result<SnapshotFacts> {
        match answer {
            Return::Snapshot(facts) if facts.name == name.as_str() => Ok(facts),
            Return::Snapshot(facts) => {
                Err(self.fault(format!("it was asked for the snapshot {name} and named {:?}", facts.name)))
            }
            other => Err(self.other("a snapshot", &other)),
        }
    }

    /// Snapshots may have been made with other tools, under names that fief does not take; they are shown escaped.
    pub(super) fn snapshots(self, answer: Return) -> Result<Vec<SnapshotFacts>> {
        let shown = |name: String| match name.parse::<SnapshotName>() {
            Ok(_) => name,
            Err(_) => name.chars().take(TEXT_MAX).flat_map(char::escape_debug).collect(),
        };
        match answer {
            Return::Snapshots(all) => Ok(all
                .into_iter()
                .map(|facts| SnapshotFacts { name: shown(facts.name), created: facts.created })
                .collect()),
            other => Err(self.other("snapshots", &other)),
        }
    }

    pub(super) fn notes(self, answer: Return) -> Result<Vec<Note>> {
        let all = match answer {
            Return::Notes(all) => all,
            other => return Err(self.other("notes", &other)),
        };
        if all.len() > Note::MOST {
            return Err(self.fault(format!("{} notes are more than {}", all.len(), Note::MOST)));
        }
        let note = |number| Note::new(number).ok_or_else(|| self.fault(format!("{number:#x} is no note")));
        all.into_iter().map(note).collect()
    }

    pub(super) fn fence(self, answer: Return) -> Result<Fence> {
        match answer {
            Return::Fence(fence) => {
                if let Some(holder) = &fence.holder {
                    self.text("the holder's host", &holder.host)?;
                    self.text("the name of the holder's host", &holder.name)?;
                    self.text("the holder's domain", &holder.domain)?;
                }
                Ok(fence)
            }
            other => Err(self.other("a fence", &other)),
        }
    }

    pub(super) fn attachment(self, answer: Return) -> Result<Attachment> {
        match answer {
            Return::Attachment(attachment) => Ok(attachment),
            other => Err(self.other("an attachment", &other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::operation::ImageFormat;

    fn volume(name: &str, size: u64) -> VolumeFacts {
        VolumeFacts { name: name.into(), size, allocated: None, format: ImageFormat::Raw, backing: None }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_the_plugins_fault() {
        let id: PluginId = "p".parse().unwrap();
        let from = From(&id);
        let name: VolumeName = "a".parse().unwrap();
        let info = |identity: &str, capacity| Return::PoolInfo {
            identity: identity.into(),
            capacity,
            available: None,
            reachable_from_peers: false,
            max_name: 10,
        };
        let backed = VolumeFacts { backing: Some("\x1b[2J".into()), ..volume("a", 1) };
        let snapshot = SnapshotFacts { name: "other".into(), created: 0 };
        let faults = [
            from.nothing(&Return::Volumes(vec![])).unwrap_err(),
            from.pool_info(Return::Nothing).unwrap_err(),
            from.pool_info(info("", None)).unwrap_err(),
            from.pool_info(info("a\nb", None)).unwrap_err(),
            from.pool_info(info("id", Some(u64::MAX))).unwrap_err(),
            from.volume(Return::Volume(volume("b", 1)), &name).unwrap_err(),
            from.volume(Return::Volume(volume("a", 1 << 63)), &name).unwrap_err(),
            from.volume(Return::Volume(backed), &name).unwrap_err(),
            from.volumes(Return::Volumes(vec![volume("../a", 1)])).unwrap_err(),
            from.volumes(Return::Volumes(vec![volume("a", 1), volume("a", 2)])).unwrap_err(),
            from.at_least(volume("a", 1), ByteSize::from_bytes(2)).unwrap_err(),
            from.snapshot(Return::Snapshot(snapshot), &"s".parse().unwrap()).unwrap_err(),
            from.snapshots(Return::Nothing).unwrap_err(),
            from.attachment(Return::Nothing).unwrap_err(),
        ];
        for fault in faults {
            assert_eq!(fault.kind, Kind::PluginFault, "{fault}");
            assert!(!fault.to_string().contains(['\x1b', '\n']), "{fault}");
        }
    }

    #[test]
    fn a_fitting_answer_is_taken_and_put_in_order() {
        let id: PluginId = "p".parse().unwrap();
        let all = From(&id).volumes(Return::Volumes(vec![volume("b", 1), volume("a", 2)])).unwrap();
        assert_eq!(all.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let odd = SnapshotFacts { name: "two words\x07".into(), created: 1 };
        let shown = From(&id).snapshots(Return::Snapshots(vec![odd])).unwrap();
        assert_eq!(shown[0].name, "two words\\u{7}");
    }
}
