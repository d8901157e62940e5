//! PDUs out of a stream of bytes, and into it: segments, padding and digests (RFC 7143, sections 11.1 and 13.1).
//!
//! ```text
//!   BHS 48 │ AHS │ header digest? │ data │ padding to 4 │ data digest?
//! ```

use std::borrow::Cow;

use super::Fault;
use super::header::{BHS, Header};

/// Most that a target may put into one data segment: what the login declares (section 13.12).
pub const LONGEST_DATA: usize = 256 << 10;

/// Bytes of a digest: CRC32C, little-endian on the wire (section 13.1).
const DIGEST: usize = 4;

/// Most of a PDU besides its basic header and its data: additional headers (255 words), padding, digests.
const MOST_BESIDE: usize = 255 * 4 + 3 + 2 * DIGEST;

/// Which digests go with each PDU; none before the full feature phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digests {
    pub header: bool,
    pub data: bool,
}

/// Data segments from this many bytes on are gathered by themselves, where they can stay.
const LARGE: usize = 16 << 10;

/// One PDU that came whole. Its additional headers were checked and left out: no answer that we ask for has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu<'a> {
    pub header: Header,
    /// Owned where it is large and came in pieces.
    pub data: Cow<'a, [u8]>,
}

/// The first PDU of `bytes` and how many bytes it takes; none where it has not come whole.
///
/// # Errors
/// A data segment past [`LONGEST_DATA`], which nobody should wait for, or a wrong digest.
pub fn first(bytes: &[u8], digests: Digests) -> Result<Option<(Pdu<'_>, usize)>, Fault> {
    let Some(basic) = bytes.first_chunk::<BHS>() else { return Ok(None) };
    let header = Header(*basic);
    let length = header.data_length();
    if length > LONGEST_DATA {
        return Err(Fault::Format("a data segment is longer than was declared"));
    }
    let headers = BHS + header.additional();
    let data_at = headers + if digests.header { DIGEST } else { 0 };
    // The header is checked as soon as it is there: its lengths are what the rest is counted by.
    if digests.header {
        let Some(written) = bytes.get(headers..data_at) else { return Ok(None) };
        if crc32c::crc32c(&bytes[..headers]).to_le_bytes() != *written {
            return Err(Fault::Digest("header"));
        }
    }
    let padded = length.next_multiple_of(4);
    let digest_at = data_at + padded;
    let end = digest_at + if digests.data && length > 0 { DIGEST } else { 0 };
    if bytes.len() < end {
        return Ok(None);
    }
    if end > digest_at && crc32c::crc32c(&bytes[data_at..digest_at]).to_le_bytes() != bytes[digest_at..end] {
        return Err(Fault::Digest("data"));
    }
    Ok(Some((Pdu { header, data: Cow::Borrowed(&bytes[data_at..data_at + length]) }, end)))
}

/// Where a PDU ends, counted from its first byte.
fn end(header: Header, digests: Digests) -> usize {
    let length = header.data_length();
    let digest = |there: bool| if there { DIGEST } else { 0 };
    let data_at = BHS + header.additional() + digest(digests.header);
    data_at + length.next_multiple_of(4) + digest(digests.data && length > 0)
}

/// Puts a PDU behind what is already to be sent.
pub fn write(out: &mut Vec<u8>, header: Header, data: &[u8], digests: Digests) {
    let header = header.with_data_length(data.len());
    out.reserve(BHS + data.len() + 3 + 2 * DIGEST);
    out.extend_from_slice(&header.0);
    if digests.header {
        out.extend_from_slice(&crc32c::crc32c(&header.0).to_le_bytes());
    }
    if data.is_empty() {
        return;
    }
    let at = out.len();
    out.extend_from_slice(data);
    out.resize(at + data.len().next_multiple_of(4), 0);
    if digests.data {
        let digest = crc32c::crc32c(&out[at..]);
        out.extend_from_slice(&digest.to_le_bytes());
    }
}

