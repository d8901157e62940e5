//! What those are told who asked for a move, once it is known whose the domain is.

use tokio::time::Instant;

use super::super::control::{Answer, Response};
use super::ceding::{Carried, Ceding, End, Over};
use crate::domain::State;
use crate::domain::relocation::unsaid;
use crate::error::Failure;
use crate::migration::handover::Holding;
use crate::migration::steps::{self, Outcome};

impl Ceding<'_> {
    /// Whoever asked for the move is not kept waiting for a host that is away; it is asked on.
    pub(super) fn tell_unsaid(&mut self, holding: Holding) {
        let name = &self.carried.source.offer.name;
        if holding == Holding::Ceded
            && let Some(asker) = self.carried.asker.take()
        {
            let mut failure = unsaid(name);
            failure.causes.extend(self.away.as_ref().map(ToString::to_string));
            asker.respond(Response::Failed(failure));
        }
    }

    pub(super) fn over(self) -> Over {
        let Carried { answer, asker, progress, begun, stopped, transferred, source, .. } = self.carried;
        let name = &source.offer.name;
        match self.result {
            Some(End::Gone) if self.lost.is_some() => {
                let mut failure =
                    Failure::other(format!("domain {name} is at the other host, and its guest's memory is lost"))
                        .hint("its disks are there: `fief list` there tells whether it was started again from them");
                failure.causes.extend(self.lost.iter().map(ToString::to_string));
                if let Some(answer) = answer {
                    let _ = answer.send(Err(failure.clone()));
                }
                let answers = asker.into_iter().chain(self.asked);
                Over::Gone(answers.map(|asker| (asker, Response::Failed(failure.clone()))).collect())
            }
            Some(End::Gone) => {
                let millis = |since: Instant, until: Instant| {
                    u64::try_from(until.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
                };
                let now = Instant::now();
                let outcome = Outcome {
                    downtime_ms: millis(stopped, self.went_on.unwrap_or(now)),
                    total_ms: millis(begun, now),
                    transferred,
                };
                progress.change(|progress| {
                    "moved".clone_into(&mut progress.phase);
                    progress.outcome = Some(outcome);
                });
                if let Some(answer) = answer {
                    let _ = answer.send(Ok(steps::Answer::Outcome(outcome)));
                }
                let moved = Response::Ok {
                    state: State::Elsewhere,
                    answer: Answer::Migrated { progress: Box::new(progress.get()) },
                };
                let answers = asker.into_iter().chain(self.asked).map(|asker| (asker, moved.clone())).collect();
                Over::Gone(answers)
            }
            Some(End::Back) | None => {
                let mut failure = match (self.why, self.away) {
                    (Some(failure), _) | (None, Some(failure)) => {
                        failure.while_doing(format!("domain {name} was not moved"))
                    }
                    (None, None) => {
                        Failure::conflict(format!("domain {name} was not moved: the other host refuses it"))
                    }
                };
                failure.causes.extend(self.reasons);
                if let Some(answer) = answer {
                    let _ = answer.send(Err(failure.clone()));
                }
                let mut answers: Vec<_> =
                    asker.into_iter().map(|asker| (asker, Response::Failed(failure.clone()))).collect();
                let claimed = Response::Ok { state: State::Off, answer: Answer::Done };
                answers.extend(self.asked.into_iter().map(|asker| (asker, claimed.clone())));
                Over::Back { dead: self.dropped, answers }
            }
        }
    }
}
