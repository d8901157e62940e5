//! Command descriptor blocks, each with the data that goes with it.

use crate::protocol::session::{Command, Data};

/// Room for what units tell of themselves; more would be cut, and none of what we read is longer.
const PAGE: u16 = 1024;

fn command(lun: [u8; 8], bytes: &[u8], data: Data) -> Command {
    let mut cdb = [0; 16];
    cdb[..bytes.len()].copy_from_slice(bytes);
    Command { lun, cdb, data }
}

/// Seconds that a command may take where one that moves data may take `usual`: caches are large, and some units free and
/// zero block by block.
pub fn patience(command: &Command, usual: u32) -> u32 {
    const SYNCHRONIZE: u8 = 0x35;
    const UNMAP: u8 = 0x42;
    const WRITE_SAME: u8 = 0x93;
    match command.cdb[0] {
        SYNCHRONIZE => usual.saturating_mul(2),
        UNMAP | WRITE_SAME => usual.saturating_mul(4),
        _ => usual,
    }
}

/// SPC-4, section 6.47.
pub fn test_unit_ready(lun: [u8; 8]) -> Command {
    command(lun, &[0x00], Data::None)
}

/// SPC-4, section 6.6; `page` is one of vital product data.
pub fn inquiry(lun: [u8; 8], page: Option<u8>) -> Command {
    let [high, low] = PAGE.to_be_bytes();
    command(lun, &[0x12, u8::from(page.is_some()), page.unwrap_or_default(), high, low], Data::In(PAGE.into()))
}

/// SPC-4, section 6.33; `room` in bytes.
pub fn report_luns(room: u32) -> Command {
    let mut cdb = [0; 12];
    cdb[0] = 0xa0;
    cdb[6..10].copy_from_slice(&room.to_be_bytes());
    command([0; 8], &cdb, Data::In(room))
}

/// All that the unit has of the caching page, without block descriptors (SPC-4, section 6.11).
pub fn mode_sense(lun: [u8; 8]) -> Command {
    const CACHING: u8 = 0x08;
    const NO_DESCRIPTORS: u8 = 0x08;
    command(lun, &[0x1a, NO_DESCRIPTORS, CACHING, 0, 255], Data::In(255))
}

/// SBC-3, section 5.16.
pub fn read_capacity(lun: [u8; 8]) -> Command {
    const ROOM: u32 = 32;
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[0x9e, 0x10]);
    cdb[10..14].copy_from_slice(&ROOM.to_be_bytes());
    command(lun, &cdb, Data::In(ROOM))
}

/// SBC-3, section 5.4.
pub fn get_lba_status(lun: [u8; 8], block: u64) -> Command {
    const ROOM: u32 = 8 + 16 * 64;
    let mut cdb = long(0x9e, block, ROOM);
    cdb[1] = 0x12;
    command(lun, &cdb, Data::In(ROOM))
}

/// The form of sixteen bytes: a block in 64 bits, a count in 32.
fn long(opcode: u8, block: u64, count: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[2..10].copy_from_slice(&block.to_be_bytes());
    cdb[10..14].copy_from_slice(&count.to_be_bytes());
    cdb
}

/// READ(16), SBC-3, section 5.11.
pub fn read(lun: [u8; 8], block: u64, blocks: u32, bytes: u32) -> Command {
    command(lun, &long(0x88, block, blocks), Data::In(bytes))
}

/// WRITE(16), SBC-3, section 5.37. `durable` is the bit FUA.
pub fn write(lun: [u8; 8], block: u64, blocks: u32, data: Vec<u8>, durable: bool) -> Command {
    let mut cdb = long(0x8a, block, blocks);
    cdb[1] = if durable { 0x08 } else { 0 };
    command(lun, &cdb, Data::Out(data))
}

/// SYNCHRONIZE CACHE(10) of the whole unit, SBC-3, section 5.25. Every unit has this form.
pub fn synchronize(lun: [u8; 8]) -> Command {
    command(lun, &[0x35], Data::None)
}

/// UNMAP of one stretch, SBC-3, section 5.31.
pub fn unmap(lun: [u8; 8], block: u64, blocks: u32) -> Command {
    const LENGTH: u16 = 24;
    let mut list = vec![0; usize::from(LENGTH)];
    list[..2].copy_from_slice(&(LENGTH - 2).to_be_bytes());
    list[2..4].copy_from_slice(&(LENGTH - 8).to_be_bytes());
    list[8..16].copy_from_slice(&block.to_be_bytes());
    list[16..20].copy_from_slice(&blocks.to_be_bytes());
    let [high, low] = LENGTH.to_be_bytes();
    command(lun, &[0x42, 0, 0, 0, 0, 0, 0, high, low], Data::Out(list))
}

/// WRITE SAME(16) of zeroes, SBC-3, section 5.42. `unmap`: the unit may free the blocks if they then read as zeroes.
pub fn write_zeroes(lun: [u8; 8], block: u64, blocks: u32, block_size: u32, unmap: bool) -> Command {
    let mut cdb = long(0x93, block, blocks);
    cdb[1] = if unmap { 0x08 } else { 0 };
    command(lun, &cdb, Data::Out(vec![0; block_size as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUN: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn fields_stand_where_the_standard_has_them() {
        let read = read(LUN, 0x0102_0304_0506_0708, 9, 9 * 512);
        assert_eq!(read.cdb, [0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0]);
        let write = write(LUN, 1, 1, vec![0; 512], true);
        assert_eq!(write.cdb, [0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]);
        assert_eq!(read_capacity(LUN).cdb, [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]);
        assert_eq!(inquiry(LUN, Some(0x83)).cdb[..6], [0x12, 1, 0x83, 4, 0, 0]);
        assert_eq!(report_luns(4096).cdb[6..10], [0, 0, 0x10, 0]);
    }

    #[test]
    fn a_list_of_stretches_counts_what_follows() {
        let unmap = unmap(LUN, 8, 16);
        let Data::Out(list) = unmap.data else { panic!("a list") };
        assert_eq!((&list[..4], &list[8..20]), (&[0, 22, 0, 16][..], &[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 16][..]));
        assert_eq!(unmap.cdb[8], 24);
    }
}
