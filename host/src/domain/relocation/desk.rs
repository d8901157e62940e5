//! `fief serve`'s part in moves: what peers say is carried to the supervisor that works on the domain, and answered by what is
//! on disk where none does. Streams are carried to the hypervisor that waits for them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::asking::{Relayed, relay};
use super::driver::Machine;
use super::forget::{self, named};
use super::words::{self, Ask, Expected, Heard, LISTEN_MAX, Reply};
use super::{Fences, Owner, along, streams};
use crate::config::domain::{self, DomainDefinition};
use crate::config::policy;
use crate::domain::client;
use crate::domain::supervisor::{self, Report};
use crate::domain::{Record, State, store};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::migration::handover::{Action, Attempt, Event, Holding, Peer, Phase, Standing, Word};
use crate::migration::message::{Along, Message, Offer, Reason};
use crate::peer::{Caller, Service, Stream, Streaming};
use crate::types::DomainName;

/// In the domain's folder: what its supervisor begins with; where the stream of memory comes in.
pub const EXPECTED: &str = "incoming.json";
pub const MEMORY: &str = "memory.sock";
/// In the domain's folder, on either host: its guest's state.
pub const STATE: &str = "moving.state";
/// How long a supervisor may take to undo what it made ready.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// A peer that asks again and again without a supervisor that would have a word for it.
const REST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Desk {
    layout: Layout,
    /// One domain is made ready for at a time.
    expecting: Mutex<()>,
}

impl Desk {
    pub fn new(gate: &Gate) -> Desk {
        Desk { layout: gate.layout().clone(), expecting: Mutex::new(()) }
    }

    /// As policy stands now.
    fn gate(&self) -> Result<Gate> {
        let policy = policy::load(&self.layout.policy())?;
        Ok(Gate::new(self.layout.clone(), std::sync::Arc::new(policy), Mode::Perform))
    }

    fn relay(&self, domain: Uuid, heard: Heard) -> Result<Reply> {
        let (begun, from) = (Instant::now(), heard.from);
        let wait = Duration::from_millis(heard.wait_ms.into());
        let relayed = match named(&self.layout, domain)? {
            Some(name) => relay(&self.layout, &name, heard)?,
            None => Relayed::Nobody,
        };
        match relayed {
            Relayed::Words(messages) => Ok(Reply { messages }),
            Relayed::Nobody => {
                if let Some(declined) = self.abandoned(from, domain)? {
                    return Ok(Reply { messages: vec![words::to_value(&declined)?] });
                }
                std::thread::sleep(wait.min(REST).saturating_sub(begun.elapsed()));
                Ok(Reply::default())
            }
        }
    }

    /// What to say to a source whose domain was being made ready for here by a supervisor that is gone: nothing more comes
    /// of that attempt.
    fn abandoned(&self, from: Uuid, domain: Uuid) -> Result<Option<Message>> {
        // Whoever makes a supervisor for it now is waited for.
        let _one = self.expecting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = named(&self.layout, domain)? else { return Ok(None) };
        let Some(Awaited { from: source, attempt, .. }) = awaited(&self.layout, &name) else { return Ok(None) };
        if source != from || Owner::is_busy(&self.layout, domain) {
            return Ok(None);
        }
        let owner = match Owner::open(&self.layout, domain, Standing::FOREIGN) {
            Err(failure) if failure.kind == Kind::Conflict => return Ok(None),
            other => other?,
        };
        match owner.handover.standing.holding {
            Holding::Owned | Holding::Ceded => Ok(None),
            Holding::Foreign | Holding::Gone => Ok(Some(supervisor_ended(domain, attempt, name.as_str()))),
        }
    }