/// What came and is not yet whole.
#[derive(Debug, Default)]
pub struct Incoming {
    rest: Vec<u8>,
    large: Option<Large>,
    /// The last PDU was a large one: after it there is often another.
    after_large: bool,
}

/// A PDU whose data is under way. What comes of it is asked for exactly, so that it is moved no more.
#[derive(Debug)]
struct Large {
    header: Header,
    /// With its padding.
    data: Vec<u8>,
}

impl Large {
    fn missing(&self) -> usize {
        self.header.data_length().next_multiple_of(4) - self.data.len()
    }

    /// Takes what is its own, and gives back what is not.
    fn take(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let here = self.missing().min(bytes.len());
        let rest = bytes.split_off(here);
        if self.data.is_empty() {
            self.data = bytes;
        } else {
            self.data.reserve_exact(self.missing());
            self.data.extend_from_slice(&bytes);
        }
        rest
    }
}

impl Incoming {
    /// How many bytes to wait for, at least and at most: without the least no other PDU is whole, and `most` is what may
    /// come along. What is large is taken without what follows, and so is the header after it.
    pub fn wanted(&self, digests: Digests, most: usize) -> (usize, usize) {
        let missing = self.missing(digests);
        let alone = self.large.is_some() || self.after_large && self.rest.len() < BHS;
        (missing, if alone { missing } else { most.max(missing) })
    }

    fn missing(&self, digests: Digests) -> usize {
        if let Some(large) = &self.large {
            return large.missing();
        }
        let whole = match self.rest.first_chunk::<BHS>() {
            None => BHS,
            Some(basic) => end(Header(*basic), digests),
        };
        // Nothing is asked for that would never be taken.
        whole.min(BHS + LONGEST_DATA + MOST_BESIDE).saturating_sub(self.rest.len()).max(1)
    }

    /// The header of a PDU of which nothing is missing but all of its data, without padding.
    pub fn alone(&self) -> Option<Header> {
        let large = self.large.as_ref().filter(|large| large.data.is_empty())?;
        large.header.data_length().is_multiple_of(4).then_some(large.header)
    }

    /// That data came, and is not for here.
    pub fn passed(&mut self) {
        self.large = None;
    }

