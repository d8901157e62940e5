//! Any bytes at all: a connection ends, and nothing panics.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::disk::Disk;
use super::{Room, client, run};

/// Says all of it in parts of any size, hangs up, and gives how much came back.
fn answered(said: &[u8], step: usize) -> usize {
    run(async {
        let room = Room::new(Disk::of(64 << 10, 512));
        let (mut from, mut to) = tokio::io::split(room.connect());
        let saying = async move {
            for part in said.chunks(step) {
                // The server may have hung up already.
                if to.write_all(part).await.is_err() {
                    break;
                }
            }
            let _ = to.shutdown().await;
        };
        let mut answers = Vec::new();
        let hearing = from.read_to_end(&mut answers);
        let ((), heard) = tokio::join!(saying, hearing);
        heard.expect("a stream in memory");
        assert_eq!(room.server.handle().statistics().requests_in_flight, 0);
        answers.len()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_a_connection(said in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
        prop_assert!(answered(&said, step) < 18 + 300 * said.len().max(1));
    }

    #[test]
    fn any_bytes_after_a_handshake_do_too(
        said in prop::collection::vec(any::<u8>(), 0..400),
        structured in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        step in 1usize..50,
    ) {
        let mut whole = client::handshake(structured);
        whole.extend(said);
        whole.truncate(cut.index(whole.len()) + 1);
        answered(&whole, step);
    }

    #[test]
    fn any_requests_are_answered_or_end_it(
        asks in prop::collection::vec((any::<u16>(), 0u16..9, any::<u64>(), 0u64..70_000, 0u32..70_000), 0..20),
        structured in any::<bool>(),
        step in 1usize..5000,
    ) {
        let mut whole = client::handshake(structured);
        for (flags, command, cookie, offset, length) in asks {
            whole.extend(client::Ask { flags: flags % 32, command, cookie, offset, length }.bytes());
            if command == 1 {
                whole.resize(whole.len() + length as usize, 1);
            }
        }
        answered(&whole, step);
    }
}
