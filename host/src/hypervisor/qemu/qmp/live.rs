//! A guest that goes over to another QEMU while it runs (docs/devel/migration, qapi/migration.json).
//!
//! ```text
//!   source   set-capabilities ─▸ migrate fd: ─▸ active … ─▸ pre-switchover: the guest stands still, disks are flushed
//!                                                 │ cancel: it goes on      └▸ migrate-continue ─▸ completed: postmigrate
//!   target   set-capabilities ─▸ migrate-incoming fd: ─▸ … ─▸ completed: paused, disks not active until `cont`
//! ```
//! By post-copy (10.0 and later), the guest goes on there before all of its memory has come:
//!
//! ```text
//!   source   stop ─▸ migrate-start-postcopy ─▸ pre-switchover ─▸ blockdev-set-active false
//!                                                 │ cancel, cont: it goes on   └▸ migrate-continue ─▸ postcopy-active ─▸ completed
//!   target                                                                         paused, `cont` ─▸ postcopy-active ─▸ completed
//! ```
//! Told to continue, neither QEMU can go back, so it is told only when the target owns the domain. The guest is stopped before,
//! so that no QEMU lets it go on by itself where the connection breaks.
//!
//! With a return path, the source hears from the target that all was taken before it says `completed`. Disks are activated
//! late: no QEMU of the two writes, or locks, between the source's last word and the first `cont`, which is an act of the
//! handover's (migration/handover.rs).

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::Instant;

use super::Monitor;
use super::command::{self, Capability, Migration, MigrationStatus, RunState};
use crate::error::{Failure, Kind, Result};
use crate::hypervisor::qemu::SERVED_DESCRIPTOR;
use crate::sandbox::protocol::Sample;
use crate::types::MoveLimits as Limits;

/// Between two looks at a guest that is nearly over, where QEMU tells of nothing meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long QEMU may take to give up. Its guest runs meanwhile.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(20);
/// QEMU takes no more, in milliseconds (`MAX_MIGRATE_DOWNTIME`).
const DOWNTIME_MAX: u64 = 2_000_000;
/// No limit, in bytes a second.
const BANDWIDTH: u64 = 1 << 40;
/// How often, and how far apart, the new place is announced, in milliseconds.
const ANNOUNCE: command::AnnounceSelf = command::AnnounceSelf { initial: 20, max: 550, rounds: 6, step: 100 };

/// The name of what QEMU keeps for whoever sends.
const KEPT: &str = "kept";

/// Where QEMU listens for several connections, in the folder that it has for that.
pub const LISTENS: &str = "memory.sock";

/// How a guest's move is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// Memory goes over.
    Active(Sample),
    /// The guest stands still, and what is left fits the pause that is allowed.
    Ready(Sample),
    /// The guest is over there, and what is left of its memory follows.
    Fetching(Sample),
    /// All of it is over there.
    Completed(Sample),
    /// It came to nothing: the guest is here, and goes on.
    Failed(Vec<String>),
}

impl Monitor {
    /// `migrate-set-capabilities` of whoever sends. `fetches`: the guest may go on before all of its memory is over.
    ///
    /// # Errors
    /// `Conflict` where an earlier move is still being given up.
    pub async fn will_send(&self, limits: Limits, fetches: bool) -> Result<()> {
        if self.moves_still().await? {
            return Err(gives_up(Kind::Conflict));
        }
        self.capabilities(&[
            ("pause-before-switchover", true),
            ("return-path", true),
            ("late-block-activate", true),
            ("events", true),
            ("auto-converge", limits.auto_converge),
            ("multifd", limits.channels > 1),
            ("postcopy-ram", fetches),
        ])
        .await?;
        if fetches {
            let max_postcopy_bandwidth = limits.bandwidth.unwrap_or(0);
            self.execute(&command::SetPostcopyBandwidth { max_postcopy_bandwidth }, None).await?;
        }
        self.will_use(limits.channels).await?;
        self.limit(limits).await
    }

    /// `multifd-channels`: the same on both sides.
    async fn will_use(&self, channels: u8) -> Result<()> {
        match channels {
            0 | 1 => Ok(()),
            multifd_channels => self.execute(&command::SetChannels { multifd_channels }, None).await.map(drop),
        }
    }

