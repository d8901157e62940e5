//! Every command, as bytes.

use super::client::{Chunk, Reply};
use super::session::{
    CACHE, DF, DISCONNECT, FAST_ZERO, FLUSH, FUA, NO_HOLE, READ, REQ_ONE, STATUS, TRIM, WRITE, ZEROES,
};
use super::{Room, run};
use crate::tests::disk::Disk;
use crate::{Error, Geometry, Kind};

const SIZE: u64 = 1 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 + 1).collect()
}

#[test]
fn what_was_written_is_read_at_any_offset_and_length_and_block_size() {
    for block_size in [1, 512, 4096, 65536] {
        run(async {
            let room = Room::new(Disk::of(SIZE, block_size));
            let mut client = room.client().await;
            let mut expected = vec![0u8; SIZE as usize];
            for (offset, length) in [(0, 1), (511, 2), (4095, 4098), (70_000, 200_000), (SIZE - 1, 1), (512, 512)] {
                let data = pattern(length);
                assert_eq!(client.write(0, offset, &data).await, 0);
                expected[offset as usize..][..length].copy_from_slice(&data);
            }
            assert_eq!(client.read(0, SIZE as u32).await, expected);
            assert_eq!(client.read(4000, 777).await, expected[4000..4777]);
            assert_eq!(*room.disk.bytes.borrow(), expected);
        });
    }
}

#[test]
fn a_write_is_begun_before_all_of_it_has_come_where_that_is_wished_and_nothing_is_to_be_durable() {
    for (eager, expected) in [
        (2048, &[2048, 2048, 1024, 5120][..]),
        // Whole blocks; where that is none, all of it.
        (1, &[5120, 5120]),
        (1500, &[1024, 1024, 1024, 1024, 1024, 5120]),
        (1 << 20, &[5120, 5120]),
    ] {
        run(async {
            let room = Room::new(Disk { eager: Some(eager), ..Disk::of(SIZE, 512) });
            let mut client = room.client().await;
            let data = pattern(5120);
            assert_eq!(client.write(0, 512, &data).await, 0);
            assert_eq!(client.write(FUA, 8192, &data).await, 0);
            assert_eq!(*room.disk.written.borrow(), expected, "{eager}");
            assert_eq!(client.read(512, 5120).await, data);
            assert_eq!(client.read(8192, 5120).await, data);
        });
    }
}

#[test]
fn a_client_without_structured_replies_gets_data_behind_a_simple_one() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.plain_client().await;
        let data = pattern(300_000);
        assert_eq!(client.write(0, 1000, &data).await, 0);
        let answer = client.call(READ, 0, 1000, 300_000, &[]).await;
        assert!(matches!(&answer.replies[..], [Reply::Simple { .. }]));
        assert_eq!(answer.data(1000, 300_000), data);
        assert_eq!(client.call(READ, 0, SIZE, 1, &[]).await.error, 22);
    });
}

#[test]
fn a_long_read_comes_in_pieces_with_holes_left_out_unless_it_must_not() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        assert_eq!(client.write(0, 70_000, &[7]).await, 0);
        let answer = client.call(READ, 0, 0, 200_000, &[]).await;
        let kinds: Vec<char> = answer.replies.iter().map(kind).collect();
        assert_eq!(kinds.iter().collect::<String>(), "hdhh", "pieces of 64 KiB");
        let whole = client.call(READ, DF, 0, 200_000, &[]).await;
        assert_eq!(whole.replies.iter().map(kind).collect::<String>(), "d");
        assert_eq!(whole.data(0, 200_000), answer.data(0, 200_000));
    });
}

fn kind(reply: &Reply) -> char {
    match reply {
        Reply::Simple { .. } => 's',
        Reply::Chunk { what: Chunk::None, .. } => 'n',
        Reply::Chunk { what: Chunk::Data(..), .. } => 'd',
        Reply::Chunk { what: Chunk::Hole(..), .. } => 'h',
        Reply::Chunk { what: Chunk::Status(_), .. } => 'b',
        Reply::Chunk { what: Chunk::Error(..), .. } => 'e',
    }
}

