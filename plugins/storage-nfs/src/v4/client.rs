//! What is asked of a server in a session. Each function is one compound.

use fief_sdk::payload::Data;

use super::attributes::{OF_ENTRY, OF_FILE, OF_SERVER, OF_SPACE, Values};
use super::compound::{StateId, op};
use super::results::{Broken, Found};
use super::session::Session;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{Attributes, Handle, Page, Space, Stable, Verifier, Written};
use crate::wire::Wire;
use crate::xdr::Malformed;

/// Of one list, in bytes.
const LIST: u32 = 32 << 10;

/// Under which state something is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    /// What the session holds open, and opens again after a restart.
    Held,
    /// This, until the session ends.
    State(StateId),
}

impl Under {
    fn held(self) -> bool {
        self == Under::Held
    }

    fn or(self, held: StateId) -> StateId {
        match self {
            Under::Held => held,
            Under::State(state) => state,
        }
    }
}

pub(super) fn of_file(values: Values) -> Found<Attributes> {
    values.of_file().ok_or(Broken::Malformed(Malformed("attributes are missing")))
}

impl<W: Wire> Session<W> {
    /// The folder at the top of all that the server exports.
    pub(crate) async fn root(&self) -> Answer<Handle> {
        let build = |call: &mut super::compound::Compound, _| {
            call.put_root();
            call.handle();
        };
        self.call(false, false, 0, build, |results| {
            results.done(&[op::PUTROOTFH])?;
            results.handle()
        })
        .await
    }

