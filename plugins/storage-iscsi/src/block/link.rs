//! The session that is there, or what waits for the next one.

use std::cell::RefMut;
use std::collections::VecDeque;
use std::rc::Rc;

use fief_sdk::connections::Connection;
use fief_sdk::{Error, spawn};
use futures_channel::oneshot;

use super::Shared;
use crate::protocol::session::{Answer, Command, Left, Session};

/// How a command ended, with the command itself, to be sent again if need be.
pub(super) type Outcome = Result<(Command, Answer), Error>;
pub(super) type Waiter = oneshot::Sender<Outcome>;

pub(super) enum Phase {
    Up(Link),
    /// Commands that wait for a session.
    Down(VecDeque<Left<Waiter>>),
    /// For ever, and why.
    Ended(Error),
}

pub(super) struct Link {
    pub(super) connection: Rc<Connection>,
    pub(super) session: Session<Option<Waiter>>,
    /// Somebody sends; who comes later leaves it to them.
    sending: bool,
    /// Bytes came since the watch last looked.
    pub(super) heard: bool,
    /// Why this side ended it.
    pub(super) left: Option<&'static str>,
}

impl Link {
    pub(super) fn new(connection: Connection, session: Session<Option<Waiter>>) -> Self {
        Link { connection: Rc::new(connection), session, sending: false, heard: true, left: None }
    }

    /// Ends the session; what had no answer waits for the next one.
    pub(super) fn leave(&mut self, why: &'static str) {
        self.left = Some(why);
        self.connection.shut();
    }
}

/// Says that nobody sends any more. A send that is given up halfway leaves the stream in the middle of a PDU.
struct Sending<'a> {
    shared: &'a Shared,
    connection: Rc<Connection>,
    whole: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.connection.shut();
        }
        if let Some(mut link) = self.shared.link_of(&self.connection) {
            link.sending = false;
        }
    }
}

impl Shared {
    /// Hands a command to the session, or keeps it for the next one. The answer comes to the waiter.
    pub(super) fn submit(&self, waiter: Waiter, command: Command) {
        match &mut *self.phase.borrow_mut() {
            Phase::Up(link) => link.session.submit(Some(waiter), command),
            Phase::Down(waiting) => waiting.push_back(Left { who: waiter, command, suspect: false }),
            Phase::Ended(error) => {
                // Whoever gave up has no use for it.
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }

    /// The session of this connection, while it is the one that is up.
    pub(super) fn link_of(&self, connection: &Rc<Connection>) -> Option<RefMut<'_, Link>> {
        RefMut::filter_map(self.phase.borrow_mut(), |phase| match phase {
            Phase::Up(link) if Rc::ptr_eq(&link.connection, connection) => Some(link),
            Phase::Up(_) | Phase::Down(_) | Phase::Ended(_) => None,
        })
        .ok()
    }

    /// What is to be sent, for the one who shall send it; none where there is nothing, or another does.
    fn outgoing(&self) -> Option<(Sending<'_>, Vec<u8>)> {
        let mut phase = self.phase.borrow_mut();
        let link = match &mut *phase {
            Phase::Up(link) if !link.sending => link,
            Phase::Up(_) | Phase::Down(_) | Phase::Ended(_) => return None,
        };
        let output = link.session.output();
        if output.is_empty() {
            return None;
        }
        link.sending = true;
        let connection = link.connection.clone();
        Some((Sending { shared: self, connection, whole: false }, output))
    }

    /// Sends once what is to be sent. What others gathered meanwhile goes out beside whoever called.
    pub(super) async fn send(self: &Rc<Self>) {
        let Some((mut sending, output)) = self.outgoing() else { return };
        // A stream that broke is noticed by who receives.
        sending.whole = sending.connection.send(output).await.is_ok();
        drop(sending);
        self.send_beside();
    }

    /// Sends in a task of its own, so that the caller may go on.
    pub(super) fn send_beside(self: &Rc<Self>) {
        let more = match &*self.phase.borrow() {
            Phase::Up(link) => !link.sending && link.session.has_output(),
            Phase::Down(_) | Phase::Ended(_) => false,
        };
        if more {
            let shared = self.clone();
            spawn(async move { while shared.send_one().await {} });
        }
    }

    async fn send_one(&self) -> bool {
        let Some((mut sending, output)) = self.outgoing() else { return false };
        sending.whole = sending.connection.send(output).await.is_ok();
        sending.whole
    }
}