    fn said(&self, caller: &Caller, value: Value) -> Result<Reply> {
        let message = words::from_value(&value)?;
        let (domain, word) = message.word();
        let heard = Heard::says(caller.host, value.clone());
        if Owner::is_busy(&self.layout, domain) && !matches!(message, Message::Prepare { .. }) {
            return self.relay(domain, heard);
        }
        match &message {
            Message::Prepare { what, attempt, .. } => {
                let _one = self.expecting.lock().unwrap_or_else(PoisonError::into_inner);
                self.give_way(caller, domain, *attempt, what)?;
                if Owner::is_busy(&self.layout, domain) {
                    return self.relay(domain, heard);
                }
                if let Some(declined) = self.expect(caller, domain, &message, what, &value)? {
                    return Ok(Reply { messages: vec![words::to_value(&declined)?] });
                }
                let name = named(&self.layout, domain)?;
                match name.map(|name| relay(&self.layout, &name, heard)).transpose()? {
                    Some(Relayed::Words(messages)) => Ok(Reply { messages }),
                    Some(Relayed::Nobody) | None => {
                        let declined = supervisor_ended(domain, *attempt, &what.name);
                        Ok(Reply { messages: vec![words::to_value(&declined)?] })
                    }
                }
            }
            Message::Prepared { .. }
            | Message::Staged { .. }
            | Message::Activate { .. }
            | Message::Activated { .. }
            | Message::Refused { .. }
            | Message::Declined { .. }
            | Message::Cancel { .. }
            | Message::Query { .. }
            | Message::Owner { .. } => self.at_rest(caller, domain, word),
        }
    }

    /// Nobody works on the domain: what is on disk answers.
    fn at_rest(&self, caller: &Caller, domain: Uuid, word: Word) -> Result<Reply> {
        let name = named(&self.layout, domain)?;
        let unknown = if name.is_some() { Standing::FIRST } else { Standing::FOREIGN };
        let mut owner = Owner::open(&self.layout, domain, unknown)?;
        let runs = name.as_ref().is_some_and(|name| {
            Record::load(&self.layout, name)
                .is_ok_and(|record| matches!(record.state_now(), State::Running | State::Paused | State::Preserved))
        });
        // Who does not hold its fences is no witness.
        if owner.handover.standing.holding == Holding::Owned && !runs {
            owner.handover.phase = Phase::Settling { force: false };
        }
        let mut machine = AtRest { gate: self.gate()?, name, messages: Vec::new(), domain };
        let event = Event::Heard { from: Peer(caller.host), word };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context(|| "cannot answer a peer".to_owned())?;
        runtime.block_on(owner.happen(&mut machine, event));
        let holding = owner.handover.standing.holding;
        drop(owner);
        if let Some(name) = &machine.name {
            self.settle(&machine.gate, name, holding);
        }
        Ok(Reply { messages: machine.messages.iter().map(words::to_value).collect::<Result<_>>()? })
    }

    /// What a supervisor that was killed has left of a move: of another host's domain nothing stays, and a guest that is this
    /// host's goes on.
    fn settle(&self, gate: &Gate, name: &DomainName, holding: Holding) {
        let settled = match holding {
            Holding::Foreign | Holding::Gone => forget::forget(gate, name),
            Holding::Owned => client::settle(&self.layout, name).map(drop),
            Holding::Ceded => Ok(()),
        };
        if let Err(failure) = settled {
            tracing::warn!(domain = %name, %failure, "what a move left is not settled");
        }
    }

    /// The source was killed, and whoever came next there says so.
    fn cut_off(&self, caller: &Caller, domain: Uuid, attempt: Attempt) -> Result<Reply> {
        let cancel = Message::Cancel { domain, attempt };
        if !Owner::is_busy(&self.layout, domain) {
            return self.at_rest(caller, domain, cancel.word().1);
        }
        self.relay(domain, Heard { keeps: true, ..Heard::says(caller.host, words::to_value(&cancel)?) })
    }

