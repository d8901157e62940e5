//! What a server answers to a COMPOUND: the results of its operations in order, up to the first that failed
//! (RFC 8881, 16.2.4).

use super::attributes::Values;
use super::compound::{Channel, SessionId, StateId, op};
use crate::status::Status;
use crate::types::{Entry, Handle, Page, Place, Verifier, Written, name};
use crate::xdr::{Decoded, Decoder, Malformed};

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// An operation failed.
    Status(Status),
    /// It is not an answer.
    Malformed(Malformed),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Broken::Malformed(malformed)
    }
}

pub type Found<T> = Result<T, Broken>;

/// Longest identity that a server gives itself (`NFS4_OPAQUE_LIMIT`).
const MOST_OPAQUE: usize = 1024;

#[derive(Debug)]
pub struct Results<'a> {
    from: Decoder<'a>,
    status: Status,
    left: u32,
}

/// What a server says of itself and of us (RFC 8881, 18.35.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    pub client: u64,
    pub sequence: u32,
    /// It knew this client, and what it holds, already.
    pub confirmed: bool,
    /// Major part of its owner: the same server, however it is reached (RFC 8881, 2.10.5).
    pub server: Vec<u8>,
    pub scope: Vec<u8>,
}

impl<'a> Results<'a> {
    pub fn open(mut from: Decoder<'a>) -> Decoded<Self> {
        let status = Status(from.u32()?);
        from.opaque(MOST_OPAQUE)?;
        let left = from.u32()?;
        Ok(Results { from, status, left })
    }

    /// Whose results come next, if there are more.
    pub fn upcoming(&self) -> Option<u32> {
        let mut ahead = self.from;
        if self.left == 0 { None } else { ahead.u32().ok() }
    }

    /// The results of the next operation, which must be this one and have succeeded.
    pub fn next(&mut self, number: u32) -> Found<&mut Decoder<'a>> {
        if self.left == 0 {
            return Err(match self.status {
                Status(0) => Broken::Malformed(Malformed("results are missing")),
                failed => Broken::Status(failed),
            });
        }
        self.left -= 1;
        let named = self.from.u32()?;
        let status = Status(self.from.u32()?);
        if status != Status(0) {
            // An operation that it does not know comes back under another number (RFC 8881, 18.49).
            return Err(Broken::Status(status));
        }
        if named != number {
            return Err(Broken::Malformed(Malformed("results of another operation")));
        }
        Ok(&mut self.from)
    }

    /// Operations without results of interest: PUTFH, LOOKUP and their like.
    pub fn done(&mut self, numbers: &[u32]) -> Found<()> {
        numbers.iter().try_for_each(|number| self.next(*number).map(|_| ()))
    }

    pub fn handle(&mut self) -> Found<Handle> {
        Ok(Handle::decode(self.next(op::GETFH)?)?)
    }

    pub fn attributes(&mut self) -> Found<Values> {
        Ok(Values::decode(self.next(op::GETATTR)?)?)
    }

    pub fn size_set(&mut self) -> Found<()> {
        let from = self.next(op::SETATTR)?;
        skip_bitmap(from)?;
        Ok(())
    }

    pub fn folder_created(&mut self) -> Found<()> {
        let from = self.next(op::CREATE)?;
        change(from)?;
        skip_bitmap(from)?;
        Ok(())
    }

    /// REMOVE, LINK and RENAME: how the folder changed is not of interest.
    pub fn changed(&mut self, number: u32) -> Found<()> {
        let from = self.next(number)?;
        change(from)?;
        if number == op::RENAME {
            change(from)?;
        }
        Ok(())
    }

    pub fn page(&mut self) -> Found<Page> {
        let from = self.next(op::READDIR)?;
        let verifier = from.fixed()?;
        Ok(Page::decode(from, verifier, |from| {
            let cookie = from.u64()?;
            let name = name(from)?;
            let attributes = Values::decode(from)?.of_file();
            Ok((cookie, Entry { name, attributes }))
        })?)
    }

    /// At most `asked` bytes, and whether the file ends there.
    pub fn data(&mut self, asked: u32) -> Found<(Place, bool)> {
        let from = self.next(op::READ)?;
        let end = from.boolean()?;
        Ok((Place::decode(from, asked)?, end))
    }

    pub fn written(&mut self, asked: usize) -> Found<Written> {
        Ok(Written::decode(self.next(op::WRITE)?, asked)?)
    }

    pub fn committed(&mut self) -> Found<Verifier> {
        Ok(self.next(op::COMMIT)?.fixed()?)
    }

    pub fn opened(&mut self) -> Found<StateId> {
        let from = self.next(op::OPEN)?;
        let state = stateid(from)?;
        change(from)?;
        from.u32()?; // flags
        skip_bitmap(from)?;
        match from.u32()? {
            0 => {}
            // OPEN_DELEGATE_NONE_EXT: why there is none (RFC 8881, 18.16.2).
            3 => match from.u32()? {
                1 | 2 => {
                    from.boolean()?;
                }
                _ => {}
            },
            _ => return Err(Broken::Malformed(Malformed("a delegation that nobody wanted"))),
        }
        Ok(state)
    }

    /// LOCK, LOCKU and CLOSE.
    pub fn state(&mut self, number: u32) -> Found<StateId> {
        Ok(stateid(self.next(number)?)?)
    }

    /// Where the next data or hole begins; none where the file ends first (RFC 7862, 15.11.3).
    pub fn sought(&mut self) -> Found<Option<u64>> {
        let from = self.next(op::SEEK)?;
        let end = from.boolean()?;
        let offset = from.u64()?;
        Ok((!end).then_some(offset))
    }

    /// How many bytes were copied, at once.
    pub fn copied(&mut self) -> Found<u64> {
        let from = self.next(op::COPY)?;
        if from.u32()? != 0 {
            return Err(Broken::Malformed(Malformed("a copy that goes on by itself")));
        }
        let count = from.u64()?;
        from.u32()?;
        from.fixed::<8>()?;
        from.boolean()?;
        from.boolean()?;
        Ok(count)
    }

    pub fn exchanged(&mut self) -> Found<Exchanged> {
        const CONFIRMED: u32 = 1 << 31;
        let from = self.next(op::EXCHANGE_ID)?;
        let (client, sequence, flags) = (from.u64()?, from.u32()?, from.u32()?);
        if from.u32()? != 0 {
            return Err(Broken::Malformed(Malformed("a protection that was not asked for")));
        }
        from.u64()?; // minor part of the owner
        let server = from.opaque(MOST_OPAQUE)?.to_vec();
        let scope = from.opaque(MOST_OPAQUE)?.to_vec();
        // Who made the server follows; nobody asks.
        self.left = 0;
        Ok(Exchanged { client, sequence, confirmed: flags & CONFIRMED != 0, server, scope })
    }

    pub fn session_created(&mut self) -> Found<(SessionId, Channel)> {
        let from = self.next(op::CREATE_SESSION)?;
        let session = from.fixed()?;
        from.u32()?; // sequence
        from.u32()?; // flags
        from.u32()?; // padding
        let (request, response) = (from.u32()?, from.u32()?);
        from.u32()?; // cached
        let (operations, slots) = (from.u32()?, from.u32()?);
        self.left = 0;
        if slots == 0 || operations < 8 || request < 8192 || response < 8192 {
            return Err(Broken::Malformed(Malformed("a session that carries nothing")));
        }
        Ok((session, Channel { request, response, operations, slots }))
    }

    /// # Errors
    /// It is of another session, slot or sequence.
    pub fn sequenced(&mut self, session: &SessionId, sequence: u32, slot: u32) -> Found<u32> {
        let from = self.next(op::SEQUENCE)?;
        if from.fixed::<16>()? != *session || from.u32()? != sequence || from.u32()? != slot {
            return Err(Broken::Malformed(Malformed("the answer of another slot")));
        }
        from.u64()?; // highest slots
        Ok(from.u32()?)
    }
}

