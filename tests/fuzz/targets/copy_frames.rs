//! What another host says while a disk or a file is copied: frames of either side, cut at any places.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use fief_fuzz::{Recorded, run};
use fief_wire::copy::{BLOCK, FRAME_MOST, FromSource, FromTarget, LISTED_MOST, Words, receive, send};
use fief_wire::frame::{Trouble, Within};
use libfuzzer_sys::fuzz_target;

const WITHIN: Within = Within::all(Duration::from_secs(60));

/// What is taken reads back as itself.
async fn same<W: Words + PartialEq + std::fmt::Debug>(words: &W) {
    let mut bytes = Vec::new();
    send(&mut bytes, words, WITHIN.rest).await.expect("memory takes all");
    let again: W = receive(&mut &bytes[..], FRAME_MOST, WITHIN).await.expect("a frame that was written");
    assert_eq!(again, *words);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, input)) = bytes.split_first() else { return };
    let mut output = Vec::new();
    let mut stream = Recorded { input, step: usize::from(step), output: &mut output };
    run(async {
        loop {
            match receive::<FromSource>(&mut stream, FRAME_MOST, WITHIN).await {
                Ok(words) => {
                    if let FromSource::Data(data) = &words {
                        let blocks: usize = data.map.iter().map(|byte| byte.count_ones() as usize).sum();
                        assert!(data.bytes.len() <= blocks * BLOCK && data.bytes.len() + BLOCK > blocks * BLOCK);
                    }
                    if let FromSource::Have(all) = &words {
                        assert!(all.len() <= LISTED_MOST);
                    }
                    same(&words).await;
                }
                Err(Trouble::Wrong(_)) => {}
                Err(_) => break,
            }
        }
    });
    // The same bytes as one body of any kind from the other side.
    let (kind, body) = (step, Bytes::copy_from_slice(input));
    if let Ok(words) = FromTarget::read(kind, body) {
        if let FromTarget::Again(all) = &words {
            assert!(all.len() <= LISTED_MOST);
        }
        if let FromTarget::Failed { reason } = &words {
            // What does not print is escaped, in up to ten characters.
            assert!(reason.chars().count() <= 10_000 && !reason.chars().any(char::is_control), "{reason:?}");
        } else {
            run(same(&words));
        }
    }
});
