//! What a disk may hold, as far as whoever wrote to it can know. Pure.
//!
//! ```text
//!   settled   what it held when the last flush was answered       a crash may bring back this,
//!   since     what was written after that, oldest first           or any of these
//!   now       what a read gives
//! ```

use std::rc::Rc;

/// What is told apart, in bytes: the smallest sector of a disk.
pub(super) const SECTOR: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Bytes(Rc<[u8]>),
    /// Given up by whoever wrote it.
    Any,
}

#[derive(Debug, Clone)]
struct Sector {
    settled: Content,
    since: Vec<Content>,
    now: Content,
}

#[derive(Debug)]
pub(super) struct Model {
    sectors: Vec<Sector>,
}

/// A sector that holds what it must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) sector: usize,
    pub(super) expected: String,
    pub(super) got: String,
}

/// The bytes of a request with that number for sectors from `at` on: each says whose it is.
pub(super) fn stamped(number: u32, at: usize, sectors: usize) -> Vec<u8> {
    let word = |sector: usize| ((u64::from(number) << 32) | (sector as u64 & 0xFFFF_FFFF)).to_le_bytes();
    (at..at + sectors).flat_map(|sector| word(sector).repeat(SECTOR / 8)).collect()
}

fn words(bytes: &[u8]) -> String {
    let first = bytes.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
    match (bytes.iter().all(|byte| *byte == 0), bytes.chunks(8).all(|word| word == first.to_le_bytes())) {
        (true, _) => "zeroes".to_owned(),
        (false, true) => format!("what request {} wrote to sector {}", first >> 32, first & 0xFFFF_FFFF),
        (false, false) => "bytes of several requests, or of none".to_owned(),
    }
}

impl Content {
    fn words(&self) -> String {
        match self {
            Content::Bytes(bytes) => words(bytes),
            Content::Any => "anything".to_owned(),
        }
    }
}

impl Model {
    /// Of a disk that reads as zeroes, flushed.
    pub(super) fn new(sectors: usize) -> Model {
        let zero = Content::Bytes(vec![0; SECTOR].into());
        let sector = Sector { settled: zero.clone(), since: Vec::new(), now: zero };
        Model { sectors: vec![sector; sectors] }
    }

    pub(super) fn wrote(&mut self, at: usize, bytes: &[u8], durable: bool) {
        for (sector, bytes) in self.sectors[at..].iter_mut().zip(bytes.chunks(SECTOR)) {
            let content = Content::Bytes(bytes.into());
            sector.now = content.clone();
            if durable {
                sector.since.clear();
                sector.settled = content;
            } else {
                sector.since.push(content);
            }
        }
    }

    /// Begun, and not known to be done.
    pub(super) fn began(&mut self, at: usize, bytes: &[u8]) {
        for (sector, bytes) in self.sectors[at..].iter_mut().zip(bytes.chunks(SECTOR)) {
            sector.since.push(Content::Bytes(bytes.into()));
        }
    }

    pub(super) fn trimmed(&mut self, at: usize, sectors: usize) {
        for sector in &mut self.sectors[at..at + sectors] {
            sector.now = Content::Any;
            sector.since.push(Content::Any);
        }
    }

    pub(super) fn flushed(&mut self) {
        for sector in &mut self.sectors {
            sector.settled = sector.now.clone();
            sector.since.clear();
        }
    }

    /// What was read, without a crash before.
    pub(super) fn read(&self, at: usize, bytes: &[u8]) -> Result<(), Wrong> {
        for (number, (sector, bytes)) in self.sectors[at..].iter().zip(bytes.chunks(SECTOR)).enumerate() {
            match &sector.now {
                Content::Bytes(expected) if **expected != *bytes => {
                    return Err(Wrong { sector: at + number, expected: sector.now.words(), got: words(bytes) });
                }
                Content::Bytes(_) | Content::Any => {}
            }
        }
        Ok(())
    }

    /// What was read after a crash: from now on this is what it holds.
    pub(super) fn crashed(&mut self, at: usize, bytes: &[u8]) -> Result<(), Wrong> {
        for (number, (sector, bytes)) in self.sectors[at..].iter_mut().zip(bytes.chunks(SECTOR)).enumerate() {
            let all = || std::iter::once(&sector.settled).chain(&sector.since);
            // A sector may be half old and half new.
            let may = |place: usize, byte: u8| {
                all().any(|content| match content {
                    Content::Bytes(bytes) => bytes[place] == byte,
                    Content::Any => true,
                })
            };
            if !bytes.iter().enumerate().all(|(place, byte)| may(place, *byte)) {
                let mut expected: Vec<String> = all().map(Content::words).collect();
                expected.dedup();
                let expected = expected.join(", or ");
                return Err(Wrong { sector: at + number, expected, got: words(bytes) });
            }
            sector.now = Content::Bytes(bytes.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_what_was_written_last() {
        let mut model = Model::new(4);
        let (one, two) = (stamped(1, 0, 2), stamped(2, 1, 2));
        model.wrote(0, &one, false);
        model.wrote(1, &two, false);
        assert_eq!(model.read(0, &one[..SECTOR]), Ok(()));
        assert_eq!(model.read(1, &two), Ok(()));
        let wrong = model.read(1, &one[SECTOR..]).unwrap_err();
        assert_eq!((wrong.sector, wrong.got.as_str()), (1, "what request 1 wrote to sector 1"));
        assert!(model.read(3, &[0; SECTOR]).is_ok() && model.read(3, &[1; SECTOR]).is_err());
        model.trimmed(0, 1);
        assert_eq!(model.read(0, &[7; SECTOR]), Ok(()));
    }

    #[test]
    fn after_a_crash_what_was_flushed_is_there_and_the_rest_is_old_or_new() {
        let bytes = |number| stamped(number, 0, 1);
        let fresh = || {
            let mut model = Model::new(1);
            model.wrote(0, &bytes(1), false);
            model.flushed();
            model.wrote(0, &bytes(2), false);
            model.began(0, &bytes(3));
            model
        };
        for number in 1..=3 {
            let mut model = fresh();
            model.crashed(0, &bytes(number)).unwrap();
            assert_eq!(model.read(0, &bytes(number)), Ok(()));
        }
        let mut torn = bytes(1);
        torn[100..].copy_from_slice(&bytes(3)[100..]);
        assert_eq!(fresh().crashed(0, &torn), Ok(()));
        assert!(fresh().crashed(0, &bytes(4)).is_err(), "what nobody wrote");
        let lost = fresh().crashed(0, &[0; SECTOR]).unwrap_err();
        assert!(lost.expected.contains("request 1") && lost.got == "zeroes", "{lost:?}");
        let mut durable = fresh();
        durable.wrote(0, &bytes(5), true);
        assert!(durable.crashed(0, &bytes(2)).is_err(), "a durable write that is gone");
        let mut trimmed = fresh();
        trimmed.trimmed(0, 1);
        assert_eq!(trimmed.crashed(0, &[9; SECTOR]), Ok(()));
    }
}
