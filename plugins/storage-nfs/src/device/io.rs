//! Reads, writes and what else a guest asks of its disk. Short reads and writes of a server are gone on with.

use std::rc::Rc;

use fief_sdk::block::Extent;
use fief_sdk::payload::Data;
use fief_sdk::{Error, Result};

use super::{MOST_KEPT, Served};
use crate::files::Files;
use crate::status::Status;
use crate::trouble::{Answer, Trouble};
use crate::types::{Stable, Verifier, Written};
use crate::v4::client::Under;

/// Most stretches that one question about holes is answered with: each takes a call.
const MOST_EXTENTS: usize = 32;

impl Served {
    async fn read_some(&self, offset: u64, length: u32) -> Answer<(Data, bool)> {
        match &self.export.files {
            Files::V3(client) => client.read(&self.file, offset, length).await,
            Files::V4(session) => session.read(&self.file, Under::Held, offset, length).await,
        }
    }

    pub(super) async fn write_some(&self, offset: u64, data: &[u8], stable: Stable) -> Result<Written> {
        self.under("write to", async || match &self.export.files {
            Files::V3(client) => client.write(&self.file, offset, data, stable).await,
            Files::V4(session) => session.write(&self.file, Under::Held, offset, data, stable).await,
        })
        .await
    }

    pub(super) async fn commit(&self) -> Result<Verifier> {
        self.under("flush", async || match &self.export.files {
            Files::V3(client) => client.commit(&self.file).await,
            Files::V4(session) => session.commit(&self.file).await,
        })
        .await
    }

    pub(super) async fn read(&self, offset: u64, length: u32) -> Result<Data> {
        match self.image.get() {
            Some(image) => self.read_image(image, offset, length).await.map(Data::Bytes),
            None => self.read_data(offset, length).await,
        }
    }

    pub(super) async fn read_file(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read_data(offset, length).await.map(Data::into_bytes)
    }

    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        let mut all = Vec::new();
        loop {
            let at = offset + all.len() as u64;
            let missing = length - all.len() as u32;
            let part = missing.min(self.export.limits.read);
            let (data, ended) = self.under("read", async || self.read_some(at, part).await).await?;
            if all.is_empty() && data.len() == length as usize {
                return Ok(data);
            }
            let got = data.len();
            all.extend(data.into_bytes());
            if all.len() == length as usize {
                return Ok(Data::Bytes(all));
            }
            if got == 0 || ended {
                let end = offset + all.len() as u64;
                // Past its last byte a file reads as zeroes; before it, somebody has cut it short.
                if end < self.size.get() {
                    return Err(Error::io(format!("volume {} has become shorter on the server", self.volume)));
                }
                all.resize(length as usize, 0);
                return Ok(Data::Bytes(all));
            }
        }
    }

    pub(super) async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        self.writable()?;
        let data = Rc::new(data);
        let stable = if durable { Stable::File } else { Stable::Unstable };
        {
            let _pass = self.gate.shared().await;
            let mut at = 0;
            while at < data.len() {
                let to = data.len().min(at + self.export.limits.write as usize);
                let written = self.write_some(offset + at as u64, &data[at..to], stable).await?;
                let (start, count) = (offset + at as u64, written.count as usize);
                match written.stable {
                    Stable::Unstable => {
                        self.kept.borrow_mut().keep(start, &data, at, at + count, written.verifier);
                        if durable {
                            return Err(Error::io("the server does not keep what it is told to keep"));
                        }
                    }
                    Stable::Data | Stable::File => self.kept.borrow_mut().forget(start, count as u64),
                }
                at += count;
            }
        }
        if self.kept.borrow().bytes() > MOST_KEPT {
            self.commit_early().await?;
        }
        Ok(())
    }

    pub(super) async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.punch(offset, length, false).await
    }

    pub(super) async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        if keep {
            return Err(Error::unsupported("the server makes holes only; zeroes that stay allocated are written"));
        }
        // There is no verifier by which a hole that was lost could be told, so it is made to last at once.
        let _ = durable;
        self.punch(offset, length, true).await
    }

    async fn punch(&self, offset: u64, length: u64, durable: bool) -> Result<()> {
        self.writable()?;
        let Files::V4(session) = &self.export.files else { return Err(self.no_holes()) };
        if !self.can_discard.get() {
            return Err(self.no_holes());
        }
        let _pass = self.gate.shared().await;
        let punched = self
            .under("make a hole in", async || {
                match session.deallocate(&self.file, Under::Held, offset, length, durable).await {
                    Err(trouble) if trouble.is_unsupported() => Ok(false),
                    other => other.map(|()| true),
                }
            })
            .await?;
        if !punched {
            self.can_discard.set(false);
            return Err(self.no_holes());
        }
        // What was written there before must not come back.
        self.kept.borrow_mut().forget(offset, length);
        Ok(())
    }

    fn no_holes(&self) -> Error {
        Error::unsupported(format!("the server of volume {} makes no holes in files", self.volume))
    }

    fn writable(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::denied(format!("volume {} is attached read-only", self.volume))),
            false => Ok(()),
        }
    }

    async fn seek(&self, offset: u64, hole: bool) -> Result<Option<u64>> {
        // A place past the end has neither (ENXIO of lseek(2), which some servers hand on).
        const NXIO: Status = Status(6);
        self.under("look for holes in", async || match &self.export.files {
            Files::V3(_) => Err(Trouble::Status(Status::NOTSUPP)),
            Files::V4(session) => match session.seek(&self.file, Under::Held, offset, hole).await {
                Err(trouble) if trouble.is(NXIO) => Ok(None),
                other => other,
            },
        })
        .await
    }

    /// Some servers of 4.2 know no holes.
    pub(super) async fn probe_extents(&self) -> Result<()> {
        if self.can_extents.get() && self.size.get() > 0 {
            match self.seek(0, false).await {
                Err(error) if error.code == fief_sdk::ErrorCode::Unsupported => self.can_extents.set(false),
                other => {
                    other?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn extents(&self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        if let Some(image) = self.image.get() {
            return self.extents_of_image(image, offset, length).await;
        }
        let end = offset + length;
        if !self.can_extents.get() {
            return Ok(vec![Extent { length, hole: false, zero: false }]);
        }
        let mut found: Vec<Extent> = Vec::new();
        let mut push = |length: u64, hole: bool| {
            if length > 0 {
                found.push(Extent { length, hole, zero: hole });
            }
            found.len()
        };
        let mut at = offset;
        while at < end {
            let data = match at < self.size.get() {
                true => self.seek(at, false).await?.map_or(end, |data| data.clamp(at, end)),
                false => end,
            };
            let count = push(data - at, true);
            at = data;
            if at == end || count >= MOST_EXTENTS {
                break;
            }
            let hole = self.seek(at, true).await?.unwrap_or(self.size.get()).min(end);
            if hole <= at {
                // It changes under our eyes: call the rest data.
                push(end - at, false);
                break;
            }
            let hole = hole.next_multiple_of(super::BLOCK).min(end);
            if push(hole - at, false) >= MOST_EXTENTS {
                break;
            }
            at = hole;
        }
        Ok(found)
    }
}