    /// Who begins anew has given up what was before: its supervisor goes first, with all that it made ready. What came of volumes
    /// stays where all of them come again.
    fn give_way(&self, caller: &Caller, domain: Uuid, attempt: Attempt, next: &Offer) -> Result<()> {
        let Some(name) = named(&self.layout, domain)? else { return Ok(()) };
        let Some(Awaited { from, attempt: before, offer, .. }) = awaited(&self.layout, &name) else { return Ok(()) };
        if from != caller.host || before >= attempt {
            return Ok(());
        }
        let cancel = words::to_value(&Message::Cancel { domain, attempt: before })?;
        if !Owner::is_busy(&self.layout, domain) {
            // Its supervisor is gone; what it left is forgotten below.
            return Ok(());
        }
        let again = |came: &Along| next.along.iter().any(|comes| comes.volume == came.volume);
        let keeps = offer.along.iter().all(again);
        relay(&self.layout, &name, Heard { keeps, ..Heard::says(caller.host, cancel) })?;
        let until = Instant::now() + GONE_WITHIN;
        let there = || Owner::is_busy(&self.layout, domain) || self.layout.domain(&name).exists();
        while there() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Domains that are on their way here.
    fn coming(&self) -> Result<usize> {
        let comes = |name: &DomainName| {
            Record::load(&self.layout, name)
                .is_ok_and(|record| record.state == State::Elsewhere && Owner::is_busy(&self.layout, record.uuid))
        };
        Ok(store::names(&self.layout)?.iter().filter(|name| comes(name)).count())
    }

    /// Makes a supervisor for what is to come; why not, as a word to the source.
    fn expect(
        &self,
        caller: &Caller,
        domain: Uuid,
        message: &Message,
        offer: &Offer,
        value: &Value,
    ) -> Result<Option<Message>> {
        let Message::Prepare { attempt, .. } = message else { return Ok(None) };
        let declined =
            |reason: Reason| Ok(Some(Message::Declined { domain, attempt: *attempt, reasons: vec![reason] }));
        let gate = self.gate()?;
        let sound = |definition| along::coming(offer, &definition).map(|_| definition);
        let definition = match offered(offer, domain).and_then(sound) {
            Ok(definition) => definition,
            Err(failure) => return declined(reason("definition", &offer.name, &failure)),
        };
        let name = definition.name.clone();
        if !gate.policy().relocation.accepts(&caller.peer, &name) {
            let denied = Failure::denied(format!("its policy does not let {} send domain {name}", caller.peer))
                .hint("[[relocation.accept]] in policy.toml there");
            return declined(reason("denied", name.as_str(), &denied));
        }
        if self.coming()? >= gate.policy().relocation.at_once as usize {
            let busy = Failure::conflict("as many domains as its policy takes at a time are on their way there")
                .hint("try again when one has come, or raise `at-once` in [relocation] there");
            return declined(reason("at-once", name.as_str(), &busy));
        }
        let there = named(&self.layout, domain)?;
        let unknown = if there.is_some() { Standing::FIRST } else { Standing::FOREIGN };
        let mut owner = Owner::open(&self.layout, domain, unknown)?;
        match owner.handover.standing.holding {
            Holding::Foreign | Holding::Gone => {}
            Holding::Owned | Holding::Ceded => {
                let owned = Failure::conflict("that host has it already, or handed it over and does not know yet");
                return declined(reason("owned", name.as_str(), &owned));
            }
        }
        // Before anything is made, so that nothing of it is taken for a domain of this host's own.
        let standing = owner.handover.standing;
        owner.write(standing)?;
        drop(owner);
        if let Some(left) = there {
            // Of an earlier attempt, whose supervisor is gone.
            forget::forget(&gate, &left)?;
        }
        let expected = Expected { from: caller.host, message: value.clone() };
        let bytes = serde_json::to_vec(&expected).context(|| "cannot write down what is to come".to_owned())?;
        if let Err(failure) = store::expect(&self.layout, &definition, (EXPECTED, &bytes)) {
            return declined(reason("name-taken", name.as_str(), &failure));
        }
        match client::supervise(&self.layout, &name, &supervisor::Purpose::Incoming)? {
            Report::Expecting => Ok(None),
            Report::Failed(failure) => declined(reason("supervisor", name.as_str(), &failure)),
            Report::Running { .. } | Report::Off | Report::Handing => {
                declined(reason("supervisor", name.as_str(), &Failure::other("it ended at once")))
            }
        }
    }
}

/// Of an attempt for which this host was making ready.
fn supervisor_ended(domain: Uuid, attempt: Attempt, name: &str) -> Message {
    let ended = Failure::other("its supervisor there ended").hint("`fief logs --supervisor` there");
    Message::Declined { domain, attempt, reasons: vec![reason("supervisor", name, &ended)] }
}

/// What a supervisor of a domain began with that another host is to hand over.
pub(super) struct Awaited {
    pub(super) from: Uuid,
    pub(super) domain: Uuid,
    pub(super) attempt: Attempt,
    pub(super) offer: Box<Offer>,
}

/// None where no such domain is awaited.
pub(super) fn awaited(layout: &Layout, name: &DomainName) -> Option<Awaited> {
    let bytes = std::fs::read(layout.domain(name).join(EXPECTED)).ok()?;
    let Expected { from, message } = serde_json::from_slice(&bytes).ok()?;
    match words::from_value(&message).ok()? {
        Message::Prepare { domain, attempt, what: offer } => Some(Awaited { from, domain, attempt, offer }),
        _ => None,
    }
}

pub(super) fn offered(offer: &Offer, domain: Uuid) -> Result<DomainDefinition> {
    let definition =
        domain::parse(offer.definition.as_bytes(), "the definition that came", &mut domain::RandomIdentity)?;
    match definition.name.as_str() == offer.name && definition.uuid == domain {
        true => Ok(definition),
        false => Err(Failure::usage("the definition is of another domain than the one that is to move")),
    }
}

/// A failure as a reason for the other host.
pub fn reason(code: &str, object: &str, failure: &Failure) -> Reason {
    let message = std::iter::once(failure.message.clone()).chain(failure.causes.iter().cloned());
    Reason {
        code: code.to_owned(),
        object: object.to_owned(),
        message: message.collect::<Vec<_>>().join(": ").chars().take(1000).collect(),
        remedy: failure.hint.clone(),
    }
}

/// Of a domain that nobody works on.
struct AtRest {
    gate: Gate,
    name: Option<DomainName>,
    domain: Uuid,
    messages: Vec<Message>,
}

impl Machine for AtRest {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        let done = match (action, &self.name) {
            (Action::DropStage(_) | Action::DropEveryStage | Action::Forget, Some(name)) => {
                forget::forget(&self.gate, name)
            }
            (Action::LetFenceGo, Some(name)) => store::load(self.gate.layout(), name)
                .and_then(|definition| Fences::of(&self.gate, &definition)?.release()),
            // Without a supervisor nothing of it is under way.
            (
                Action::Stage(_)
                | Action::DropStage(_)
                | Action::DropMemory(_)
                | Action::DropKept
                | Action::DropEveryStage
                | Action::Transfer(_)
                | Action::StopTransfer(_)
                | Action::Close(_)
                | Action::TakeFence { .. }
                | Action::LetFenceGo
                | Action::Run(_)
                | Action::Forget,
                _,
            ) => Ok(()),
        };
        if let Err(failure) = done {
            tracing::warn!(domain = %self.domain, %failure, "something of a domain of another host's is left");
        }
        Vec::new()
    }

