//! A disk in chunks, and sets of them. Pure.

use std::ops::Range;

use fief_wire::copy::{CHUNK_LEAST, CHUNK_MOST, CHUNKS_MOST};

use crate::error::{Failure, Result};
use crate::types::ByteSize;

/// Up to so many chunks they are small, so that little goes over for little that was written; past it they grow.
const FEW: u64 = 1 << 20;
/// A small chunk, in bytes.
const SMALL: u32 = 256 << 10;

/// How a disk is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    size: u64,
    chunk: u32,
}

impl Cut {
    /// As this host cuts a disk of so many bytes.
    ///
    /// # Errors
    /// Where it is larger than both sides keep digests for.
    pub fn of(size: u64) -> Result<Cut> {
        let mut chunk = SMALL;
        while size.div_ceil(u64::from(chunk)) > FEW && chunk < CHUNK_MOST {
            chunk *= 2;
        }
        Cut::checked(size, chunk)
    }

    /// As the other host cuts it.
    ///
    /// # Errors
    /// Where nobody cuts a disk so.
    pub fn checked(size: u64, chunk: u32) -> Result<Cut> {
        let fits = chunk.is_power_of_two() && (CHUNK_LEAST..=CHUNK_MOST).contains(&chunk);
        if !fits || size.div_ceil(u64::from(chunk)) > CHUNKS_MOST {
            return Err(Failure::usage(format!("a disk of {} is too large to be copied", ByteSize::from_bytes(size))));
        }
        Ok(Cut { size, chunk })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn chunk(&self) -> u32 {
        self.chunk
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(u64::from(self.chunk))).unwrap_or(u32::MAX)
    }

    /// The bytes of a chunk, in the disk.
    pub fn range(&self, number: u32) -> Range<u64> {
        let start = u64::from(number) * u64::from(self.chunk);
        start..(start + u64::from(self.chunk)).min(self.size)
    }

    /// The chunks that any of these bytes lie in.
    pub fn touched(&self, ranges: &[Range<u64>]) -> Set {
        let mut set = Set::none(self.count());
        for range in ranges {
            let end = range.end.min(self.size);
            if range.start < end {
                let chunk = u64::from(self.chunk);
                let last = (end - 1) / chunk;
                for number in range.start / chunk..=last {
                    set.insert(u32::try_from(number).unwrap_or(u32::MAX));
                }
            }
        }
        set
    }
}

/// Some of a disk's chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    bits: Vec<u64>,
    of: u32,
    count: u32,
}

impl Set {
    pub fn none(of: u32) -> Set {
        Set { bits: vec![0; (of as usize).div_ceil(64)], of, count: 0 }
    }

    pub fn all(of: u32) -> Set {
        Set::none(of).others()
    }

    pub fn has(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|word| word & bit(number) != 0)
    }

    /// One past the end is none.
    pub fn insert(&mut self, number: u32) {
        if number < self.of && !self.has(number) {
            self.bits[number as usize / 64] |= bit(number);
            self.count += 1;
        }
    }

    pub fn remove(&mut self, number: u32) {
        if self.has(number) {
            self.bits[number as usize / 64] &= !bit(number);
            self.count -= 1;
        }
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All that are not in it.
    #[must_use]
    pub fn others(&self) -> Set {
        let mut bits: Vec<u64> = self.bits.iter().map(|word| !word).collect();
        if let Some(last) = bits.last_mut()
            && !self.of.is_multiple_of(64)
        {
            *last &= bit(self.of) - 1;
        }
        Set { bits, of: self.of, count: self.of - self.count }
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let at = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(place as u32 * 64 + at)
            })
        })
    }

    /// The same as stretches of neighbours: the first, and how many.
    pub fn stretches(&self) -> Vec<(u32, u32)> {
        let mut all: Vec<(u32, u32)> = Vec::new();
        for number in self.iter() {
            match all.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                Some(_) | None => all.push((number, 1)),
            }
        }
        all
    }
}

fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_are_small_for_usual_disks_and_grow_with_large_ones() {
        let chunk = |size: u64| Cut::of(size).map(|cut| cut.chunk()).map_err(|failure| failure.kind);
        assert_eq!(chunk(0), Ok(SMALL));
        assert_eq!(chunk(256 << 30), Ok(SMALL));
        assert_eq!(chunk((256 << 30) + 1), Ok(2 * SMALL));
        assert_eq!(chunk(64 << 40), Ok(CHUNK_MOST));
        assert!(chunk((64 << 40) + 1).is_err() && chunk(u64::MAX).is_err());
        for wrong in [0, 1, 3 << 16, CHUNK_LEAST / 2, CHUNK_MOST * 2] {
            assert!(Cut::checked(1 << 20, wrong).is_err(), "{wrong}");
        }
        let cut = Cut::of(u64::from(SMALL) * 2 + 1).unwrap();
        assert_eq!((cut.count(), cut.range(2)), (3, u64::from(SMALL) * 2..u64::from(SMALL) * 2 + 1));
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in_and_the_others_the_rest(
            of in 0u32..300,
            numbers in proptest::collection::vec(0u32..320, 0..60),
            gone in proptest::collection::vec(0u32..320, 0..20),
        ) {
            let (mut set, mut model) = (Set::none(of), BTreeSet::new());
            for number in numbers {
                set.insert(number);
                if number < of {
                    model.insert(number);
                }
            }
            for number in gone {
                set.remove(number);
                model.remove(&number);
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len() as usize, model.len());
            let others: BTreeSet<u32> = set.others().iter().collect();
            prop_assert!(others.is_disjoint(&model) && others.len() + model.len() == of as usize);
            let stretched: u32 = set.stretches().iter().map(|(_, count)| count).sum();
            prop_assert_eq!(stretched, set.len());
        }

        #[test]
        fn every_byte_that_was_written_lies_in_a_chunk_that_is_touched(
            size in 1u64..20_000_000,
            ranges in proptest::collection::vec((0u64..21_000_000, 0u64..3_000_000), 0..8),
        ) {
            let cut = Cut::of(size).unwrap();
            let ranges: Vec<_> = ranges.into_iter().map(|(start, length)| start..start + length).collect();
            let touched = cut.touched(&ranges);
            for number in 0..cut.count() {
                let chunk = cut.range(number);
                let written = ranges.iter().any(|range| range.start.max(chunk.start) < range.end.min(chunk.end));
                prop_assert_eq!(touched.has(number), written, "{}", number);
            }
        }
    }
}
