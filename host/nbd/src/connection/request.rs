//! A request that is being done, in one piece or several.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Context;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Done};
use crate::perform::{Answer, Piece};
use crate::request::Ask;
use crate::{Device, Error, Kind};

#[derive(Debug)]
pub(super) struct Request {
    pub(super) cookie: u64,
    pub(super) ask: Ask,
    /// Pieces that were begun and are not done.
    left: Cell<u32>,
    /// No further piece will begin.
    all_begun: Cell<bool>,
    /// It took more than one.
    several: Cell<bool>,
    failed: RefCell<Option<Error>>,
    /// A read that comes back in one piece, gathered from several.
    whole: RefCell<Vec<u8>>,
    /// Written, in several pieces, and now flushed.
    flushing: Cell<bool>,
}

impl Request {
    pub(super) fn new(cookie: u64, ask: Ask) -> Rc<Self> {
        Rc::new(Request {
            cookie,
            ask,
            left: Cell::new(0),
            all_begun: Cell::new(false),
            several: Cell::new(false),
            failed: RefCell::new(None),
            whole: RefCell::new(Vec::new()),
            flushing: Cell::new(false),
        })
    }

    pub(super) fn begun(&self) {
        self.left.set(self.left.get() + 1);
    }

    /// The next piece is the last; `several` says whether it is the only one.
    pub(super) fn last_piece(&self, several: bool) {
        self.all_begun.set(true);
        self.several.set(several);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }
}

impl<D: Device, S: AsyncRead + AsyncWrite + Unpin> Connection<'_, D, S> {
    /// Takes what the device answered, and replies to what is done with it.
    pub(super) fn settle(&mut self, done: Done, context: &mut Context<'_>) {
        let Done { request, offset, cost, answer } = done;
        self.held -= cost;
        self.shared.count(|statistics| statistics.requests_in_flight -= 1);
        request.left.set(request.left.get() - 1);
        let last = request.left.get() == 0 && request.all_begun.get();
        let answer = answer.unwrap_or_else(|error| {
            request.failed.borrow_mut().get_or_insert(error);
            Answer::Done
        });
        let good = !request.has_failed();
        match (request.ask, answer) {
            (Ask::Read { whole: false, .. }, Answer::Data(data)) => {
                self.count_read(data.len());
                self.output.data(request.cookie, offset, data, last && good);
            }
            (Ask::Read { offset: start, length, whole: true }, Answer::Data(data)) => {
                self.count_read(data.len());
                if let Some(data) = whole(&request, start, length, offset, data, last)
                    && good
                {
                    self.reply_whole(request.cookie, start, data);
                }
            }
            (Ask::Status { .. }, Answer::Extents(extents)) => self.output.extents(request.cookie, &extents),
            (Ask::Write { durable: true, .. }, Answer::Done)
                if last && good && request.several.get() && !request.flushing.get() =>
            {
                // Its pieces were written as they came; one flush makes them all durable.
                request.flushing.set(true);
                return self.begin(request, 0, 0, Piece::Flush, context);
            }
            (_, Answer::Done | Answer::Data(_) | Answer::Extents(_)) if last && good => {
                self.output.done(request.cookie);
            }
            (_, Answer::Done | Answer::Data(_) | Answer::Extents(_)) => {}
        }
        if last {
            let failed = request.failed.borrow_mut().take();
            if let Some(error) = failed {
                self.refuse(request.cookie, told(&request.ask, error.kind), &error);
            }
            self.count(&request.ask);
        }
    }

    pub(super) fn refuse(&mut self, cookie: u64, kind: Kind, error: &Error) {
        self.shared.count(|statistics| statistics.errors += 1);
        self.output.failed(cookie, kind.number(), &error.message, self.agreed.structured);
    }

    fn reply_whole(&mut self, cookie: u64, offset: u64, data: Vec<u8>) {
        if self.agreed.structured {
            self.output.data(cookie, offset, data, true);
        } else {
            self.output.plain_data(cookie, data);
        }
    }

    fn count_read(&self, bytes: usize) {
        self.shared.count(|statistics| statistics.bytes_read += bytes as u64);
    }

    fn count(&self, ask: &Ask) {
        self.shared.count(|statistics| match ask {
            Ask::Read { .. } => statistics.reads += 1,
            Ask::Write { length, .. } => {
                statistics.writes += 1;
                statistics.bytes_written += u64::from(*length);
            }
            Ask::Flush => statistics.flushes += 1,
            Ask::Trim { .. } | Ask::Cache { .. } | Ask::Zeroes { .. } | Ask::Status { .. } => statistics.others += 1,
        });
    }
}

/// Puts a piece where it belongs; all of it once the last one is there.
fn whole(request: &Request, start: u64, length: u32, offset: u64, data: Vec<u8>, last: bool) -> Option<Vec<u8>> {
    if !request.several.get() && last {
        return Some(data);
    }
    let mut gathered = request.whole.borrow_mut();
    gathered.resize(length as usize, 0);
    let at = usize::try_from(offset - start).unwrap_or(usize::MAX);
    gathered[at..][..data.len()].copy_from_slice(&data);
    last.then(|| std::mem::take(&mut *gathered))
}

/// What a client is told of an error of the device's. Two kinds have a meaning in one place alone (proto.md, "Error
/// values"), and are the nearest other one elsewhere.
fn told(ask: &Ask, kind: Kind) -> Kind {
    match (kind, ask) {
        (Kind::Unsupported, Ask::Zeroes { fast: true, .. }) => kind,
        (Kind::Unsupported | Kind::TooLong, _) => Kind::Invalid,
        (Kind::NotPermitted | Kind::Io | Kind::NoMemory | Kind::Invalid | Kind::NoSpace | Kind::ShuttingDown, _) => {
            kind
        }
    }
}
