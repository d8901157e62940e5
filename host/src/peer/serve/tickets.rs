//! What ties a stream to the control connection that it was arranged over: a number that nobody can guess, good once, for
//! one peer, and for a moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fief_wire::text::hex;
use serde_json::Value;

use crate::error::{Context, Failure, Result};
use crate::peer::Caller;

/// From the ticket to the connection that brings it.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Tickets of one control connection that nobody has brought yet.
const OPEN_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticket {
    pub caller: Caller,
    pub service: String,
    pub purpose: Value,
    pub plain: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<BTreeMap<String, (Instant, Ticket)>>);

impl Tickets {
    pub(super) fn give(&self, ticket: Ticket, now: Instant) -> Result<String> {
        let mut random = [0; 32];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .context(|| "cannot get random bytes".to_owned())?;
        let mut open = self.open(now);
        if open.values().filter(|(_, other)| other.caller.session == ticket.caller.session).count() >= OPEN_MAX {
            return Err(Failure::conflict("too many streams are opened at a time"));
        }
        let number = hex(&random);
        open.insert(number.clone(), (now, ticket));
        Ok(number)
    }

    /// The ticket of that number; it is used up, whoever brought it.
    pub(super) fn take(&self, number: &str, now: Instant) -> Result<Ticket> {
        let ticket = self.open(now).remove(number);
        ticket.map(|(_, ticket)| ticket).ok_or_else(|| Failure::denied("no stream is expected, or not any more"))
    }

    /// Those of a control connection that is over.
    pub(super) fn void(&self, session: u64) {
        self.open(Instant::now()).retain(|_, (_, ticket)| ticket.caller.session != session);
    }

    fn open(&self, now: Instant) -> MutexGuard<'_, BTreeMap<String, (Instant, Ticket)>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (given, _)| now.saturating_duration_since(*given) < GOOD_FOR);
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    fn ticket(session: u64) -> Ticket {
        let caller = Caller {
            peer: "b".parse().unwrap(),
            host: uuid::Uuid::nil(),
            fingerprint: Digest::of(b"b"),
            address: ([10, 0, 0, 2], 5).into(),
            version: 1,
            session,
        };
        Ticket { caller, service: "s".into(), purpose: Value::Null, plain: false }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_moment() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let number = tickets.give(ticket(1), now).unwrap();
        assert_eq!(number.len(), 64);
        assert_eq!(tickets.take(&number, now).unwrap(), ticket(1));
        assert!(tickets.take(&number, now).is_err() && tickets.take("", now).is_err());
        let late = tickets.give(ticket(1), now).unwrap();
        assert!(tickets.take(&late, now + GOOD_FOR).is_err());
        let over = tickets.give(ticket(1), now).unwrap();
        let other = tickets.give(ticket(2), now).unwrap();
        tickets.void(1);
        assert!(tickets.take(&over, now).is_err() && tickets.take(&other, now).is_ok());
        for _ in 0..OPEN_MAX {
            tickets.give(ticket(3), now).unwrap();
        }
        assert!(tickets.give(ticket(3), now).is_err() && tickets.give(ticket(4), now).is_ok());
    }
}
