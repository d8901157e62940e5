//! What the supervisor's loop does with a request: admitted by the state machine, then done, then answered.

use std::time::Duration;

use tokio::time::Instant;

use super::control::{Answer, Asked, Asker, Request, Response};
use super::ending::Ending;
use super::watch::{Connected, Loop};
use crate::domain::state::{Admission, Happening, admit};
use crate::error::{Failure, Result};

impl Loop<'_> {
    /// An ending where the request was for the end, and the end is there.
    pub(super) async fn asked(
        &mut self,
        Asked { request, asker }: Asked,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        if let Err(answer) = self.admitted(&request) {
            asker.respond(answer);
            return Ok(None);
        }
        match request {
            Request::Status | Request::Console => {
                self.answer(asker, Ok(Answer::Done));
                Ok(None)
            }
            Request::Stop => {
                self.askers.push(asker);
                self.happened(Happening::StopAsked, connected).await
            }
            Request::Shutdown { timeout_ms, then_stop } => {
                self.shut_down(timeout_ms, then_stop, asker, connected).await;
                Ok(None)
            }
            Request::Pause => {
                let done = connected.monitor.pause().await;
                self.follow(Happening::Paused, done, asker, connected).await
            }
            Request::Resume => {
                let done = connected.monitor.resume().await;
                self.follow(Happening::Resumed, done, asker, connected).await
            }
            Request::Reset => {
                let done = connected.monitor.reset().await;
                self.answer(asker, done.map(|()| Answer::Done));
                Ok(None)
            }
        }
    }

    /// The answer where there is nothing to do, or it may not be done.
    fn admitted(&self, request: &Request) -> Result<(), Response> {
        let state = self.record.state;
        let Some(wanted) = request.admission() else { return Ok(()) };
        let name = &self.definition.name;
        match admit(state, wanted) {
            Admission::Accept => {}
            Admission::Already => return Err(Response::Ok { state, answer: Answer::Done }),
            Admission::Deny { because, hint } => {
                return Err(Response::Failed(Failure::conflict(format!("domain {name}: {because}")).hint(hint)));
            }
        }
        match (&self.job, request) {
            (None, _) | (Some(_), Request::Status | Request::Stop | Request::Console) => Ok(()),
            (Some(job), Request::Shutdown { .. } | Request::Pause | Request::Resume | Request::Reset) => {
                Err(Response::Failed(
                    Failure::conflict(format!("domain {name} is being {}", job.doing))
                        .hint("wait for that to end; `fief stop` breaks it off"),
                ))
            }
        }
    }

    fn answer(&self, asker: Asker, done: Result<Answer>) {
        asker.respond(match done {
            Ok(answer) => Response::Ok { state: self.record.state, answer },
            Err(failure) => Response::Failed(failure),
        });
    }

    /// What the hypervisor did, followed through the state machine and recorded before it is answered.
    async fn follow(
        &mut self,
        happening: Happening,
        done: Result<()>,
        asker: Asker,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        let ending = match &done {
            Ok(()) => self.happened(happening, connected).await?,
            Err(_) => None,
        };
        self.answer(asker, done.map(|()| Answer::Done));
        Ok(ending)
    }

    async fn shut_down(&mut self, timeout_ms: Option<u64>, then_stop: bool, asker: Asker, connected: &mut Connected) {
        match connected.monitor.power_button().await {
            Ok(()) => {
                self.askers.push(asker);
                self.patience = timeout_ms
                    .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
                    .map(|at| (at, then_stop));
            }
            Err(failure) => {
                asker.respond(Response::Failed(failure.while_doing("the guest could not be asked to power off")));
            }
        }
    }

    /// The job is over: its asker hears of it, after what follows from it is recorded.
    pub(super) async fn job_ended(
        &mut self,
        end: Result<super::job::JobEnd>,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        let Some(job) = self.job.take() else { return Ok(None) };
        match end {
            Ok(super::job::JobEnd::GoOn(answer)) => {
                self.answer(job.asker, Ok(answer));
                Ok(None)
            }
            Ok(super::job::JobEnd::Saved) => {
                self.askers.push(job.asker);
                self.happened(Happening::Saved, connected).await
            }
            Err(failure) => {
                self.answer(job.asker, Err(failure));
                Ok(None)
            }
        }
    }
}