fn stateid(from: &mut Decoder<'_>) -> Decoded<StateId> {
    Ok(StateId { sequence: from.u32()?, other: from.fixed()? })
}

fn change(from: &mut Decoder<'_>) -> Decoded<()> {
    from.boolean()?;
    from.u64()?;
    from.u64()?;
    Ok(())
}

fn skip_bitmap(from: &mut Decoder<'_>) -> Decoded<()> {
    for _ in 0..from.count(4)? {
        from.u32()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xdr::Encoder;

    fn answer(status: u32, results: &[u32]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.u32(status);
        encoder.opaque(b"tag");
        results.iter().for_each(|word| encoder.u32(*word));
        encoder.into_bytes()
    }

    #[test]
    fn the_first_failure_ends_the_results() {
        let bytes = answer(2, &[2, op::PUTFH, 0, op::LOOKUP, 2]);
        let mut results = Results::open(Decoder::new(&bytes)).unwrap();
        assert_eq!(results.done(&[op::PUTFH, op::LOOKUP, op::GETFH]), Err(Broken::Status(Status::NOENT)));
        let bytes = answer(10021, &[0]);
        let mut none = Results::open(Decoder::new(&bytes)).unwrap();
        assert_eq!(none.done(&[op::EXCHANGE_ID]), Err(Broken::Status(Status::MINOR_VERS_MISMATCH)));
    }

    #[test]
    fn results_that_are_missing_or_of_another_operation_are_no_results() {
        for words in [&[1, op::LOOKUP, 0][..], &[0]] {
            let bytes = answer(0, words);
            let mut results = Results::open(Decoder::new(&bytes)).unwrap();
            assert!(matches!(results.done(&[op::PUTFH]), Err(Broken::Malformed(_))), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(number in 0u32..80, bytes in any::<Vec<u8>>()) {
            let head = answer(0, &[1, number, 0]);
            let bytes = [head, bytes].concat();
            let each: [fn(&mut Results<'_>) -> bool; 13] = [
                |r| r.handle().is_ok(), |r| r.attributes().is_ok(), |r| r.size_set().is_ok(),
                |r| r.changed(op::RENAME).is_ok(), |r| r.page().is_ok(), |r| r.data(64).is_ok(),
                |r| r.written(64).is_ok(), |r| r.opened().is_ok(), |r| r.copied().is_ok(),
                |r| r.exchanged().is_ok(), |r| r.session_created().is_ok(), |r| r.sequenced(&[0; 16], 1, 1).is_ok(),
                |r| r.folder_created().is_ok(),
            ];
            for read in each {
                read(&mut Results::open(Decoder::new(&bytes)).unwrap());
            }
        }
    }
}
