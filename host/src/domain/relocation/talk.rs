//! What a source says to its target, and hears: requests over one control connection, made anew whenever it is gone.
//!
//! ```text
//!   say ─▸ queue ─▸ Say …      ─┐                    each answer, and each Listen's, holds words of the other host
//!                 Listen, always ┴─▸ Session ─▸ heard
//! ```
//! What is lost on the way is said again by the handover's tick, so nothing is kept here.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::SERVICE;
use super::words::{self, Ask, Reply};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::migration::handover::Attempt;
use crate::migration::message::Message;
use crate::peer::{Session, hold};
use crate::types::PeerName;

/// How long an answer may take: a target starts a hypervisor meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the target waits before it says that it has nothing to say.
const LISTEN_MS: u32 = 5_000;
/// Between two tries to connect: the first, and the longest.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum Said {
    /// The other host answered; a word of its, or none.
    Word(Option<Message>),
    Away(Failure),
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Talk {
    say: mpsc::UnboundedSender<Ask>,
    pub heard: mpsc::UnboundedReceiver<Said>,
    task: Option<JoinHandle<()>>,
    /// Keeps the ends of one that speaks with nobody.
    _silence: Option<(mpsc::UnboundedReceiver<Ask>, mpsc::UnboundedSender<Said>)>,
}

impl Talk {
    /// Needs a runtime for as long as it lives.
    pub fn with(gate: &Gate, peer: &PeerName, domain: Uuid) -> Talk {
        let (say, queue) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(go(gate.clone(), peer.clone(), domain, queue, tell));
        Talk { say, heard, task: Some(task), _silence: None }
    }

    /// With a host that is no peer any more.
    pub fn with_nobody() -> Talk {
        let (say, queue) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        Talk { say, heard, task: None, _silence: Some((queue, tell)) }
    }

    pub fn say(&self, message: &Message) {
        match words::to_value(message) {
            Ok(message) => drop(self.say.send(Ask::Say { message })),
            Err(failure) => tracing::error!(%failure, "a word is not said"),
        }
    }

    pub fn ask(&self, ask: Ask) {
        drop(self.say.send(ask));
    }
}

/// Says of an attempt that it was cut off.
///
/// # Errors
/// `Unreachable` where the other host does not hear it: it gives the attempt up by itself, and keeps what came.
pub async fn cut_off(gate: &Gate, peer: &PeerName, domain: Uuid, attempt: Attempt) -> Result<()> {
    let session = Session::connect(gate, peer, CONNECT_WITHIN).await?;
    let told: Result<Reply> = session.request(SERVICE, &Ask::CutOff { domain, attempt }, ANSWER_WITHIN).await;
    match told {
        // A host that knows no such word gives all of it up.
        Err(failure) if failure.kind != Kind::Unreachable => {
            let message = words::to_value(&Message::Cancel { domain, attempt })?;
            let said: Result<Reply> = session.request(SERVICE, &Ask::Say { message }, ANSWER_WITHIN).await;
            said.map(drop)
        }
        told => told.map(drop),
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn go(
    gate: Gate,
    peer: PeerName,
    domain: Uuid,
    mut queue: mpsc::UnboundedReceiver<Ask>,
    tell: mpsc::UnboundedSender<Said>,
) {
    // It is not forgotten while a domain is on its way there.
    let _held = hold(gate.layout(), &peer).inspect_err(|failure| tracing::warn!(%failure, "it may be forgotten"));
    let mut rest = FIRST_REST;
    loop {
        let failure = match Session::connect(&gate, &peer, CONNECT_WITHIN).await {
            Ok(session) => {
                rest = FIRST_REST;
                tokio::select! {
                    failure = speak(&session, &mut queue, &tell) => failure,
                    failure = listen(&session, domain, &tell) => failure,
                }
            }
            Err(failure) => failure,
        };
        tracing::info!(%peer, %failure, "the other host is away");
        if tell.send(Said::Away(failure)).is_err() {
            return;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
}

async fn speak(
    session: &Session,
    queue: &mut mpsc::UnboundedReceiver<Ask>,
    tell: &mpsc::UnboundedSender<Said>,
) -> Failure {
    loop {
        let Some(ask) = queue.recv().await else { return Failure::other("nobody speaks any more") };
        if let Err(failure) = once(session, &ask, tell).await {
            return failure;
        }
    }
}

async fn listen(session: &Session, domain: Uuid, tell: &mpsc::UnboundedSender<Said>) -> Failure {
    loop {
        if let Err(failure) = once(session, &Ask::Listen { domain, wait_ms: LISTEN_MS }, tell).await {
            return failure;
        }
    }
}

async fn once(session: &Session, ask: &Ask, tell: &mpsc::UnboundedSender<Said>) -> Result<()> {
    let reply: Reply = session.request(SERVICE, ask, ANSWER_WITHIN).await?;
    let word = |value: &Value| match words::from_value(value) {
        Ok(message) => Some(message),
        Err(failure) => {
            tracing::warn!(%failure, "passed over");
            None
        }
    };
    let mut words: Vec<Option<Message>> = reply.messages.iter().map(word).filter(Option::is_some).collect();
    if words.is_empty() {
        words.push(None);
    }
    for word in words {
        // Whoever listened may have heard enough.
        let _ = tell.send(Said::Word(word));
    }
    Ok(())
}
