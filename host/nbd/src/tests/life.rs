//! What a handle says, and clients that come and go.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::disk::Disk;
use super::session::{FLUSH, READ, WRITE};
use super::{Room, run};
use crate::Limits;

const SIZE: u64 = 1 << 20;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not within ten seconds");
}

#[test]
fn a_new_client_sees_the_new_size_and_an_old_one_goes_on_within_what_it_was_told() {
    run(async {
        let room = Room::new(Disk::of(2 * SIZE, 512));
        let handle = room.server.handle();
        handle.resized(SIZE);
        let mut old = room.client().await;
        handle.resized(2 * SIZE + 511);
        let mut new = room.client().await;
        assert_eq!(new.write(0, 2 * SIZE - 512, &[1; 512]).await, 0);
        assert_eq!(new.write(0, 2 * SIZE, &[1]).await, 28, "half a block is not served");
        assert_eq!(old.write(0, SIZE - 512, &[1; 512]).await, 0);
        assert_eq!(old.write(0, SIZE, &[1; 512]).await, 28);
        handle.resized(SIZE / 2);
        assert_eq!(old.call(READ, 0, SIZE / 2, 1, &[]).await.error, 22);
        assert_eq!(old.call(READ, 0, SIZE / 2 - 1, 1, &[]).await.error, 0);
    });
}

#[test]
fn clients_that_are_dropped_get_their_answers_first_and_may_come_again() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let (mut busy, mut idle) = (room.client().await, room.client().await);
        room.disk.held.set(true);
        let write = busy.ask(WRITE, 0, 0, 512, &[1; 512]).await;
        until("a call", || room.disk.calls.get() == 1).await;
        room.server.handle().drop_clients();
        busy.ask(READ, 0, 0, 512, &[]).await;
        assert_eq!(idle.reply().await, None);
        room.disk.held.set(false);
        assert_eq!(busy.answer(write).await.error, 0);
        assert_eq!(busy.reply().await, None, "what came after is not answered");
        assert_eq!(room.client().await.read(0, 512).await, [1; 512]);
    });
}

#[test]
fn a_soft_end_answers_what_was_begun_and_refuses_what_comes() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        room.disk.held.set(true);
        let write = client.ask(WRITE, 0, 0, 512, &[1; 512]).await;
        until("a call", || room.disk.calls.get() == 1).await;
        room.server.handle().shut_down_softly();
        let late = client.ask(WRITE, 0, 512, 512, &[1; 512]).await;
        assert_eq!(client.answer(late).await.error, 108);
        room.disk.held.set(false);
        assert_eq!(client.answer(write).await.error, 0);
        assert_eq!(client.reply().await, None);
    });
}

#[test]
fn a_handover_refuses_nothing_and_closes() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let (mut client, mut shy) = (room.client().await, room.connect());
        room.disk.held.set(true);
        let write = client.ask(WRITE, 0, 0, 512, &[1; 512]).await;
        until("a call", || room.disk.calls.get() == 1).await;
        room.server.handle().hand_over();
        client.ask(WRITE, 0, 512, 512, &[1; 512]).await;
        room.disk.held.set(false);
        assert_eq!(client.answer(write).await.error, 0);
        assert_eq!(client.reply().await, None);
        let mut said = Vec::new();
        shy.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), 18, "the greeting, and then nothing");
    });
}

#[test]
fn a_device_that_does_not_answer_holds_an_end_up_for_its_time_only() {
    run(async {
        let limits = Limits { drain: Duration::from_millis(20), ..Limits::default() };
        let room = Room::within(Disk::of(SIZE, 512), limits);
        let mut client = room.client().await;
        room.disk.held.set(true);
        client.ask(WRITE, 0, 0, 512, &[1; 512]).await;
        until("a call", || room.disk.calls.get() == 1).await;
        room.server.handle().drop_clients();
        assert_eq!(client.reply().await, None);
        assert_eq!(room.disk.calls.get(), 1);
        room.disk.held.set(false);
        until("the call is seen to its end", || room.disk.calls.get() == 0).await;
    });
}

#[test]
fn a_fence_fails_every_later_request_with_its_reason() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut client = room.client().await;
        room.server.handle().fenced("host b holds it");
        assert_eq!(client.write(0, 0, &[1; 512]).await, 5);
        assert_eq!(client.call(FLUSH, 0, 0, 0, &[]).await.error, 5);
        assert_eq!(*room.disk.bytes.borrow(), vec![0; SIZE as usize]);
    });
}

#[test]
fn what_a_client_that_went_away_had_begun_comes_before_anything_of_the_next_one() {
    run(async {
        let room = Room::new(Disk::of(SIZE, 512));
        let mut first = room.client().await;
        room.disk.held.set(true);
        first.ask(WRITE, 0, 0, 512, &[1; 512]).await;
        until("a call", || room.disk.calls.get() == 1).await;
        drop(first);

        let mut second = room.client().await;
        let write = second.ask(WRITE, 0, 0, 512, &[2; 512]).await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(room.disk.calls.get(), 1, "the second write has to wait");
        }
        room.disk.held.set(false);
        assert_eq!(second.answer(write).await.error, 0);
        assert_eq!(room.disk.bytes.borrow()[0], 2);
        assert_eq!(room.server.handle().statistics().requests_in_flight, 0);
    });
}

#[test]
fn a_silent_client_is_closed_after_its_time_and_one_that_came_through_is_not() {
    run(async {
        let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
        let room = Room::within(Disk::of(SIZE, 512), limits);
        let mut quiet = room.client().await;
        let mut silent = room.connect();
        let mut said = Vec::new();
        silent.read_to_end(&mut said).await.unwrap();
        assert_eq!(said.len(), 18);
        assert_eq!(quiet.read(0, 512).await, [0; 512]);
    });
}

#[test]
fn a_client_too_many_is_closed_at_once_and_an_end_ends_listening() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let limits = Limits { connections: 2, ..Limits::default() };
        let server = Room::within(Disk::of(SIZE, 512), limits).server;
        let handle = server.handle();
        let serving = tokio::task::spawn_local(async move { server.listen(&listener).await });
        let mut clients = Vec::new();
        for greeted in [true, true, false] {
            let mut client = UnixStream::connect(&path).await.unwrap();
            let mut greeting = [0; 18];
            assert_eq!(client.read_exact(&mut greeting).await.is_ok(), greeted);
            clients.push(client);
        }
        // A place is free again once a client has left.
        clients[0].shutdown().await.unwrap();
        clients.remove(0);
        let mut greeting = [0; 18];
        for _ in 0..1000 {
            let mut client = UnixStream::connect(&path).await.unwrap();
            if client.read_exact(&mut greeting).await.is_ok() {
                break;
            }
        }
        assert_eq!(&greeting[..8], b"NBDMAGIC");
        handle.hand_over();
        serving.await.unwrap();
    });
}
