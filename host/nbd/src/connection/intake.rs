//! From bytes that came to pieces that are begun.

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::request::Request;
use super::{Connection, INPUT};
use crate::handle::Ending;
use crate::perform::Piece;
use crate::request::{Ask, HEADER, Header, Terms, Verdict, judge};
use crate::{Device, Error, Kind};

/// Data of a write of which this much is missing is read to where it goes, past the input.
const DIRECT: usize = 16 << 10;
/// What a piece without data is counted with, in bytes of memory.
const SMALL: usize = 512;

/// What is expected of the client next.
#[derive(Debug)]
pub(super) enum Intake {
    Header,
    /// A request is begun piece by piece: the next is `offset..end`.
    Pieces {
        request: Rc<Request>,
        offset: u64,
        end: u64,
        data: Option<Data>,
    },
    /// The data of a write that is refused, and the refusal.
    Skip {
        left: usize,
        cookie: u64,
        error: Error,
    },
    /// Nothing: it said so, or was told to go.
    Ended,
}

/// Data of a write as it comes.
#[derive(Debug)]
pub(super) struct Data {
    bytes: Vec<u8>,
    wanted: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Something,
    NeedsBytes,
    /// There is no room for more now.
    Waits,
    /// The two sides are out of step.
    Nonsense,
}

