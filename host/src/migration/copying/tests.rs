//! Both ends in one process, over a stream that may break anywhere.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::state::{receive_file, send_file};
use super::*;
use crate::error::Result;

const BLOCK: usize = 4096;

struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    fn new() -> Room {
        Room { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(self.path(name)).unwrap()
    }

    /// Blocks that are filled with a byte, in a file of so many bytes.
    fn image(&self, name: &str, size: u64, blocks: &[(usize, u8)]) -> Arc<Disk> {
        let file = self.open(name);
        file.set_len(size).unwrap();
        fill(&file, size, blocks);
        Arc::new(Disk::file(file).unwrap())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn fill(file: &File, size: u64, blocks: &[(usize, u8)]) {
    for (place, byte) in blocks {
        let at = (*place * BLOCK) as u64;
        let length = size.saturating_sub(at).min(BLOCK as u64);
        file.write_all_at(&vec![*byte; length as usize], at).unwrap();
    }
}

fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

/// The two ends of a stream that breaks once so many bytes have gone from the first to the second.
fn breaks_after(most: u64) -> (DuplexStream, DuplexStream) {
    let (source, near) = duplex(64 << 10);
    let (far, target) = duplex(64 << 10);
    tokio::spawn(async move {
        let (mut from_source, mut to_source) = tokio::io::split(near);
        let (mut from_target, mut to_target) = tokio::io::split(far);
        let there = async {
            let _ = tokio::io::copy(&mut (&mut from_source).take(most), &mut to_target).await;
        };
        let back = tokio::io::copy(&mut from_target, &mut to_source);
        // Whichever ends first ends both.
        tokio::select! {
            () = there => {}
            _ = back => {}
        }
    });
    (source, target)
}

async fn all(source: DuplexStream, disk: &Arc<Disk>) -> Result<u64> {
    let mut sender = Sender::begin(source, disk.size(), Arc::default(), Arc::default()).await?;
    let sent = sender.all(disk).await?;
    sender.over().await?;
    Ok(sent)
}

/// One copy, of which `most` bytes go over.
async fn copied(from: &Arc<Disk>, to: &Arc<Disk>, held: bool, most: u64) -> (Result<u64>, Result<Arrived>) {
    let (source, target) = breaks_after(most);
    let progress = Progress::default();
    tokio::join!(all(source, from), receive(target, to.clone(), held, &progress))
}

#[tokio::test]
async fn a_sparse_disk_comes_whole_and_as_sparse() {
    let room = Room::new();
    let size = (64 << 20) + 1000;
    let blocks: Vec<(usize, u8)> = (0..300).map(|number| (number * 53 % 16_385, number as u8)).collect();
    let from = room.image("from", size, &blocks);
    let to = room.image("to", size, &[]);
    let (sent, arrived) = copied(&from, &to, false, u64::MAX).await;
    assert_eq!(arrived.unwrap().size, size);
    // Blocks of the byte 0 are data in the source, and not sent.
    let holds = blocks.iter().filter(|(_, byte)| *byte != 0).count() as u64 * BLOCK as u64;
    assert!(sent.unwrap() <= holds);
    assert!(room.bytes("from") == room.bytes("to"));
    assert!(allocated(&room.path("to")) <= holds + (64 << 10), "{}", allocated(&room.path("to")));
    // Once more: nothing is missing there.
    let (sent, arrived) = copied(&from, &to, true, u64::MAX).await;
    assert_eq!((sent.unwrap(), arrived.is_ok()), (0, true));
    // What a target has of something else goes, and its room is given back.
    let other = room.image("other", size, &(0..16_384).map(|place| (place, 9)).collect::<Vec<_>>());
    let (sent, arrived) = copied(&from, &other, true, u64::MAX).await;
    assert!(sent.unwrap() <= holds && arrived.is_ok());
    assert!(room.bytes("from") == room.bytes("other"));
    assert!(allocated(&room.path("other")) <= holds + (64 << 10));
}

#[tokio::test]
async fn what_is_written_between_rounds_goes_over_in_the_next_and_nothing_else() {
    let room = Room::new();
    let size = 8 << 20;
    let from = room.image("from", size, &(0..2048).map(|place| (place, 1)).collect::<Vec<_>>());
    let to = room.image("to", size, &[]);
    let (source, target) = duplex(64 << 10);
    let writer = room.open("from");
    let progress = Progress::default();
    let sends = async {
        let mut sender = Sender::begin(source, size, Arc::default(), Arc::default()).await?;
        let first = sender.all(&from).await?;
        fill(&writer, size, &[(70, 2), (71, 0)]);
        let written = 70 * 4096..72 * 4096;
        let second = sender.again(&from, std::slice::from_ref(&written)).await?;
        let third = sender.again(&from, &[]).await?;
        sender.over().await?;
        Ok::<_, Failure>((first, second, third))
    };
    let (sent, arrived) = tokio::join!(sends, receive(target, to, false, &progress));
    // The chunk of 256 KiB that was touched, less the block that is zeroes now.
    assert_eq!(sent.unwrap(), (size, (256 << 10) - 4096, 0));
    arrived.unwrap();
    assert!(room.bytes("from") == room.bytes("to"));
}

#[tokio::test]
async fn a_target_that_cannot_take_it_says_why() {
    let room = Room::new();
    let from = room.image("from", 1 << 20, &[(0, 1)]);
    let to = room.image("to", 1 << 19, &[]);
    let (sent, arrived) = copied(&from, &to, false, u64::MAX).await;
    assert!(arrived.unwrap_err().message.contains("smaller"));
    assert!(sent.unwrap_err().to_string().contains("smaller"));
    // One that is open for reading alone.
    let file = File::open(room.path("from")).unwrap();
    let read_only = Arc::new(Disk::file(file).unwrap());
    let (sent, arrived) = copied(&from, &read_only, false, u64::MAX).await;
    assert!(arrived.is_err() && sent.unwrap_err().to_string().contains("cannot write"));
}

/// Another host's words: whatever they are, they are no disk.
#[tokio::test]
async fn a_source_that_lies_is_refused_and_nothing_past_the_disk_is_written() {
    use fief_wire::copy::{Data, FromSource, FromTarget, receive as hear, send as say};
    let data = |number, digest| {
        FromSource::Data(Data { number, digest, map: vec![1, 0, 0, 0, 0, 0, 0, 0].into(), bytes: vec![1; 4096].into() })
    };
    let begin = FromSource::Begin { size: 1 << 20, chunk: 256 << 10 };
    for (lie, words) in [
        ("no beginning", vec![FromSource::Over]),
        ("a huge disk", vec![FromSource::Begin { size: u64::MAX, chunk: 256 << 10 }]),
        ("odd chunks", vec![FromSource::Begin { size: 1 << 20, chunk: 100_000 }]),
        ("twice", vec![begin.clone(), begin.clone()]),
        ("past the end", vec![begin.clone(), data(4, [0; 32])]),
        ("zeroes past the end", vec![begin.clone(), FromSource::Zero { first: 3, count: u32::MAX }]),
        ("digests past the end", vec![begin.clone(), FromSource::Have(vec![(9, [0; 32])])]),
        ("no round", vec![begin.clone(), FromSource::Over]),
        ("half a round", vec![begin.clone(), data(0, [0; 32]), FromSource::Over]),
        ("another root", vec![begin.clone(), FromSource::End { root: [7; 32] }]),
        ("another digest", vec![begin.clone(), data(1, [7; 32]), FromSource::End { root: [0; 32] }, FromSource::Over]),
        ("a file", vec![begin.clone(), FromSource::Offer { length: 1 }]),
    ] {
        let room = Room::new();
        let to = room.image("to", 1 << 20, &[]);
        let (mut source, target) = duplex(1 << 20);
        for word in &words {
            say(&mut source, word, WITHIN.rest).await.unwrap();
        }
        let progress = Progress::default();
        let hears = async {
            let mut last = None;
            while let Ok(word) = hear::<FromTarget>(&mut source, 1 << 16, WITHIN).await {
                last = Some(word);
            }
            last
        };
        let (arrived, last) = tokio::join!(receive(target, to, false, &progress), hears);
        assert!(arrived.is_err(), "{lie}");
        assert!(matches!(last, Some(FromTarget::Failed { .. })), "{lie}: {last:?}");
        assert_eq!(room.path("to").metadata().unwrap().len(), 1 << 20, "{lie}");
    }
}

#[tokio::test]
async fn a_file_goes_on_from_where_it_was_cut_unless_it_is_another() {
    let room = Room::new();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 3) as u8).collect();
    std::fs::write(room.path("from"), &bytes).unwrap();
    let over = async |most: u64| {
        let (source, target) = breaks_after(most);
        let (pace, progress, there) = (Pace::default(), Progress::default(), Progress::default());
        let file = File::open(room.path("from")).unwrap();
        let sends = send_file(source, file, &pace, &progress);
        tokio::join!(sends, receive_file(target, room.open("to"), 1 << 30, &there))
    };
    let (sent, taken) = over(2_500_000).await;
    assert!(sent.is_err() && taken.is_err());
    let kept = room.path("to").metadata().unwrap().len();
    assert!(kept >= 1 << 20);
    let (sent, taken) = over(u64::MAX).await;
    assert_eq!((sent.unwrap(), taken.unwrap()), (5_000_000 - kept, 5_000_000));
    assert!(room.bytes("to") == bytes);
    // The same length, and another beginning.
    room.open("to").write_all_at(b"other", 100).unwrap();
    let (sent, taken) = over(u64::MAX).await;
    assert_eq!((sent.unwrap(), taken.is_ok()), (5_000_000, true));
    assert!(room.bytes("to") == bytes);
    // Too long for the target.
    let (source, target) = duplex(1 << 16);
    let (pace, progress) = (Pace::default(), Progress::default());
    let sends = send_file(source, File::open(room.path("from")).unwrap(), &pace, &progress);
    let (sent, taken) = tokio::join!(sends, receive_file(target, room.open("to"), 1000, &progress));
    assert_eq!((sent.unwrap_err().kind, taken.unwrap_err().kind), (Kind::Other, Kind::NoRoom));
}

