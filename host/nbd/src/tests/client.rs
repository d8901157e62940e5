//! The client's half of the protocol, as bytes: what it says, and what it makes of the answers.

use bytes::{Buf, BufMut};

pub const FIXED: u32 = 1;
pub const NO_ZEROES: u32 = 2;

/// An option with its data.
pub fn option(number: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"IHAVEOPT".to_vec();
    bytes.put_u32(number);
    bytes.put_u32(data.len() as u32);
    bytes.put_slice(data);
    bytes
}

/// The data of GO and INFO.
pub fn wanted(name: &str, kinds: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.put_slice(name.as_bytes());
    data.put_u16(kinds.len() as u16);
    kinds.iter().for_each(|&kind| data.put_u16(kind));
    data
}

/// The data of the options about metadata contexts.
pub fn queries(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.put_slice(name.as_bytes());
    data.put_u32(queries.len() as u32);
    for query in queries {
        data.put_u32(query.len() as u32);
        data.put_slice(query.as_bytes());
    }
    data
}

/// A whole handshake that asks for all there is.
pub fn handshake(structured: bool) -> Vec<u8> {
    let mut bytes = (FIXED | NO_ZEROES).to_be_bytes().to_vec();
    if structured {
        bytes.extend(option(8, &[]));
        bytes.extend(option(10, &queries("", &["base:allocation"])));
    }
    bytes.extend(option(7, &wanted("", &[])));
    bytes
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub flags: u16,
    pub command: u16,
    pub cookie: u64,
    pub offset: u64,
    pub length: u32,
}

impl Ask {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.put_u16(self.flags);
        bytes.put_u16(self.command);
        bytes.put_u64(self.cookie);
        bytes.put_u64(self.offset);
        bytes.put_u32(self.length);
        bytes
    }
}

/// The answer to an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionReply {
    pub option: u32,
    pub kind: u32,
    pub data: Vec<u8>,
}

/// Takes the greeting away.
pub fn greeting(bytes: &mut &[u8]) {
    assert_eq!(&bytes[..16], b"NBDMAGICIHAVEOPT");
    assert_eq!(bytes[16..18], [0, 3], "fixed newstyle, and no zeroes");
    bytes.advance(18);
}

/// The next answer to an option; None where it is not there as a whole, or no such thing.
pub fn option_reply(bytes: &mut &[u8]) -> Option<OptionReply> {
    if bytes.len() < 20 || bytes[..8] != 0x0003_e889_0455_65a9_u64.to_be_bytes() {
        return None;
    }
    bytes.advance(8);
    let (option, kind, length) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u32() as usize);
    let data = bytes.get(..length)?.to_vec();
    bytes.advance(length);
    Some(OptionReply { option, kind, data })
}

/// A reply to a request, or a chunk of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `data` where a read succeeded.
    Simple {
        cookie: u64,
        error: u32,
        data: Vec<u8>,
    },
    Chunk {
        cookie: u64,
        done: bool,
        what: Chunk,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    None,
    Data(u64, Vec<u8>),
    Hole(u64, u32),
    Status(Vec<(u32, u32)>),
    Error(u32, String),
}

impl Reply {
    pub fn cookie(&self) -> u64 {
        match self {
            Reply::Simple { cookie, .. } | Reply::Chunk { cookie, .. } => *cookie,
        }
    }

    /// Nothing more comes for this request.
    pub fn is_last(&self) -> bool {
        match self {
            Reply::Simple { .. } => true,
            Reply::Chunk { done, .. } => *done,
        }
    }

    /// The error, 0 where there is none.
    pub fn error(&self) -> u32 {
        match self {
            Reply::Simple { error, .. } => *error,
            Reply::Chunk { what: Chunk::Error(error, _), .. } => *error,
            Reply::Chunk { what: Chunk::None | Chunk::Data(..) | Chunk::Hole(..) | Chunk::Status(_), .. } => 0,
        }
    }
}

/// The next reply; None where it is not there as a whole. `plain_read`: the length of the read that a simple reply
/// answers, by its cookie; 0 for what is no read.
///
/// # Panics
/// Where the bytes are no reply.
pub fn reply(bytes: &mut &[u8], plain_read: impl Fn(u64) -> usize) -> Option<Reply> {
    let mut rest = *bytes;
    let magic = rest.try_get_u32().ok()?;
    let reply = match magic {
        0x6744_6698 => {
            let (error, cookie) = (rest.try_get_u32().ok()?, rest.try_get_u64().ok()?);
            let length = if error == 0 { plain_read(cookie) } else { 0 };
            let data = rest.get(..length)?.to_vec();
            rest.advance(length);
            Reply::Simple { cookie, error, data }
        }
        0x668e_33ef => {
            let (flags, kind) = (rest.try_get_u16().ok()?, rest.try_get_u16().ok()?);
            let (cookie, length) = (rest.try_get_u64().ok()?, rest.try_get_u32().ok()? as usize);
            let payload = rest.get(..length)?;
            rest.advance(length);
            Reply::Chunk { cookie, done: flags == 1, what: chunk(kind, payload) }
        }
        _ => panic!("no reply begins with {magic:#x}"),
    };
    *bytes = rest;
    Some(reply)
}

fn chunk(kind: u16, mut payload: &[u8]) -> Chunk {
    match kind {
        0 => Chunk::None,
        1 => Chunk::Data(payload.get_u64(), payload.to_vec()),
        2 => {
            assert_eq!(payload.len(), 12);
            Chunk::Hole(payload.get_u64(), payload.get_u32())
        }
        5 => {
            assert_eq!(payload.get_u32(), 1, "the number of base:allocation");
            let mut extents = Vec::new();
            while !payload.is_empty() {
                extents.push((payload.get_u32(), payload.get_u32()));
            }
            Chunk::Status(extents)
        }
        0x8001 => {
            let (error, length) = (payload.get_u32(), usize::from(payload.get_u16()));
            assert_eq!(payload.len(), length);
            Chunk::Error(error, String::from_utf8(payload.to_vec()).expect("a message for people"))
        }
        _ => panic!("no chunk has the type {kind:#x}"),
    }
}
