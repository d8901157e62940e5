//! ONC RPC version 2 (RFC 5531): a call, its answer, and how both are marked in a stream.

use crate::xdr::{Decoded, Decoder, Encoder, Malformed};

pub const NFS_PROGRAM: u32 = 100_003;
/// The mount protocol of v3 (RFC 1813, appendix I).
pub const MOUNT_PROGRAM: u32 = 100_005;

/// RFC 5531, 8.2: an identity that the server takes at its word.
const AUTH_SYS: u32 = 1;
const AUTH_NONE: u32 = 0;
/// The longest verifier of an answer (RFC 5531, 8.2).
const MOST_AUTH: usize = 400;
/// Top bit of a fragment's length: it is the record's last (RFC 5531, 11).
const LAST: u32 = 1 << 31;
/// Fragments without an end would keep us here for ever; servers send one, or a few.
const MOST_FRAGMENTS: usize = 1024;

/// Who calls, as AUTH_SYS says it (RFC 5531, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
}

/// One procedure of one version of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Procedure {
    pub program: u32,
    pub version: u32,
    pub number: u32,
}

/// Starts a record with the header of a call; its arguments follow, then [`finish`].
pub fn call(xid: u32, procedure: Procedure, identity: Identity, room: usize) -> Encoder {
    let mut call = Encoder::with_room(room + 128);
    call.u32(0); // the record mark, known at the end
    call.u32(xid);
    call.u32(0); // CALL
    call.u32(2); // the version of RPC
    call.u32(procedure.program);
    call.u32(procedure.version);
    call.u32(procedure.number);
    call.u32(AUTH_SYS);
    call.u32(24); // bytes of what follows of it
    call.u32(0); // an arbitrary stamp
    call.opaque(b"fief");
    call.u32(identity.uid);
    call.u32(identity.gid);
    call.u32(0); // no further groups
    call.u32(AUTH_NONE);
    call.opaque(&[]);
    call
}

/// The record as it goes out: in one fragment.
pub fn finish(mut call: Encoder) -> Vec<u8> {
    let length = u32::try_from(call.len() - 4).unwrap_or(LAST - 1);
    call.set_u32(0, LAST | length);
    call.into_bytes()
}

/// Why a call was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The server does not serve this program at all.
    NoProgram,
    /// It serves other versions of it, from and to.
    Versions(u32, u32),
    /// It does not take our identity.
    Identity,
    /// Anything else (RFC 5531, 9: `PROC_UNAVAIL`, `GARBAGE_ARGS`, `SYSTEM_ERR`, `RPC_MISMATCH`).
    Other,
}

/// The number by which an answer finds its call.
pub fn xid(record: &[u8]) -> Decoded<u32> {
    Decoder::new(record).u32()
}

/// The results in a record, or why there are none (RFC 5531, 9).
pub fn results(record: &[u8]) -> Decoded<Result<Decoder<'_>, Refused>> {
    let mut answer = Decoder::new(record);
    answer.u32()?; // xid
    if answer.u32()? != 1 {
        return Err(Malformed("a call where an answer was due"));
    }
    match answer.u32()? {
        0 => {}
        1 => {
            return match answer.u32()? {
                0 => Ok(Err(Refused::Other)),
                1 => Ok(Err(Refused::Identity)),
                _ => Err(Malformed("an unknown kind of rejection")),
            };
        }
        _ => return Err(Malformed("neither accepted nor rejected")),
    }
    answer.u32()?;
    answer.opaque(MOST_AUTH)?;
    match answer.u32()? {
        0 => Ok(Ok(answer)),
        1 => Ok(Err(Refused::NoProgram)),
        2 => Ok(Err(Refused::Versions(answer.u32()?, answer.u32()?))),
        3..=5 => Ok(Err(Refused::Other)),
        _ => Err(Malformed("an unknown kind of acceptance")),
    }
}

/// Records from this many bytes on are asked for by themselves, so that they need not be moved.
const LARGE: usize = 16 << 10;

