//! What another host says: frames cut at any places, and each of the values that they may be.

#![no_main]

use std::time::Duration;

use fief_fuzz::{Recorded, run};
use fief_wire::frame::{HELLO_MAX, Trouble, Within, decode, encode, read};
use fief_wire::hello::{Hello, VERSIONS, Welcome, newest_common};
use fief_wire::message::{Answer, Ask, StreamGranted, StreamWanted};
use fief_wire::pairing::{Join, Joined};
use fief_wire::{Token, text};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

const WITHIN: Within = Within::all(Duration::from_secs(60));

/// What is taken reads back as itself; what is not has a reason that can be shown.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    match decode::<T>(bytes) {
        Ok(value) => {
            let again = encode(&value, usize::MAX).expect("a value that was read");
            assert_eq!(decode::<T>(&again[4..]).expect("a value that was written"), value);
            Some(value)
        }
        Err(Trouble::Wrong(why)) => {
            assert!(why.chars().count() <= 1_000 && !why.chars().any(char::is_control), "{why:?}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, input)) = bytes.split_first() else { return };
    let mut output = Vec::new();
    let mut stream = Recorded { input, step: usize::from(step), output: &mut output };
    let mut left = input.len();
    run(async {
        while let Ok(frame) = read(&mut stream, HELLO_MAX, WITHIN).await {
            assert!(frame.len() <= HELLO_MAX && frame.len() + 4 <= left, "more was read than there is");
            left -= frame.len() + 4;
            if let Some(hello) = same::<Hello>(&frame)
                && hello.check().is_ok()
            {
                let version = newest_common(VERSIONS, &hello.versions);
                assert!(version.is_none_or(|version| VERSIONS.contains(&version)));
                assert!(text::word(&hello.who.name).len() <= 64);
            }
            same::<Welcome>(&frame);
            same::<Ask>(&frame);
            same::<Answer>(&frame);
            same::<StreamWanted>(&frame);
            same::<StreamGranted>(&frame);
            same::<Join>(&frame);
            same::<Joined>(&frame);
            if let Some(token) = std::str::from_utf8(&frame).ok().and_then(|text| text.parse::<Token>().ok()) {
                assert_eq!(token.reveal().parse::<Token>().expect("a token that was printed"), token);
            }
        }
    });
});
