//! What is open on the server, and locked: for one call, or for as long as the session lives.

use super::attributes::OF_FILE;
use super::client::of_file;
use super::compound::{Claim, StateId, op};
use super::establish::OPENER;
use super::session::{Held, Session};
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{Attributes, Handle};
use crate::wire::Wire;

impl<W: Wire> Session<W> {
    /// Opens a name of a folder; with `create` it must be new.
    pub(crate) async fn open_name(
        &self,
        folder: &Handle,
        name: &str,
        write: bool,
        create: bool,
    ) -> Answer<(Handle, StateId, Attributes)> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.open(self.client(), OPENER, write, create, Claim::Name(name));
                call.handle();
                call.attributes(OF_FILE);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                let state = results.opened()?;
                Ok((results.handle()?, state, of_file(results.attributes()?)?))
            },
        )
        .await
    }

    /// Opens `held`, and locks it where it is to be locked, for as long as the session lives.
    pub(crate) async fn hold(&self, mut held: Held) -> Answer<()> {
        let (open, about) = self
            .call(
                true,
                false,
                0,
                |call, _| {
                    call.put(&held.file);
                    call.open(self.client(), OPENER, held.write, false, Claim::File);
                    call.attributes(OF_FILE);
                },
                |results| {
                    results.done(&[op::PUTFH])?;
                    Ok((results.opened()?, of_file(results.attributes()?)?))
                },
            )
            .await?;
        if about.id != held.id {
            return Err(Trouble::Status(Status::STALE));
        }
        (held.open, held.lock, held.opening) = (Some(open), None, self.opening() + 1);
        if held.locked {
            held.lock = Some(self.lock(&held.file, open).await?);
        }
        self.held.replace(Some(held));
        Ok(())
    }

    pub(crate) async fn lock(&self, file: &Handle, open: StateId) -> Answer<StateId> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(file);
                call.lock(open, self.client(), OPENER, false);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.state(op::LOCK)
            },
        )
        .await
    }

    pub(crate) async fn unlock(&self, file: &Handle, lock: StateId) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(file);
                call.unlock(lock);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.state(op::LOCKU).map(|_| ())
            },
        )
        .await
    }

    pub(crate) async fn close_state(&self, file: &Handle, state: StateId) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(file);
                call.close(state);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.state(op::CLOSE).map(|_| ())
            },
        )
        .await
    }

    /// What was held is not any more: a server said so.
    ///
    /// What was opened again since `opening` stays.
    pub(crate) fn drop_held(&self, opening: u64) {
        if let Some(held) = &mut *self.held.borrow_mut()
            && held.opening == opening
        {
            (held.open, held.lock) = (None, None);
        }
    }

    /// Which opening of what is held this is.
    pub(crate) fn opening(&self) -> u64 {
        self.held.borrow().as_ref().map_or(0, |held| held.opening)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.borrow().as_ref().is_some_and(|held| held.open.is_some())
    }

    /// Whether what is, or was, held is to be locked.
    pub(crate) fn was_locked(&self) -> bool {
        self.held.borrow().as_ref().is_some_and(|held| held.locked)
    }

    /// What the server has told of our state since it was last asked for.
    pub(crate) fn take_flags(&self) -> u32 {
        self.flags.take()
    }

    /// Lets go of what is held.
    pub(crate) async fn release(&self) -> Answer<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        if let Some(lock) = held.lock {
            self.unlock(&held.file, lock).await?;
        }
        match held.open {
            Some(open) => self.close_state(&held.file, open).await,
            None => Ok(()),
        }
    }
}
