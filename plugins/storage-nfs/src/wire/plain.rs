//! A stream that waits, for control calls: one call, its answer, then the next. Its futures are ready whenever they are
//! looked at, so [`now`] runs them without anything that schedules.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use fief_sdk::connections::Connection;
use fief_sdk::{Error, ErrorCode, Result, Retry};
use futures_util::FutureExt;

use super::{AT_ONCE, MOST_RECORD, Wire, random};
use crate::rpc::{Records, xid};
use crate::xdr::Malformed;

/// A control call may take 30 s in all (the SDK's manual); past this it says what it waits for instead.
const PATIENCE: Duration = Duration::from_secs(22);
/// A stream that was lost is opened anew so many times for one call.
const ATTEMPTS: u32 = 3;

pub(crate) struct Plain {
    grant: &'static str,
    stream: RefCell<Option<Connection>>,
    next: Cell<u32>,
    until: Instant,
    /// The server was silent once: it is waited for no more, to close a file say. Twice is all the time that a call has.
    silent: RefCell<Option<Error>>,
}

impl Plain {
    pub(crate) fn open(grant: &'static str) -> Result<Self> {
        let stream = Connection::open(grant)?;
        let next = Cell::new((random() >> 32) as u32);
        let (stream, until) = (RefCell::new(Some(stream)), Instant::now() + PATIENCE);
        Ok(Plain { grant, stream, next, until, silent: RefCell::default() })
    }

    /// Over one stream; the outer error is for another try, the inner for none.
    fn once(&self, number: u32, record: &[u8]) -> Result<Result<Vec<u8>>> {
        let mut stream = self.stream.borrow_mut();
        let stream = match &mut *stream {
            Some(stream) => stream,
            none => none.insert(Connection::open(self.grant)?),
        };
        stream.write(record)?;
        let mut records = Records::new(MOST_RECORD);
        loop {
            let bytes = stream.read(AT_ONCE)?;
            if bytes.is_empty() {
                return Err(Error::unreachable("the server closed the connection"));
            }
            records.push(&bytes);
            loop {
                match records.take() {
                    // An answer to an earlier attempt is nobody's.
                    Ok(Some(record)) if xid(&record) == Ok(number) => return Ok(Ok(record)),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(malformed) => return Ok(Err(Error::corrupt(malformed.to_string()))),
                }
            }
        }
    }
}

impl Wire for Plain {
    fn xid(&self) -> u32 {
        self.next.set(self.next.get().wrapping_add(1));
        self.next.get()
    }

    async fn exchange(&self, number: u32, encode: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>> {
        if let Some(silent) = &*self.silent.borrow() {
            return Err(silent.clone());
        }
        let record = encode();
        let mut attempt = 1;
        loop {
            match self.once(number, &record) {
                Ok(answer) => return answer,
                Err(lost) => {
                    self.stream.take();
                    if lost.code == ErrorCode::Denied || lost.code == ErrorCode::Timeout || attempt == ATTEMPTS {
                        let lost = lost.while_doing("the NFS server does not answer");
                        if lost.code == ErrorCode::Timeout {
                            self.silent.replace(Some(lost.clone()));
                        }
                        return Err(lost);
                    }
                    attempt += 1;
                    self.wait(200).await?;
                }
            }
        }
    }

    async fn wait(&self, milliseconds: u32) -> Result<()> {
        if Instant::now() > self.until {
            return Err(Error::unreachable("the NFS server asks to come later, as after its start")
                .retry(Retry::AfterMs(5_000)));
        }
        std::thread::sleep(Duration::from_millis(milliseconds.into()));
        Ok(())
    }

    async fn distrust(&self, why: Malformed) -> Result<()> {
        self.stream.take();
        Err(Error::corrupt(why.to_string()))
    }
}

/// Runs what goes over a [`Plain`] wire.
pub(crate) fn now<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.now_or_never().unwrap_or_else(|| Err(Error::io("a plain call waited for something that never comes")))
}
