//! A peer's control connection: its requests, each answered by a service on a thread of its own, in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fief_wire::frame::{self, FRAME_MAX, Within};
use fief_wire::message::{Answer, Ask, StreamGranted, StreamWanted};
use fief_wire::{Body, Trouble, text};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::House;
use super::accept::is_near;
use super::tickets::Ticket;
use crate::config::policy::Encryption;
use crate::error::{Context, Failure, Result};
use crate::gate::peers;
use crate::peer::ask::Pong;
use crate::peer::service::Caller;
use crate::peer::{FRAME, SILENCE, clock, outgoing, told};
use crate::types::{Endpoint, Host};

/// Requests of one connection that are under way; each has a thread.
const UNDER_WAY: usize = 16;
/// Answers that wait to be written.
const QUEUE: usize = 32;

pub(super) async fn serve(house: &Arc<House>, stream: TlsStream<TcpStream>, caller: &Caller) {
    tracing::debug!(peer = %caller.peer, session = caller.session, "a peer is here");
    let near = is_near(stream.get_ref().0).unwrap_or(false);
    let (mut reader, writer) = tokio::io::split(stream);
    let (answers, queue) = mpsc::channel(QUEUE);
    let writing = tokio::spawn(outgoing::write(writer, queue));
    let desk = Desk { house: house.clone(), caller: caller.clone(), near, under_way: Arc::default(), answers };
    let mut closing = house.closing.clone();
    let within = Within { begin: SILENCE, rest: FRAME };
    let ended = loop {
        let asked = tokio::select! {
            asked = frame::receive::<Ask>(&mut reader, FRAME_MAX, within) => asked,
            _ = closing.wait_for(|closing| *closing) => {
                desk.say(Answer::Closing).await;
                break None;
            }
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(Trouble::Closed) => break None,
            Err(trouble) => break Some(trouble.to_string()),
        };
        // Whoever was removed is a stranger at once.
        if !matches!(peers::get(&house.layout, &caller.peer), Ok(pinned) if pinned.fingerprint == caller.fingerprint) {
            desk.say(Answer::Closing).await;
            break Some("it is a peer no more".to_owned());
        }
        match asked {
            Ask::Ping { id } => desk.say(Answer::Pong { id }).await,
            Ask::Request { id, service, body } => desk.take(id, service, body).await,
        }
    };
    house.tickets.void(caller.session);
    house.services.all().for_each(|service| service.gone(caller));
    if let Some(why) = ended {
        house.complain(caller.address, "peer-broken-off", &format!("the peer {}: {why}", caller.peer));
    }
    // Answers that are still to come go nowhere.
    drop(desk);
    let _ = tokio::time::timeout(FRAME, async {
        // What was said last is written.
        let _ = writing.await;
    })
    .await;
}

#[derive(Clone)]
struct Desk {
    house: Arc<House>,
    caller: Caller,
    /// The connection does not leave this machine.
    near: bool,
    under_way: Arc<AtomicUsize>,
    answers: mpsc::Sender<Vec<u8>>,
}

impl Desk {
    /// Where the peer does not read, this waits, and nothing more is read from it.
    async fn say(&self, answer: Answer) {
        let bytes = frame::encode(&answer, FRAME_MAX).or_else(|trouble| {
            let (Answer::Reply { id, .. } | Answer::Failed { id, .. } | Answer::Pong { id }) = answer else {
                return Err(trouble);
            };
            let failure = told(&Failure::other(format!("the answer cannot be sent: {trouble}")));
            frame::encode(&Answer::Failed { id, failure }, FRAME_MAX)
        });
        if let Ok(bytes) = bytes {
            let _ = self.answers.send(bytes).await;
        }
    }

    async fn answered(&self, id: u64, answer: Result<Value>) {
        self.say(match answer {
            Ok(body) => Answer::Reply { id, body: Body(body) },
            Err(failure) => Answer::Failed { id, failure: told(&failure) },
        })
        .await;
    }

    async fn take(&self, id: u64, service: String, body: Body) {
        match service.as_str() {
            "ping" => self.answered(id, pong()).await,
            "stream" => self.answered(id, self.stream(body)).await,
            _ => self.ask(id, &service, body).await,
        }
    }

    async fn ask(&self, id: u64, service: &str, body: Body) {
        let service = match self.house.services.get(service) {
            Ok(service) => service,
            Err(failure) => return self.answered(id, Err(failure)).await,
        };
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= UNDER_WAY {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            let failure = Failure::conflict(format!("{UNDER_WAY} requests are under way already"));
            return self.answered(id, Err(failure)).await;
        }
        let (caller, under_way) = (self.caller.clone(), self.under_way.clone());
        let desk = self.clone();
        tokio::spawn(async move {
            let answer = tokio::task::spawn_blocking(move || service.answer(&caller, body.0)).await;
            let answer = answer.unwrap_or_else(|_| Err(Failure::other("what was asked ended in the middle")));
            desk.answered(id, answer).await;
            // Not before: a peer that asks and does not read is not to fill this host with answers.
            under_way.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// A ticket for a stream.
    fn stream(&self, body: Body) -> Result<Value> {
        let wanted: StreamWanted = serde_json::from_value(body.0).map_err(|error| {
            Failure::usage(format!("not a request for a stream: {}", text::line(&error.to_string())))
        })?;
        let service = self.house.services.get(&wanted.service)?;
        service.admits(&self.caller, &wanted.purpose.0)?;
        let relocation = self.house.policy()?.relocation;
        let plain = wanted.plain && self.near && relocation.encryption == Encryption::Off;
        let ticket = Ticket { caller: self.caller.clone(), service: wanted.service, purpose: wanted.purpose.0, plain };
        let ticket = self.house.tickets.give(ticket, Instant::now())?;
        let endpoint = |address| Endpoint { host: Host::Address(address), port: relocation.port };
        let address = relocation.stream_network.map(|address| endpoint(address).to_string());
        serde_json::to_value(StreamGranted { ticket, address, plain }).context(|| "cannot give a ticket".to_owned())
    }
}

fn pong() -> Result<Value> {
    serde_json::to_value(Pong { clock: clock() }).context(|| "cannot tell the time".to_owned())
}
