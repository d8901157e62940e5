//! A disk that is served by a target that takes commands and does not answer them, or answers them wrongly: by a stand-in,
//! since no real one can be made to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use fief_sdk::ErrorCode;
use fief_sdk::block::{BlockDevice, Event};
use fief_sdk::native::{block_on, grant};
use storage_iscsi::protocol::header::{FINAL, Header, response};

use crate::bed::{event, message, open, pattern, soon};
use crate::fake::{Asked, Fake, Say, data, good};

const READ: u8 = 0x88;
const WRITE: u8 = 0x8a;
const ABORT: u8 = 1;
const RESET: u8 = 5;
/// A second, where a real pool has thirty.
const QUICK: &[(&str, &str)] = &[("command-timeout", "1")];

fn fake(script: impl FnMut(Asked) -> Say + Send + 'static) -> Fake {
    let fake = Fake::start(script);
    grant("portal", &fake.address);
    fake
}

fn refused(header: Header) -> Say {
    Say::These(vec![(Header::new(response::TASK_MANAGEMENT, FINAL).tagged(header.tag()).put(2, &[5]), Vec::new())])
}

#[test]
fn a_command_that_hangs_is_aborted_and_sent_again_while_others_go_on() {
    let (hung, aborted) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
    let (of_script, count) = (hung.clone(), aborted.clone());
    let fake = fake(move |asked| {
        let mut hung = of_script.lock().unwrap();
        if asked.is(WRITE) && hung.is_none() {
            *hung = Some(asked.header.tag());
            return Say::Nothing;
        }
        if asked.function() == Some(ABORT) && Some(asked.header.u32(20)) == *hung {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Say::Usual
    });
    block_on(async {
        let disk = open(QUICK).await;
        let others = async {
            let told = event(&disk, "degraded", |event| matches!(event, Event::Degraded(_))).await;
            assert!(matches!(&told, Event::Degraded(why) if why.contains("no answer")), "{told:?}");
            soon("a read", disk.read(8192, 512)).await.unwrap();
        };
        let write = soon("the write", disk.write(4096, pattern(4096, 4096, 5), false));
        let (wrote, ()) = futures_util::future::join(write, others).await;
        wrote.unwrap();
        assert_eq!(disk.read(4096, 4096).await.unwrap(), pattern(4096, 4096, 5));
    });
    assert_eq!((aborted.load(Ordering::Relaxed), fake.connections()), (1, 1));
}

#[test]
fn a_target_that_neither_aborts_nor_resets_is_logged_in_to_again() {
    let fake = fake(|asked| match (asked.connection, asked.function()) {
        (1, Some(ABORT | RESET)) => refused(asked.header),
        (1, None) if asked.is(READ) => Say::Nothing,
        _ => Say::Usual,
    });
    block_on(async {
        let disk = open(QUICK).await;
        assert_eq!(soon("the read", disk.read(0, 512)).await.unwrap(), [0; 512]);
    });
    assert_eq!(fake.connections(), 2);
}

#[test]
fn a_command_that_hangs_each_time_is_an_error_once_it_is_sure_not_to_be_done_and_the_disk_goes_on() {
    let resets = Arc::new(AtomicU32::new(0));
    let count = resets.clone();
    let _fake = fake(move |asked| match asked.function() {
        Some(ABORT) => refused(asked.header),
        Some(_) => {
            count.fetch_add(1, Ordering::Relaxed);
            Say::Usual
        }
        None if asked.is(WRITE) && count.load(Ordering::Relaxed) < 3 => Say::Nothing,
        None => Say::Usual,
    });
    block_on(async {
        let disk = open(QUICK).await;
        let error = message(soon("the write", disk.write(0, vec![1; 512], false)).await);
        assert_eq!(error.code, ErrorCode::Timeout, "{}", error.message);
        assert_eq!(resets.load(Ordering::Relaxed), 3);
        event(&disk, "restored", |event| matches!(event, Event::Restored)).await;
        soon("the next write", disk.write(0, vec![2; 512], false)).await.unwrap();
        assert_eq!(disk.read(0, 512).await.unwrap(), [2; 512]);
    });
}

type Said = Vec<(Header, Vec<u8>)>;

/// What a target may answer to a read of 1024 bytes, all of it wrong.
fn lies(header: Header) -> Vec<(&'static str, Said)> {
    let part = |number: u32, offset: u32| {
        Header::new(response::DATA_IN, 0).tagged(header.tag()).put_u32(36, number).put_u32(40, offset)
    };
    let last = |number: u32, offset: u32| data(header).put_u32(36, number).put_u32(40, offset);
    vec![
        ("half of it, and no word of the rest", vec![(last(0, 0), vec![9; 512])]),
        ("half of it, and a residual", vec![(last(0, 0).put(1, &[FINAL | 3]).put_u32(44, 512), vec![9; 512])]),
        ("none of it", vec![(good(header), Vec::new())]),
        ("all of it, and a residual", vec![(last(0, 0).put(1, &[FINAL | 3]).put_u32(44, 512), vec![9; 1024])]),
        ("twice the first half", vec![(part(0, 0), vec![9; 512]), (last(1, 0), vec![9; 512])]),
        ("an overlap", vec![(part(0, 0), vec![9; 512]), (last(1, 256), vec![9; 768])]),
        ("a gap", vec![(part(0, 0), vec![9; 256]), (last(1, 512), vec![9; 512])]),
        ("more than was asked for", vec![(part(0, 0), vec![9; 1024]), (last(1, 1024), vec![9; 512])]),
        ("data far behind the end", vec![(last(0, 1 << 20), vec![9; 512])]),
        ("a piece that was numbered twice", vec![(part(0, 0), vec![9; 512]), (last(0, 512), vec![9; 512])]),
    ]
}

#[test]
fn data_of_a_wrong_length_is_an_error_and_never_data() {
    let lie = Arc::new(Mutex::new(None));
    let of_script = lie.clone();
    let _fake = fake(move |asked| match *of_script.lock().unwrap() {
        Some(which) if asked.is(READ) => {
            let lies: Vec<_> = lies(asked.header);
            let (_, said) = lies.into_iter().nth(which).unwrap();
            Say::These(said)
        }
        Some(_) if asked.is(WRITE) => {
            // "All went well", and half of it was not taken.
            Say::These(vec![(good(asked.header).put(1, &[FINAL | 2]).put_u32(44, 512), Vec::new())])
        }
        _ => Say::Usual,
    });
    block_on(async {
        let disk = open(&[]).await;
        for (which, (what, _)) in lies(Header::new(0, 0)).iter().enumerate() {
            *lie.lock().unwrap() = Some(which);
            let error = message(soon(what, disk.read(0, 1024)).await);
            assert!(matches!(error.code, ErrorCode::Io | ErrorCode::Timeout), "{what}: {}", error.message);
            assert_eq!(message(soon(what, disk.write(0, vec![1; 1024], false)).await).code, ErrorCode::Io);
            *lie.lock().unwrap() = None;
            assert_eq!(soon("the truth", disk.read(0, 1024)).await.unwrap(), [0; 1024], "after {what}");
        }
    });
}
