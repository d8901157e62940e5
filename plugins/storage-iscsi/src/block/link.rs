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
    Up(Box<Link>),
    /// Commands that wait for a session.
    Down(VecDeque<Left<Waiter>>),
    /// For ever, and why.
    Ended(Error),
}

pub(super) struct Link {
    pub(super) connection: Rc<Connection>,
    pub(super) session: Session<Option<Waiter>>,
    /// A task sends; what comes later is left to it.
    sending: bool,
    /// Bytes came since the watch last looked.
    pub(super) heard: bool,
    /// Why this side ended it.
    pub(super) left: Option<&'static str>,
}

impl Link {
    pub(super) fn new(connection: Connection, session: Session<Option<Waiter>>) -> Box<Self> {
        let connection = Rc::new(connection);
        Box::new(Link { connection, session, sending: false, heard: true, left: None })
    }

    /// Ends the session; what had no answer waits for the next one.
    pub(super) fn leave(&mut self, why: &'static str) {
        self.left = Some(why);
        self.connection.shut();
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
            Phase::Up(link) if Rc::ptr_eq(&link.connection, connection) => Some(&mut **link),
            Phase::Up(_) | Phase::Down(_) | Phase::Ended(_) => None,
        })
        .ok()
    }

    /// Has what is to be sent sent by a task beside, which runs when the others that were woken with the caller have: what they
    /// have to send goes out together. One that had to be given up halfway would leave the stream in the middle of a PDU.
    pub(super) fn send(self: &Rc<Self>) {
        let Phase::Up(link) = &mut *self.phase.borrow_mut() else { return };
        if link.session.has_output() && !std::mem::replace(&mut link.sending, true) {
            let (shared, connection) = (self.clone(), link.connection.clone());
            spawn(async move { shared.send_over(&connection).await });
        }
    }

    async fn send_over(&self, connection: &Rc<Connection>) {
        while let Some(output) = self.outgoing(connection) {
            if connection.send(output).await.is_err() {
                // It is noticed by who receives, and the session ends.
                return connection.shut();
            }
        }
    }

    /// The next that is to be sent; none where there is nothing, and then nobody sends any more.
    fn outgoing(&self, connection: &Rc<Connection>) -> Option<Vec<u8>> {
        let mut link = self.link_of(connection)?;
        let output = link.session.output();
        link.sending = !output.is_empty();
        link.sending.then_some(output)
    }
}
