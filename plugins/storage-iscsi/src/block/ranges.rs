//! From bytes to blocks, and in pieces that a unit takes.

use fief_sdk::block::Extent;
use fief_sdk::{Error, Result};

use super::Shared;
use crate::scsi::capacity::{Capacity, Stretch};

/// Blocks of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) blocks: u64,
}

/// # Errors
/// `invalid`: not whole blocks, or not on the unit.
fn range(offset: u64, length: u64, capacity: &Capacity) -> Result<Range> {
    let block = u64::from(capacity.block);
    let end = offset.checked_add(length).filter(|end| *end <= capacity.bytes());
    if end.is_none() || !offset.is_multiple_of(block) || !length.is_multiple_of(block) {
        return Err(Error::invalid(format!(
            "{length} bytes at {offset} are no blocks of a unit of {} bytes in blocks of {block}",
            capacity.bytes()
        )));
    }
    Ok(Range { first: offset / block, blocks: length / block })
}

/// In pieces of at most `limit` blocks, which is 1 or more.
pub(super) fn pieces(range: Range, limit: u64) -> impl Iterator<Item = (u64, u32)> {
    let limit = limit.clamp(1, u32::MAX.into());
    let end = range.first + range.blocks;
    let mut at = range.first;
    std::iter::from_fn(move || {
        let blocks = limit.min(end - at);
        let piece = (at, blocks as u32);
        at += blocks;
        (blocks > 0).then_some(piece)
    })
}

/// What a map of stretches says of a range, from its beginning on; all of it is data where it says nothing.
pub(super) fn extents(map: &[Stretch], range: Range, capacity: &Capacity) -> Vec<Extent> {
    let block = u64::from(capacity.block);
    let end = range.first + range.blocks;
    let mut at = range.first;
    let mut all = Vec::new();
    for stretch in map {
        let until = stretch.first.saturating_add(stretch.blocks.into()).min(end);
        // A map that goes back, or leaves something out, is not followed any farther.
        if stretch.first > at || until <= at {
            break;
        }
        let hole = stretch.deallocated;
        all.push(Extent { length: (until - at) * block, hole, zero: hole && capacity.zeroed });
        at = until;
    }
    if all.is_empty() {
        all.push(Extent { length: range.blocks * block, hole: false, zero: false });
    }
    all
}

impl Shared {
    pub(super) fn range(&self, offset: u64, length: u64) -> Result<Range> {
        range(offset, length, &self.unit.borrow().capacity)
    }

    /// Of a command whose length the host has bounded.
    pub(super) fn blocks(&self, offset: u64, length: u64) -> Result<(u64, u32)> {
        let range = self.range(offset, length)?;
        let blocks = u32::try_from(range.blocks).map_err(|_| Error::invalid("more than one command can name"))?;
        Ok((range.first, blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Capacity = Capacity { blocks: 1000, block: 512, thin: true, zeroed: true };

    #[test]
    fn only_whole_blocks_of_the_unit_are_named() {
        assert_eq!(range(512, 1024, &UNIT).unwrap(), Range { first: 1, blocks: 2 });
        assert!(range(0, 512_000, &UNIT).is_ok());
        for (offset, length) in [(1, 512), (512, 1), (511_488, 1024), (u64::MAX - 511, 512)] {
            assert!(range(offset, length, &UNIT).is_err(), "{offset} {length}");
        }
    }

    #[test]
    fn pieces_cover_a_range_once() {
        let all: Vec<_> = pieces(Range { first: 5, blocks: 10 }, 4).collect();
        assert_eq!(all, [(5, 4), (9, 4), (13, 2)]);
        assert_eq!(pieces(Range { first: 5, blocks: 0 }, 4).count(), 0);
        assert_eq!(pieces(Range { first: 0, blocks: 3 }, 0).count(), 3);
    }

    #[test]
    fn a_map_is_followed_as_far_as_it_makes_sense() {
        let stretch = |first, blocks, deallocated| Stretch { first, blocks, deallocated };
        let range = Range { first: 10, blocks: 20 };
        let lengths = |map: &[Stretch]| -> Vec<_> {
            extents(map, range, &UNIT).iter().map(|extent| (extent.length / 512, extent.hole)).collect()
        };
        assert_eq!(lengths(&[stretch(8, 7, true), stretch(15, 100, false)]), [(5, true), (15, false)]);
        assert_eq!(lengths(&[stretch(10, 5, true), stretch(12, 90, false)]), [(5, true), (15, false)]);
        assert_eq!(lengths(&[stretch(10, 5, true), stretch(20, 90, false)]), [(5, true)]);
        assert_eq!(lengths(&[stretch(50, 5, true)]), [(20, false)]);
        assert_eq!(lengths(&[]), [(20, false)]);
    }
}
