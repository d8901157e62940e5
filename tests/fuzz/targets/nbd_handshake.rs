//! Any bytes at all from a client, from the first one on.

#![no_main]

use fief_fuzz::{Recorded, run};
use fief_nbd::{Export, Limits, Server};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../host/nbd/src/tests/disk.rs"]
mod disk;

/// Most bytes that the answers may have, for each byte of what was said: an option answers with names that it was not
/// given, and a request of 28 bytes may read the whole disk.
const MOST_ANSWERED: usize = DISK;
const DISK: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, input)) = bytes.split_first() else { return };
    let mut output = Vec::new();
    let stream = Recorded { input, step: usize::from(step), output: &mut output };
    let export = Export { volume: "disk".into(), generation: 2, description: "of a test".into() };
    let server = Server::new(disk::Disk::of(DISK as u64, 512), export, Limits::default()).expect("a disk");
    run(server.connection(stream));
    assert!(output.len() <= 18 + MOST_ANSWERED * input.len());
    assert_eq!(server.handle().statistics().clients, 0);
    assert_eq!(server.handle().statistics().requests_in_flight, 0);
});