    /// `migrate-set-capabilities` of whoever receives.
    ///
    /// # Errors
    /// Where it `fetches`: QEMU's own, where it may not use userfaultfd(2).
    pub async fn will_receive(&self, fetches: bool) -> Result<()> {
        let on = ["return-path", "late-block-activate", "events"].map(|name| (name, true));
        self.capabilities(&[&on[..], &[("postcopy-ram", fetches)]].concat()).await
    }

    /// A guest that was moved, or whose move came to nothing, may be saved, which is another kind of move.
    pub async fn will_not_send(&self) -> Result<()> {
        let off = [
            "pause-before-switchover",
            "return-path",
            "late-block-activate",
            "events",
            "auto-converge",
            "multifd",
            "postcopy-ram",
        ];
        self.capabilities(&off.map(|name| (name, false))).await
    }

    async fn capabilities(&self, all: &[(&'static str, bool)]) -> Result<()> {
        let capabilities = all.iter().map(|(capability, state)| Capability { capability, state: *state }).collect();
        self.execute(&command::SetCapabilities { capabilities }, None).await.map(drop)
    }

    /// `migrate-set-parameters`, before or while it goes.
    pub async fn limit(&self, limits: Limits) -> Result<()> {
        let max_bandwidth = limits.bandwidth.unwrap_or(BANDWIDTH);
        let downtime_limit = u64::from(limits.downtime_ms).min(DOWNTIME_MAX);
        self.execute(&command::SetLimits { max_bandwidth, downtime_limit }, None).await.map(drop)
    }

    /// `migrate` over an open stream, both ways.
    pub async fn send_to(&self, stream: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: "move" }, Some(stream)).await?;
        self.execute(&command::Migrate { uri: "fd:move" }, None).await.map(drop)
    }

