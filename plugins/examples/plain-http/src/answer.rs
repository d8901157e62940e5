//! What a server answered: heads and bodies out of bytes that anybody may have sent. Pure.

use fief_sdk::{Error, Result};

/// Most bytes of a head, and most fields in it.
pub(crate) const MOST_HEAD: usize = 16 << 10;
const MOST_FIELDS: usize = 64;
/// Most bytes of one line that says how long a chunk is, its extensions included.
const MOST_CHUNK_LINE: usize = 256;

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field, whatever case it is written in; none too where it came twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110, 14.4), as (first, length, total).
    pub fn range(&self) -> Option<(u64, u64, u64)> {
        let (span, total) = self.field("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        Some((first, last.checked_sub(first)?.checked_add(1)?, total.parse().ok()?))
    }

    /// `Content-Length`, of an answer without a body too.
    pub fn length(&self) -> Option<u64> {
        self.field("content-length")?.parse().ok()
    }

    /// For people: the status, and what the server says to it where that is short and text.
    pub fn says(&self) -> String {
        format!("the server says {}", self.status)
    }
}

/// How far a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(usize),
    Chunks,
    ToTheEnd,
}

/// A head, and what is known by it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) answer: Answer,
    pub(crate) body: Body,
    /// Another request may follow on this stream.
    pub(crate) stays: bool,
    /// Bytes of the head.
    pub(crate) length: usize,
}

pub(crate) fn malformed(what: &str) -> Error {
    Error::corrupt(format!("the server sent what is no answer of HTTP: {what}"))
}

/// None where more of it has to come.
///
/// # Errors
/// `corrupt`: it is no head, or one that is too long, or its body is longer than `most`.
pub(crate) fn head(bytes: &[u8], bodiless: bool, most: usize) -> Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Ok(None),
        Ok(_) => return Err(malformed("its head is too long")),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    let status = response.code.ok_or_else(|| malformed("it has no status"))?;
    let modern = response.version == Some(1);
    let fields = response.headers.iter().map(|field| {
        let value = std::str::from_utf8(field.value).map_err(|_| malformed("a field is no text"))?;
        Ok((field.name.to_owned(), value.trim().to_owned()))
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let answer = Answer { status, fields, body: Vec::new() };
    let body = length_of_body(&answer, bodiless)?;
    match body {
        Body::Length(length) if length > most => return Err(malformed("its body is longer than what was asked for")),
        Body::Length(_) | Body::Chunks | Body::ToTheEnd => {}
    }
    let closes = answer.fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("connection")
            && value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"))
    });
    let stays = modern && !closes && body != Body::ToTheEnd;
    Ok(Some(Head { answer, body, stays, length }))
}

/// RFC 9112, 6.3. What could be read in two ways is taken in none.
fn length_of_body(answer: &Answer, bodiless: bool) -> Result<Body> {
    if bodiless || matches!(answer.status, 100..=199 | 204 | 304) {
        return Ok(Body::Length(0));
    }
    let count = |name: &str| answer.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count();
    let (encodings, lengths) = (count("transfer-encoding"), count("content-length"));
    match (encodings, lengths) {
        (0, 0) => Ok(Body::ToTheEnd),
        (0, 1) => {
            let length = answer.field("content-length").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = length.and_then(|text| text.parse().ok());
            length.map(Body::Length).ok_or_else(|| malformed("its length is no number"))
        }
        (1, 0) if answer.field("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) => {
            Ok(Body::Chunks)
        }
        _ => Err(malformed("its length is said in more than one way")),
    }
}

/// What of chunks has come (RFC 9112, 7.1).
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pub(crate) body: Vec<u8>,
    last: bool,
}

impl Chunks {
    /// Takes from the front of `bytes` what is there of whole chunks; true once the last one was.
    ///
    /// # Errors
    /// `corrupt`, also for a body longer than `most`.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>, most: usize) -> Result<bool> {
        loop {
            if self.last {
                // Trailers, and an empty line.
                let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
                return match httparse::parse_headers(bytes, &mut fields) {
                    Ok(httparse::Status::Complete((length, _))) => {
                        bytes.drain(..length);
                        Ok(true)
                    }
                    Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => Ok(false),
                    _ => Err(malformed("what follows its last chunk")),
                };
            }
            let (line, size) = match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) if bytes.len() < MOST_CHUNK_LINE => return Ok(false),
                _ => return Err(malformed("the length of a chunk")),
            };
            let size = usize::try_from(size).ok().filter(|size| size.saturating_add(self.body.len()) <= most);
            let size = size.ok_or_else(|| malformed("its body is longer than what was asked for"))?;
            if size == 0 {
                bytes.drain(..line);
                self.last = true;
                continue;
            }
            let Some(chunk) = bytes.get(line..line + size + 2) else { return Ok(false) };
            let Some(chunk) = chunk.strip_suffix(b"\r\n") else { return Err(malformed("a chunk without an end")) };
            self.body.extend_from_slice(chunk);
            bytes.drain(..line + size + 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>> {
        head(text.as_bytes(), false, 100)
    }

    #[test]
    fn heads_are_read_and_what_could_be_read_in_two_ways_is_not() {
        let good =
            read("HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\ncontent-range: bytes 5-14/99\r\n\r\nabc");
        let good = good.unwrap().unwrap();
        assert_eq!((good.answer.status, good.body, good.stays, good.length), (206, Body::Length(10), true, 82));
        assert_eq!(good.answer.range(), Some((5, 10, 99)));
        assert!(read("HTTP/1.1 200 OK\r\nContent-Le").unwrap().is_none());
        assert!(!read("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap().unwrap().stays);
        assert!(!read("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\n").unwrap().unwrap().stays);
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().body, Body::ToTheEnd);
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(MOST_HEAD));
        for bad in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            &long,
        ] {
            assert!(read(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_range_is_told_only_where_it_is_one() {
        let answer = |range: &str| Answer {
            status: 206,
            fields: vec![("Content-Range".into(), range.into())],
            body: Vec::new(),
        };
        assert_eq!(answer("bytes 0-0/1").range(), Some((0, 1, 1)));
        for bad in ["bytes 5-4/9", "bytes */9", "bytes 0-1/*", "0-1/2", "bytes 0-18446744073709551615/1"] {
            assert_eq!(answer(bad).range(), None, "{bad}");
        }
    }

    /// Whatever comes, cut anywhere, gives the same.
    #[test]
    fn chunks_may_be_cut_anywhere() {
        let text = b"3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for cut in 0..text.len() {
            let (mut chunks, mut bytes) = (Chunks::default(), text[..cut].to_vec());
            let early = chunks.take(&mut bytes, 13).unwrap();
            bytes.extend_from_slice(&text[cut..]);
            assert!(!early && chunks.take(&mut bytes, 13).unwrap(), "cut at {cut}");
            assert_eq!((chunks.body.as_slice(), bytes.len()), (&b"abc0123456789"[..], 0));
            assert!(Chunks::default().take(&mut text.to_vec(), 12).is_err(), "too long");
        }
        for bad in ["z\r\n", "3\r\nabcde", "ffffffffffffffffff\r\n"] {
            assert!(Chunks::default().take(&mut bad.as_bytes().to_vec(), 100).is_err(), "{bad}");
        }
    }
}
