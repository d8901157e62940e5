//! What follows from a start, from fences, from an operator's word, and from a disk that does not take a record.

use super::{Action, Denial, Handover, Holding, Memory, Output, Peer, Phase, Standing, Step, Taking, Word};

impl Handover {
    /// This host's part begins anew, with what is on disk alone: its supervisor or the host itself was gone.
    ///
    /// A domain of its own is settled at once, and before it may move: were its fences another's, a move would hide it.
    /// They are taken by force in the very step of a claim alone, since what its operator said of the other host may not
    /// be true any more: a claim that was cut off is said again.
    pub fn restarted(standing: Standing) -> Step {
        let handover = Handover::new(standing);
        let clear = [Output::Do(Action::DropEveryStage), Output::Do(Action::LetFenceGo)];
        match standing.holding {
            Holding::Foreign => handover.stay(clear),
            Holding::Owned => {
                let mut step = handover.settle();
                // The attempt that was under way is dead.
                if let Some(on) = standing.last.filter(|on| on.attempt.generation == standing.generation) {
                    let stop = Output::Do(Action::StopTransfer(on.attempt));
                    step.outputs.splice(0..0, [stop, Output::Send(on.peer, Word::Cancel(on.attempt))]);
                }
                step
            }
            Holding::Ceded => handover.activate_again(),
            Holding::Gone => handover.stay([clear[0], clear[1], Output::Do(Action::Forget)]),
        }
    }

    /// A record of the step after `self` was surely not written, and what should follow was dropped: `self` counts, and
    /// all that was only begun is given up. Where nobody knows whether it was written, it is written again until it is, and
    /// nothing else is done meanwhile.
    pub fn unwritten(&self) -> Step {
        if let Some(step) = self.abort().or_else(|| self.let_stage_go()) {
            return step;
        }
        match self.phase {
            Phase::Taking(on, _) => {
                let drop = Output::Do(Action::DropStage(on.attempt));
                self.to(Phase::Idle, [drop, Output::Do(Action::LetFenceGo)])
            }
            Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Handing(..) => self.stay([]),
        }
    }

    pub(super) fn take_fence(&self, force: bool) -> Output {
        Output::Do(Action::TakeFence { generation: self.standing.generation, force })
    }

    pub(super) fn settle(&self) -> Step {
        match (self.standing.holding, self.phase) {
            (Holding::Owned, Phase::Idle) => self.to(Phase::Settling { force: false }, [self.take_fence(false)]),
            (Holding::Owned, Phase::Settling { .. } | Phase::Held) => self.stay([]),
            (Holding::Owned, Phase::Handing(..) | Phase::Taking(..)) => self.stay([Output::Deny(Denial::UnderWay)]),
            (Holding::Ceded, _) => self.stay([Output::Deny(Denial::Ceded)]),
            (Holding::Foreign | Holding::Gone, _) => self.stay([Output::Deny(Denial::NotOwner)]),
        }
    }

    pub(super) fn fence_taken(&self, generation: u64) -> Step {
        match self.phase {
            Phase::Settling { .. } | Phase::Held if generation == self.standing.generation => {
                self.to(Phase::Idle, [Output::Do(Action::Run(Memory::Kept))])
            }
            Phase::Taking(on, Taking::Activating) if generation == on.attempt.handed_over() => self.take(on),
            Phase::Settling { .. } | Phase::Held | Phase::Idle | Phase::Handing(..) | Phase::Taking(..) => {
                self.stay([])
            }
        }
    }

    /// An owner waits until it has them; a target refuses, so that the source goes on.
    pub(super) fn fence_not_taken(&self, generation: u64, held: bool) -> Step {
        match self.phase {
            Phase::Settling { .. } if held && generation == self.standing.generation => self.to(Phase::Held, []),
            Phase::Taking(on, Taking::Activating) if generation == on.attempt.handed_over() => self.refuse(on),
            Phase::Settling { .. } | Phase::Held | Phase::Idle | Phase::Handing(..) | Phase::Taking(..) => {
                self.stay([])
            }
        }
    }

    /// Another host holds the fences: it may have been claimed there while this one was off.
    pub(super) fn ask_who_holds(&self) -> Step {
        let mut step = self.stay([self.take_fence(false)]);
        step.outputs.extend(self.standing.last.map(|on| Output::Send(on.peer, Word::Query)));
        step
    }