    /// `migrate-incoming` over an open stream, both ways; does not wait for the guest to be there.
    pub async fn receive_from(&self, stream: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: "move" }, Some(stream)).await?;
        self.execute(&command::MigrateIncoming { uri: "fd:move" }, None).await.map(drop)
    }

    /// `migrate` by several connections, which QEMU makes itself: to the socket `memory.sock` in the folder of those that are
    /// served to it.
    pub async fn send_by_channels(&self) -> Result<()> {
        let uri = format!("unix:/proc/self/fd/{SERVED_DESCRIPTOR}/memory.sock");
        self.execute(&command::MigrateTo { uri }, None).await.map(drop)
    }

    /// `migrate-incoming` by so many channels: QEMU listens itself, in the folder `incoming` beside those sockets. Does not
    /// wait for the guest to be there.
    pub async fn receive_by_channels(&self, channels: u8) -> Result<()> {
        self.capabilities(&[("multifd", true)]).await?;
        self.will_use(channels).await?;
        let uri = format!("unix:/proc/self/fd/{SERVED_DESCRIPTOR}/incoming/{LISTENS}");
        self.execute(&command::MigrateIncomingAt { uri }, None).await.map(drop)
    }

    /// `getfd`: QEMU keeps it open, and does nothing with it, until [`Monitor::give_up`] is done, or it is given the next one.
    pub async fn keep(&self, descriptor: OwnedFd) -> Result<()> {
        self.execute(&command::GetFd { fdname: KEPT }, Some(descriptor)).await.map(drop)
    }

    /// `closefd` of that.
    pub async fn keep_no_more(&self) {
        // There may be none.
        let _ = self.execute(&command::CloseFd { fdname: KEPT }, None).await;
    }

    /// `query-migrate`.
    pub async fn live(&self) -> Result<Live> {
        self.execute(&command::QueryMigrate {}, None).await.map(live)
    }

    /// Until QEMU may be looked at again: it told of something, or a while is over, since an event may have been heard by another.
    async fn rest(&self) {
        let _ = tokio::time::timeout(LOOK_EVERY, self.moves()).await;
    }

    /// `migrate-continue`: the last of it goes over.
    pub async fn switch_over(&self) -> Result<()> {
        self.execute(&command::MigrateContinue { state: "pre-switchover" }, None).await.map(drop)
    }

    /// All that is to be there before the guest goes on at the target, with memory still to follow
    /// (`migrate-start-postcopy`). It stands still from now on, its disks are flushed and nobody writes to them; nothing that
    /// breaks lets it go on before [`Monitor::give_up`] and [`Monitor::resume`].
    ///
    /// # Errors
    /// `TimedOut` where that takes longer than `silence`.
    pub async fn stands_ready(&self, silence: Duration) -> Result<Sample> {
        self.pause().await?;
        self.execute(&command::MigrateStartPostcopy {}, None).await?;
        let until = Instant::now() + silence;
        loop {
            match self.live().await? {
                Live::Ready(sample) => {
                    self.execute(&command::SetActive { active: false }, None).await?;
                    return Ok(sample);
                }
                Live::Failed(why) => return Err(failed(why)),
                Live::Fetching(_) | Live::Completed(_) => {
                    return Err(Failure::other("the hypervisor did not wait to be told to hand its guest over"));
                }
                Live::Active(_) if Instant::now() > until => return Err(silent(silence)),
                Live::Active(_) => {}
            }
            self.rest().await;
        }
    }

    /// `migrate-continue` of a guest that [stands ready](Monitor::stands_ready), and until all is over there that it needs to go
    /// on. Where this fails, what is left here is of no use, and is to be ended at once.
    ///
    /// # Errors
    /// `TimedOut` where it takes longer than `silence`.
    pub async fn goes_first(&self, silence: Duration) -> Result<Sample> {
        // A QEMU that finds the way broken opens its disks again (`postcopy_start`, 10.0): it is not let try.
        if let Some(why) = self.execute(&command::QueryMigrate {}, None).await?.error_desc {
            return Err(failed(vec![why]));
        }
        self.switch_over().await?;
        let until = Instant::now() + silence;
        loop {
            let now = self.execute(&command::QueryMigrate {}, None).await?;
            let why = now.error_desc.clone();
            match live(now) {
                Live::Fetching(sample) | Live::Completed(sample) => return Ok(sample),
                Live::Failed(why) => return Err(failed(why)),
                Live::Active(_) | Live::Ready(_) => {}
            }
            // It stays where it was then, for ever (`migration_iteration_finish`, 10.0).
            if let Some(why) = why {
                return Err(failed(vec![why]));
            }
            if Instant::now() > until {
                return Err(silent(silence));
            }
            self.rest().await;
        }
    }

    /// Whether its guest came from another QEMU, or is on its way, and fetches what it lacks of its memory from there.
    pub async fn fetches(&self) -> Result<bool> {
        let now = self.execute(&command::QueryMigrate {}, None).await?;
        Ok(matches!(now.status, Some(MigrationStatus::PostcopyActive | MigrationStatus::PostcopyPaused)))
    }

    /// `query-status`, until the guest has come as far as it has to before it can go on: it stands still.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn arrived(&self) -> Result<()> {
        while self.status().await? == RunState::Inmigrate {
            if let Live::Failed(why) = self.live().await? {
                return Err(failed(why));
            }
            self.rest().await;
        }
        Ok(())
    }

    /// Until the last of it has gone over.
    ///
    /// # Errors
    /// `TimedOut` where nothing more goes over for as long as `silence`: the guest stands still meanwhile.
    pub async fn over_within(&self, silence: Duration) -> Result<Sample> {
        self.until_over(Some(silence)).await
    }

    /// Until the guest has come whole from there.
    pub async fn all_over(&self) -> Result<Sample> {
        self.until_over(None).await
    }

    async fn until_over(&self, silence: Option<Duration>) -> Result<Sample> {
        let (mut went, mut since) = (0, Instant::now());
        loop {
            let now = match self.live().await? {
                Live::Completed(sample) => return Ok(sample),
                Live::Failed(why) => return Err(failed(why)),
                Live::Active(sample) | Live::Ready(sample) | Live::Fetching(sample) => sample.transferred,
            };
            if now != went {
                (went, since) = (now, Instant::now());
            }
            if let Some(silence) = silence.filter(|silence| since.elapsed() > *silence) {
                return Err(silent(silence));
            }
            self.rest().await;
        }
    }

    /// Until QEMU tells that a guest's move is in another state, or goes through memory once more (`MIGRATION`,
    /// `MIGRATION_PASS`). What happened since this was awaited last counts. Told to one who waits.
    pub async fn moves(&self) {
        self.connection.moves().await;
    }

    /// `migrate_cancel`, and waits until the guest is whole here again. One that is over, or was not begun, is left as it is.
    /// After that it may be moved in another way. The ends of its connections must be open, and read, until then.
    ///
    /// # Errors
    /// `TimedOut` where it still gives up after [`GIVEN_UP_WITHIN`]: its guest goes on, and it takes no other move.
    pub async fn give_up(&self) -> Result<()> {
        self.execute(&command::MigrateCancel {}, None).await?;
        let until = Instant::now() + GIVEN_UP_WITHIN;
        while self.moves_still().await? {
            if Instant::now() > until {
                return Err(gives_up(Kind::TimedOut));
            }
            // QEMU may have begun to wait for this just as it was told to give up, and then does so for ever
            // (`migration_maybe_pause`, 7.2). Where it does not wait, it is forgotten or refused.
            let _ = self.execute(&command::MigrateContinue { state: "cancelling" }, None).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.keep_no_more().await;
        self.will_not_send().await
    }

    /// Whether a move, however it ended, still holds something: it can be yanked (`query-yank`). QEMU takes no other one then.
    async fn moves_still(&self) -> Result<bool> {
        let all = self.execute(&command::QueryYank {}, None).await?;
        Ok(all.iter().any(|instance| instance.kind == "migration"))
    }

    /// `announce-self`: the guest's cards tell the network where they are.
    pub async fn announce(&self) -> Result<()> {
        self.execute(&ANNOUNCE, None).await.map(drop)
    }
}