#[test]
fn a_write_is_durable_after_a_flush_or_with_fua_and_not_before() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        let durable = |at: usize| room.disk.durable.borrow()[at];
        client.write(0, 0, &[1; 512]).await;
        client.write(FUA, 512, &[2; 512]).await;
        assert_eq!((durable(0), durable(512)), (0, 2));
        assert_eq!(client.call(FLUSH, 0, 0, 0, &[]).await.error, 0);
        assert_eq!(durable(0), 1);
        // In several pieces, in part of a block, and by the ways that have no FUA of their own.
        client.write(FUA, 4096, &[3; 200_000]).await;
        assert_eq!((durable(4096), durable(204_095)), (3, 3));
        client.write(FUA, 300_001, &[4]).await;
        assert_eq!(durable(300_001), 4);
        client.call(ZEROES, FUA, 4096, 100_000, &[]).await;
        assert_eq!((durable(4096), durable(104_095)), (0, 0));
        client.call(ZEROES, FUA | NO_HOLE, 104_096, 70_000, &[]).await;
        assert_eq!((durable(104_096), durable(174_095), durable(174_096)), (0, 0, 3));
        client.write(0, 0, &[9; 512]).await;
        client.call(TRIM, FUA, 512, 512, &[]).await;
        assert_eq!(durable(512), 0);
    });
}

#[test]
fn a_trim_takes_whole_blocks_alone_and_zeroes_take_every_byte() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 4096));
        let mut client = room.client().await;
        client.write(0, 0, &[5; 20_000]).await;
        assert_eq!(client.call(TRIM, 0, 1, 8190, &[]).await.error, 0);
        assert_eq!(client.read(0, 20_000).await, vec![5; 20_000], "no whole block");
        assert_eq!(client.call(TRIM, 0, 1, 8191, &[]).await.error, 0);
        let read = client.read(0, 20_000).await;
        assert_eq!((read[4095], read[4096], read[8191], read[8192]), (5, 0, 0, 5));
        assert_eq!(client.call(ZEROES, 0, 8193, 8000, &[]).await.error, 0);
        let read = client.read(0, 20_000).await;
        assert_eq!((read[8192], read[8193], read[16192], read[16193]), (5, 0, 0, 5));
    });
}

#[test]
fn zeroes_are_written_where_the_device_does_not_and_never_when_they_were_to_be_fast() {
    let can_not = Geometry { can_write_zeroes: false, ..Disk::of(SIZE, 512).geometry };
    for geometry in [can_not, Disk::of(SIZE, 512).geometry] {
        run(async {
            let room = Room::new(Disk::new(geometry));
            let mut client = room.client().await;
            client.write(0, 0, &[5; 300_000]).await;
            // This disk cannot keep blocks that it zeroes.
            assert_eq!(client.call(ZEROES, FAST_ZERO | NO_HOLE, 0, 300_000, &[]).await.error, 95);
            assert_eq!(client.read(0, 512).await, [5; 512]);
            assert_eq!(client.call(ZEROES, NO_HOLE, 100, 299_000, &[]).await.error, 0);
            let read = client.read(0, 300_000).await;
            assert_eq!((read[99], read[100], read[299_099], read[299_100]), (5, 0, 0, 5));
        });
    }
}

#[test]
fn block_status_covers_the_request_and_no_more() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        client.write(0, 4096, &[5; 4096]).await;
        let status = |answer: &super::session::Answer| match &answer.replies[..] {
            [Reply::Chunk { what: Chunk::Status(extents), done: true, .. }] => extents.clone(),
            other => panic!("{other:?}"),
        };
        let all = client.call(STATUS, 0, 0, SIZE as u32, &[]).await;
        assert_eq!(status(&all), [(4096, 3), (4096, 0), (SIZE as u32 - 8192, 3)]);
        let odd = client.call(STATUS, 0, 4001, 5000, &[]).await;
        assert_eq!(status(&odd), [(95, 3), (4096, 0), (809, 3)]);
        let one = client.call(STATUS, REQ_ONE, 0, SIZE as u32, &[]).await;
        assert_eq!(status(&one), [(4096, 3)]);

        let blind = Geometry { can_extents: false, ..room.disk.geometry };
        let room = Room::new(Disk::new(blind));
        let mut client = room.client().await;
        assert_eq!(status(&client.call(STATUS, 0, 0, 9999, &[]).await), [(9999, 0)]);
    });
}

