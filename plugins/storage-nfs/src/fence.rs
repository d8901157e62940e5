//! Taking, moving on and letting go of the lease beside a volume, so that of several who try, one has it.
//!
//! ```text
//!   no record      a new one gets the name by a hard link, which is refused where there is one by now
//!   a record, v4   lock it ▸ look that it is still the one of that name ▸ decide ▸ rename a new one over it ▸ unlock
//!   a record, v3   there are no locks: rename it away, which one succeeds in ▸ look that it is the one that was
//!                  decided on ▸ link a new one in its place
//! ```
//! The server lets go of a lock whose client has died, so a crash in the middle holds nobody up for longer than its lease
//! time.

use fief_sdk::block::Holder;
use fief_sdk::{Error, Result};

use crate::export::Export;
use crate::files::{Files, temporary};
use crate::lease::{self, Decision, Record};
use crate::name;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::Handle;
use crate::wire::Wire;

/// How often someone else may come first before this is given up, with a pause in between, in milliseconds.
const TRIES: u32 = 40;
const PAUSE: u32 = 250;

/// The record beside a volume, if there is one.
pub(crate) async fn read<W: Wire>(files: &Files<W>, folder: &Handle, volume: &str) -> Result<Option<Record>> {
    let name = name::lease(volume);
    let doing = || format!("cannot read the lease {name}");
    let found = async || -> Answer<Option<Vec<u8>>> {
        match files.lookup(folder, &name).await? {
            None => Ok(None),
            Some((file, _)) => match files.head(&file, lease::MOST).await {
                // Replaced between the two.
                Err(Trouble::Status(Status::STALE)) => Ok(None),
                other => other.map(Some),
            },
        }
    };
    match found().await.map_err(|trouble| trouble.error(doing()))? {
        None => Ok(None),
        Some(bytes) => Record::decode(&bytes).map(Some).map_err(|error| error.while_doing(doing())),
    }
}

/// What came of one try.
enum Tried {
    Done(Record),
    /// Someone else was there first: look again.
    Again,
}

impl<W: Wire> Export<W> {
    pub(crate) async fn take(&self, volume: &str, holder: &Holder, force: bool) -> Result<Record> {
        self.existing(volume).await?;
        let wanted = Record::held(holder);
        self.move_on(volume, &wanted, force, |current| lease::decide(current, holder, force)).await
    }

    pub(crate) async fn release(&self, volume: &str, holder: &Holder) -> Result<()> {
        let wanted = Record { released: true, ..Record::held(holder) };
        let mine = |current: Option<&Record>| match current.is_some_and(|current| current.is_held_by(holder)) {
            true => Ok(Decision::Write),
            false => Ok(Decision::Ours),
        };
        self.move_on(volume, &wanted, false, mine).await.map(|_| ())
    }

    /// Writes `wanted` where `decide` says so of the record as it is at that moment.
    async fn move_on(
        &self,
        volume: &str,
        wanted: &Record,
        force: bool,
        decide: impl Fn(Option<&Record>) -> Result<Decision>,
    ) -> Result<Record> {
        let doing = || format!("cannot write the lease of volume {volume}");
        for _ in 0..TRIES {
            let current = match read(&self.files, &self.folder, volume).await {
                // What cannot be read is nobody's, where the operator says so.
                Err(error) if force && error.code == fief_sdk::ErrorCode::Corrupt => None,
                other => other?,
            };
            if decide(current.as_ref())? == Decision::Ours {
                return Ok(current.unwrap_or_else(|| wanted.clone()));
            }
            match self.try_once(volume, current.as_ref(), wanted).await {
                Ok(Tried::Done(record)) => return Ok(record),
                Ok(Tried::Again) => {}
                Err(trouble) => return Err(trouble.error(doing())),
            }
            self.files.wait(PAUSE).await.map_err(|trouble| trouble.error(doing()))?;
        }
        Err(Error::in_use("another host", format!("others take the lease of volume {volume} all the time; try again")))
    }

    async fn try_once(&self, volume: &str, current: Option<&Record>, wanted: &Record) -> Answer<Tried> {
        let hidden = temporary(volume, "lease-new");
        let new = self.files.create(&self.folder, &hidden).await?;
        let tried = match self.files.write_all(&new, 0, &wanted.encode()).await {
            Err(trouble) => Err(trouble),
            Ok(()) => match (&self.files, self.files.lookup(&self.folder, &name::lease(volume)).await) {
                (_, Err(trouble)) => Err(trouble),
                (_, Ok(None)) => self.put_first(volume, &new.file).await,
                (Files::V4(_), Ok(Some(_))) => self.put_over_locked(volume, current, &hidden).await,
                (Files::V3(_), Ok(Some(_))) => self.put_in_place(volume, current, &new.file).await,
            },
        };
        let closed = self.files.close(new).await;
        self.files.remove(&self.folder, &hidden).await?;
        let done = tried?;
        closed?;
        Ok(if done { Tried::Done(wanted.clone()) } else { Tried::Again })
    }

    async fn put_first(&self, volume: &str, new: &Handle) -> Answer<bool> {
        if !self.limits.links {
            return Err(
                Error::unsupported("the server's file system has no hard links, with which leases are taken").into()
            );
        }
        match self.files.link(new, &self.folder, &name::lease(volume)).await {
            Err(trouble) if trouble.is(Status::EXIST) => Ok(false),
            other => other.map(|()| true),
        }
    }

    async fn put_over_locked(&self, volume: &str, expected: Option<&Record>, hidden: &str) -> Answer<bool> {
        let name = name::lease(volume);
        let (old, about) = match self.files.open(&self.folder, &name, true).await {
            Err(trouble) if trouble.is(Status::NOENT) => return Ok(false),
            other => other?,
        };
        let lock = match self.files.lock(&old).await {
            Err(trouble) if trouble.is(Status::DENIED) => {
                self.files.close(old).await?;
                return Ok(false);
            }
            other => other?,
        };
        let change = async || -> Answer<bool> {
            // Its name may have gone to another file before the lock was ours.
            let named = self.files.lookup(&self.folder, &name).await?;
            if named.is_none_or(|(_, named)| named.id != about.id) {
                return Ok(false);
            }
            let bytes = self.files.read(&old, 0, lease::MOST).await?.0;
            if Record::decode(&bytes).ok().as_ref() != expected {
                return Ok(false);
            }
            self.files.rename(&self.folder, hidden, &name).await.map(|()| true)
        };
        let changed = change().await;
        self.files.unlock(&old, lock).await?;
        self.files.close(old).await?;
        changed
    }

    async fn put_in_place(&self, volume: &str, expected: Option<&Record>, new: &Handle) -> Answer<bool> {
        let name = name::lease(volume);
        let away = temporary(volume, "lease-new");
        match self.files.rename(&self.folder, &name, &away).await {
            Err(trouble) if trouble.is(Status::NOENT) => return Ok(false),
            other => other?,
        }
        let Some((old, _)) = self.files.lookup(&self.folder, &away).await? else { return Ok(false) };
        let bytes = self.files.head(&old, lease::MOST).await?;
        let as_expected = Record::decode(&bytes).ok().as_ref() == expected;
        let put = self.files.link(if as_expected { new } else { &old }, &self.folder, &name).await;
        self.files.remove(&self.folder, &away).await?;
        match put {
            Err(trouble) if trouble.is(Status::EXIST) => Ok(false),
            other => other.map(|()| as_expected),
        }
    }
}
