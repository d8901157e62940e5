//! Single calls of a plugin that is being tried out (`conformance`): with the transaction and the checks around them that
//! every call has, and with what the plugin itself said where it refused.

use super::answer::From;
use super::call::Backend;
use super::pool::Pool;
use crate::error::{Failure, Result};
use crate::plugin::Patience;
use crate::plugin::trouble::{Trouble, Wires};
use crate::sandbox::protocol::{Ability, ErrorCode, Return, StorageCall};
use crate::types::{SnapshotName, VolumeName};

/// A call that came to nothing.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The plugin's own error; none where it trapped, went past a limit, or answered what is not believed.
    pub code: Option<ErrorCode>,
    pub failure: Failure,
}

impl Pool {
    /// One call, checked and sealed, or undone.
    pub fn put(&mut self, function: StorageCall) -> Result<Return, Refusal> {
        let wanted = function.clone();
        let check = |from: From<'_>, answer| checked(from, &wanted, answer);
        let answer = if changes(&function) { self.change(function, check) } else { self.query(function, check) };
        let session = self.session();
        answer.map_err(|failure| Refusal { code: session.and_then(|session| session.refused()).cloned(), failure })
    }

    /// What the host fails at in each call from now on.
    ///
    /// # Errors
    /// Where the plugin's sandbox does not start.
    pub fn fail(&mut self, trouble: Option<Trouble>) -> Result<()> {
        // It starts the sandbox where there is none.
        self.can(Ability::Block)?;
        if let Some(Backend::Session(session)) = &mut self.backend {
            session.fail(trouble);
        }
        Ok(())
    }

    /// Whether that came in the last call.
    pub fn was_troubled(&self) -> bool {
        // One that was at fault is gone, with its sandbox.
        self.session().is_none_or(crate::plugin::Session::was_troubled)
    }

    /// How long a server may say nothing in the calls from now on; another sandbox makes them.
    pub fn wait(&mut self, patience: Patience) {
        if self.patience != patience {
            self.patience = patience;
            self.start_over();
        }
    }

    /// How many answers came, or requests went, over the streams of the last call, where those were to be spoilt.
    pub fn turns(&self) -> u32 {
        self.session().map_or(0, crate::plugin::Session::turns)
    }

    /// What the streams of volumes that are served from now on are led past.
    pub fn lead(&mut self, wires: Option<Wires>) {
        self.wires = wires;
    }

    /// Whether the plugin answered the last call that it does not do such a thing.
    pub fn was_unsupported(&self) -> bool {
        self.session().and_then(crate::plugin::Session::refused) == Some(&ErrorCode::Unsupported)
    }

    /// The plugin's sandbox, while there is one.
    pub fn process(&self) -> Option<u32> {
        self.session().and_then(crate::plugin::Session::process_id)
    }

    /// Ends the plugin's sandbox; the next call starts another.
    pub fn start_over(&mut self) {
        self.backend = None;
    }

    /// The optional interfaces that the plugin exports.
    pub fn abilities(&mut self) -> Result<Vec<Ability>> {
        self.can(Ability::Block)?;
        Ok(self.session().map(|session| session.abilities().to_vec()).unwrap_or_default())
    }

    fn session(&self) -> Option<&crate::plugin::Session> {
        match &self.backend {
            Some(Backend::Session(session)) => Some(session),
            #[cfg(test)]
            Some(Backend::Scripted(_)) => None,
            None => None,
        }
    }
}

/// Whether it is a change, which is done under the pool's lock as a whole.
const fn changes(function: &StorageCall) -> bool {
    match function {
        StorageCall::Create { .. }
        | StorageCall::Delete { .. }
        | StorageCall::Resize { .. }
        | StorageCall::Rename { .. }
        | StorageCall::Clone { .. }
        | StorageCall::SnapshotCreate { .. }
        | StorageCall::SnapshotDelete { .. }
        | StorageCall::SnapshotRevert { .. } => true,
        StorageCall::Info
        | StorageCall::All
        | StorageCall::Find { .. }
        | StorageCall::Attach { .. }
        | StorageCall::Detach { .. }
        | StorageCall::Snapshots { .. }
        | StorageCall::Notes { .. }
        | StorageCall::NoteLeave { .. }
        | StorageCall::NoteRemove { .. }
        | StorageCall::FenceShow { .. }
        | StorageCall::FenceTake { .. }
        | StorageCall::FenceRelease { .. } => false,
    }
}

/// The answer, as far as it is believed.
fn checked(from: From<'_>, function: &StorageCall, answer: Return) -> Result<Return> {
    let volume = |name: &str, answer| from.volume(answer, &named(name)?).map(Return::Volume);
    match function {
        StorageCall::Info => from.pool_info(answer.clone()).map(|_| answer),
        StorageCall::All => from.volumes(answer).map(Return::Volumes),
        StorageCall::Find { name } | StorageCall::Create { name, .. } | StorageCall::Resize { name, .. } => {
            volume(name, answer)
        }
        StorageCall::Rename { to: name, .. } | StorageCall::Clone { target: name, .. } => volume(name, answer),
        StorageCall::Attach { .. } => from.attachment(answer).map(Return::Attachment),
        StorageCall::SnapshotCreate { name, .. } => {
            let name: SnapshotName = name.parse().map_err(|why| Failure::usage(format!("{name:?}: {why}")))?;
            from.snapshot(answer, &name).map(Return::Snapshot)
        }
        StorageCall::Snapshots { .. } => from.snapshots(answer).map(Return::Snapshots),
        StorageCall::FenceShow { .. } | StorageCall::FenceTake { .. } => from.fence(answer).map(Return::Fence),
        StorageCall::Notes { .. } => from.notes(answer.clone()).map(|_| answer),
        StorageCall::Delete { .. }
        | StorageCall::Detach { .. }
        | StorageCall::SnapshotDelete { .. }
        | StorageCall::SnapshotRevert { .. }
        | StorageCall::NoteLeave { .. }
        | StorageCall::NoteRemove { .. }
        | StorageCall::FenceRelease { .. } => from.nothing(&answer).map(|()| answer),
    }
}

fn named(name: &str) -> Result<VolumeName> {
    name.parse().map_err(|why| Failure::usage(format!("{name:?}: {why}")))
}
