//! Full clones: by the server where it can, else by reading and writing, holes kept.

use fief_sdk::storage::Volume;
use fief_sdk::{Error, Result};

use crate::export::Export;
use crate::files::Opened;
use crate::name;
use crate::status::Status;
use crate::trouble::Answer;
use crate::types::{Stable, Verifier};
use crate::wire::Wire;

impl<W: Wire> Export<W> {
    pub(crate) async fn clone_volume(&self, source: &str, target: &str) -> Result<Volume> {
        let entry = self.existing(source).await?;
        let file = name::file(target, entry.format)?;
        let exists = || Error::already_exists(format!("volume {target} is there already"));
        if self.find(target).await?.is_some() {
            return Err(exists());
        }
        // What its header reaches for is checked before it becomes another volume's.
        self.volume(&entry).await?;
        let copied = self.publish(target, &file, async |new: &Opened| self.copy(&entry.file, new).await).await;
        match copied {
            Err(trouble) if trouble.is(Status::EXIST) => Err(exists()),
            Err(trouble) => Err(trouble.error(format!("cannot clone volume {source}"))),
            Ok(()) => {
                let made = self.existing(target).await?;
                self.volume(&made).await
            }
        }
    }

    async fn copy(&self, source: &str, new: &Opened) -> Answer<()> {
        let (from, about) = self.files.open(&self.folder, source, false).await?;
        self.files.set_size(new, about.size).await?;
        let copied = match self.files.duplicate(&from, new, about.size).await {
            // It does neither, or not between these files.
            Err(trouble) if !matches!(trouble, crate::trouble::Trouble::Final(_)) => {
                self.copy_through(&from, new, about.size).await
            }
            other => other,
        };
        self.files.close(from).await.and(copied)
    }

    async fn copy_through(&self, from: &Opened, to: &Opened, size: u64) -> Answer<()> {
        let mut verifier: Option<Verifier> = None;
        let mut offset = 0;
        while let Some((start, end)) = self.next_data(from, offset, size).await? {
            offset = start;
            while offset < end {
                let length = u64::from(self.limits.read).min(end - offset) as u32;
                let (data, ended) = self.files.read(from, offset, length).await?;
                if data.iter().any(|byte| *byte != 0) {
                    self.write_kept(to, offset, &data, &mut verifier).await?;
                }
                offset += data.len() as u64;
                if ended || data.is_empty() {
                    break;
                }
            }
            offset = offset.max(end);
        }
        if let Some(verifier) = verifier
            && self.files.commit(to).await? != verifier
        {
            return Err(restarted().into());
        }
        Ok(())
    }

    /// From where to where the next data lies, as far as the server tells.
    async fn next_data(&self, from: &Opened, offset: u64, size: u64) -> Answer<Option<(u64, u64)>> {
        if offset >= size {
            return Ok(None);
        }
        match self.files.seek(from, offset, false).await {
            Err(trouble) if trouble.is_unsupported() => Ok(Some((offset, size))),
            Err(trouble) => Err(trouble),
            Ok(None) => Ok(None),
            Ok(Some(start)) => {
                let end = self.files.seek(from, start, true).await?.unwrap_or(size);
                Ok((start >= offset && end > start).then_some((start, end.min(size))))
            }
        }
    }

    /// Unstable, to be committed at the end: all under one verifier, or the server has restarted in between.
    async fn write_kept(&self, to: &Opened, offset: u64, data: &[u8], verifier: &mut Option<Verifier>) -> Answer<()> {
        let mut at = 0;
        while at < data.len() {
            let part = &data[at..data.len().min(at + self.limits.write as usize)];
            let written = self.files.write(to, offset + at as u64, part, Stable::Unstable).await?;
            if *verifier.get_or_insert(written.verifier) != written.verifier {
                return Err(restarted().into());
            }
            at += written.count as usize;
        }
        Ok(())
    }
}

fn restarted() -> Error {
    Error::unreachable("the server restarted in the middle, and what was written before may be lost")
}