impl<D: Device, S: AsyncRead + AsyncWrite + Unpin> Connection<'_, D, S> {
    /// Takes one step with what has come.
    pub(super) fn take(&mut self, context: &mut Context<'_>) -> Taken {
        match &mut self.intake {
            Intake::Ended => Taken::Waits,
            Intake::Header => self.take_header(context),
            Intake::Pieces { .. } => self.take_piece(context),
            Intake::Skip { left, .. } => {
                let here = (*left).min(self.input.len());
                self.input.advance(here);
                *left -= here;
                if *left > 0 {
                    return Taken::NeedsBytes;
                }
                if let Intake::Skip { cookie, error, .. } = std::mem::replace(&mut self.intake, Intake::Header) {
                    self.refuse(cookie, error.kind, &error);
                }
                Taken::Something
            }
        }
    }

    fn take_header(&mut self, context: &mut Context<'_>) -> Taken {
        let Some(bytes) = self.input.first_chunk::<HEADER>() else { return Taken::NeedsBytes };
        let Some(header) = Header::parse(bytes) else { return Taken::Nonsense };
        self.clear |= self.shared.leaving.get() == 0 || self.leaving;
        if !self.clear || !self.has_room(SMALL) {
            return Taken::Waits;
        }
        self.input.advance(HEADER);
        let terms = Terms {
            geometry: &self.ground.geometry,
            size: self.agreed.size.min(self.shared.size.get()),
            structured: self.agreed.structured,
            allocation: self.agreed.allocation,
        };
        let cookie = header.cookie;
        let error = match (judge(&header, &terms), self.closed()) {
            (Verdict::Disconnect, _) => {
                self.intake = Intake::Ended;
                return Taken::Something;
            }
            (Verdict::Do(ask), None) => {
                self.start(cookie, ask, context);
                return Taken::Something;
            }
            (Verdict::Do(_), Some(error)) | (Verdict::Refuse(error), _) => error,
        };
        match header.payload() as usize {
            0 => self.refuse(cookie, error.kind, &error),
            left => self.intake = Intake::Skip { left, cookie, error },
        }
        Taken::Something
    }

    /// Why nothing is done any more.
    fn closed(&self) -> Option<Error> {
        if let Some(reason) = &*self.shared.fenced.borrow() {
            return Some(Error::new(Kind::Io, &**reason));
        }
        match self.shared.ending.get() {
            Some(Ending::Soft | Ending::HandOver) => Some(Error::new(Kind::ShuttingDown, "the server is about to end")),
            None => None,
        }
    }

    fn start(&mut self, cookie: u64, ask: Ask, context: &mut Context<'_>) {
        let request = Request::new(cookie, ask);
        self.writes_large = matches!(ask, Ask::Write { length, .. } if length as usize >= DIRECT);
        let piece = match ask {
            Ask::Read { offset, length, .. } | Ask::Write { offset, length, .. } => {
                self.intake = Intake::Pieces { request, offset, end: offset + u64::from(length), data: None };
                return;
            }
            Ask::Flush => Piece::Flush,
            Ask::Trim { offset, length, durable } => Piece::Trim { offset, length, durable },
            Ask::Cache { offset, length } => Piece::Cache { offset, length },
            Ask::Zeroes { offset, length, keep, fast, durable } => {
                Piece::Zeroes { offset, length, keep, fast, durable }
            }
            Ask::Status { offset, length, one } => Piece::Status { offset, length, one },
        };
        request.last_piece(false);
        self.begin(request, 0, SMALL, piece, context);
    }

    fn take_piece(&mut self, context: &mut Context<'_>) -> Taken {
        let Intake::Pieces { request, offset, end, data } = &mut self.intake else { return Taken::Waits };
        let (at, end) = (*offset, *end);
        let request = Rc::clone(request);
        let (start, durable) = match request.ask {
            Ask::Read { offset, .. } => (offset, None),
            Ask::Write { offset, durable, .. } => (offset, Some(durable)),
            Ask::Flush | Ask::Trim { .. } | Ask::Cache { .. } | Ask::Zeroes { .. } | Ask::Status { .. } => {
                return Taken::Nonsense;
            }
        };
        let next = match data {
            Some(data) => at + data.wanted as u64,
            None => self.ground.piece(at, end, durable == Some(false)),
        };
        let length = usize::try_from(next - at).unwrap_or(usize::MAX);
        // One that has begun to come is seen through.
        if data.is_none() && !self.has_room(length) {
            return Taken::Waits;
        }
        let several = start < at || next < end;
        let piece = match durable {
            None => Piece::Read { offset: at, length: u32::try_from(length).unwrap_or(u32::MAX) },
            Some(durable) => {
                let Intake::Pieces { data, .. } = &mut self.intake else { return Taken::Waits };
                let data = data.get_or_insert_with(|| Data { bytes: Vec::with_capacity(length), wanted: length });
                let here = data.missing().min(self.input.len());
                data.bytes.extend_from_slice(&self.input[..here]);
                self.input.advance(here);
                if data.missing() > 0 {
                    return Taken::NeedsBytes;
                }
                let data = std::mem::take(&mut data.bytes);
                Piece::Write { offset: at, data, durable: durable && !several }
            }
        };
        if next == end {
            request.last_piece(several);
            self.intake = Intake::Header;
        } else {
            self.intake = Intake::Pieces { request: Rc::clone(&request), offset: next, end, data: None };
        }
        self.begin(request, at, length, piece, context);
        Taken::Something
    }

    /// Whether there is room in the input although nothing of it can be begun.
    pub(super) fn reads_ahead(&self) -> bool {
        self.input.len() < INPUT / 2
    }

    /// Reads what is there: the rest of a large write to where it goes, anything else to the input.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if let Intake::Pieces { data: Some(data), .. } = &mut self.intake
            && data.missing() >= DIRECT
        {
            let missing = data.missing();
            let mut rest = (&mut data.bytes).limit(missing);
            return pin!(self.stream.read_buf(&mut rest)).poll(context);
        }
        if self.input.capacity() - self.input.len() < INPUT / 2 {
            self.input.reserve(INPUT - self.input.len().min(INPUT / 2));
        }
        // After a large write there is often another: its header alone, so that its data need not be moved once more.
        if self.writes_large && self.input.len() < HEADER {
            let missing = HEADER - self.input.len();
            let mut header = (&mut self.input).limit(missing);
            return pin!(self.stream.read_buf(&mut header)).poll(context);
        }
        pin!(self.stream.read_buf(&mut self.input)).poll(context)
    }
}

impl Data {
    fn missing(&self) -> usize {
        self.wanted - self.bytes.len()
    }
}
