//! A disk that is served, while all goes well.

use fief_sdk::ErrorCode;
use fief_sdk::block::{BlockDevice, Event};
use fief_sdk::native::block_on;
use fief_tests::Tgt;
use fief_tests::tgt::Target;
use futures_util::future::join_all;

use crate::bed::{Bed, MIB, event, message, open, pattern};

async fn all_commands(written: &[(&str, &str)], block: u32) {
    let disk = open(written).await;
    let geometry = disk.geometry();
    assert_eq!((geometry.size, geometry.block_size, geometry.read_only), (64 * MIB, block, false));
    assert!(geometry.can_discard && geometry.can_write_zeroes && !geometry.rotational, "{geometry:?}");
    let longest = geometry.maximum_io;
    for (offset, length, durable) in
        [(0, block, false), (MIB, longest, false), (2 * MIB + u64::from(block), longest - block, true)]
    {
        disk.write(offset, pattern(offset, length, 1), durable).await.unwrap();
        assert_eq!(disk.read(offset, length).await.unwrap(), pattern(offset, length, 1), "{offset} {length}");
    }
    disk.flush().await.unwrap();
    // Thirty-two at a time, each with its own bytes.
    let spots: Vec<u64> = (0..32).map(|spot| 8 * MIB + spot * 64 * 1024).collect();
    let writes = spots.iter().map(|&spot| disk.write(spot, pattern(spot, 65536, 2), false));
    join_all(writes).await.into_iter().for_each(|outcome| outcome.unwrap());
    for (spot, read) in spots.iter().zip(join_all(spots.iter().map(|&spot| disk.read(spot, 65536))).await) {
        assert_eq!(read.unwrap(), pattern(*spot, 65536, 2), "{spot}");
    }
    disk.discard(8 * MIB, MIB).await.unwrap();
    disk.write_zeroes(9 * MIB, MIB - u64::from(block), false, true).await.unwrap();
    assert_eq!(disk.read(8 * MIB, longest).await.unwrap(), vec![0; longest as usize]);
    assert_eq!(disk.read(9 * MIB, block).await.unwrap(), vec![0; block as usize]);
    let last = 10 * MIB - u64::from(block);
    assert_eq!(disk.read(last, block).await.unwrap(), pattern(last, block, 2), "one block too many was zeroed");
    disk.write_zeroes(1 << 20, 1 << 20, true, false).await.unwrap();
    let covered: u64 = disk.extents(0, 16 * MIB).await.unwrap().iter().map(|extent| extent.length).sum();
    assert!(covered > 0 && covered <= 16 * MIB);
    assert_eq!(message(disk.read(64 * MIB, block).await).code, ErrorCode::Invalid);
    assert_eq!(message(disk.read(1, block).await).code, ErrorCode::Invalid);
    disk.close().await.unwrap();
    message(disk.read(0, block).await);
}

#[test]
fn every_command_does_what_it_says_with_and_without_digests() {
    let _bed = Bed::with_disk(64 * MIB);
    block_on(async {
        all_commands(&[], 512).await;
        all_commands(&[("header-digest", "crc32c"), ("data-digest", "crc32c"), ("durable-writes", "true")], 512).await;
    });
}

#[test]
fn blocks_of_four_kibibytes_and_a_target_that_asks_for_all_data() {
    let mut bed = Bed::new();
    bed.tgt.disk_of_blocks(bed.target, 1, 64 * MIB, 4096);
    for (key, value) in [
        ("InitialR2T", "Yes"),
        ("ImmediateData", "No"),
        ("MaxBurstLength", "65536"),
        ("FirstBurstLength", "8192"),
        ("MaxRecvDataSegmentLength", "8192"),
    ] {
        bed.tgt.parameter(bed.target, key, value);
    }
    block_on(all_commands(&[], 4096));
}

fn grow(tgt: &mut Tgt, target: Target) {
    tgt.grow(target, 1, 96 * MIB);
}

#[test]
fn a_unit_that_grew_is_told_of_and_its_new_end_can_be_written() {
    let mut bed = Bed::with_disk(64 * MIB);
    block_on(async {
        let disk = open(&[]).await;
        grow(&mut bed.tgt, bed.target);
        let event = event(&disk, "a new size", |event| matches!(event, Event::Resized(_))).await;
        assert!(matches!(event, Event::Resized(size) if size == 96 * MIB));
        assert_eq!(disk.geometry().size, 96 * MIB);
        disk.write(95 * MIB, vec![7; 4096], true).await.unwrap();
        assert_eq!(disk.read(95 * MIB, 4096).await.unwrap(), vec![7; 4096]);
    });
}
