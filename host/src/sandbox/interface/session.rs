//! `fief:migration/session`: the steps of a move, each done by the host while the plugin waits.

use wasmtime::component::Resource;

use super::{mismatch, words};
use crate::sandbox::protocol::{Ask, MoveFacts, Reply, Step, StepReply};
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::migration::session::{Facts, Host, HostMigration, Limits, Outcome, Sample};
use crate::sandbox::version::v0_1::fief::types::types::Error;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// The move that a plugin is lent for one call.
pub struct Move(pub(in crate::sandbox) MoveFacts);

impl Room {
    fn step<T>(&self, step: Step, pick: impl FnOnce(StepReply) -> Option<T>) -> Answer<T> {
        self.ask(Ask::Step(step), |reply| match reply {
            Reply::Step(step) => pick(step).map_or_else(|| mismatch(&Reply::Step(step)), Ok),
            Reply::Nothing
            | Reply::Image(_)
            | Reply::Snapshot(_)
            | Reply::Snapshots(_)
            | Reply::Space { .. }
            | Reply::Link(_)
            | Reply::Links(_)
            | Reply::Connection
            | Reply::Secret => mismatch(&reply),
        })
    }
}

fn done(reply: StepReply) -> Option<()> {
    match reply {
        StepReply::Done => Some(()),
        StepReply::Copied(_) | StepReply::Sample(_) | StepReply::Outcome(_) => None,
    }
}

fn copied(reply: StepReply) -> Option<u64> {
    match reply {
        StepReply::Copied(bytes) => Some(bytes),
        StepReply::Done | StepReply::Sample(_) | StepReply::Outcome(_) => None,
    }
}

fn sample(reply: StepReply) -> Option<Option<Sample>> {
    match reply {
        StepReply::Sample(sample) => Some(sample.map(words::sample)),
        StepReply::Done | StepReply::Copied(_) | StepReply::Outcome(_) => None,
    }
}

fn outcome(reply: StepReply) -> Option<Outcome> {
    match reply {
        StepReply::Outcome(outcome) => Some(words::outcome(outcome)),
        StepReply::Done | StepReply::Copied(_) | StepReply::Sample(_) => None,
    }
}

impl Host for Room {}

impl HostMigration for Room {
    fn facts(&mut self, this: Resource<Move>) -> wasmtime::Result<Facts> {
        Ok(words::facts(self.table.get(&this)?.0.clone()))
    }
    fn reserve(&mut self, _: Resource<Move>) -> Answer<()> {
        self.step(Step::Reserve, done)
    }
    fn pause(&mut self, _: Resource<Move>) -> Answer<()> {
        self.step(Step::Pause, done)
    }
    fn copy_volumes(&mut self, _: Resource<Move>) -> Answer<u64> {
        self.step(Step::CopyVolumes, copied)
    }
    fn save(&mut self, _: Resource<Move>) -> Answer<()> {
        self.step(Step::Save, done)
    }
    fn copy_state(&mut self, _: Resource<Move>) -> Answer<u64> {
        self.step(Step::CopyState, copied)
    }
    fn restore(&mut self, _: Resource<Move>) -> Answer<Outcome> {
        self.step(Step::Restore, outcome)
    }
    fn precopy(&mut self, _: Resource<Move>, limits: Limits) -> Answer<()> {
        self.step(Step::Precopy(words::limits(limits)), done)
    }
    fn next_sample(&mut self, _: Resource<Move>) -> Answer<Option<Sample>> {
        self.step(Step::NextSample, sample)
    }
    fn adjust(&mut self, _: Resource<Move>, limits: Limits) -> Answer<()> {
        self.step(Step::Adjust(words::limits(limits)), done)
    }
    fn postcopy(&mut self, _: Resource<Move>) -> Answer<()> {
        self.step(Step::Postcopy, done)
    }
    fn switch_over(&mut self, _: Resource<Move>) -> Answer<Outcome> {
        self.step(Step::SwitchOver, outcome)
    }
    fn progress(&mut self, _: Resource<Move>, done: u64, total: u64, note: String) -> wasmtime::Result<()> {
        // It has no answer: where nobody listens, the plugin goes on.
        self.step(Step::Progress { done, total, note }, self::done).map(drop)
    }
    fn drop(&mut self, this: Resource<Move>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
