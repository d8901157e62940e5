//! A plugin that moves a domain: one call, in which it asks for one step after the other. What each step does is not this
//! floor's to know; here it is seen to that the plugin asks for nothing else, and does not keep the word for ever.

use std::time::{Duration, Instant};

use super::{GRACE, Session};
use crate::config::policy::HostInterface;
use crate::error::{Failure, Kind, Result};

use crate::plugin::{Subject, failure, log, shape};
use crate::sandbox::protocol::{
    Ask, Call, CallError, ErrorCode, FromSandbox, Limit, MigrationCall, MoveFacts, Outcome, PluginError, Reply, Return,
    Settings, Step, StepReply, ToSandbox,
};

/// Who carries out what a strategy asks for.
pub trait Steps {
    /// How long the plugin may have the word from now on.
    fn left(&self) -> Duration;
    /// The plugin had the word for that long.
    fn spent(&mut self, time: Duration);
    /// Carries out a step, however long that takes.
    ///
    /// # Errors
    /// Outside: the plugin is ended. Inside: what it is told, and goes on with.
    fn step(&mut self, step: Step) -> Result<std::result::Result<StepReply, PluginError>>;
}

impl Session {
    /// Lets the plugin move a domain, and gives what it says came of it. Its sandbox waits while a step is carried out, and its
    /// own deadlines stand still.
    ///
    /// # Errors
    /// As [`Session::call`]; that of [`Steps::step`] where it ended the plugin.
    pub fn run_move(
        &mut self,
        subject: &Subject,
        facts: MoveFacts,
        settings: Settings,
        steps: &mut dyn Steps,
    ) -> Result<Outcome> {
        let call = Call::Migration { facts: Box::new(facts), settings, function: MigrationCall::Run };
        let saying = format!("the plugin {} failed at {}", self.installed.manifest.id, shape::name(&call));
        // Whatever comes of it, the process has done what it was started for: it ends here.
        let mut process = self.ready().map_err(|failure| failure.while_doing(saying.clone()))?;
        process.send(&ToSandbox::Call(call), &[])?;
        let plugin = self.installed.manifest.id.clone();
        let mut log = log::Sink::new(&self.gate, &plugin, subject, self.limits.log_lines_per_second);
        let mut deadline = Instant::now() + steps.left() + GRACE;
        loop {
            let begun = Instant::now();
            let frame = process.receive(deadline).map_err(|failure| silent(failure).while_doing(saying.clone()))?;
            steps.spent(begun.elapsed());
            match frame {
                FromSandbox::Return(Ok(Return::Outcome(outcome))) => return Ok(outcome),
                FromSandbox::Return(Ok(_)) => {
                    return Err(Failure::new(Kind::PluginFault, "its answer does not fit the call").while_doing(saying));
                }
                FromSandbox::Return(Err(error)) => return Err(failure::of_call(&error).while_doing(saying)),
                // A line gives it no more time.
                FromSandbox::Log { level, message, fields } => log.line(level, &message, &fields)?,
                FromSandbox::Ask(ask) => {
                    let answer = self.moved_on(ask, steps)?;
                    process.send(&ToSandbox::Answer(answer), &[])?;
                    deadline = Instant::now() + steps.left() + GRACE;
                }
                FromSandbox::Ready { .. }
                | FromSandbox::Compiled
                | FromSandbox::AskAs(..)
                | FromSandbox::Serving(_)
                | FromSandbox::Event(_) => {
                    let failure = Failure::new(Kind::PluginFault, "its sandbox sent a frame that is no answer");
                    return Err(failure.while_doing(saying));
                }
            }
        }
    }

    fn moved_on(&self, ask: Ask, steps: &mut dyn Steps) -> Result<std::result::Result<Reply, PluginError>> {
        let granted = self.effective.interfaces.contains(&HostInterface::Session);
        match ask {
            Ask::Step(step) if granted => Ok(steps.step(step)?.map(Reply::Step)),
            // A sandbox does not ask for what was not linked: this is one that is no longer ours.
            _ => Ok(Err(failure::refusal(ErrorCode::Denied, "a strategy is given the steps of its move alone"))),
        }
    }
}

/// One that keeps the word is at fault, whatever it is doing with it.
fn silent(failure: Failure) -> Failure {
    if failure.kind == Kind::TimedOut { failure::of_call(&CallError::Limit(Limit::Wall)) } else { failure }
}
