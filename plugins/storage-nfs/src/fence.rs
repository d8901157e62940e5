//! Taking, moving on and letting go of the lease beside a volume, so that of several who try, one has it.
//!
//! ```text
//!   .VOLUME.lease/00000007    the highest number counts; a number is never given twice
//!
//!   look ▸ decide on N, the highest ▸ write another under a hidden name ▸ link it to N + 1, refused where there is one
//!        ▸ look again: N is still there, and nothing is above N + 1 ▸ it is ours ▸ remove those below, the lowest first
//! ```
//! Records are never changed, and removed in the order of their numbers. So N that is still there, after the link to N + 1,
//! says that N + 1 had not been there before, and was not missed by one who slept between looking and linking. The folder
//! comes into being with its first record inside: a rename of it is refused where there is one that is not empty, and the
//! highest is never removed. All of this is done by calls that both versions have, so that hosts may speak either.

use fief_sdk::block::Holder;
use fief_sdk::{Error, ErrorCode, Result};

use crate::export::Export;
use crate::files::{Files, temporary};
use crate::lease::{self, Decision, Record};
use crate::name;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{Entry, Handle, Kind};
use crate::wire::{Wire, random};

/// How often someone else may come first before this is given up, with a pause in between, in milliseconds.
const TRIES: u32 = 40;
const PAUSE: u32 = 250;
/// How often a folder is looked at that changes at every look.
const LOOKS: u32 = 10;
/// Seconds after which a hidden record is left over from a crash, by the server's own clock.
pub(crate) const LEFT_OVER: i64 = 3600;

/// The record that counts.
struct Current {
    leases: Handle,
    number: u64,
    record: Result<Record>,
}

/// The record of a volume that counts, if there is one.
pub(crate) async fn read<W: Wire>(files: &Files<W>, folder: &Handle, volume: &str) -> Result<Option<Record>> {
    let doing = || format!("cannot read the lease of volume {volume}");
    match current(files, folder, volume).await.map_err(|trouble| trouble.error(doing()))? {
        None => Ok(None),
        Some(current) => current.record.map(Some).map_err(|error| error.while_doing(doing())),
    }
}

async fn current<W: Wire>(files: &Files<W>, folder: &Handle, volume: &str) -> Answer<Option<Current>> {
    let mut empty = false;
    for look in 0..LOOKS {
        if look > 0 {
            files.wait(PAUSE / 5).await?;
        }
        let Some((leases, about)) = files.lookup(folder, &name::leases(volume)).await? else { return Ok(None) };
        if about.kind != Kind::Folder {
            return Err(Error::corrupt(format!("{} is no folder of leases", name::leases(volume))).into());
        }
        let listed = match files.list(&leases).await {
            // Removed between the two.
            Err(Trouble::Status(Status::STALE)) => continue,
            other => numbers(&other?).max(),
        };
        empty = listed.is_none();
        let Some(listed) = listed else { continue };
        if let Some(current) = highest(files, leases, listed).await? {
            return Ok(Some(current));
        }
    }
    match empty {
        // Nobody but an operator empties it.
        true => Ok(None),
        false => Err(busy(volume).into()),
    }
}

/// The highest record from a number on that a listing showed; none where that was removed meanwhile.
///
/// A listing is not of one moment, and may miss what changes meanwhile. So the names are asked for themselves, and a second
/// listing must know of nothing above.
async fn highest<W: Wire>(files: &Files<W>, leases: Handle, listed: u64) -> Answer<Option<Current>> {
    let mut found = None;
    let mut next = listed;
    while let Some((file, _)) = files.lookup(&leases, &name::record(next)).await? {
        found = Some((next, file));
        next += 1;
    }
    let Some((number, file)) = found else { return Ok(None) };
    let bytes = match files.head(&file, lease::MOST).await {
        Err(Trouble::Status(Status::STALE)) => return Ok(None),
        other => other?,
    };
    if numbers(&files.list(&leases).await?).any(|listed| listed > number) {
        return Ok(None);
    }
    Ok(Some(Current { leases, number, record: Record::decode(&bytes) }))
}

fn numbers(listed: &[Entry]) -> impl Iterator<Item = u64> {
    listed.iter().filter_map(|file| name::number(&file.name))
}