/// Pure.
fn live(now: Migration) -> Live {
    let sample = sample(&now);
    match now.status {
        Some(MigrationStatus::Completed) => Live::Completed(sample),
        Some(MigrationStatus::PreSwitchover) => Live::Ready(sample),
        Some(MigrationStatus::PostcopyActive) => Live::Fetching(sample),
        // It can be mended by a connection of another kind alone, which fief does not make.
        Some(MigrationStatus::PostcopyPaused) => {
            let why = "the way between the hosts broke, and what was left of its memory did not come";
            Live::Failed([Some(why.to_owned()), now.error_desc].into_iter().flatten().collect())
        }
        Some(MigrationStatus::Failed | MigrationStatus::Cancelled) => {
            Live::Failed(now.error_desc.into_iter().collect())
        }
        None
        | Some(
            MigrationStatus::None
            | MigrationStatus::Setup
            | MigrationStatus::Active
            | MigrationStatus::Device
            | MigrationStatus::Cancelling
            | MigrationStatus::Other,
        ) => Live::Active(sample),
    }
}

fn gives_up(kind: Kind) -> Failure {
    Failure::new(kind, "the hypervisor has not given up an earlier move of its guest yet")
        .hint("its guest goes on; where this stays so, it can move once the domain was shut down and started again")
}

fn silent(silence: Duration) -> Failure {
    let message = format!("nothing more of the guest went over in {} s", silence.as_secs());
    Failure::new(Kind::TimedOut, message).hint("see to the way between the hosts, and move it again")
}

pub(super) fn failed(why: Vec<String>) -> Failure {
    let mut failure = Failure::other("the hypervisor could not send the guest");
    failure.causes.extend(why);
    failure
}

fn sample(now: &Migration) -> Sample {
    let Some(ram) = &now.ram else { return Sample { elapsed_ms: now.total_time, ..Sample::default() } };
    Sample {
        remaining: ram.remaining,
        transferred: ram.transferred,
        dirty_rate: ram.dirty_pages_rate.saturating_mul(ram.page_size),
        bandwidth: (ram.mbps.max(0.0) * 125_000.0) as u64,
        elapsed_ms: now.total_time,
        expected_downtime_ms: now.expected_downtime,
        round: ram.dirty_sync_count,
    }
}