    pub(crate) async fn lookup(&self, folder: &Handle, name: &str) -> Answer<(Handle, Attributes)> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.lookup(name);
                call.handle();
                call.attributes(OF_FILE);
            },
            |results| {
                results.done(&[op::PUTFH, op::LOOKUP])?;
                Ok((results.handle()?, of_file(results.attributes()?)?))
            },
        )
        .await
    }

    async fn values(&self, file: &Handle, wanted: &[u32]) -> Answer<Values> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(file);
                call.attributes(wanted);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.attributes()
            },
        )
        .await
    }

    pub(crate) async fn attributes(&self, file: &Handle) -> Answer<Attributes> {
        self.values(file, OF_FILE).await?.of_file().ok_or(Trouble::Status(Status::STALE))
    }

    pub(crate) async fn space(&self, folder: &Handle) -> Answer<Option<Space>> {
        Ok(self.values(folder, OF_SPACE).await?.space())
    }

    /// What the server says of its limits, its lease and hard links.
    pub(crate) async fn about(&self, folder: &Handle) -> Answer<Values> {
        self.values(folder, OF_SERVER).await
    }

    pub(crate) async fn list(&self, folder: &Handle, cookie: u64, verifier: Verifier) -> Answer<Page> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.list(cookie, verifier, LIST, OF_ENTRY);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.page()
            },
        )
        .await
    }

    pub(crate) async fn set_size(&self, file: &Handle, under: Under, size: u64) -> Answer<()> {
        self.call(
            true,
            under.held(),
            0,
            |call, held| {
                call.put(file);
                call.set_size(under.or(held), size);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.size_set()
            },
        )
        .await
    }

    pub(crate) async fn read(&self, file: &Handle, under: Under, offset: u64, length: u32) -> Answer<(Data, bool)> {
        let build = |call: &mut super::compound::Compound, held| {
            call.put(file);
            call.read(under.or(held), offset, length);
        };
        let answered = self.call_with_record(false, under.held(), 0, build, |results| {
            results.done(&[op::PUTFH])?;
            results.data(length)
        });
        let ((data, ended), record) = answered.await?;
        Ok((data.of(record), ended))
    }

    pub(crate) async fn write(
        &self,
        file: &Handle,
        under: Under,
        offset: u64,
        data: &[u8],
        stable: Stable,
    ) -> Answer<Written> {
        self.call(
            false,
            under.held(),
            data.len(),
            |call, held| {
                call.put(file);
                call.write(under.or(held), offset, data, stable);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.written(data.len())
            },
        )
        .await
    }

    pub(crate) async fn commit(&self, file: &Handle) -> Answer<Verifier> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(file);
                call.commit();
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.committed()
            },
        )
        .await
    }

    pub(crate) async fn allocate(&self, file: &Handle, under: Under, offset: u64, length: u64) -> Answer<()> {
        self.call(
            false,
            under.held(),
            0,
            |call, held| {
                call.put(file);
                call.allocate(under.or(held), offset, length);
            },
            |results| results.done(&[op::PUTFH, op::ALLOCATE]),
        )
        .await
    }

    /// Makes a hole; with `durable`, on stable storage by the time of the answer.
    pub(crate) async fn deallocate(
        &self,
        file: &Handle,
        under: Under,
        offset: u64,
        length: u64,
        durable: bool,
    ) -> Answer<()> {
        self.call(
            false,
            under.held(),
            0,
            |call, held| {
                call.put(file);
                call.deallocate(under.or(held), offset, length);
                if durable {
                    call.commit();
                }
            },
            |results| {
                results.done(&[op::PUTFH, op::DEALLOCATE])?;
                if durable {
                    results.committed()?;
                }
                Ok(())
            },
        )
        .await
    }

    pub(crate) async fn seek(&self, file: &Handle, under: Under, offset: u64, hole: bool) -> Answer<Option<u64>> {
        self.call(
            false,
            under.held(),
            0,
            |call, held| {
                call.put(file);
                call.seek(under.or(held), offset, hole);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.sought()
            },
        )
        .await
    }

    /// All of a file shares its blocks with another.
    pub(crate) async fn clone_file(&self, from: (&Handle, StateId), to: (&Handle, StateId), length: u64) -> Answer<()> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(from.0);
                call.save();
                call.put(to.0);
                call.clone_range(from.1, to.1, length);
            },
            |results| results.done(&[op::PUTFH, op::SAVEFH, op::PUTFH, op::CLONE]),
        )
        .await
    }

    /// The server copies by itself; gives how many bytes it did.
    pub(crate) async fn copy(
        &self,
        from: (&Handle, StateId),
        to: (&Handle, StateId),
        offset: u64,
        length: u64,
    ) -> Answer<u64> {
        self.call(
            false,
            false,
            0,
            |call, _| {
                call.put(from.0);
                call.save();
                call.put(to.0);
                call.copy(from.1, to.1, offset, length);
            },
            |results| {
                results.done(&[op::PUTFH, op::SAVEFH, op::PUTFH])?;
                results.copied()
            },
        )
        .await
    }

    pub(crate) async fn create_folder(&self, folder: &Handle, name: &str) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.create_folder(name);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.folder_created()
            },
        )
        .await
    }

    pub(crate) async fn remove(&self, folder: &Handle, name: &str) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.remove(name);
            },
            |results| {
                results.done(&[op::PUTFH])?;
                results.changed(op::REMOVE)
            },
        )
        .await
    }

    /// Within one folder, over what has the new name.
    pub(crate) async fn rename(&self, folder: &Handle, from: &str, to: &str) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(folder);
                call.save();
                call.put(folder);
                call.rename(from, to);
            },
            |results| {
                results.done(&[op::PUTFH, op::SAVEFH, op::PUTFH])?;
                results.changed(op::RENAME)
            },
        )
        .await
    }

    pub(crate) async fn link(&self, file: &Handle, folder: &Handle, name: &str) -> Answer<()> {
        self.call(
            true,
            false,
            0,
            |call, _| {
                call.put(file);
                call.save();
                call.put(folder);
                call.link(name);
            },
            |results| {
                results.done(&[op::PUTFH, op::SAVEFH, op::PUTFH])?;
                results.changed(op::LINK)
            },
        )
        .await
    }
}