fn busy(volume: &str) -> Error {
    Error::in_use("another host", format!("others take the lease of volume {volume} all the time; try again"))
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

    /// What the lease of a volume says stands beside its new name too; whether it does so through this.
    ///
    /// # Errors
    /// `in-use`: a lease of another host's is there, of a volume that is being renamed to the same, or was cut off in that.
    pub(crate) async fn copy_lease(&self, from: &str, to: &str) -> Result<bool> {
        let Some(record) = read(&self.files, &self.folder, from).await? else { return Ok(false) };
        let there = read(&self.files, &self.folder, to).await?;
        if there.as_ref() == Some(&record) {
            return Ok(true);
        }
        self.move_on(to, &record, false, |current| match current {
            Some(other) if !other.released && other.holder.host != record.holder.host => {
                Err(lease::taken(&other.holder))
            }
            Some(_) | None => Ok(Decision::Write),
        })
        .await
        .map(|_| true)
    }

    /// Puts `wanted` after the record that counts, where `decide` says so of that one.
    async fn move_on(
        &self,
        volume: &str,
        wanted: &Record,
        force: bool,
        decide: impl Fn(Option<&Record>) -> Result<Decision>,
    ) -> Result<Record> {
        let doing = || format!("cannot write the lease of volume {volume}");
        for _ in 0..TRIES {
            let current = current(&self.files, &self.folder, volume).await.map_err(|trouble| trouble.error(doing()))?;
            let record = match current.as_ref().map(|current| &current.record) {
                None => None,
                Some(Ok(record)) => Some(record),
                // What cannot be read is nobody's, where the operator says so.
                Some(Err(error)) if force && error.code == ErrorCode::Corrupt => None,
                Some(Err(error)) => return Err(error.clone().while_doing(doing())),
            };
            if decide(record)? == Decision::Ours {
                return Ok(record.unwrap_or(wanted).clone());
            }
            if !self.limits.links {
                return Err(Error::unsupported(
                    "the server's file system has no hard links, with which leases are taken",
                ));
            }
            let put = match &current {
                None => self.put_first(volume, wanted).await,
                Some(current) => self.put_after(current, wanted).await,
            };
            match put {
                Ok(true) => return Ok(wanted.clone()),
                // The folder was removed meanwhile, or what was hidden in it.
                Ok(false) | Err(Trouble::Status(Status::NOENT | Status::STALE)) => {}
                Err(trouble) => return Err(trouble.error(doing())),
            }
            self.files.wait(PAUSE).await.map_err(|trouble| trouble.error(doing()))?;
            // Its leases go with a volume, and are not made anew for one that is gone.
            self.existing(volume).await?;
        }
        Err(busy(volume))
    }

    /// Whether the folder came into being with this record as its first.
    async fn put_first(&self, volume: &str, wanted: &Record) -> Answer<bool> {
        let hidden = temporary(volume, "lease-new");
        self.files.create_folder(&self.folder, &hidden).await?;
        let Some((leases, _)) = self.files.lookup(&self.folder, &hidden).await? else { return Ok(false) };
        self.write_record(&leases, &name::record(1), wanted).await?;
        match self.files.rename(&self.folder, &hidden, &name::leases(volume)).await {
            Err(Trouble::Status(Status::EXIST | Status::NOTEMPTY)) => {
                self.files.remove_folder(&self.folder, &hidden).await.map(|()| false)
            }
            other => other.map(|()| true),
        }
    }

    /// Whether `wanted` is now the record that counts, and is the first to come after `current`.
    async fn put_after(&self, current: &Current, wanted: &Record) -> Answer<bool> {
        let (leases, number) = (&current.leases, current.number + 1);
        let hidden = name::new_record(random());
        let file = self.write_record(leases, &hidden, wanted).await?;
        let linked = match self.files.link(&file, leases, &name::record(number)).await {
            Err(trouble) if trouble.is(Status::EXIST) => Ok(false),
            other => other.map(|()| true),
        };
        // Before it counts as ours: a call to link that was sent twice, and comes late, finds nothing to link any more.
        self.files.remove(leases, &hidden).await?;
        if !linked? {
            return Ok(false);
        }
        // One that does not stand is below another, and is removed with those below by whoever has that.
        let before = self.files.lookup(leases, &name::record(current.number)).await?;
        let listed = self.files.list(leases).await?;
        let stands = before.is_some() && numbers(&listed).all(|listed| listed <= number);
        if stands && let Err(trouble) = self.tidy(leases, &listed, number).await {
            fief_sdk::warn!("old leases are left", cause = trouble.error("cannot remove them").message);
        }
        Ok(stands)
    }

    async fn write_record(&self, leases: &Handle, name: &str, record: &Record) -> Answer<Handle> {
        let new = self.files.create(leases, name).await?;
        let file = new.file.clone();
        let written = self.files.write_all(&new, 0, &record.encode()).await;
        self.files.close(new).await.and(written).map(|()| file)
    }

    /// Removes the records below one that is ours, in their order and as far as it goes, and what crashes have left.
    async fn tidy(&self, leases: &Handle, listed: &[Entry], ours: u64) -> Answer<()> {
        let mut below: Vec<u64> = numbers(listed).filter(|listed| *listed < ours).collect();
        below.sort_unstable();
        for number in below {
            self.files.remove(leases, &name::record(number)).await?;
        }
        let written = |file: &Entry| file.attributes.map(|about| about.modified);
        let now = listed.iter().find(|file| name::number(&file.name) == Some(ours)).and_then(written);
        for file in listed.iter().filter(|file| name::is_new_record(&file.name)) {
            if let (Some(now), Some(then)) = (now, written(file))
                && now.saturating_sub(then) > LEFT_OVER
            {
                self.files.remove(leases, &file.name).await?;
            }
        }
        Ok(())
    }
}
