//! Which of two ways a guest reaches a volume, where the pool leaves that open: `transport = "auto"`.
//!
//! ```text
//!   auto ─▸ the plugin: which client of the hypervisor's own surely gets there? ── unsupported, and why ──▸ served
//!              └─ it names one ─▸ the gate: does the pool lead there? ── no, and why ───────────────────────▸ served
//!                                    └─ yes ─▸ the caller: has this hypervisor that client? ── no, and why ─▸ served
//!                                                └─ yes ─▸ native
//! ```
//!
//! The plugin is asked with `auto` itself. From the choice on it sees `native` or `served` in each call about the volume.

use super::pool::Pool;
use crate::error::{Failure, Kind, Result};
use crate::sandbox::protocol::{AttachAccess, Attachment, Settings, StorageCall};
use crate::types::VolumeName;

/// The setting, by its key: a pool whose plugin has none has one way alone.
const KEY: &str = "transport";
const OPEN: &str = "auto";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A client of the hypervisor's own.
    Native,
    /// The plugin itself.
    Served,
}

impl Transport {
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Native => "native",
            Transport::Served => "served",
        }
    }
}

/// What a pool says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Nothing,
    Fixed(Transport),
    Auto,
}

/// A client that a hypervisor has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    File,
    Nfs,
    Iscsi,
    Nbd,
}

impl Pool {
    pub fn transport(&mut self) -> Result<Said> {
        Ok(match self.setting(KEY)?.as_deref() {
            Some(OPEN) => Said::Auto,
            Some("native") => Said::Fixed(Transport::Native),
            Some("served") => Said::Fixed(Transport::Served),
            // A word that is the plugin's alone.
            Some(_) | None => Said::Nothing,
        })
    }

    /// The client that reaches a volume of a pool that leaves it open, or why none does.
    ///
    /// # Errors
    /// Where that is not known: the storage does not answer, there is no such volume.
    pub fn natively(&mut self, volume: &VolumeName) -> Result<Result<Client, String>> {
        let function = StorageCall::Attach { name: volume.to_string(), access: AttachAccess::ReadOnly };
        let found = self.query(function, |from, answer| from.attachment(answer)).and_then(|attachment| {
            Ok(match attachment {
                Attachment::File { .. } => Ok(Client::File),
                Attachment::Nfs { server, port, share, path, format } => {
                    self.nfs(&server, port, &share, &path, format).map(|_| Ok(Client::Nfs))?
                }
                // No secret is taken out for a question.
                Attachment::Iscsi { portal, target, lun, .. } => {
                    self.iscsi(&portal, &target, lun, (None, None)).map(|_| Ok(Client::Iscsi))?
                }
                Attachment::Nbd { address, export } => self.nbd(&address, &export).map(|_| Ok(Client::Nbd))?,
                Attachment::Served => Err("its plugin would rather".to_owned()),
            })
        });
        match found {
            Ok(found) => Ok(found),
            Err(failure) if matches!(failure.kind, Kind::Usage | Kind::Denied) => Ok(Err(reason(&failure))),
            Err(failure) => Err(self.about("find a way to", volume, failure)),
        }
    }

    /// How the plugin sees a volume from here on, where the pool leaves it open.
    pub fn choose(&mut self, volume: &VolumeName, transport: Transport) {
        self.chosen.insert(volume.clone(), transport);
    }

    /// Settings as the plugin sees them in a call about this volume.
    pub(super) fn settings_for(&mut self, volume: Option<&str>) -> Result<Settings> {
        let mut settings = self.settings()?;
        let chosen = volume.and_then(|volume| self.chosen.iter().find(|(name, _)| name.as_str() == volume));
        if let (Some((_, transport)), Some((_, value))) =
            (chosen, settings.iter_mut().find(|(key, value)| key == KEY && value == OPEN))
        {
            transport.as_str().clone_into(value);
        }
        Ok(settings)
    }
}

/// The innermost: what stands around it says what was tried, which the reader knows.
fn reason(failure: &Failure) -> String {
    failure.causes.last().unwrap_or(&failure.message).clone()
}

/// The volume that a call is about.
pub(super) fn subject(function: &StorageCall) -> Option<&str> {
    match function {
        StorageCall::Info | StorageCall::All => None,
        StorageCall::Find { name }
        | StorageCall::Create { name, .. }
        | StorageCall::Delete { name }
        | StorageCall::Resize { name, .. }
        | StorageCall::Attach { name, .. }
        | StorageCall::Detach { name }
        | StorageCall::Rename { name, .. } => Some(name),
        StorageCall::SnapshotCreate { volume, .. }
        | StorageCall::SnapshotDelete { volume, .. }
        | StorageCall::SnapshotRevert { volume, .. }
        | StorageCall::Snapshots { volume }
        | StorageCall::FenceShow { volume }
        | StorageCall::FenceTake { volume, .. }
        | StorageCall::FenceRelease { volume, .. }
        | StorageCall::Notes { volume }
        | StorageCall::NoteLeave { volume, .. }
        | StorageCall::NoteRemove { volume, .. } => Some(volume),
        StorageCall::Clone { source, .. } => Some(source),
    }
}
