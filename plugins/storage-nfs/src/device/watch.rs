//! While the guest runs: is the volume still ours, has it grown, does the server still know us.

use std::rc::Rc;

use fief_sdk::block::Event;
use fief_sdk::{Error, ErrorCode, Result, timer};
use futures_util::future::{Either, select};

use super::Served;
use crate::files::Files;
use crate::trouble::Trouble;
use crate::wire::Wire;
use crate::wire::events::In;
use crate::{fence, lease};

/// Longest time between two looks, in milliseconds.
const LOOK: u32 = 5_000;

/// What a server may tell of our state (RFC 8881, 18.46.3): some or all of it expired or was taken away, or it has restarted.
const LOST: u32 = 0x8 | 0x10 | 0x20 | 0x100;

impl Served {
    pub(super) async fn watch(self: Rc<Self>) {
        // Any call renews the lease; three in its time leave room for one that is lost.
        let lease = self.export.limits.lease.map_or(LOOK, |seconds| seconds.saturating_mul(1000) / 3);
        let pause = LOOK.min(lease).max(500);
        while self.wire.ended().is_none() {
            let pausing = Box::pin(timer::wait(pause));
            let reconnected = Box::pin(self.wire.reconnected());
            match select(pausing, reconnected).await {
                Either::Left(_) | Either::Right(_) => {}
            }
            if self.wire.ended().is_some() {
                return;
            }
            if let Err(error) = self.look().await {
                fief_sdk::warn!("the volume could not be looked at", volume = self.volume, cause = error.message);
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let about = self.export.files.attributes(&self.file).await;
        let size = about.as_ref().map(|about| about.size).ok();
        if let Err(error) = self.must_be_same(about.map(|about| about.id)) {
            // Not for ever: an export that is gone may come back, and then with the same file. No other is ever written to.
            self.events.degraded(In::Volume, error.message.clone());
            return Err(error);
        }
        if let Some(size) = size
            && size > self.size.get()
        {
            self.size.set(size);
            if self.image.get().is_none() {
                self.events.tell(Event::Resized(size.next_multiple_of(super::BLOCK)));
            }
        }
        if let Files::V4(session) = &self.export.files {
            if session.take_flags() & LOST != 0 {
                session.drop_held(session.opening());
            }
            self.reopen().await?;
        }
        match self.must_hold(&self.export.files).await {
            Err(error) if !waits(&error) => {
                self.fenced(&error);
                self.wire.end(error.clone());
                Err(error)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.events.restored(In::Volume);
                Ok(())
            }
        }
    }

    /// The lease beside the volume is still in our name.
    ///
    /// # Errors
    /// It is not, which is final; or it could not be read.
    pub(super) async fn must_hold<W: Wire>(&self, files: &Files<W>) -> Result<()> {
        let Some(holder) = &self.holder else { return Ok(()) };
        lease::still(fence::read(files, &self.export.folder, &self.volume).await?.as_ref(), holder)
    }

    pub(super) fn fenced(&self, why: &Error) {
        self.events.tell(Event::Fenced(why.message.clone()));
    }

    /// Something under the open file. Where the server has let go of that, it is opened again first, if it may be.
    pub(super) async fn under<T>(&self, doing: &str, call: impl AsyncFn() -> Result<T, Trouble>) -> Result<T> {
        loop {
            let opening = match &self.export.files {
                Files::V3(_) => 0,
                Files::V4(session) => session.opening(),
            };
            match call().await {
                Ok(value) => return Ok(value),
                Err(Trouble::Status(status)) if status.lost_the_file() => {
                    if let Files::V4(session) = &self.export.files {
                        session.drop_held(opening);
                    }
                    self.reopen().await?;
                }
                Err(trouble) => return Err(trouble.error(format!("cannot {doing} volume {}", self.volume))),
            }
        }
    }
}

/// Not an answer about the lease, and another look may give one.
fn waits(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Io | ErrorCode::Denied)
}
