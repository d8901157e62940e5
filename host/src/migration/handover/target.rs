//! The side that takes the domain over.

use super::{Action, Attempt, Handover, Holding, Memory, Move, Output, Phase, Standing, Step, Taking, Word};

impl Handover {
    /// What is staged here, or is about to be.
    pub(super) fn taking(&self) -> Option<(Move, Taking)> {
        match self.phase {
            Phase::Taking(on, at) => Some((on, at)),
            Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Handing(..) => None,
        }
    }

    pub(super) fn asked_to_prepare(&self, asked: Move) -> Step {
        let decline = Output::Send(asked.peer, Word::Declined(asked.attempt));
        match self.standing.holding {
            Holding::Owned | Holding::Ceded => return self.stay([decline]),
            // What comes late from before it was here.
            Holding::Gone if asked.attempt.generation < self.standing.generation => return self.stay([decline]),
            Holding::Foreign | Holding::Gone => {}
        }
        if self.standing.refused >= Some(asked.attempt) {
            return self.stay([Output::Send(asked.peer, Word::Refused(asked.attempt))]);
        }
        let stage = Output::Do(Action::Stage(asked.attempt));
        // So that no folder of a domain that is another host's is taken for one of this host's own.
        let standing = match self.standing.holding {
            Holding::Foreign => Standing { generation: 0, ..self.standing },
            Holding::Owned | Holding::Ceded | Holding::Gone => self.standing,
        };
        match self.taking() {
            None => self.record(standing, Phase::Taking(asked, Taking::Staging), [stage]),
            Some((on, at)) if on == asked => match at {
                Taking::Staging | Taking::Activating => self.stay([]),
                Taking::Prepared => self.stay([Output::Send(on.peer, Word::Prepared(on.attempt))]),
                Taking::Staged => self.stay([Output::Send(on.peer, Word::Staged(on.attempt))]),
            },
            // Who begins anew has given up what was before.
            Some((on, Taking::Staging | Taking::Prepared | Taking::Staged))
                if on.peer == asked.peer && on.attempt < asked.attempt =>
            {
                let drop = Output::Do(Action::DropStage(on.attempt));
                self.to(Phase::Taking(asked, Taking::Staging), [drop, stage])
            }
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) => self.stay([decline]),
        }
    }

    pub(super) fn ready(&self, attempt: Attempt) -> Step {
        match self.taking() {
            Some((on, Taking::Staging)) if on.attempt == attempt => {
                self.to(Phase::Taking(on, Taking::Prepared), [Output::Send(on.peer, Word::Prepared(attempt))])
            }
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) | None => self.stay([]),
        }
    }

    pub(super) fn received(&self, attempt: Attempt) -> Step {
        match self.taking() {
            Some((on, Taking::Staging | Taking::Prepared)) if on.attempt == attempt => {
                self.to(Phase::Taking(on, Taking::Staged), [Output::Send(on.peer, Word::Staged(attempt))])
            }
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) | None => self.stay([]),
        }
    }

    /// Nothing needs to be written down: a word to activate finds nothing staged, and is refused then.
    pub(super) fn let_stage_go(&self) -> Option<Step> {
        let (on, at) = self.taking()?;
        match at {
            Taking::Staging | Taking::Prepared | Taking::Staged => {
                let drop = Output::Do(Action::DropStage(on.attempt));
                Some(self.to(Phase::Idle, [drop, Output::Send(on.peer, Word::Declined(on.attempt))]))
            }
            Taking::Activating => None,
        }
    }

    pub(super) fn stage_failed(&self, attempt: Attempt) -> Step {
        match self.taking() {
            Some((on, _)) if on.attempt == attempt => self.let_stage_go().unwrap_or_else(|| self.refuse(on)),
            Some(_) | None => self.stay([]),
        }
    }

    pub(super) fn told_to_cancel(&self, said: Move) -> Step {
        match self.taking() {
            Some((on, Taking::Staging | Taking::Prepared | Taking::Staged)) if on == said => {
                self.to(Phase::Idle, [Output::Do(Action::DropStage(on.attempt))])
            }
            // Who says "it is yours" does not take that back.
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) | None => self.stay([]),
        }
    }

    pub(super) fn asked_to_activate(&self, asked: Move) -> Step {
        let had = match self.standing.holding {
            Holding::Foreign => false,
            Holding::Owned | Holding::Ceded | Holding::Gone => self.standing.generation >= asked.attempt.handed_over(),
        };
        if had {
            return self.stay([Output::Send(asked.peer, Word::Activated(asked.attempt))]);
        }
        match self.taking() {
            Some((on, Taking::Staged)) if on == asked => {
                let generation = on.attempt.handed_over();
                let take = Action::TakeFence { generation, force: false };
                self.to(Phase::Taking(on, Taking::Activating), [Output::Do(take)])
            }
            Some((on, Taking::Activating)) if on == asked => self.stay([]),
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) | None => {
                self.refuse(asked)
            }
        }
    }

    /// For good: what was staged by it goes, and that is on disk before the source may hear of it.
    pub(super) fn refuse(&self, asked: Move) -> Step {
        let standing = Standing { refused: self.standing.refused.max(Some(asked.attempt)), ..self.standing };
        let refused = [Output::Record(standing), Output::Send(asked.peer, Word::Refused(asked.attempt))];
        let drop = Output::Do(Action::DropStage(asked.attempt));
        let (phase, mut outputs) = match self.taking() {
            Some((on, Taking::Activating)) if on == asked => (Phase::Idle, vec![drop, Output::Do(Action::LetFenceGo)]),
            Some((on, Taking::Staging | Taking::Prepared | Taking::Staged)) if on == asked => (Phase::Idle, vec![drop]),
            Some((_, Taking::Staging | Taking::Prepared | Taking::Staged | Taking::Activating)) | None => {
                (self.phase, Vec::new())
            }
        };
        outputs.extend(refused);
        Step { next: Handover { standing, phase }, outputs }
    }

    /// The fences of what is activated are ours: so is the domain, as soon as that is on disk.
    pub(super) fn take(&self, on: Move) -> Step {
        let generation = on.attempt.handed_over();
        let standing = Standing { holding: Holding::Owned, generation, last: Some(on), ..self.standing };
        let run = Output::Do(Action::Run(Memory::Staged(on.attempt)));
        self.record(standing, Phase::Idle, [run, Output::Send(on.peer, Word::Activated(on.attempt))])
    }
}