    /// Hands every PDU that is now whole to `each`, in order.
    ///
    /// # Errors
    /// The first of `each`, or of the bytes themselves; nothing is to be read after one.
    pub fn feed(
        &mut self,
        mut bytes: Vec<u8>,
        digests: Digests,
        mut each: impl FnMut(Pdu<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if let Some(mut large) = self.large.take() {
            bytes = large.take(bytes);
            if large.missing() > 0 {
                self.large = Some(large);
                return Ok(());
            }
            let Large { header, mut data } = large;
            data.truncate(header.data_length());
            each(Pdu { header, data: Cow::Owned(data) })?;
        }
        // Most of the time nothing was left over, and PDUs are read where they lie.
        if self.rest.is_empty() {
            self.rest = bytes;
        } else {
            self.rest.extend_from_slice(&bytes);
        }
        let mut used = 0;
        while let Some((pdu, length)) = first(&self.rest[used..], digests)? {
            used += length;
            // Digests are over bytes that lie together.
            self.after_large = digests == Digests::default() && pdu.data.len() >= LARGE;
            each(pdu)?;
        }
        self.rest.drain(..used);
        if digests == Digests::default()
            && let Some(basic) = self.rest.first_chunk::<BHS>()
            && let header = Header(*basic)
            && header.additional() == 0
            && header.data_length() >= LARGE
        {
            self.large = Some(Large { header, data: self.rest.split_off(BHS) });
            self.rest.clear();
            self.after_large = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EACH_WAY: [Digests; 4] = [
        Digests { header: false, data: false },
        Digests { header: true, data: false },
        Digests { header: false, data: true },
        Digests { header: true, data: true },
    ];

    #[test]
    fn digests_are_those_of_the_standard() {
        // RFC 7143, appendix A: 32 bytes of zeroes give aa 36 91 8a on the wire.
        assert_eq!(crc32c::crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c::crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
    }

    #[test]
    fn a_bit_that_flipped_is_found() {
        let digests = Digests { header: true, data: true };
        let mut out = Vec::new();
        write(&mut out, Header::new(0x25, 0x80), b"five!", digests);
        for at in 0..out.len() {
            let mut bad = out.clone();
            bad[at] ^= 0x10;
            assert!(!matches!(first(&bad, digests), Ok(Some(_))), "a flip in byte {at} was not found");
        }
    }

    #[test]
    fn a_length_that_was_not_agreed_on_is_refused_at_once() {
        let header = Header::new(0x25, 0).with_data_length(LONGEST_DATA + 1);
        assert!(matches!(first(&header.0, Digests::default()), Err(Fault::Format(_))));
    }

    /// However they come: all that is asked for, or less, or together with what follows.
    #[test]
    fn large_data_comes_by_itself_and_is_not_moved() {
        let datas: Vec<Vec<u8>> =
            [LARGE, 5, LARGE + 2, 0, LARGE * 3, LARGE].map(|length| vec![length as u8; length]).into();
        for way in EACH_WAY {
            let mut out = Vec::new();
            for (number, data) in datas.iter().enumerate() {
                write(&mut out, Header::new(0x25, 0x80).tagged(number as u32), data, way);
            }
            for most in [1, 100, 50_000, 1 << 20] {
                let (mut incoming, mut at, mut read, mut owned) = (Incoming::default(), 0, Vec::new(), 0);
                while at < out.len() {
                    let (least, most) = incoming.wanted(way, most);
                    let next = out.len().min(at + most);
                    assert!(least <= most && least <= out.len() - at);
                    let fed = incoming.feed(out[at..next].to_vec(), way, |pdu| {
                        owned += usize::from(matches!(pdu.data, Cow::Owned(_)));
                        read.push(pdu.data.into_owned());
                        Ok(())
                    });
                    fed.unwrap();
                    at = next;
                }
                assert!(read == datas, "{way:?}, {most} at a time");
                assert_eq!(owned > 0, way == Digests::default() && most < 1 << 20, "{way:?}, {most} at a time");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_was_cut(
            datas in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            cut in 1_usize..200,
            way in 0_usize..4,
        ) {
            let digests = EACH_WAY[way];
            let mut out = Vec::new();
            for (number, data) in datas.iter().enumerate() {
                write(&mut out, Header::new(0x25, 0x80).tagged(number as u32), data, digests);
            }
            let mut read = Vec::new();
            let mut incoming = Incoming::default();
            for piece in out.chunks(cut) {
                incoming.feed(piece.to_vec(), digests, |pdu| { read.push((pdu.header.tag(), pdu.data.into_owned())); Ok(()) }).unwrap();
            }
            let expected: Vec<_> = datas.into_iter().enumerate().map(|(number, data)| (number as u32, data)).collect();
            prop_assert_eq!(read, expected);
            prop_assert!(incoming.rest.is_empty());
        }

        /// Whoever waits for what is missing never waits for more than there will be.
        #[test]
        fn what_is_missing_is_never_more_than_is_left(
            datas in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            more in 0_usize..400,
            way in 0_usize..4,
        ) {
            let digests = EACH_WAY[way];
            let mut out = Vec::new();
            for data in &datas {
                write(&mut out, Header::new(0x25, 0x80), data, digests);
            }
            let (mut incoming, mut at, mut seen) = (Incoming::default(), 0, 0);
            while seen < datas.len() {
                prop_assert!(incoming.missing(digests) <= out.len() - at);
                let next = out.len().min(at + incoming.missing(digests) + more);
                incoming.feed(out[at..next].to_vec(), digests, |_| { seen += 1; Ok(()) }).unwrap();
                at = next;
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..500), way in 0_usize..4) {
            let _ = Incoming::default().feed(bytes, EACH_WAY[way], |pdu| super::super::reply::Reply::read(&pdu.header, &pdu.data).map(drop));
        }
    }
}