    pub(super) fn queried(&self, from: Peer) -> Step {
        match (self.standing.holding, self.phase) {
            // Who does not hold its fences is no witness.
            (Holding::Owned, Phase::Held | Phase::Settling { .. }) => self.stay([]),
            (Holding::Owned, Phase::Idle | Phase::Handing(..) | Phase::Taking(..)) => {
                self.stay([Output::Send(from, Word::Owner { generation: self.standing.generation })])
            }
            (Holding::Ceded, _) if self.ceded().is_some_and(|on| on.peer == from) => self.activate_again(),
            // What is left of a hold here is nobody's.
            (Holding::Foreign | Holding::Gone, Phase::Idle) => self.stay([Output::Do(Action::LetFenceGo)]),
            (Holding::Ceded, _)
            | (
                Holding::Foreign | Holding::Gone,
                Phase::Settling { .. } | Phase::Held | Phase::Handing(..) | Phase::Taking(..),
            ) => self.stay([]),
        }
    }

    /// Nobody who holds its fences is talked out of what it owns: this counts where another holds them, and where the
    /// domain was handed over.
    pub(super) fn told_owner(&self, from: Peer, generation: u64) -> Step {
        let known = self.standing.last.is_some_and(|on| on.peer == from);
        let newer = match (self.standing.holding, self.phase) {
            (Holding::Owned, Phase::Held) => generation > self.standing.generation,
            (Holding::Ceded, _) => generation >= self.standing.generation,
            (Holding::Owned, Phase::Idle | Phase::Settling { .. } | Phase::Handing(..) | Phase::Taking(..))
            | (Holding::Foreign | Holding::Gone, _) => false,
        };
        if known && newer { self.gone(generation) } else { self.stay([]) }
    }

    /// `fief recover --claim`. The guest starts from its disks: nobody knows whether the other host ran it meanwhile, so
    /// whatever memory is here may be older than they are. It goes before the claim is on disk, so that no later start
    /// finds it.
    pub(super) fn claim(&self, seen: u64) -> Step {
        let (on, generation, drop) = match (self.standing.holding, self.phase) {
            // Said again, of a claim that has not taken its fences yet.
            (Holding::Owned, Phase::Settling { force: true }) => return self.stay([self.take_fence(true)]),
            (Holding::Ceded, _) => (self.standing.last, self.standing.generation.saturating_add(1), Action::DropKept),
            (Holding::Owned, Phase::Held) => {
                (self.standing.last, self.standing.generation.saturating_add(2), Action::DropKept)
            }
            (Holding::Foreign | Holding::Gone, Phase::Taking(on, Taking::Staged)) => {
                (Some(on), on.attempt.generation.saturating_add(2), Action::DropMemory(on.attempt))
            }
            // Nobody knows yet whether another holds them.
            (Holding::Owned, Phase::Settling { force: false }) => return self.stay([Output::Deny(Denial::UnderWay)]),
            (Holding::Owned, Phase::Idle | Phase::Handing(..) | Phase::Taking(..))
            | (
                Holding::Foreign | Holding::Gone,
                Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Handing(..) | Phase::Taking(..),
            ) => return self.stay([Output::Deny(Denial::NothingToClaim)]),
        };
        // Newer than every owner that ever held a fence of it.
        let generation = generation.max(seen.saturating_add(1));
        let standing = Standing { holding: Holding::Owned, generation, last: on, ..self.standing };
        let force = true;
        let outputs =
            vec![Output::Do(drop), Output::Record(standing), Output::Do(Action::TakeFence { generation, force })];
        Step { next: Handover { standing, phase: Phase::Settling { force } }, outputs }
    }

    pub(super) fn cancel(&self) -> Step {
        if let Some(step) = self.abort().or_else(|| self.let_stage_go()) {
            return step;
        }
        let denial = match (self.standing.holding, self.phase) {
            (Holding::Ceded, _) => Denial::Ceded,
            (Holding::Foreign | Holding::Gone, Phase::Taking(..)) => Denial::UnderWay,
            (
                Holding::Foreign | Holding::Gone,
                Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Handing(..),
            )
            | (Holding::Owned, _) => Denial::NoMove,
        };
        self.stay([Output::Deny(denial)])
    }

    /// The source goes on, the target lets go; what is ceded stays so.
    pub(super) fn silence(&self) -> Step {
        self.abort().or_else(|| self.let_stage_go()).unwrap_or_else(|| self.stay([]))
    }
}