/// Cuts what comes in a stream into records (RFC 5531, 11). Each byte is copied once, into the record that it is of, or not at
/// all where a record came by itself.
#[derive(Debug)]
pub struct Records {
    /// What has come.
    buffer: Vec<u8>,
    /// Of `buffer`, what was taken already.
    start: usize,
    /// What has come of the record.
    record: Vec<u8>,
    /// Its fragment that is under way.
    fragment: Option<Fragment>,
    fragments: usize,
    /// The last fragment that began is large: after it there is often another.
    large: bool,
    /// Longest record, in bytes.
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Fragment {
    missing: usize,
    last: bool,
}

impl Records {
    pub fn new(most: usize) -> Self {
        Records { buffer: Vec::new(), start: 0, record: Vec::new(), fragment: None, fragments: 0, large: false, most }
    }

    /// More of the stream; without a copy where nothing else waits.
    pub fn give(&mut self, bytes: Vec<u8>) {
        match self.start == self.buffer.len() {
            true => (self.buffer, self.start) = (bytes, 0),
            false => self.push(&bytes),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes to wait for, at least and at most: without the least nothing more can be taken, and `most` is what may
    /// come along. Large records are taken without what follows, and so is the mark after them.
    pub fn wanted(&self, most: usize) -> (usize, usize) {
        let here = self.buffer.len() - self.start;
        // A record is hardly ever in more than one fragment.
        let missing = self.fragment.map_or(4, |fragment| fragment.missing).saturating_sub(here).max(1);
        (missing, if self.large { missing } else { most.max(missing) })
    }

    /// The next whole record, if it has come.
    ///
    /// # Errors
    /// It would be longer than a record may be. The stream is of no more use.
    pub fn take(&mut self) -> Decoded<Option<Vec<u8>>> {
        loop {
            let mut rest = Decoder::new(self.buffer.get(self.start..).unwrap_or_default());
            let fragment = match self.fragment {
                Some(fragment) => fragment,
                None => {
                    let Ok(mark) = rest.u32() else { return Ok(None) };
                    let missing = (mark & !LAST) as usize;
                    self.start += 4;
                    self.fragments += 1;
                    if self.record.len() + missing > self.most || self.fragments > MOST_FRAGMENTS {
                        return Err(Malformed("a record that is too long"));
                    }
                    self.large = missing >= LARGE;
                    Fragment { missing, last: mark & LAST != 0 }
                }
            };
            if self.start == 0 && self.record.is_empty() && fragment.missing == self.buffer.len() {
                // It came by itself.
                self.record = std::mem::take(&mut self.buffer);
                if fragment.last {
                    (self.fragment, self.fragments) = (None, 0);
                    return Ok(Some(std::mem::take(&mut self.record)));
                }
                self.fragment = None;
                continue;
            }
            let rest = rest.rest();
            let part = &rest[..fragment.missing.min(rest.len())];
            if !part.is_empty() {
                self.record.reserve_exact(fragment.missing);
            }
            self.record.extend_from_slice(part);
            self.start += part.len();
            let missing = fragment.missing - part.len();
            if missing > 0 {
                self.fragment = Some(Fragment { missing, ..fragment });
                return Ok(None);
            }
            self.fragment = None;
            if fragment.last {
                self.fragments = 0;
                return Ok(Some(std::mem::take(&mut self.record)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(data: &[u8], last: bool) -> Vec<u8> {
        let mark = u32::try_from(data.len()).unwrap() | if last { LAST } else { 0 };
        [&mark.to_be_bytes(), data].concat()
    }

    fn answer(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_call_says_its_length_and_who_calls() {
        let nfs = Procedure { program: NFS_PROGRAM, version: 4, number: 1 };
        let record = finish(call(7, nfs, Identity { uid: 1, gid: 2 }, 0));
        let mut read = Decoder::new(&record);
        assert_eq!(read.u32().unwrap(), LAST | u32::try_from(record.len() - 4).unwrap());
        let words: Vec<u32> = (0..6).map(|_| read.u32().unwrap()).collect();
        assert_eq!(words, [7, 0, 2, 100_003, 4, 1]);
        assert_eq!(read.u32().unwrap(), AUTH_SYS);
        assert_eq!(read.opaque(400).unwrap()[4..], *b"\0\0\0\x04fief\0\0\0\x01\0\0\0\x02\0\0\0\0");
    }

    #[test]
    fn refusals_are_told_apart() {
        assert_eq!(results(&answer(&[7, 1, 0, 0, 0, 2, 3, 4])).unwrap().unwrap_err(), Refused::Versions(3, 4));
        assert_eq!(results(&answer(&[7, 1, 0, 0, 0, 1])).unwrap().unwrap_err(), Refused::NoProgram);
        assert_eq!(results(&answer(&[7, 1, 1, 1, 5])).unwrap().unwrap_err(), Refused::Identity);
        assert_eq!(results(&answer(&[7, 1, 0, 0, 0, 0, 9])).unwrap().unwrap().rest(), [0, 0, 0, 9]);
        for bad in [&[7, 0][..], &[7, 1, 2], &[7, 1, 0, 0, 500], &[7]] {
            assert!(results(&answer(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_record_past_its_bound_is_refused_before_it_has_come() {
        let mut records = Records::new(100);
        records.push(&fragment(&[1; 60], false));
        records.push(&(LAST | 41).to_be_bytes());
        assert!(records.take().is_err());
        let mut endless = Records::new(100);
        (0..=MOST_FRAGMENTS).for_each(|_| endless.push(&fragment(&[], false)));
        assert!(endless.take().is_err());
    }

    #[test]
    fn a_large_record_is_asked_for_by_itself_and_so_is_the_mark_after_it() {
        let mut records = Records::new(1 << 20);
        let (large, small) = (vec![7; LARGE], vec![8; 12]);
        let stream: Vec<u8> =
            [&large, &large, &small, &large].iter().flat_map(|record| fragment(record, true)).collect();
        let (mut at, mut asked, mut seen) = (0, Vec::new(), Vec::new());
        while at < stream.len() {
            let (least, most) = records.wanted(1000);
            assert!(least <= most && least <= stream.len() - at);
            asked.push(most);
            let next = stream.len().min(at + most);
            records.give(stream[at..next].to_vec());
            at = next;
            while let Some(record) = records.take().unwrap() {
                seen.push(record);
            }
        }
        assert_eq!(seen, [&large, &large, &small, &large].map(Clone::clone));
        assert_eq!(asked, [1000, LARGE - 996, 4, LARGE, 4, 1000, LARGE - 984]);
    }

    proptest! {
        #[test]
        fn records_come_whole_however_they_are_cut(
            records in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..4), 0..6),
            cut in 1usize..50,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| {
                record.iter().enumerate().flat_map(|(at, data)| fragment(data, at + 1 == record.len()))
            }).collect();
            let mut reader = Records::new(1000);
            let mut seen = Vec::new();
            for part in stream.chunks(cut) {
                reader.push(part);
                while let Some(record) = reader.take().unwrap() {
                    seen.push(record);
                }
                prop_assert!(reader.wanted(1).0 > 0);
            }
            prop_assert_eq!(seen, records.iter().map(|record| record.concat()).collect::<Vec<_>>());
        }

        /// Whoever waits for what is missing never waits for more than there will be.
        #[test]
        fn what_is_missing_is_never_more_than_is_left(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
            more in 0_usize..300,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| fragment(record, true)).collect();
            let mut reader = Records::new(1000);
            let (mut at, mut seen) = (0, 0);
            while seen < records.len() {
                let (least, most) = reader.wanted(more);
                prop_assert!(least <= stream.len() - at);
                let next = stream.len().min(at + most);
                match more % 2 {
                    0 => reader.push(&stream[at..next]),
                    _ => reader.give(stream[at..next].to_vec()),
                }
                at = next;
                while reader.take().unwrap().is_some() {
                    seen += 1;
                }
            }
        }

        #[test]
        fn no_answer_is_too_strange(bytes in any::<Vec<u8>>()) {
            let _ = results(&bytes);
            let mut records = Records::new(64);
            records.push(&bytes);
            while let Ok(Some(_)) = records.take() {}
        }
    }
}
