//! A running guest's disks shown to whoever copies them, round after round: what is there, and what was written since the
//! round before.
//!
//! ```text
//!   listen_nbd: getfd, nbd-server-start
//!   round 1   add bitmap 1                                   ─▸ export: all that the disk holds
//!   round 2   add bitmap 2, disable bitmap 1, in one moment  ─▸ export: with bitmap 1, what was written during round 1
//!   round N   …                                                 the last with the guest standing still
//!   end_rounds: nbd-server-stop, all bitmaps go
//! ```
//! Blocks are read as they are while the guest writes: what it writes meanwhile is in the next bitmap, and goes over again.

use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Monitor, command};
use crate::error::{Failure, Kind, Result};

/// Of what one bit tells, in bytes: a quarter of a usual chunk.
const GRANULARITY: u32 = 64 << 10;
/// The socket that QEMU listens on, as it knows it.
const LISTENER: &str = "copying";
/// Begins the names of our bitmaps and exports.
const OURS: &str = "copied";
/// How long QEMU may take to let go of an export whose client is gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How one round of a disk is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    pub export: String,
    /// The metadata context that tells what was written; none in the first.
    pub written: Option<String>,
}

fn name(place: usize, round: u32) -> String {
    format!("{OURS}{place}-{round}")
}

impl Monitor {
    /// `nbd-server-start`: QEMU serves at a socket that listens already.
    pub async fn listen_nbd(&self, listener: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: LISTENER }, Some(listener)).await?;
        let addr = json!({ "type": "fd", "data": { "str": LISTENER } });
        self.execute(&command::NbdServerStart { addr, max_connections: 0 }, None).await.map(drop)
    }

    /// Ends one round of the disk in a place and begins the next. Rounds are counted from 1; whoever read the one before has
    /// gone.
    pub async fn round(&self, place: usize, round: u32) -> Result<Round> {
        let node = self.top_node(place).await?;
        let of = |round| name(place, round);
        let mut actions = vec![json!({
            "type": "block-dirty-bitmap-add",
            "data": { "node": node, "name": of(round), "granularity": GRANULARITY },
        })];
        let before = round.checked_sub(1).filter(|before| *before > 0);
        if let Some(before) = before {
            let data = json!({ "node": node, "name": of(before) });
            actions.push(json!({ "type": "block-dirty-bitmap-disable", "data": data }));
        }
        self.execute(&command::Transaction { actions }, None).await?;
        if let Some(before) = before {
            self.unexport(&of(before)).await?;
            if before > 1 {
                self.execute(&command::BitmapRemove { node: node.clone(), name: of(before - 1) }, None).await?;
            }
        }
        let export = of(round);
        let bitmaps: Vec<String> = before.map(of).into_iter().collect();
        let written = bitmaps.first().map(|bitmap| format!("qemu:dirty-bitmap:{bitmap}"));
        let shown = json!({
            "type": "nbd", "id": export, "node-name": node, "name": export, "writable": false, "bitmaps": bitmaps,
        });
        self.execute(&command::BlockExportAdd { export: shown }, None).await?;
        Ok(Round { export, written })
    }

    async fn unexport(&self, id: &str) -> Result<()> {
        let del = command::BlockExportDel { id: id.to_owned(), mode: "hard" };
        self.execute(&del, None).await?;
        let until = Instant::now() + GONE_WITHIN;
        while self.exports().await?.iter().any(|export| export.id == id) {
            if Instant::now() >= until {
                return Err(Failure::new(Kind::TimedOut, "the hypervisor does not let go of a disk that was copied"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn exports(&self) -> Result<Vec<command::Export>> {
        self.execute(&command::QueryBlockExports {}, None).await
    }

    /// Takes away all that rounds have in QEMU, whatever became of them. Twice is once.
    pub async fn end_rounds(&self) -> Result<()> {
        match self.execute(&command::NbdServerStop {}, None).await {
            // Its exports go with it.
            Ok(_) => {}
            Err(_) if self.exports().await?.is_empty() => {}
            Err(failure) => return Err(failure),
        }
        let nodes = self.execute(&command::QueryNodes { flat: true }, None).await?;
        for node in nodes {
            let Some(name) = node.node_name else { continue };
            for bitmap in node.dirty_bitmaps.into_iter().filter_map(|bitmap| bitmap.name) {
                if bitmap.starts_with(OURS) {
                    self.execute(&command::BitmapRemove { node: name.clone(), name: bitmap }, None).await?;
                }
            }
        }
        // One that never came to listen.
        let _ = self.execute(&command::CloseFd { fdname: LISTENER }, None).await;
        Ok(())
    }
}
