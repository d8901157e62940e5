//! Against our own server, against QEMU's, and against one that says anything.

use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::BufMut;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;

use super::*;
use crate::tests::disk::Disk;
use crate::{Export, Limits, Server};

const LONG: Duration = Duration::from_secs(20);
const SIZE: u64 = 4 << 20;

/// A client of our server, on both ends of one task.
async fn with<T>(disk: Disk, act: impl AsyncFnOnce(Client) -> T) -> T {
    let (here, there) = tokio::io::duplex(64 << 10);
    let export = Export { volume: "disk".into(), generation: 2, description: "of a test".into() };
    let server = Server::new(disk, export, Limits::default()).unwrap();
    let client = async {
        let client = Client::connect(here, "disk@2", &["base:allocation"]).await.unwrap();
        act(client).await
    };
    tokio::select! {
        ((), never) = async { (server.connection(there).await, std::future::pending::<T>().await) } => never,
        done = tokio::time::timeout(LONG, client) => done.unwrap(),
    }
}

#[tokio::test]
async fn many_requests_are_under_way_and_each_has_its_answer() {
    with(Disk::of(SIZE, 512), async |client| {
        assert_eq!((client.size(), client.is_read_only()), (SIZE, false));
        let piece = |number: u64| vec![number as u8 + 1; 5000];
        let writes = (0..40).map(|number| client.write(number * 10_000, piece(number), number % 7 == 0));
        assert!(join_all(writes).await.into_iter().all(|written| written.is_ok()));
        client.flush().await.unwrap();
        let reads = (0..40).map(|number| client.read(number * 10_000, 5000));
        for (number, read) in join_all(reads).await.into_iter().enumerate() {
            assert_eq!(read.unwrap(), piece(number as u64));
        }
        client.write_zeroes(0, 300_000).await.unwrap();
        assert!(client.read(0, 300_000).await.unwrap().iter().all(|byte| *byte == 0));
        let past = client.read(SIZE - 10, 20).await.unwrap_err();
        assert_eq!(past.kind, Kind::Invalid, "{past}");
        let told = client.status(0, 0, SIZE).await.unwrap();
        assert!(told.iter().map(|stretch| stretch.length).sum::<u64>() <= SIZE);
        assert!(client.status(1, 0, SIZE).await.is_err());
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_export_that_is_not_there_is_said_to_be_none() {
    let (here, there) = tokio::io::duplex(64 << 10);
    let export = Export { volume: "disk".into(), generation: 2, description: "of a test".into() };
    let server = Server::new(Disk::of(SIZE, 512), export, Limits::default()).unwrap();
    let client = Client::connect(here, "other@1", &[]);
    let ((), client) = tokio::join!(server.connection(there), async { client.await.map(drop) });
    assert!(!client.unwrap_err().message.is_empty());
}

/// QEMU's own server, with a disk of zeroes that is written to.
#[tokio::test]
async fn qemu_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    let socket = folder.path().join("socket");
    let mut server = Command::new("qemu-nbd")
        .args(["-f", "raw", "-x", "disk", "--socket"])
        .args([&socket, &image])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + LONG;
    let stream = loop {
        match UnixStream::connect(&socket).await {
            Ok(stream) => break stream,
            Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let client = Client::connect(stream, "disk", &["base:allocation"]).await.unwrap();
    assert_eq!(client.size(), SIZE);
    client.write(1 << 20, vec![7; 1 << 20], true).await.unwrap();
    let told = client.status(0, 0, SIZE).await.unwrap();
    let zero: Vec<(u64, bool)> = told.iter().map(|stretch| (stretch.length, stretch.reads_zero())).collect();
    assert_eq!(zero, [(1 << 20, true), (1 << 20, false), (2 << 20, true)]);
    assert_eq!(client.read((2 << 20) - 1, 2).await.unwrap(), [7, 0]);
    client.close().await;
    server.wait().unwrap();
    assert_eq!(std::fs::read(&image).unwrap()[1 << 20], 7);
}

/// Takes the handshake, and then says `bytes`, whatever is asked.
async fn server(mut stream: DuplexStream, bytes: Vec<u8>) {
    let mut said = b"NBDMAGICIHAVEOPT".to_vec();
    said.put_u16(3);
    stream.write_all(&said).await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    for (option, replies) in [(8, vec![]), (7, vec![(3, [&[0, 0][..], &SIZE.to_be_bytes(), &[0, 1]].concat())])] {
        let mut header = [0; 16];
        stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes(header[12..].try_into().unwrap());
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        for (kind, data) in replies.into_iter().chain([(1, vec![])]) {
            let mut reply = 0x0003_e889_0455_65a9_u64.to_be_bytes().to_vec();
            reply.put_u32(option);
            reply.put_u32(kind);
            reply.put_u32(data.len() as u32);
            reply.extend(data);
            stream.write_all(&reply).await.unwrap();
        }
    }
    let mut request = [0; 28];
    stream.read_exact(&mut request).await.unwrap();
    // What is said may be cut off by a client that has heard enough.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

fn chunk_of(flags: u16, kind: u16, cookie: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = 0x668e_33ef_u32.to_be_bytes().to_vec();
    bytes.put_u16(flags);
    bytes.put_u16(kind);
    bytes.put_u64(cookie);
    bytes.put_u32(data.len() as u32);
    bytes.put_slice(data);
    bytes
}

#[tokio::test]
async fn an_answer_that_does_not_fit_its_question_ends_the_connection() {
    let at = |offset: u64, bytes: &[u8]| [&offset.to_be_bytes()[..], bytes].concat();
    for (wrong, bytes) in [
        ("nothing", Vec::new()),
        ("noise", vec![0x55; 64]),
        ("another request's", chunk_of(1, 0, 9, &[])),
        ("none of the data", chunk_of(1, 0, 1, &[])),
        ("half of the data", chunk_of(1, 1, 1, &at(1000, &[1; 5]))),
        ("data before it", chunk_of(1, 1, 1, &at(999, &[1; 10]))),
        ("data past it", chunk_of(1, 1, 1, &at(1001, &[1; 10]))),
        ("data at the end of all", chunk_of(1, 1, 1, &at(u64::MAX, &[1; 10]))),
        ("too much data", [chunk_of(0, 1, 1, &at(1000, &[1; 10])), chunk_of(1, 1, 1, &at(1000, &[1; 1]))].concat()),
        ("a long hole", chunk_of(1, 2, 1, &at(1000, &[0xff; 4]))),
        ("stretches", chunk_of(1, 5, 1, &[0; 12])),
        ("a chunk of no kind", chunk_of(1, 77, 1, &[0; 12])),
        ("an error without an end", chunk_of(1, 0x8001, 1, &[0, 0, 0, 5, 0xff, 0xff])),
    ] {
        let (here, there) = tokio::io::duplex(64 << 10);
        let asks = async {
            let client = Client::connect(here, "", &[]).await.unwrap();
            let first = client.read(1000, 10).await;
            (first, client.read(1000, 10).await)
        };
        let (answers, ()) = tokio::join!(tokio::time::timeout(LONG, asks), server(there, bytes));
        let (first, second) = answers.unwrap();
        assert!(first.is_err() && second.is_err(), "{wrong}: {first:?}, {second:?}");
    }
}

#[tokio::test]
async fn an_error_is_the_answer_to_its_request_alone() {
    let message = b"no\x1b[2J";
    let mut said = vec![0, 0, 0, 28, 0, message.len() as u8];
    said.put_slice(message);
    let (here, there) = tokio::io::duplex(64 << 10);
    let asks = async {
        let client = Client::connect(here, "", &[]).await.unwrap();
        client.write(0, vec![0; 10], false).await
    };
    let bytes = chunk_of(1, 0x8001, 1, &said);
    let (answer, ()) = tokio::join!(asks, server(there, bytes));
    let error = answer.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::NoSpace, "no [2J"));
}
