//! What a client asks for: the header of a request, judged without doing anything (proto.md, "Request types").

use bytes::Buf;

use crate::wire::{MOST_PAYLOAD, REQUEST, command, flag};
use crate::{Error, Geometry, Kind};

pub(crate) const HEADER: usize = 28;
/// Longest read that must come back in one piece. The protocol asks for 64 KiB at least.
const MOST_WHOLE: u32 = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Header {
    /// None where it does not begin as a request does: the two sides are out of step for good.
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        let mut bytes = &bytes[..];
        (bytes.get_u32() == REQUEST).then(|| Header {
            flags: bytes.get_u16(),
            command: bytes.get_u16(),
            cookie: bytes.get_u64(),
            offset: bytes.get_u64(),
            length: bytes.get_u32(),
        })
    }

    /// How many bytes follow the header.
    pub(crate) fn payload(&self) -> u32 {
        if self.command == command::WRITE { self.length } else { 0 }
    }
}

/// Something to do. All that is in it lies inside the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `whole`: the answer comes in one piece.
    Read {
        offset: u64,
        length: u32,
        whole: bool,
    },
    Write {
        offset: u64,
        length: u32,
        durable: bool,
    },
    Flush,
    Trim {
        offset: u64,
        length: u32,
        durable: bool,
    },
    Cache {
        offset: u64,
        length: u32,
    },
    /// `fast`: not at all, rather than by writing.
    Zeroes {
        offset: u64,
        length: u32,
        keep: bool,
        fast: bool,
        durable: bool,
    },
    /// `one`: the first extent alone.
    Status {
        offset: u64,
        length: u32,
        one: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Do(Ask),
    Refuse(Error),
    Disconnect,
}

/// What a request is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'t> {
    pub(crate) geometry: &'t Geometry,
    /// What this client may reach, in bytes.
    pub(crate) size: u64,
    pub(crate) structured: bool,
    /// `base:allocation` was chosen.
    pub(crate) allocation: bool,
}

pub(crate) fn judge(header: &Header, terms: &Terms) -> Verdict {
    if header.command == command::DISCONNECT {
        return Verdict::Disconnect;
    }
    match ask(header, terms) {
        Ok(ask) => Verdict::Do(ask),
        Err(error) => Verdict::Refuse(error),
    }
}

fn ask(header: &Header, terms: &Terms) -> Result<Ask, Error> {
    let &Header { flags, command, offset, length, .. } = header;
    let invalid = |message: &str| Error::new(Kind::Invalid, message);
    let has = |bit: u16| flags & bit != 0;
    let durable = has(flag::FUA);
    let (allowed, ask) = match command {
        command::READ => {
            let df = if terms.structured { flag::DF } else { 0 };
            (df, Ask::Read { offset, length, whole: has(flag::DF) || !terms.structured })
        }
        command::WRITE => (0, Ask::Write { offset, length, durable }),
        command::FLUSH => (0, Ask::Flush),
        command::TRIM => (0, Ask::Trim { offset, length, durable }),
        command::CACHE => (0, Ask::Cache { offset, length }),
        command::WRITE_ZEROES => {
            let (keep, fast) = (has(flag::NO_HOLE), has(flag::FAST_ZERO));
            (flag::NO_HOLE | flag::FAST_ZERO, Ask::Zeroes { offset, length, keep, fast, durable })
        }
        command::BLOCK_STATUS => (flag::REQ_ONE, Ask::Status { offset, length, one: has(flag::REQ_ONE) }),
        _ => return Err(invalid("the command is not known here")),
    };
    // FUA is to be taken on every command.
    if flags & !(allowed | flag::FUA) != 0 {
        return Err(invalid("the command has no such flag"));
    }
    let outside = offset.checked_add(u64::from(length)).is_none_or(|end| end > terms.size);
    let writes = matches!(ask, Ask::Write { .. } | Ask::Trim { .. } | Ask::Zeroes { .. });
    if writes && terms.geometry.read_only {
        return Err(Error::new(Kind::NotPermitted, "the export is read-only"));
    }
    match ask {
        Ask::Flush if offset != 0 || length != 0 => Err(invalid("a flush has no offset and no length")),
        Ask::Flush => Ok(ask),
        _ if length == 0 => Err(invalid("the length is zero")),
        Ask::Read { .. } | Ask::Write { .. } if length > MOST_PAYLOAD => Err(invalid("longer than one request may be")),
        Ask::Write { .. } | Ask::Zeroes { .. } if outside => {
            Err(Error::new(Kind::NoSpace, "past the end of the device"))
        }
        _ if outside => Err(invalid("past the end of the device")),
        Ask::Read { whole: true, .. } if terms.structured && length > MOST_WHOLE => {
            Err(Error::new(Kind::TooLong, "too long for one piece"))
        }
        Ask::Trim { .. } if !terms.geometry.can_discard => Err(invalid("the export has no trim")),
        Ask::Zeroes { fast: true, .. } if !terms.geometry.can_write_zeroes => {
            Err(Error::new(Kind::Unsupported, "zeroes would have to be written"))
        }
        Ask::Status { .. } if !terms.allocation => Err(invalid("no metadata context was chosen")),
        Ask::Read { .. }
        | Ask::Write { .. }
        | Ask::Trim { .. }
        | Ask::Cache { .. }
        | Ask::Zeroes { .. }
        | Ask::Status { .. } => Ok(ask),
    }
}

#[cfg(test)]
mod tests;
