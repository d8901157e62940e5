//! UEFI variables on their way. They lie in flash memory of half a megabyte or more that is mostly as it was erased, so only
//! what is not goes over.

use serde::{Deserialize, Serialize};

use super::message::Malformed;

/// A byte of flash memory that was erased and not written since.
const ERASED: u8 = 0xff;
/// What goes over, or does not, as a whole.
const BLOCK: usize = 512;
/// Largest flash memory, in bytes: what QEMU's `virt` machine has.
const FLASH_MAX: usize = 64 << 20;
/// Most bytes that go over: with the rest of a message, their digits fit in one.
const WRITTEN_MAX: usize = 300 << 10;

/// The content of flash memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variables {
    /// In bytes.
    length: usize,
    /// In order; what lies between is erased.
    written: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Piece {
    /// In bytes, from the beginning.
    at: usize,
    /// Lower-case hexadecimal.
    bytes: String,
}

impl Variables {
    /// None where there is more than goes over at once.
    pub fn of(bytes: &[u8]) -> Option<Variables> {
        let mut written: Vec<(usize, Vec<u8>)> = Vec::new();
        let blocks = bytes.chunks(BLOCK).enumerate().map(|(number, block)| (number * BLOCK, block));
        for (at, block) in blocks.filter(|(_, block)| block.iter().any(|byte| *byte != ERASED)) {
            match written.last_mut() {
                Some((begin, before)) if *begin + before.len() == at => before.extend_from_slice(block),
                Some(_) | None => written.push((at, block.to_vec())),
            }
        }
        if bytes.len() > FLASH_MAX || written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > WRITTEN_MAX {
            return None;
        }
        let written = written.into_iter().map(|(at, bytes)| Piece { at, bytes: fief_wire::text::hex(&bytes) });
        Some(Variables { length: bytes.len(), written: written.collect() })
    }

    /// # Errors
    /// Where no flash memory has that content.
    pub fn bytes(&self) -> Result<Vec<u8>, Malformed> {
        let wrong = || Malformed::new("UEFI variables that no flash memory holds");
        let digits: usize = self.written.iter().map(|piece| piece.bytes.len()).sum();
        if self.length > FLASH_MAX || digits > 2 * WRITTEN_MAX {
            return Err(wrong());
        }
        let mut bytes = Vec::with_capacity(self.length);
        for piece in &self.written {
            if piece.at < bytes.len() || piece.at > self.length {
                return Err(wrong());
            }
            bytes.resize(piece.at, ERASED);
            for digits in piece.bytes.as_bytes().chunks(2) {
                let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
                let [byte] = fief_wire::text::unhex(digits).ok_or_else(wrong)?;
                bytes.push(byte);
            }
        }
        if bytes.len() > self.length {
            return Err(wrong());
        }
        bytes.resize(self.length, ERASED);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flash() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop_oneof![Just(ERASED), any::<u8>()], 0..2000_usize);
        prop::collection::vec(run, 0..12)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, count)| std::iter::repeat_n(byte, count)).collect())
    }

    proptest! {
        #[test]
        fn what_was_written_arrives_as_it_was(bytes in flash()) {
            let variables = Variables::of(&bytes).unwrap();
            let text = serde_json::to_string(&variables).unwrap();
            let back: Variables = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.bytes(), Ok(bytes));
        }

        #[test]
        fn no_words_of_another_host_take_more_memory_than_flash_has(
            length in any::<usize>(),
            at in any::<usize>(),
            digits in "[0-9a-fA-Fg]{0,9}",
        ) {
            let piece = Piece { at, bytes: digits };
            let read = Variables { length, written: vec![piece.clone(), piece] }.bytes();
            prop_assert!(read.is_err() || read.unwrap().len() == length);
        }
    }

    #[test]
    fn erased_flash_is_a_few_words() {
        let erased = Variables::of(&vec![ERASED; 528 << 10]).unwrap();
        assert!(serde_json::to_vec(&erased).unwrap().len() < 100);
        assert_eq!(erased.bytes().unwrap(), vec![ERASED; 528 << 10]);
    }

    #[test]
    fn what_does_not_fit_into_a_message_is_refused_before_it_is_sent() {
        assert!(Variables::of(&vec![0; WRITTEN_MAX]).is_some());
        assert!(Variables::of(&vec![0; WRITTEN_MAX + 1]).is_none());
        let overlapping = |at| Variables { length: 4, written: vec![Piece { at, bytes: "0011".into() }; 2] }.bytes();
        assert!(overlapping(0).is_err() && overlapping(3).is_err());
    }
}
