//! Volumes as files of the export: what there is, and one more, larger or gone.
//!
//! A volume is made under a hidden name and gets its own by a hard link, which a server refuses where there is such a name:
//! of two who make one volume, one has it, and nobody ever sees half of one.

use fief_sdk::storage::{Format, Preallocation, Volume, VolumeSpec};
use fief_sdk::{Error, ErrorCode, Result};

use crate::export::Export;
use crate::files::{Opened, temporary};
use crate::status::Status;
use crate::trouble::{Answer, found};
use crate::types::{Attributes, Handle, Kind};
use crate::wire::Wire;
use crate::{name, qcow2};

/// What guests see of a disk comes in sectors of 512 bytes; sizes are rounded up to them.
const SECTOR: u64 = 512;
/// Seconds after which what nobody has written to is left over from a crash, by the server's own clock.
const LEFT_OVER: i64 = 3600;

/// One volume as its file shows it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) volume: String,
    pub(crate) file: String,
    pub(crate) format: Format,
    pub(crate) handle: Handle,
    pub(crate) about: Attributes,
}

fn whole_sectors(size: u64) -> u64 {
    size.checked_next_multiple_of(SECTOR).unwrap_or(size)
}

impl<W: Wire> Export<W> {
    pub(crate) async fn all(&self) -> Result<Vec<Volume>> {
        let listed = self.files.list(&self.folder).await.map_err(|trouble| trouble.error("cannot list the volumes"))?;
        let mut all = Vec::new();
        for file in listed {
            if name::volume(&file.name).is_none() {
                continue;
            }
            match self.described(&file.name).await {
                Ok(volume) => all.extend(volume),
                // Nothing can be read any more: what is left would be a list without them.
                Err(error) if matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout) => return Err(error),
                Err(error) => fief_sdk::warn!("left out of the list", file = file.name, cause = error.message),
            }
        }
        all.sort_by(|a: &Volume, b| a.name.cmp(&b.name));
        let twice: Vec<String> =
            all.windows(2).filter(|pair| pair[0].name == pair[1].name).map(|pair| pair[0].name.clone()).collect();
        for volume in &twice {
            fief_sdk::warn!("left out: a raw and a qcow2 file would both be this volume", volume = volume);
        }
        all.retain(|volume| !twice.contains(&volume.name));
        Ok(all)
    }

    async fn described(&self, file: &str) -> Result<Option<Volume>> {
        match self.at(file).await? {
            Some(entry) => self.volume(&entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is at `file`, if it is a volume. A link, folder or device is none.
    async fn at(&self, file: &str) -> Result<Option<Entry>> {
        let Some((volume, format)) = name::volume(file) else { return Ok(None) };
        let found = self.files.lookup(&self.folder, file).await;
        Ok(match found.map_err(|trouble| trouble.error(format!("cannot look at the file {file}")))? {
            Some((handle, about)) if about.kind == Kind::File => {
                Some(Entry { volume: volume.to_owned(), file: file.to_owned(), format, handle, about })
            }
            _ => None,
        })
    }

    /// # Errors
    /// `corrupt` where a raw and a qcow2 file would both be this volume.
    pub(crate) async fn find(&self, volume: &str) -> Result<Option<Entry>> {
        let raw = self.at(&name::file(volume, Format::Raw)?).await?;
        let qcow2 = self.at(&name::file(volume, Format::Qcow2)?).await?;
        match (raw, qcow2) {
            (Some(raw), Some(qcow2)) => Err(Error::corrupt(format!(
                "the files {} and {} would both be volume {volume}; move one of them away",
                raw.file, qcow2.file
            ))),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// # Errors
    /// `not-found`.
    pub(crate) async fn existing(&self, volume: &str) -> Result<Entry> {
        self.find(volume).await?.ok_or_else(|| Error::not_found(format!("there is no volume {volume} in this pool")))
    }

    pub(crate) async fn volume(&self, entry: &Entry) -> Result<Volume> {
        let size = match entry.format {
            Format::Raw => entry.about.size,
            Format::Qcow2 => self.header(entry).await?.size,
        };
        let (name, allocated) = (entry.volume.clone(), Some(entry.about.used));
        Ok(Volume { name, size, allocated, format: entry.format, backing: None })
    }

    pub(crate) async fn header(&self, entry: &Entry) -> Result<qcow2::Header> {
        let doing = || format!("cannot read the header of {}", entry.file);
        let head = self.files.head(&entry.handle, qcow2::HEAD).await.map_err(|trouble| trouble.error(doing()))?;
        qcow2::Header::read(&head).map_err(|error| error.while_doing(doing()))
    }

    pub(crate) async fn create(&self, spec: &VolumeSpec) -> Result<Volume> {
        let file = name::file(&spec.name, spec.format)?;
        let size = whole_sectors(spec.size);
        if size == 0 {
            return Err(Error::invalid(format!("volume {} would have no size", spec.name)));
        }
        if let Some(there) = self.find(&spec.name).await? {
            return self.same(&there, spec, size).await;
        }
        let made = self.publish(&spec.name, &file, async |new: &Opened| self.fill(new, spec, size).await).await;
        match made {
            Err(trouble) if trouble.is(Status::EXIST) => {
                let there = self.existing(&spec.name).await?;
                self.same(&there, spec, size).await
            }
            Err(trouble) => Err(trouble.error(format!("cannot make volume {}", spec.name))),
            Ok(()) => {
                let entry = self.existing(&spec.name).await?;
                self.volume(&entry).await
            }
        }
    }

    /// The volume that is there, where it is what `spec` asks for.
    async fn same(&self, there: &Entry, spec: &VolumeSpec, size: u64) -> Result<Volume> {
        let there = self.volume(there).await?;
        match there.format == spec.format && there.size == size {
            true => Ok(there),
            false => Err(Error::already_exists(format!(
                "volume {} is there already, {} with {} bytes",
                spec.name,
                name::word(there.format),
                there.size
            ))),
        }
    }

    async fn fill(&self, new: &Opened, spec: &VolumeSpec, size: u64) -> Answer<()> {
        match spec.format {
            Format::Raw => {
                self.files.set_size(new, size).await?;
                if spec.preallocation == Preallocation::Full {
                    match self.files.allocate(new, size).await {
                        Err(trouble) if trouble.is_unsupported() => {
                            return Err(Error::unsupported(
                                "the server cannot take all blocks at once; make the volume sparse",
                            )
                            .into());
                        }
                        other => other?,
                    }
                }
            }
            Format::Qcow2 => {
                if spec.preallocation == Preallocation::Full {
                    return Err(Error::unsupported("a qcow2 volume on NFS is sparse; a raw one can be full").into());
                }
                let qcow2::New { parts, length } = qcow2::new(size)?;
                self.files.set_size(new, length).await?;
                for (at, part) in parts {
                    self.files.write_all(new, at, &part).await?;
                }
            }
        }
        Ok(())
    }

    /// A file that comes into being whole, by what `fill` does to it, or not at all.
    ///
    /// # Errors
    /// `EXIST`: there is such a file; it is as it was.
    pub(crate) async fn publish(
        &self,
        volume: &str,
        file: &str,
        fill: impl AsyncFnOnce(&Opened) -> Answer<()>,
    ) -> Answer<()> {
        // Where there are no links, the file has its name from the beginning, and is removed where it is not filled.
        let hidden = if self.limits.links { temporary(volume, "new") } else { file.to_owned() };
        let new = self.files.create(&self.folder, &hidden).await?;
        let mut done = fill(&new).await;
        if done.is_ok() && self.limits.links {
            done = self.files.link(&new.file, &self.folder, file).await;
        }
        let began = if done.is_ok() { self.files.attributes(&new.file).await.ok() } else { None };
        let closed = self.files.close(new).await;
        if done.is_err() || self.limits.links {
            self.files.remove(&self.folder, &hidden).await?;
        }
        if let Some(began) = began
            && let Err(trouble) = self.sweep(volume, Some(began.modified)).await
        {
            // It is there, whatever else is.
            fief_sdk::warn!("leftovers were not looked for", cause = trouble.error("cannot list the folder").message);
        }
        done.and(closed)
    }

    /// Removes what crashes have left of a volume: with a time, only what is long left.
    async fn sweep(&self, volume: &str, now: Option<i64>) -> Answer<()> {
        for file in self.files.list(&self.folder).await? {
            let modified = file.attributes.map(|about| about.modified);
            let old = now.is_none_or(|now| modified.is_some_and(|then| now.saturating_sub(then) > LEFT_OVER));
            if old && name::is_left_of(volume, &file.name) {
                match file.attributes.map(|about| about.kind) {
                    Some(Kind::Folder) => self.files.remove_folder(&self.folder, &file.name).await?,
                    Some(Kind::File | Kind::Other) | None => self.files.remove(&self.folder, &file.name).await?,
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, volume: &str) -> Result<()> {
        let doing = || format!("cannot delete volume {volume}");
        let entry = self.find(volume).await?;
        let remove = async || -> Answer<()> {
            if let Some(entry) = &entry {
                self.files.remove(&self.folder, &entry.file).await?;
            }
            self.drop_leases(volume).await
        };
        remove().await.map_err(|trouble| trouble.error(doing()))
    }

    /// Removes the leases of a volume that is gone, and all else that is left of it.
    pub(crate) async fn drop_leases(&self, volume: &str) -> Answer<()> {
        // In one step out of the way: a folder of leases never lies there empty, for someone else's to take its place.
        let away = temporary(volume, "lease-new");
        if found(self.files.rename(&self.folder, &name::leases(volume), &away).await)?.is_some() {
            self.files.remove_folder(&self.folder, &away).await?;
        }
        if let Err(trouble) = self.sweep(volume, None).await {
            // It is gone, whatever else is there.
            fief_sdk::warn!("leftovers were not looked for", cause = trouble.error("cannot list the folder").message);
        }
        Ok(())
    }

    pub(crate) async fn resize(&self, volume: &str, size: u64) -> Result<Volume> {
        let size = whole_sectors(size);
        let doing = || format!("cannot resize volume {volume}");
        let entry = self.existing(volume).await?;
        let before = self.volume(&entry).await?;
        match entry.format {
            Format::Raw if size < before.size => {
                return Err(Error::invalid(format!(
                    "volume {volume} has {} bytes and cannot shrink: what lies at its end would be lost",
                    before.size
                )));
            }
            Format::Raw => {}
            Format::Qcow2 => self.header(&entry).await?.may_grow(size).map_err(|error| error.while_doing(doing()))?,
        }
        if size != before.size {
            let change = async || -> Answer<()> {
                let (opened, _) = self.files.open(&self.folder, &entry.file, true).await?;
                let changed = match entry.format {
                    Format::Raw => self.files.set_size(&opened, size).await,
                    Format::Qcow2 => self.files.write_all(&opened, qcow2::SIZE_AT, &size.to_be_bytes()).await,
                };
                self.files.close(opened).await.and(changed)
            };
            change().await.map_err(|trouble| trouble.error(doing()))?;
        }
        Ok(Volume { size, ..before })
    }
}
