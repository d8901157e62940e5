//! A frame: four bytes that say how many follow (big-endian), and those bytes, which are JSON.
//!
//! Nothing that a length claims is believed: memory is taken as bytes come. A frame has a cap, and two deadlines, one for
//! its beginning and one for its end, so that whoever sends a byte now and then does not hold a place for ever.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::text;

/// Longest frame between hosts that know each other, in bytes: the facts of a host with hundreds of networks fit.
pub const FRAME_MAX: usize = 1 << 20;
/// Longest first frame, in bytes: who is there, and what for.
pub const HELLO_MAX: usize = 16 << 10;
/// Longest frame of a pairing, in bytes: the other side is not known yet.
pub const PAIRING_MAX: usize = 4 << 10;

/// What is taken for a frame before its bytes are there, in bytes.
const AT_FIRST: usize = 4 << 10;

/// How long a frame may take.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    /// Until its length is there.
    pub begin: Duration,
    /// From there until it is whole.
    pub rest: Duration,
}

impl Within {
    pub const fn all(time: Duration) -> Self {
        Within { begin: time, rest: time }
    }
}

/// Why there is no frame. Shown to operators; of what the other side sent it holds a line at most, escaped.
#[derive(Debug)]
pub enum Trouble {
    /// The other side ended, between two frames.
    Closed,
    TooLong {
        length: usize,
        most: usize,
    },
    /// Nothing came within the time, or not all of it.
    Late,
    /// It is not what is expected here.
    Wrong(String),
    Io(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Closed => f.write_str("the other side ended the connection"),
            Trouble::TooLong { length, most } => write!(f, "a frame of {length} bytes, of {most} at most"),
            Trouble::Late => f.write_str("nothing came within the time"),
            Trouble::Wrong(why) => write!(f, "a frame that is none: {why}"),
            Trouble::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Trouble::Io(error) => error.source(),
            Trouble::Closed | Trouble::TooLong { .. } | Trouble::Late | Trouble::Wrong(_) => None,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Without a goodbye of TLS's own, too: what matters here ends in frames, which are whole or not.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Trouble::Closed
            }
            _ => Trouble::Io(error),
        }
    }
}

/// The bytes of the next frame, of `most` at the most.
///
/// # Errors
/// `Closed` where the stream ends; after any error the stream is of no use any more.
pub async fn read(from: &mut (impl AsyncRead + Unpin), most: usize, within: Within) -> Result<Vec<u8>, Trouble> {
    let mut length = [0; 4];
    timeout(within.begin, from.read_exact(&mut length)).await.map_err(|_| Trouble::Late)??;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(Trouble::TooLong { length, most });
    }
    let mut bytes = Vec::with_capacity(length.min(AT_FIRST));
    let mut rest = from.take(length as u64);
    timeout(within.rest, rest.read_to_end(&mut bytes)).await.map_err(|_| Trouble::Late)??;
    if bytes.len() == length { Ok(bytes) } else { Err(Trouble::Closed) }
}

/// The next frame as a value.
pub async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
    within: Within,
) -> Result<T, Trouble> {
    decode(&read(from, most, within).await?)
}

/// Writes one frame and hands it to the network.
///
/// # Errors
/// `TooLong` where it would not be taken: nothing is written then.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize, within: Duration) -> Result<(), Trouble> {
    let bytes = encode(value, FRAME_MAX)?;
    let written = async {
        to.write_all(&bytes).await?;
        to.flush().await
    };
    timeout(within, written).await.map_err(|_| Trouble::Late)?.map_err(Trouble::from)
}

/// A frame with its length in front.
pub fn encode(value: &impl Serialize, most: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value).map_err(|error| Trouble::Wrong(text::line(&error.to_string())))?;
    let length = bytes.len() - 4;
    match u32::try_from(length) {
        Ok(number) if length <= most => bytes[..4].copy_from_slice(&number.to_be_bytes()),
        Ok(_) | Err(_) => return Err(Trouble::TooLong { length, most }),
    }
    Ok(bytes)
}

/// The value in a frame's bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(bytes).map_err(|error| Trouble::Wrong(text::line(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Within = Within::all(Duration::from_millis(20));
    const LONG: Within = Within::all(Duration::from_secs(20));

    async fn from(bytes: &[u8], within: Within) -> Result<Vec<u8>, Trouble> {
        let (mut here, mut there) = tokio::io::duplex(64);
        let bytes = bytes.to_vec();
        let all = bytes.len();
        let write = async {
            there.write_all(&bytes).await.unwrap();
            if all > 4 && bytes[3] as usize == all - 4 {
                drop(there);
                return None;
            }
            Some(there)
        };
        let (read, kept) = tokio::join!(read(&mut here, 1000, within), write);
        drop(kept);
        read
    }

    #[tokio::test]
    async fn a_frame_comes_as_it_was_sent_and_no_length_is_believed() {
        assert_eq!(from(b"\0\0\0\x02{}", LONG).await.unwrap(), b"{}");
        let long = from(&[0xff, 0xff, 0xff, 0xff], LONG).await.unwrap_err();
        assert!(matches!(long, Trouble::TooLong { length: 0xffff_ffff, most: 1000 }), "{long}");
        for late in [&b""[..], b"\0\0", b"\0\0\0\x09{}"] {
            assert!(matches!(from(late, QUICK).await, Err(Trouble::Late)), "{late:?}");
        }
        let (mut here, there) = tokio::io::duplex(64);
        drop(there);
        assert!(matches!(read(&mut here, 10, LONG).await, Err(Trouble::Closed)));
    }

    #[tokio::test]
    async fn what_would_not_be_taken_is_not_sent() {
        let mut sink = Vec::new();
        let long = "x".repeat(FRAME_MAX);
        let refused = send(&mut sink, &long, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(refused, Trouble::TooLong { .. }) && sink.is_empty());
        send(&mut sink, &"x", Duration::from_secs(20)).await.unwrap();
        assert_eq!(sink, b"\0\0\0\x03\"x\"");
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_a_line_that_a_terminal_can_be_shown() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let hostile = format!("{{\"{}\\u001b[2J\\n\":1}}", "y".repeat(5000));
        let Err(Trouble::Wrong(why)) = decode::<Nothing>(hostile.as_bytes()) else { panic!("it was taken") };
        assert!(why.len() < 400 && !why.contains(['\u{1b}', '\n']), "{why}");
    }
}