#[test]
fn a_refused_write_is_read_to_its_end_and_the_connection_goes_on() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        let outside = client.ask(WRITE, 0, SIZE, 300_000, &pattern(300_000)).await;
        let flags = client.ask(WRITE, DF, 0, 10, &[1; 10]).await;
        let long = client.ask(WRITE, 0, 0, (32 << 20) + 1, &[]).await;
        let mut errors = Vec::new();
        for cookie in [outside, flags] {
            errors.push(client.answer(cookie).await.error);
        }
        client.stream_all(&vec![1; 1 << 20], 32).await;
        client.stream_all(&[1], 1).await;
        errors.push(client.answer(long).await.error);
        assert_eq!(errors, [28, 22, 22]);
        assert_eq!(client.read(0, 512).await, [0; 512]);
    });
}

#[test]
fn an_error_of_the_device_comes_with_its_message_and_in_a_kind_that_the_command_knows() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        for (kind, number) in [(Kind::Io, 5), (Kind::NoSpace, 28), (Kind::Unsupported, 22), (Kind::TooLong, 22)] {
            *room.disk.fails.borrow_mut() = Some(Error::new(kind, "the disk has burnt"));
            for command in [READ, WRITE, CACHE, STATUS] {
                let data = if command == WRITE { &[1; 512][..] } else { &[] };
                let answer = client.call(command, 0, 0, 512, data).await;
                let what = Chunk::Error(number, "the disk has burnt".into());
                assert_eq!(answer.replies, [Reply::Chunk { cookie: answer.cookie, done: true, what }]);
            }
        }
        assert_eq!(client.call(FLUSH, 0, 0, 0, &[]).await.error, 22);
        let mut plain = room.plain_client().await;
        assert_eq!(plain.call(READ, 0, 0, 512, &[]).await.error, 22);
        assert_eq!(plain.call(READ, 0, 0, 200_000, &[]).await.error, 22);
        *room.disk.fails.borrow_mut() = None;
        assert_eq!(plain.read(0, 512).await, [0; 512]);
    });
}

#[test]
fn a_device_that_answers_too_few_bytes_is_an_error_and_no_data() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        room.disk.short.set(1);
        let mut client = room.client().await;
        for (offset, length) in [(0, 512), (1, 10), (0, 200_000)] {
            let answer = client.call(READ, 0, offset, length, &[]).await;
            assert_eq!((answer.error, answer.replies.iter().map(kind).collect::<String>()), (5, "e".to_owned()));
        }
        assert_eq!(client.call(WRITE, 0, 1, 1, &[1]).await.error, 5, "a block that is changed in part");
    });
}

#[test]
fn a_disconnect_comes_after_all_that_was_asked_before_it() {
    run(async {
        let room = Room::new(Disk { gives_way: 9, ..Disk::of(SIZE, 512) });
        let mut client = room.client().await;
        for at in 0..20 {
            client.ask(WRITE, 0, at * 512, 512, &[8; 512]).await;
        }
        client.ask(DISCONNECT, 0, 0, 0, &[]).await;
        let mut answered = 0;
        while client.reply().await.is_some() {
            answered += 1;
        }
        assert_eq!(answered, 20);
        assert_eq!(room.server.handle().statistics().clients, 0);
    });
}

#[test]
fn what_is_no_request_ends_the_connection() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        client.stream_all(&[0; 28], 1).await;
        assert_eq!(client.reply().await, None);
    });
}
