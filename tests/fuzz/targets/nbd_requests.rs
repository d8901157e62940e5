//! Requests after a good handshake, held against a disk that is nothing but bytes: the two answer the same.

#![no_main]

use std::collections::HashMap;

use bytes::Buf;
use fief_fuzz::{Recorded, run};
use fief_nbd::{Export, Geometry, Limits, Server};
use libfuzzer_sys::fuzz_target;

use client::{Ask, Chunk, Reply};

#[allow(dead_code)]
#[path = "../../../host/nbd/src/tests/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../../../host/nbd/src/tests/disk.rs"]
mod disk;

const DISK: usize = 96 << 10;
/// Longest data of a write that is made up here.
const MOST_DATA: u32 = 128 << 10;

const READ: u16 = 0;
const WRITE: u16 = 1;
const TRIM: u16 = 4;
const ZEROES: u16 = 6;
const STATUS: u16 = 7;

/// What the first bytes choose.
struct World {
    step: usize,
    structured: bool,
    geometry: Geometry,
}

fn world(bytes: &mut &[u8]) -> Option<World> {
    let (step, bits) = (bytes.try_get_u16().ok()?, bytes.try_get_u8().ok()?);
    let bit = |number: u8| bits & (1 << number) != 0;
    let geometry = Geometry {
        maximum_io: if bit(0) { 4 << 10 } else { 64 << 10 },
        can_discard: bit(1),
        can_write_zeroes: bit(2),
        can_extents: bit(3),
        read_only: bits & 0xf0 == 0xf0,
        ..disk::Disk::of(
            DISK as u64,
            if bit(4) {
                1
            } else if bit(5) {
                512
            } else {
                4096
            },
        )
        .geometry
    };
    Some(World { step: step.into(), structured: bit(6), geometry })
}

/// The next request: mostly one that could come from somebody.
fn ask(bytes: &mut &[u8], cookie: u64) -> Option<Ask> {
    let (command, flags) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
    let (offset, length) = (bytes.try_get_u16().ok()?, bytes.try_get_u16().ok()?);
    let mut ask = Ask {
        command: u16::from(command & 7),
        flags: u16::from(flags & 31),
        cookie,
        offset: u64::from(offset) * 2,
        length: u32::from(length) * 3,
    };
    if command & 8 != 0 {
        ask.offset /= 512;
        ask.length /= 512;
    }
    if command & 0xf0 == 0xf0 {
        ask.offset |= u64::from(flags) << 56;
        ask.length |= u32::from(flags) << 24;
    }
    if ask.command == WRITE {
        ask.length = ask.length.min(MOST_DATA);
    }
    Some(ask)
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let Some(World { step, structured, geometry }) = world(&mut bytes) else { return };
    let mut input = client::handshake(structured);
    let mut asks = HashMap::new();
    while let Some(ask) = ask(&mut bytes, asks.len() as u64) {
        input.extend(ask.bytes());
        if ask.command == WRITE {
            input.extend(std::iter::repeat_n(ask.cookie as u8 | 1, ask.length as usize));
        }
        asks.insert(ask.cookie, ask);
        // A disconnect.
        if ask.command == 2 {
            break;
        }
    }

    let mut output = Vec::new();
    let stream = Recorded { input: &input, step: if step == 0 { input.len() } else { step }, output: &mut output };
    let export = Export { volume: "disk".into(), generation: 2, description: "of a test".into() };
    let disk = disk::Disk::new(geometry);
    let server = Server::new(&disk, export, Limits::default()).expect("a disk");
    run(server.connection(stream));

    let mut output = &output[..];
    client::greeting(&mut output);
    while client::option_reply(&mut output).is_some() {}
    let read = |cookie: u64| asks.get(&cookie).filter(|ask| ask.command == READ).map_or(0, |ask| ask.length as usize);
    let mut model = vec![0u8; DISK];
    let mut expected = 0;
    let mut covered = 0;
    // A disk that is done at once is served in order.
    while let Some(reply) = client::reply(&mut output, read) {
        let ask = asks[&reply.cookie()];
        assert_eq!(ask.cookie, expected, "the replies are in another order than the requests");
        let range = || ask.offset as usize..ask.offset as usize + ask.length as usize;
        match &reply {
            Reply::Simple { error: 0, data, .. } => match ask.command {
                READ => assert_eq!(data[..], model[range()]),
                WRITE => model[range()].fill(ask.cookie as u8 | 1),
                // Trimmed blocks of this disk read as zeroes, where they are whole blocks.
                TRIM => {
                    let block = geometry.block_size as usize;
                    let whole = range().start.next_multiple_of(block)..range().end / block * block;
                    if !whole.is_empty() {
                        model[whole].fill(0);
                    }
                }
                ZEROES => model[range()].fill(0),
                _ => {}
            },
            Reply::Chunk { what: Chunk::Data(offset, data), .. } => {
                assert_eq!(data[..], model[*offset as usize..][..data.len()]);
                covered += data.len();
            }
            Reply::Chunk { what: Chunk::Hole(offset, length), .. } => {
                assert!(model[*offset as usize..][..*length as usize].iter().all(|&byte| byte == 0));
                covered += *length as usize;
            }
            Reply::Chunk { what: Chunk::Status(extents), .. } => {
                assert_eq!(ask.command, STATUS);
                let length: u64 = extents.iter().map(|&(length, _)| u64::from(length)).sum();
                assert!(length > 0 && length <= u64::from(ask.length) && extents.iter().all(|&(length, _)| length > 0));
                let mut at = range().start;
                for &(length, flags) in extents {
                    let zero = model[at..at + length as usize].iter().all(|&byte| byte == 0);
                    assert!(flags == 0 || zero, "{flags} where there is data");
                    at += length as usize;
                }
            }
            Reply::Simple { .. } | Reply::Chunk { what: Chunk::None | Chunk::Error(..), .. } => {}
        }
        if reply.is_last() {
            let whole = ask.command != READ || !structured || reply.error() != 0;
            assert!(whole || covered == ask.length as usize, "a read was answered in part");
            (expected, covered) = (expected + 1, 0);
        }
    }
    assert!(output.is_empty(), "the last reply is not whole");
    assert_eq!(model, *disk.bytes.borrow());
    let unanswered = asks.values().filter(|ask| ask.command == 2).count() as u64;
    assert_eq!(expected + unanswered, asks.len() as u64, "a request was not answered");
});
