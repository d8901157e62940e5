//! Who may run a domain that moves: the state machine of both hosts, as pure functions. It does nothing itself: an event
//! goes in, and what to write down, to send and to do comes out, to be carried out in that order and one by one.
//!
//! ```text
//!   source                                           target
//!    attempt written down; Prepare ───────────────▸   stage: all attached, nothing active
//!    transfer                      ◂─── Prepared
//!    the guest stands still; own volumes are closed,
//!    their fences let go           ◂───── Staged      (all is here, and does not run)
//!    CEDED written down    ◂═══ the commit point
//!    Activate ────(for ever)──────────────────────▸   is it staged?
//!                                                      yes: fences taken, OWNED written down, it runs: Activated
//!                                                      no:  REFUSED written down: Refused
//!    Activated: GONE written down, nothing of it stays
//!    Refused:   OWNED written down, fences taken, the guest goes on
//! ```
//!
//! Before the commit point any doubt lets the source go on, and the attempt is dead for good. After it the source runs
//! only once the target has written down that it never will. No clock decides who owns a domain; at most it has a host
//! let go of what it only staged. What is staged is in memory alone: a host that starts anew has staged nothing.
//!
//! A *generation* counts the owners of a domain. An [`Attempt`] is numbered by the host that makes it, and no number is
//! given twice: so a word that comes late, twice or out of order is told from one that counts. `tests` goes through every
//! order of words, crashes and claims over these very functions.

