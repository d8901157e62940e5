//! The side that owns the domain and hands it over.

use super::{Action, Attempt, Denial, Handing, Handover, Holding, Move, Output, Peer, Phase, Standing, Step, Word};

impl Handover {
    pub(super) fn begin(&self, to: Peer) -> Step {
        match (self.standing.holding, self.phase) {
            (Holding::Owned, Phase::Idle) => {}
            (Holding::Owned, Phase::Settling { .. } | Phase::Held | Phase::Handing(..) | Phase::Taking(..)) => {
                return self.stay([Output::Deny(Denial::UnderWay)]);
            }
            (Holding::Ceded, _) => return self.stay([Output::Deny(Denial::Ceded)]),
            (Holding::Foreign | Holding::Gone, _) => return self.stay([Output::Deny(Denial::NotOwner)]),
        }
        // Its number is used up once it is on disk, whatever becomes of the attempt.
        let number = self.standing.number.saturating_add(1);
        let on = Move { attempt: Attempt { generation: self.standing.generation, number }, peer: to };
        let standing = Standing { number, last: Some(on), ..self.standing };
        self.record(standing, Phase::Handing(on, Handing::Preparing), [Output::Send(to, Word::Prepare(on.attempt))])
    }

    fn handing(&self) -> Option<(Move, Handing)> {
        match self.phase {
            Phase::Handing(on, at) => Some((on, at)),
            Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Taking(..) => None,
        }
    }

    /// What was ceded, and to whom.
    pub(super) fn ceded(&self) -> Option<Move> {
        match self.standing.holding {
            Holding::Ceded => self.standing.last,
            Holding::Foreign | Holding::Owned | Holding::Gone => None,
        }
    }

    /// Before the commit point, any doubt comes here: the attempt is dead, and the guest goes on.
    pub(super) fn abort(&self) -> Option<Step> {
        let (on, at) = self.handing()?;
        let cancel = Output::Send(on.peer, Word::Cancel(on.attempt));
        let stop = Output::Do(Action::StopTransfer(on.attempt));
        Some(match at {
            Handing::Preparing => self.to(Phase::Idle, [cancel]),
            // It may stand still already, and its fences be let go.
            Handing::Transferring { .. } | Handing::Closing { .. } => {
                self.to(Phase::Settling { force: false }, [cancel, stop, self.take_fence(false)])
            }
        })
    }

    /// Aborts what is said to have failed, where it is what goes on.
    fn abort_where(&self, applies: impl FnOnce(Move) -> bool) -> Step {
        let step = self.handing().filter(|(on, _)| applies(*on)).and_then(|_| self.abort());
        step.unwrap_or_else(|| self.stay([]))
    }

    pub(super) fn failed_at_source(&self, attempt: Attempt) -> Step {
        self.abort_where(|on| on.attempt == attempt)
    }

    pub(super) fn told_declined(&self, said: Move) -> Step {
        self.abort_where(|on| on == said)
    }

    pub(super) fn told_prepared(&self, said: Move) -> Step {
        match self.handing() {
            Some((on, Handing::Preparing)) if on == said => self.to(
                Phase::Handing(on, Handing::Transferring { staged: false }),
                [Output::Do(Action::Transfer(on.attempt))],
            ),
            Some((_, Handing::Preparing | Handing::Transferring { .. } | Handing::Closing { .. })) | None => {
                self.answer_target(said)
            }
        }
    }

    pub(super) fn told_staged(&self, said: Move) -> Step {
        match self.handing() {
            Some((on, Handing::Transferring { .. })) if on == said => {
                self.to(Phase::Handing(on, Handing::Transferring { staged: true }), [])
            }
            Some((on, Handing::Closing { closed, .. })) if on == said => self.cede_once(on, true, closed),
            Some((_, Handing::Preparing | Handing::Transferring { .. } | Handing::Closing { .. })) | None => {
                self.answer_target(said)
            }
        }
    }

    /// A target that has staged something asks, by saying so, what is to become of it.
    fn answer_target(&self, said: Move) -> Step {
        if self.handing().is_some_and(|(on, _)| on == said) {
            return self.stay([]);
        }
        let word = match self.ceded() {
            Some(on) if on == said => Word::Activate(said.attempt),
            // No attempt that is over ever comes alive again.
            Some(_) | None => Word::Cancel(said.attempt),
        };
        self.stay([Output::Send(said.peer, word)])
    }

    pub(super) fn transferred(&self, attempt: Attempt) -> Step {
        match self.handing() {
            Some((on, Handing::Transferring { staged })) if on.attempt == attempt => self.to(
                Phase::Handing(on, Handing::Closing { staged, closed: false }),
                [Output::Do(Action::Close(attempt))],
            ),
            Some((_, Handing::Preparing | Handing::Transferring { .. } | Handing::Closing { .. })) | None => {
                self.stay([])
            }
        }
    }

    pub(super) fn closed(&self, attempt: Attempt) -> Step {
        match self.handing() {
            Some((on, Handing::Closing { staged, .. })) if on.attempt == attempt => self.cede_once(on, staged, true),
            Some((_, Handing::Preparing | Handing::Transferring { .. } | Handing::Closing { .. })) | None => {
                self.stay([])
            }
        }
    }

    /// The commit point, once the target has all and this host writes nothing any more.
    fn cede_once(&self, on: Move, staged: bool, closed: bool) -> Step {
        if !(staged && closed) {
            return self.to(Phase::Handing(on, Handing::Closing { staged, closed }), []);
        }
        let generation = on.attempt.handed_over();
        let standing = Standing { holding: Holding::Ceded, generation, last: Some(on), ..self.standing };
        self.record(standing, Phase::Idle, [Output::Send(on.peer, Word::Activate(on.attempt))])
    }

    pub(super) fn activate_again(&self) -> Step {
        match self.ceded() {
            Some(on) => self.stay([Output::Send(on.peer, Word::Activate(on.attempt))]),
            None => self.stay([]),
        }
    }

    pub(super) fn told_activated(&self, said: Move) -> Step {
        if self.ceded() == Some(said) { self.gone(self.standing.generation) } else { self.stay([]) }
    }

    /// Another host owns it, with `generation`.
    pub(super) fn gone(&self, generation: u64) -> Step {
        let standing = Standing { holding: Holding::Gone, generation, ..self.standing };
        self.record(standing, Phase::Idle, [Output::Do(Action::Forget)])
    }

    pub(super) fn told_refused(&self, said: Move) -> Step {
        if self.ceded() != Some(said) {
            return self.abort_where(|on| on == said);
        }
        // The generation that was handed over is used up, so that nobody takes what comes late for what counts.
        let generation = self.standing.generation.saturating_add(1);
        let standing = Standing { holding: Holding::Owned, generation, ..self.standing };
        let force = false;
        self.record(standing, Phase::Settling { force }, [Output::Do(Action::TakeFence { generation, force })])
    }
}
