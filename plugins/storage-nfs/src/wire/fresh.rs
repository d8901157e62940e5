//! A stream that has just been connected and carries nothing yet: whoever is at its other end says first who it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fief_sdk::connections::Connection;
use fief_sdk::{Error, Result, timer};

use super::{AT_ONCE, MOST_RECORD, Wire, random};
use crate::rpc::{Records, xid};
use crate::xdr::Malformed;

/// Calls are sent together up to so many bytes: joining more costs a copy.
const PIECE: usize = 32 << 10;

pub(crate) struct Fresh {
    pub(crate) stream: Connection,
    pub(crate) records: RefCell<Records>,
    next: Cell<u32>,
    /// Calls that wait to be sent.
    out: RefCell<VecDeque<Vec<u8>>>,
    /// A task sends; what comes later is left to it.
    sending: Cell<bool>,
}

impl Fresh {
    pub(crate) fn new(stream: Connection) -> Self {
        let next = Cell::new((random() >> 32) as u32);
        let records = RefCell::new(Records::new(MOST_RECORD));
        Fresh { stream, records, next, out: RefCell::default(), sending: Cell::new(false) }
    }

    /// Has a call sent by a task beside, which runs when the others that were woken with the caller have: what they have to
    /// send goes out together. Where it cannot be sent, the stream ends.
    pub(crate) fn post(self: &Rc<Self>, call: Vec<u8>) {
        let mut out = self.out.borrow_mut();
        match out.back_mut() {
            Some(last) if last.len() + call.len() <= PIECE => last.extend_from_slice(&call),
            Some(_) | None => out.push_back(call),
        }
        if !self.sending.replace(true) {
            let stream = self.clone();
            fief_sdk::spawn(async move { stream.send().await });
        }
    }

    async fn send(&self) {
        loop {
            let next = self.out.borrow_mut().pop_front();
            let Some(next) = next else { return self.sending.set(false) };
            if self.stream.send(next).await.is_err() {
                return self.stream.shut();
            }
        }
    }

    /// More of the stream: what is needed for another record.
    pub(crate) async fn receive(&self) -> Result<Vec<u8>> {
        let (least, most) = self.records.borrow().wanted(AT_ONCE as usize);
        // Neither is more than the longest record.
        self.stream.receive(least as u32, most as u32).await
    }

    fn take(&self) -> Result<Option<Vec<u8>>> {
        self.records.borrow_mut().take().map_err(|malformed| Error::unreachable(malformed.to_string()))
    }
}

/// Every failure here is `unreachable`: the stream is dropped and another tried.
impl Wire for Fresh {
    fn xid(&self) -> u32 {
        self.next.set(self.next.get().wrapping_add(1));
        self.next.get()
    }

    async fn exchange(&self, number: u32, encode: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>> {
        let lost = |error: Error| Error::unreachable(error.message);
        self.stream.send(encode()).await.map_err(lost)?;
        loop {
            while let Some(record) = self.take()? {
                if xid(&record) == Ok(number) {
                    return Ok(record);
                }
            }
            let bytes = self.receive().await.map_err(lost)?;
            if bytes.is_empty() {
                return Err(Error::unreachable("the server closed the connection"));
            }
            self.records.borrow_mut().give(bytes);
        }
    }

    async fn wait(&self, milliseconds: u32) -> Result<()> {
        timer::wait(milliseconds).await;
        Ok(())
    }

    async fn distrust(&self, why: Malformed) -> Result<()> {
        Err(Error::unreachable(why.to_string()))
    }
}