mod recovery;
mod source;
mod target;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A host, by the identity that it keeps (`host/id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer(pub Uuid);

/// One attempt to hand a domain over. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attempt {
    /// Of the owner that hands over.
    pub generation: u64,
    /// Counted by that host, for as long as it knows the domain.
    pub number: u64,
}

impl Attempt {
    /// The generation of who takes the domain over by it.
    pub const fn handed_over(self) -> u64 {
        self.generation.saturating_add(1)
    }
}

/// What a host is to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holding {
    /// It never had it.
    Foreign,
    /// It alone may run it.
    Owned,
    /// It has handed it over, and does not know whether it was taken. Nobody may run it here.
    Ceded,
    /// It was taken by another.
    Gone,
}

/// An attempt, and the host at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Move {
    pub attempt: Attempt,
    pub peer: Peer,
}

/// All that a host has on disk about who owns a domain (journal.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Standing {
    pub holding: Holding,
    /// Of this host where it owns the domain, or did until it was deleted; of who may take it, or took it, where it was
    /// handed over; else 0.
    pub generation: u64,
    /// Of the last attempt that this host made.
    pub number: u64,
    /// The last attempt of which this host was the source, or by which it took the domain.
    pub last: Option<Move>,
    /// No attempt up to this one is ever taken here.
    pub refused: Option<Attempt>,
}

impl Standing {
    /// Of a domain that is another host's.
    pub const FOREIGN: Standing =
        Standing { holding: Holding::Foreign, generation: 0, number: 0, last: None, refused: None };
    /// Of a domain that was made here and never moved.
    pub const FIRST: Standing = Standing { holding: Holding::Owned, generation: 1, ..Standing::FOREIGN };

    /// Of a domain that was this host's and is deleted: it is no host's, until somebody makes it anew.
    #[must_use]
    pub const fn deleted(self) -> Standing {
        Standing { holding: Holding::Foreign, last: None, ..self }
    }

    /// Of a domain that is made here by an operator; none where it is, or may be, another host's.
    #[must_use]
    pub const fn made_anew(self) -> Option<Standing> {
        match self.holding {
            Holding::Owned => Some(self),
            // It was deleted: what another host is about to move here has none.
            Holding::Foreign if self.generation > 0 => {
                Some(Standing { holding: Holding::Owned, generation: self.generation.saturating_add(1), ..self })
            }
            Holding::Foreign | Holding::Ceded | Holding::Gone => None,
        }
    }
}

/// What goes on besides, in memory alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing; where the domain is ceded, its new owner's answer is waited for.
    Idle,
    /// The owner's fences are being taken, then its guest goes on. `force`: from whoever holds them.
    Settling { force: bool },
    /// The owner does not have its fences: another host holds them.
    Held,
    /// As the source of a move, before the commit point.
    Handing(Move, Handing),
    /// As its target.
    Taking(Move, Taking),
}

/// How far the source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handing {
    /// The target was asked.
    Preparing,
    /// Memory and volumes are on their way. `staged`: the target says that it has all.
    Transferring { staged: bool },
    /// The guest stands still for good. `closed`: so do its volumes.
    Closing { staged: bool, closed: bool },
}

/// How far the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taking {
    /// It is being made ready for what comes.
    Staging,
    /// It may come.
    Prepared,
    /// All is here.
    Staged,
    /// It is ours once the fences are.
    Activating,
}

/// One host's part in the moves of one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handover {
    pub standing: Standing,
    pub phase: Phase,
}

/// What one host says to another, about one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Source: make ready to take the domain.
    Prepare(Attempt),
    /// Target: ready.
    Prepared(Attempt),
    /// Target: all has come.
    Staged(Attempt),
    /// Source: it is yours.
    Activate(Attempt),
    /// Target: it is ours, or was.
    Activated(Attempt),
    /// Target: it never will be ours by that attempt, and that is written down.
    Refused(Attempt),
    /// Target: not now. Counts for nothing once the domain is ceded, since nothing of it is written down.
    Declined(Attempt),
    /// Source: the attempt is dead.
    Cancel(Attempt),
    /// Who owns it?
    Query,
    /// The sender does, and holds its fences.
    Owner { generation: u64 },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// An operator wants it moved.
    Begin {
        to: Peer,
    },
    /// An operator wants the move ended.
    Cancel,
    /// An operator says that the other host is off. `seen`: the newest generation that a fence of its volumes has known.
    Claim {
        seen: u64,
    },
    /// It is to run here: a start, or the next supervisor of what ran.
    Settle,
    /// Time to say again what was not answered.
    Tick,
    /// The other host was not heard for as long as an operator cares to wait.
    Silence,
    Heard {
        from: Peer,
        word: Word,
    },

    /// All has been sent, and the guest stands still for good.
    Transferred(Attempt),
    TransferFailed(Attempt),
    /// The guest's volumes are closed, and their fences let go.
    Closed(Attempt),
    CloseFailed(Attempt),
    /// What was to be staged can come.
    Ready(Attempt),
    /// It has come, and is whole.
    Received(Attempt),
    /// What was to be staged cannot be, or is lost.
    StageFailed(Attempt),
    /// All fences are this host's.
    FenceTaken {
        generation: u64,
    },
    /// Another host holds one of them, or held it since this one did.
    FenceHeld {
        generation: u64,
    },
    /// The storage does not answer, say.
    FenceFailed {
        generation: u64,
    },
}

/// What a guest goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// What the hypervisor of this host has; where there is none, the guest starts from its disks. A domain that was off
    /// stays so.
    Kept,
    /// What was staged by that attempt; where its hypervisor died since, the guest starts from its disks.
    Staged(Attempt),
}

/// What is to be done. Each may be done twice, and takes "already so" as done. To do one anew, or its opposite, voids the
/// answer to an earlier one where that was not given yet: whoever takes a fence waits for one answer only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Answered by `Ready`, then `Received`; or `StageFailed`.
    Stage(Attempt),
    /// Forget what is staged, and its place.
    DropStage(Attempt),
    /// Forget the memory that is staged; definition and volumes stay.
    DropMemory(Attempt),
    /// End the guest that stands still here; what it stood on stays.
    DropKept,
    /// After a start of this host's part: what an earlier one staged is nobody's.
    DropEveryStage,
    /// Answered by `Transferred` or `TransferFailed`.
    Transfer(Attempt),
    /// The guest is not let go on by that.
    StopTransfer(Attempt),
    /// Close the guest's volumes and let their fences go. Answered by `Closed` or `CloseFailed`.
    Close(Attempt),
    /// `force`: whoever has them loses them; in the step of a claim alone. Answered by `FenceTaken`, `FenceHeld` or `FenceFailed`.
    TakeFence {
        generation: u64,
        force: bool,
    },
    LetFenceGo,
    /// Open the volumes and let the guest go on.
    Run(Memory),
    /// End what stands still here, undo its start, forget the domain.
    Forget,
}

/// Why an operator's wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Another host owns it.
    NotOwner,
    /// It is ceded: the other host's answer decides, or a claim.
    Ceded,
    /// A move of it is under way, or just ended.
    UnderWay,
    /// There is no move that could be ended.
    NoMove,
    /// There is nothing here that could be claimed.
    NothingToClaim,
}

/// One thing to carry out. A failed `Record` drops those that follow (see [`Handover::unwritten`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// To be durable before the next is carried out.
    Record(Standing),
    Send(Peer, Word),
    Do(Action),
    Deny(Denial),
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub next: Handover,
    pub outputs: Vec<Output>,
}

impl Handover {
    /// Of a domain that rests.
    pub const fn new(standing: Standing) -> Self {
        Handover { standing, phase: Phase::Idle }
    }

    /// The only way to another state, but for a start ([`Handover::restarted`]) and a record that could not be written
    /// ([`Handover::unwritten`]). What does not fit the state changes nothing.
    pub fn step(&self, event: Event) -> Step {
        match event {
            Event::Begin { to } => self.begin(to),
            Event::Cancel => self.cancel(),
            Event::Claim { seen } => self.claim(seen),
            Event::Settle => self.settle(),
            Event::Tick => self.tick(),
            Event::Silence => self.silence(),
            Event::Heard { from, word } => self.heard(from, word),
            Event::Transferred(attempt) => self.transferred(attempt),
            Event::TransferFailed(attempt) | Event::CloseFailed(attempt) => self.failed_at_source(attempt),
            Event::Closed(attempt) => self.closed(attempt),
            Event::Ready(attempt) => self.ready(attempt),
            Event::Received(attempt) => self.received(attempt),
            Event::StageFailed(attempt) => self.stage_failed(attempt),
            Event::FenceTaken { generation } => self.fence_taken(generation),
            Event::FenceHeld { generation } => self.fence_not_taken(generation, true),
            Event::FenceFailed { generation } => self.fence_not_taken(generation, false),
        }
    }

    fn heard(&self, from: Peer, word: Word) -> Step {
        match word {
            Word::Prepare(attempt) => self.asked_to_prepare(Move { attempt, peer: from }),
            Word::Activate(attempt) => self.asked_to_activate(Move { attempt, peer: from }),
            Word::Cancel(attempt) => self.told_to_cancel(Move { attempt, peer: from }),
            Word::Prepared(attempt) => self.told_prepared(Move { attempt, peer: from }),
            Word::Staged(attempt) => self.told_staged(Move { attempt, peer: from }),
            Word::Activated(attempt) => self.told_activated(Move { attempt, peer: from }),
            Word::Refused(attempt) => self.told_refused(Move { attempt, peer: from }),
            Word::Declined(attempt) => self.told_declined(Move { attempt, peer: from }),
            Word::Query => self.queried(from),
            Word::Owner { generation } => self.told_owner(from, generation),
        }
    }

    /// Says again what was not answered.
    fn tick(&self) -> Step {
        match (self.phase, self.standing.holding) {
            (Phase::Handing(on, Handing::Preparing), _) => {
                self.stay([Output::Send(on.peer, Word::Prepare(on.attempt))])
            }
            (Phase::Taking(on, Taking::Prepared), _) => self.stay([Output::Send(on.peer, Word::Prepared(on.attempt))]),
            (Phase::Taking(on, Taking::Staged), _) => self.stay([Output::Send(on.peer, Word::Staged(on.attempt))]),
            (Phase::Settling { force }, _) => self.stay([self.take_fence(force)]),
            (Phase::Held, _) => self.ask_who_holds(),
            (Phase::Idle, Holding::Ceded) => self.activate_again(),
            (Phase::Idle, Holding::Foreign | Holding::Owned | Holding::Gone)
            | (Phase::Handing(_, Handing::Transferring { .. } | Handing::Closing { .. }), _)
            | (Phase::Taking(_, Taking::Staging | Taking::Activating), _) => self.stay([]),
        }
    }

    fn stay<const N: usize>(&self, outputs: [Output; N]) -> Step {
        Step { next: *self, outputs: outputs.to_vec() }
    }

    fn to<const N: usize>(&self, phase: Phase, outputs: [Output; N]) -> Step {
        Step { next: Handover { phase, ..*self }, outputs: outputs.to_vec() }
    }

    /// The new standing is written down first.
    fn record<const N: usize>(&self, standing: Standing, phase: Phase, outputs: [Output; N]) -> Step {
        let outputs = std::iter::once(Output::Record(standing)).chain(outputs).collect();
        Step { next: Handover { standing, phase }, outputs }
    }
}
