//! What an NFS server may say: record marking, RPC, and the results of either version.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storage_nfs::rpc::{MOUNT_PROGRAM, NFS_PROGRAM, Procedure, Records};

#[allow(dead_code)]
#[path = "../../../plugins/storage-nfs/tests/world/walk.rs"]
mod walk;

/// Longest record that the plugin takes.
const MOST: usize = (1 << 20) + (64 << 10);

fuzz_target!(|bytes: &[u8]| {
    // What was asked for, and how much comes at a time.
    let [version, number, step, stream @ ..] = bytes else { return };
    let procedure = match version % 3 {
        0 => Procedure { program: NFS_PROGRAM, version: 4, number: 1 },
        1 => Procedure { program: NFS_PROGRAM, version: 3, number: u32::from(number % 22) },
        _ => Procedure { program: MOUNT_PROGRAM, version: 3, number: 1 },
    };
    let mut records = Records::new(MOST);
    for part in stream.chunks(usize::from(*step) + 1) {
        records.push(part);
        loop {
            match records.take() {
                Ok(Some(record)) => {
                    let _ = walk::answer(procedure, &record);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