fn blocks() -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::vec((0usize..700, 0u8..4), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// However often it is cut, and whatever is written to either side in between: it comes to be the same, and what was there
    /// already is not sent again.
    #[test]
    fn a_copy_that_is_cut_anywhere_and_taken_up_again_comes_to_hold_the_same(
        size in 1u64..700 * 4096,
        first in blocks(),
        there in blocks(),
        held in any::<bool>(),
        cuts in proptest::collection::vec((0u64..3_000_000, blocks()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let room = Room::new();
            let inside = |blocks: &[(usize, u8)]| -> Vec<(usize, u8)> {
                blocks.iter().copied().filter(|(place, _)| ((place * BLOCK) as u64) < size).collect()
            };
            let from = room.image("from", size, &inside(&first));
            let to = room.image("to", size, &if held { inside(&there) } else { Vec::new() });
            let mut held = held;
            for (most, changes) in &cuts {
                let (sent, arrived) = copied(&from, &to, held, *most).await;
                if sent.is_ok() {
                    assert!(arrived.is_ok());
                    assert!(room.bytes("from") == room.bytes("to"));
                }
                held = true;
                fill(&room.open("from"), size, &inside(changes));
            }
            let (sent, arrived) = copied(&from, &to, held, u64::MAX).await;
            sent.unwrap();
            arrived.unwrap();
            assert!(room.bytes("from") == room.bytes("to"));
            let (sent, arrived) = copied(&from, &to, true, u64::MAX).await;
            assert_eq!((sent.unwrap(), arrived.is_ok()), (0, true));
        });
    }
}
