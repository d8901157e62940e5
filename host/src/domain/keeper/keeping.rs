//! The thread that keeps one disk served, until it is told to close or to leave.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{CLOSED_WITHIN, Command, Disk, News, Tell, Told, Whose, first_of, is_sandbox};
use crate::domain::hold;
use crate::error::{Context, Result};
use crate::gate::{Gate, Ledger};
use crate::plugin::{Heard, Serving};
use crate::sandbox::protocol::AttachAccess;
use crate::storage::{Pool, Service};
use crate::types::ByteSize;

/// How long storage may take to answer before a disk counts as one that cannot be served.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// A sandbox that lived this long does not keep dying: it is replaced at once.
const LIVED: Duration = Duration::from_millis(100);
/// The same where its plugin failed: the request that it fails at may take a while to come again.
const STEADY: Duration = Duration::from_secs(5);
/// So many may die at once before there is a wait.
const QUICK_DEATHS: u32 = 3;
/// The first wait, and the longest, before one that dies at once is replaced again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How a while of serving ended.
enum Over {
    /// The sandbox ended, after it had served for so long.
    Ended {
        lived: Duration,
        why: String,
        fault: bool,
    },
    Closed,
    /// Nothing is served until the volume is ours again.
    Suspended,
    Left,
}

/// The thread's own.
pub(super) struct Keeping {
    pub(super) gate: Gate,
    pub(super) disk: Disk,
    pub(super) listener: OwnedFd,
    pub(super) ledger: Ledger,
    pub(super) tell: Tell,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) heard: mpsc::Receiver<Command>,
    pub(super) over: Arc<AtomicBool>,
    /// Of the sandbox: what one says that is gone already counts no more.
    pub(super) number: u64,
    pub(super) size: Option<u64>,
    /// Closed with this.
    pub(super) end: mpsc::Sender<()>,
}

impl Keeping {
    pub(super) fn run(mut self, mut ready: Option<mpsc::Sender<Result<()>>>) {
        let (mut quick, mut degraded) = (0, false);
        // Its plugin fails again and again, and the storage is said to be in trouble.
        let mut failing = false;
        loop {
            self.number += 1;
            if self.disk.whose == Whose::LetGo && self.rest(None) {
                return;
            }
            match self.serve() {
                Ok(serving) => {
                    if let Some(ready) = ready.take() {
                        // The hypervisor sees it so when it connects.
                        self.size = Some(serving.geometry().size);
                        // Whoever waits may have been ended.
                        let _ = ready.send(Ok(()));
                    }
                    if std::mem::take(&mut degraded) && !failing {
                        self.say(News::Restored);
                    }
                    self.sized(serving.geometry().size);
                    match self.listen(&serving, &mut failing) {
                        Over::Ended { lived, why, fault } => {
                            tracing::warn!(volume = %self.disk.volume, why, "the sandbox that serves it ended");
                            quick = if lived >= if fault { STEADY } else { LIVED } { 0 } else { quick + 1 };
                            if fault && quick > QUICK_DEATHS {
                                failing = true;
                                self.say(News::Degraded(format!("its plugin fails again and again: {why}")));
                            }
                        }
                        Over::Closed => {
                            if let Err(failure) = serving.close(CLOSED_WITHIN) {
                                tracing::warn!(volume = %self.disk.volume, %failure, "it is ended");
                            }
                            self.clear();
                            return;
                        }
                        Over::Suspended => quick = 0,
                        Over::Left => return,
                    }
                }
                Err(failure) => {
                    if let Some(ready) = ready.take() {
                        self.clear();
                        let _ = ready.send(Err(failure));
                        return;
                    }
                    if !self.over.load(Ordering::Acquire) {
                        degraded = true;
                        self.say(News::Degraded(failure.to_string()));
                    }
                    quick += 1;
                }
            }
            if let Err(failures) = self.gate.undo_where(&mut self.ledger, is_sandbox) {
                tracing::error!(volume = %self.disk.volume, failure = %first_of(failures), "a sandbox is left");
            }
            if self.disk.whose != Whose::LetGo && self.rest(Some(wait(quick))) {
                return;
            }
        }
    }

    fn serve(&mut self) -> Result<Serving> {
        let Disk { domain, volume, writes, export, .. } = &self.disk;
        let holder = match *writes && self.disk.whose == Whose::Ours {
            true => hold::current(self.gate.layout(), volume, domain)?,
            false => None,
        };
        let service = Service {
            volume: volume.volume.clone(),
            access: match (writes, self.disk.whose) {
                (true, Whose::Ours) => AttachAccess::Exclusive,
                (true, Whose::Expected | Whose::LetGo) => AttachAccess::Handover,
                (false, _) => AttachAccess::ReadOnly,
            },
            generation: *export,
            holder,
        };
        let listener = self.listener.try_clone().context(|| "cannot hand a socket to a sandbox".to_owned())?;
        let (number, commands) = (self.number, self.commands.clone());
        let heard = move |heard| {
            // Whoever listened may have left.
            let _ = commands.send(Command::Heard(number, heard));
        };
        let mut pool = Pool::open(&self.gate, &volume.pool)?;
        pool.serve(&mut self.ledger, service, listener, OPENED_WITHIN, heard)
    }

