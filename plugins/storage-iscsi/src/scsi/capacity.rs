//! How large a unit is, what its cache does, and what lies where.

use super::{u32_at, u64_at};

/// READ CAPACITY(16) (SBC-3, section 5.16.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    pub blocks: u64,
    /// Bytes of a block.
    pub block: u32,
    /// Blocks can be without storage behind them (LBPME).
    pub thin: bool,
    /// Such blocks read as zeroes (LBPRZ).
    pub zeroed: bool,
}

impl Capacity {
    /// None where it is cut short, or has blocks of a length that no disk has.
    pub fn read(data: &[u8]) -> Option<Self> {
        let blocks = u64_at(data, 0)?.checked_add(1)?;
        let block = u32_at(data, 8)?;
        let flags = data.get(14)?;
        let sane = block.is_power_of_two() && (512..=65536).contains(&block);
        // More bytes than an offset counts would wrap.
        blocks.checked_mul(block.into()).filter(|_| sane)?;
        Some(Capacity { blocks, block, thin: flags & 0x80 != 0, zeroed: flags & 0x40 != 0 })
    }

    pub fn bytes(&self) -> u64 {
        self.blocks * u64::from(self.block)
    }
}

/// MODE SENSE(6) with the caching page (SPC-4, section 7.5.6; SBC-3, section 6.4.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    pub write_protected: bool,
    /// FUA works (DPOFUA).
    pub durable_writes: bool,
    /// Writes are answered before they are on the medium (WCE).
    pub write_cache: bool,
}

impl Mode {
    /// A unit without a caching page has to be taken for one with a cache.
    pub fn read(data: &[u8]) -> Self {
        let device = data.get(2).copied().unwrap_or_default();
        let descriptors = usize::from(data.get(3).copied().unwrap_or_default());
        let page = data.get(4 + descriptors..).unwrap_or_default();
        let write_cache = match page {
            [code, _, flags, ..] if code & 0x3f == 0x08 => flags & 0x04 != 0,
            _ => true,
        };
        Mode { write_protected: device & 0x80 != 0, durable_writes: device & 0x10 != 0, write_cache }
    }
}

/// A stretch of GET LBA STATUS (SBC-3, section 5.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub first: u64,
    pub blocks: u32,
    /// Nothing is stored there.
    pub deallocated: bool,
}

/// The stretches, as far as the answer goes.
pub fn stretches(data: &[u8]) -> Vec<Stretch> {
    let length = u32_at(data, 0).unwrap_or_default() as usize;
    let all = data.get(8..).unwrap_or_default();
    let all = &all[..all.len().min(length.saturating_sub(4))];
    let stretch = |entry: &[u8]| {
        Some(Stretch { first: u64_at(entry, 0)?, blocks: u32_at(entry, 8)?, deallocated: entry.get(12)? & 0x0f == 1 })
    };
    all.chunks_exact(16).filter_map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capacity(last: u64, block: u32, flags: u8) -> Vec<u8> {
        let mut data = vec![0; 32];
        data[..8].copy_from_slice(&last.to_be_bytes());
        data[8..12].copy_from_slice(&block.to_be_bytes());
        data[14] = flags;
        data
    }

    #[test]
    fn the_last_block_is_one_less_than_there_are() {
        let found = Capacity::read(&capacity(131_071, 512, 0xc0)).unwrap();
        assert_eq!((found.bytes(), found.thin, found.zeroed), (64 << 20, true, true));
        for bad in
            [capacity(u64::MAX, 512, 0), capacity(u64::MAX / 512, 4096, 0), capacity(9, 520, 0), capacity(9, 0, 0)]
        {
            assert_eq!(Capacity::read(&bad), None);
        }
        assert_eq!(Capacity::read(&[0; 8]), None);
    }

    #[test]
    fn a_unit_that_does_not_say_is_taken_to_have_a_cache() {
        assert!(Mode::read(&[]).write_cache);
        assert!(Mode::read(&[3, 0, 0x10, 0]).write_cache);
        let off = Mode::read(&[23, 0, 0x90, 0, 0x08, 0x12, 0x00]);
        assert_eq!(off, Mode { write_protected: true, durable_writes: true, write_cache: false });
        assert!(Mode::read(&[31, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x12, 0x04]).write_cache);
    }

    #[test]
    fn stretches_are_read_as_far_as_they_go() {
        let mut data = vec![0, 0, 0, 36, 0, 0, 0, 0];
        data.extend([0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 0, 0, 0]);
        data.extend([0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(stretches(&data), [Stretch { first: 8, blocks: 4, deallocated: true }]);
    }

    proptest! {
        #[test]
        fn no_page_makes_a_reader_panic(data in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (Capacity::read(&data), Mode::read(&data), stretches(&data), super::super::lun::listed(&data));
            let _ = (super::super::inquiry::designators(&data), super::super::inquiry::Limits::read(&data));
            let _ = (super::super::inquiry::Standard::read(&data), super::super::inquiry::Provisioning::read(&data));
            let _ = (super::super::reservation::keys(&data), super::super::reservation::held(&data));
        }
    }
}
