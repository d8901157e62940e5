//! A stream that has just been connected and carries nothing yet: whoever is at its other end says first who it is.

use std::cell::{Cell, RefCell};

use fief_sdk::connections::Connection;
use fief_sdk::{Error, Result, timer};

use super::{AT_ONCE, MOST_RECORD, Wire, random};
use crate::rpc::{Records, xid};
use crate::xdr::Malformed;

pub(crate) struct Fresh {
    pub(crate) stream: Connection,
    pub(crate) records: RefCell<Records>,
    next: Cell<u32>,
}

impl Fresh {
    pub(crate) fn new(stream: Connection) -> Self {
        let next = Cell::new((random() >> 32) as u32);
        Fresh { stream, records: RefCell::new(Records::new(MOST_RECORD)), next }
    }

    /// Bytes without which there is no other record.
    pub(crate) fn missing(&self) -> u32 {
        u32::try_from(self.records.borrow().missing()).unwrap_or(u32::MAX)
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
            let bytes = self.stream.receive(self.missing(), AT_ONCE).await.map_err(lost)?;
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