    /// `failing`: until it has served for a while, which is told.
    fn listen(&mut self, serving: &Serving, failing: &mut bool) -> Over {
        let begun = Instant::now();
        loop {
            let next = match *failing {
                true => self.heard.recv_timeout(STEADY.saturating_sub(begun.elapsed())),
                false => self.heard.recv().map_err(|mpsc::RecvError| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Command::Heard(number, heard)) if number == self.number => match heard {
                    Heard::Resized(geometry) => self.sized(geometry.size),
                    Heard::Fenced(by) => self.say(News::Fenced(by)),
                    Heard::Degraded(why) => self.say(News::Degraded(why)),
                    Heard::Restored => self.say(News::Restored),
                    Heard::Ended(result) => {
                        let why = result.err().map_or_else(|| "it was asked to".to_owned(), |f| f.to_string());
                        return Over::Ended { lived: begun.elapsed(), why, fault: false };
                    }
                    Heard::Failed(failure) => {
                        return Over::Ended { lived: begun.elapsed(), why: failure.to_string(), fault: true };
                    }
                },
                Ok(Command::Heard(..)) => {}
                Ok(Command::Suspend(done)) => {
                    self.disk.whose = Whose::LetGo;
                    if let Err(failure) = serving.close(CLOSED_WITHIN) {
                        tracing::warn!(volume = %self.disk.volume, %failure, "it is ended");
                    }
                    let _ = done.send(self.gate.undo_where(&mut self.ledger, is_sandbox).map_err(first_of));
                    return Over::Suspended;
                }
                Ok(Command::Activate) if self.disk.whose == Whose::Ours => {}
                // One that does not hear is ended as one that has died.
                Ok(command @ (Command::Renew | Command::Activate)) => match self.renew(&command, serving) {
                    Ok(()) => {}
                    Err(failure) => {
                        return Over::Ended { lived: begun.elapsed(), why: failure.to_string(), fault: false };
                    }
                },
                Ok(Command::Close) => return Over::Closed,
                Ok(Command::Leave) | Err(RecvTimeoutError::Disconnected) => return Over::Left,
                Err(RecvTimeoutError::Timeout) => {
                    *failing = false;
                    self.say(News::Restored);
                }
            }
        }
    }

    fn renew(&mut self, command: &Command, serving: &Serving) -> Result<()> {
        if let Command::Activate = command {
            self.disk.whose = Whose::Ours;
        }
        serving.hand_over()
    }

    /// Waits before the next sandbox, with no time given until the volume is ours; whether there is to be none.
    fn rest(&mut self, wait: Option<Duration>) -> bool {
        let until = wait.map(|wait| Instant::now() + wait);
        loop {
            let next = match until {
                Some(until) => self.heard.recv_timeout(until.saturating_duration_since(Instant::now())),
                None => self.heard.recv().map_err(|mpsc::RecvError| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Command::Heard(..) | Command::Renew) => {}
                Ok(Command::Activate) => {
                    self.disk.whose = Whose::Ours;
                    if until.is_none() {
                        return false;
                    }
                }
                // Nothing holds it; whoever waits hears that with the end of this.
                Ok(Command::Suspend(_)) => {
                    self.disk.whose = Whose::LetGo;
                    return until.is_some() && self.rest(None);
                }
                Ok(Command::Close) => {
                    self.clear();
                    return true;
                }
                Ok(Command::Leave) | Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return self.over.load(Ordering::Acquire),
            }
        }
    }

    pub(super) fn clear(&mut self) {
        if let Err(failures) = self.gate.undo(&mut self.ledger) {
            tracing::error!(volume = %self.disk.volume, failure = %first_of(failures), "what served it is left");
        }
    }

    fn sized(&mut self, size: u64) {
        if self.size.replace(size) != Some(size) {
            self.say(News::Sized(ByteSize::from_bytes(size)));
        }
    }

    fn say(&self, news: News) {
        let _ = self.tell.send(Told { volume: self.disk.volume.clone(), news });
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let _ = self.end.send(());
    }
}

/// How long to wait before the next sandbox, after so many that did not live. Pure.
fn wait(quick: u32) -> Duration {
    match quick.saturating_sub(QUICK_DEATHS) {
        0 => Duration::ZERO,
        more => (FIRST_WAIT * 2_u32.saturating_pow((more - 1).min(10))).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_served_is_replaced_at_once_and_one_that_keeps_dying_later_and_later() {
        let waits: Vec<u128> = (0..10).map(|quick| wait(quick).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }
}
