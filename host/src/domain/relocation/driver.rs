//! What follows from an event, carried out: in order, one by one, and nothing after a record that was not written.

use std::collections::VecDeque;

use serde_json::Value;
use uuid::Uuid;

use super::{Owner, words};
use crate::migration::handover::{Action, Denial, Event, Output, Peer, Step, Word};

/// What acts are done by. What is asked of it may be asked twice.
pub trait Machine {
    /// Does it; what came of it, where an event is to tell.
    fn act(&mut self, action: Action) -> impl Future<Output = Vec<Event>>;

    fn send(&mut self, to: Peer, word: Word);
}

impl Owner {
    /// Carries out what follows from the event, and from what comes of that. Why an operator's wish is not granted.
    pub async fn happen(&mut self, machine: &mut impl Machine, event: Event) -> Option<Denial> {
        let mut events = VecDeque::from([event]);
        let mut denied = None;
        while let Some(event) = events.pop_front() {
            let step = self.handover.step(event);
            tracing::debug!(domain = %self.domain(), ?event, outputs = ?step.outputs, "handover");
            denied = self.carry(machine, step, &mut events).await.or(denied);
        }
        denied
    }

    /// What another host said of the domain; what is no word of it changes nothing.
    pub async fn hear(&mut self, machine: &mut impl Machine, from: Uuid, message: Option<&Value>) {
        let Some(message) = message.and_then(|value| words::from_value(value).ok()) else { return };
        let (domain, word) = message.word();
        if domain == self.domain()
            && let Some(why) = self.happen(machine, Event::Heard { from: Peer(from), word }).await
        {
            tracing::info!(?why, "not now");
        }
    }

    /// The same of what this host's part begins with.
    pub async fn restart(&mut self, machine: &mut impl Machine) {
        let mut events = VecDeque::new();
        let step = crate::migration::handover::Handover::restarted(self.handover.standing);
        self.carry(machine, step, &mut events).await;
        while let Some(event) = events.pop_front() {
            self.happen(machine, event).await;
        }
    }

    async fn carry(&mut self, machine: &mut impl Machine, step: Step, events: &mut VecDeque<Event>) -> Option<Denial> {
        let before = self.handover;
        let mut denied = None;
        let mut outputs = VecDeque::from(step.outputs);
        self.handover = step.next;
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Record(standing) => {
                    if let Err(failure) = self.write(standing) {
                        tracing::error!(domain = %self.domain(), %failure, "not written, so nothing of it is done");
                        let Step { next, outputs: instead } = before.unwritten();
                        (self.handover, outputs) = (next, VecDeque::from(instead));
                    }
                }
                Output::Send(to, word) => machine.send(to, word),
                Output::Do(action) => events.extend(machine.act(action).await),
                Output::Deny(why) => denied = Some(why),
            }
        }
        denied
    }
}

/// In words.
pub fn denied(why: Denial) -> (&'static str, &'static str) {
    match why {
        Denial::NotOwner => ("another host owns it", "`fief peer list` shows the hosts; it moves from where it is"),
        Denial::Ceded => (
            "it was handed over to another host, which has not said yet that it took it",
            "`fief recover` asks that host again; where it is off for good, `fief recover --claim` takes the domain back",
        ),
        Denial::UnderWay => ("a move of it is under way, or was a moment ago", "try again in a moment"),
        Denial::NoMove => ("it is not being moved", "nothing is to be ended"),
        Denial::NothingToClaim => ("it is this host's, or was never to come here", "nothing is to be claimed"),
    }
}
