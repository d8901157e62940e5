//! What was answered to the guest and may still be lost by the server, made safe.

use fief_sdk::{Error, Result};

use super::{MOST_KEPT, Served};
use crate::types::Stable;

impl Served {
    /// # Errors
    /// Data was lost, now or earlier.
    pub(super) async fn flush(&self) -> Result<()> {
        let mark = self.kept.borrow().mark();
        let _alone = self.committing.lock().await;
        self.make_safe(mark).await
    }

    /// Comes from a write that found too much to be lost; others wait for it, and go on as soon as there is room.
    pub(super) async fn commit_early(&self) -> Result<()> {
        let _alone = self.committing.lock().await;
        if self.kept.borrow().bytes() <= MOST_KEPT / 2 {
            return Ok(());
        }
        let mark = self.kept.borrow().mark();
        self.make_safe(mark).await
    }

    /// All that is kept from before `mark`.
    async fn make_safe(&self, mark: u64) -> Result<()> {
        if let Some(error) = &*self.lost.borrow() {
            return Err(error.clone());
        }
        let safe = self.try_make_safe(mark).await;
        if let Err(error) = &safe {
            let lost = Error::io(format!("what was written to volume {} may be lost: {}", self.volume, error.message));
            self.lost.replace(Some(Error { code: error.code.clone(), ..lost }));
        }
        safe
    }

    async fn try_make_safe(&self, mark: u64) -> Result<()> {
        loop {
            if self.kept.borrow().before(mark).is_empty() {
                return Ok(());
            }
            let verifier = self.commit().await?;
            self.kept.borrow_mut().committed(verifier, mark);
            if self.kept.borrow().before(mark).is_empty() {
                return Ok(());
            }
            // Under another verifier: the server has restarted, and may have lost it. Nothing else is written meanwhile.
            let _alone = self.gate.alone().await;
            let lost = self.kept.borrow().before(mark);
            fief_sdk::warn!("the server restarted: writing again what it may have lost", stretches = lost.len());
            for (offset, part) in lost {
                let (mut at, bytes) = (0, part.bytes());
                while at < bytes.len() {
                    let end = bytes.len().min(at + self.export.limits.write as usize);
                    let written = self.write_some(offset + at as u64, &bytes[at..end], Stable::File).await?;
                    if written.stable == Stable::Unstable {
                        return Err(Error::io("the server does not keep what it is told to keep"));
                    }
                    at += written.count as usize;
                }
                self.kept.borrow_mut().forget(offset, bytes.len() as u64);
            }
        }
    }
}