    fn send(&mut self, _: Peer, word: Word) {
        self.messages.push(Message::of(self.domain, word, || Offer::none(String::new()), Vec::new));
    }
}

impl Service for Desk {
    fn answer(&self, caller: &Caller, body: Value) -> Result<Value> {
        let ask: Ask = serde_json::from_value(body)
            .map_err(|error| Failure::usage("not a request about a move").because(error))?;
        let listening = |wait_ms: u32, delivered| Heard {
            from: caller.host,
            message: None,
            wait_ms: wait_ms.min(LISTEN_MAX),
            delivered,
            keeps: false,
        };
        let reply = match ask {
            Ask::Say { message } => self.said(caller, message)?,
            Ask::Listen { domain, wait_ms } => self.relay(domain, listening(wait_ms, None))?,
            Ask::CutOff { domain, attempt } => self.cut_off(caller, domain, attempt)?,
            Ask::Delivered { domain, attempt } => self.relay(domain, listening(0, Some(attempt)))?,
        };
        serde_json::to_value(reply).context(|| "cannot answer a peer".to_owned())
    }

    fn admits(&self, caller: &Caller, purpose: &Value) -> Result<()> {
        streams::place(&self.layout, caller, purpose).map(drop)
    }

    fn stream(&self, caller: Caller, purpose: Value, stream: Stream) -> Streaming {
        let place = streams::place(&self.layout, &caller, &purpose);
        let gate = self.gate();
        Box::pin(async move { place?.take(&gate?, stream).await })
    }
}
