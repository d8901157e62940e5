//! Clients that are slow, greedy or silent, and others that must not notice.

use std::rc::Rc;

use super::disk::Disk;
use super::session::{READ, WRITE};
use super::{Room, run};
use crate::{Geometry, Limits};

const SIZE: u64 = 4 << 20;
const MEMORY: usize = 1 << 20;

fn room() -> Room {
    let disk = Disk::of(SIZE, 512);
    disk.bytes.borrow_mut().fill(7);
    Room::within(disk, Limits { memory: MEMORY, ..Limits::default() })
}

#[test]
fn a_client_that_does_not_read_fills_its_share_and_holds_nobody_up() {
    run(async {
        let room = room();
        let mut deaf = room.client().await;
        // Far more than memory holds; the requests themselves fit into the socket and the input.
        for at in 0..32 {
            deaf.ask(READ, 0, (at % 4) << 20, 1 << 20, &[]).await;
        }
        let mut other = room.client().await;
        for at in 0..64 {
            assert_eq!(other.read(at << 16, 1 << 16).await, vec![7; 1 << 16]);
        }
        let read = room.server.handle().statistics().bytes_read - SIZE;
        assert!(read <= (MEMORY + (64 << 10)) as u64, "{read} bytes were read for a client that takes none");
        // It may still come round.
        for _ in 0..32 {
            let mut left = 1 << 20;
            while left > 0 {
                left -= 1 << 16;
                assert_eq!(deaf.reply().await.expect("a reply").error(), 0);
            }
        }
    });
}

#[test]
fn half_a_write_holds_nobody_up_and_half_a_request_neither() {
    run(async {
        let room = room();
        let (mut half, mut less) = (room.client().await, room.client().await);
        half.ask(WRITE, 0, 0, 1 << 20, &vec![1; 100_000]).await;
        less.stream_all(&[0x25, 0x60, 0x95], 1).await;
        let mut other = room.client().await;
        for at in 0..64 {
            assert_eq!(other.write(0, SIZE / 2 + (at << 9), &[2; 512]).await, 0);
        }
        drop((half, less));
        assert_eq!(other.read(SIZE / 2, 512).await, [2; 512]);
    });
}

#[test]
fn no_more_calls_are_under_way_than_the_device_takes() {
    for maximum_requests in [1, 3, 16] {
        run(async {
            let geometry = Geometry { maximum_requests, ..Disk::of(SIZE, 512).geometry };
            let room = Room::new(Disk { gives_way: 5, ..Disk::new(geometry) });
            let mut client = room.client().await;
            for at in 0..200 {
                client.ask(WRITE, 0, at * 512, 512, &[1; 512]).await;
            }
            for _ in 0..200 {
                assert_eq!(client.reply().await.expect("a reply").error(), 0);
            }
            assert_eq!(room.disk.most_calls.get(), maximum_requests as usize);
        });
    }
}

#[test]
fn replies_come_as_they_are_done_not_as_they_were_asked() {
    run(async {
        let room = Room::new(Disk { gives_way: 20, ..Disk::of(SIZE, 512) });
        let mut client = room.client().await;
        let mut asked = Vec::new();
        for at in 0..50 {
            asked.push(client.ask(READ, 0, at * 512, 512, &[]).await);
        }
        let mut answered = Vec::new();
        for _ in 0..50 {
            answered.push(client.reply().await.expect("a reply").cookie());
        }
        assert_ne!(answered, asked);
        answered.sort_unstable();
        assert_eq!(answered, asked);
        assert_eq!(Rc::strong_count(&room.server), 2, "the test's and the connection's");
    });
}
