//! What a bad wire does: connections that end in the middle of a PDU, bytes that change on their way.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fief_sdk::native::{block_on, grant};

use crate::bed::{Bed, MIB, open, soon, wait};
use crate::failures::{verify, write_until};

/// What becomes of a piece of the target's or of ours.
type Harm = Arc<dyn Fn(&mut [u8]) -> Carry + Send + Sync>;

enum Carry {
    All,
    /// So many bytes, and then nothing more either way.
    Only(usize),
}

/// Between the plugin and the target, in this thread's network; gives where it listens. It ends with the test.
fn proxy(to: &str, harm: Harm) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = to.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { return };
            for (from, into) in [(&client, &server), (&server, &client)] {
                let (from, into, harm) = (from.try_clone().unwrap(), into.try_clone().unwrap(), harm.clone());
                std::thread::spawn(move || carry(from, into, &harm));
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, mut into: TcpStream, harm: &Harm) {
    let mut bytes = vec![0; 8192];
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        let (count, more) = match harm(&mut bytes[..got]) {
            Carry::All => (got, true),
            Carry::Only(count) => (count.min(got), false),
        };
        if into.write_all(&bytes[..count]).is_err() || !more {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
}

/// Writes through the proxy until `enough` harm was done; all that was written has to be there.
fn survives(harm: Harm, done: &AtomicU64, enough: u64) {
    let bed = Bed::with_disk(64 * MIB);
    grant("portal", &proxy(bed.tgt.portal(), harm));
    block_on(async {
        let disk = Rc::new(open(&[("header-digest", "crc32c"), ("data-digest", "crc32c")]).await);
        let stop = Rc::new(Cell::new(false));
        let writer = tokio::task::spawn_local({
            let (disk, stop) = (disk.clone(), stop.clone());
            async move { write_until(&disk, &stop).await }
        });
        let harmed = async {
            while done.load(Ordering::Relaxed) < enough {
                wait(20).await;
            }
        };
        soon("enough harm", harmed).await;
        stop.set(true);
        let count = soon("the last writes", writer).await.unwrap();
        verify(&disk, count).await;
    });
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_pdu_loses_nothing() {
    let (seen, cuts) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = cuts.clone();
    let harm: Harm = Arc::new(move |bytes| {
        // Past the login, each time at another place of a PDU.
        let before = seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let often = 1_500_000;
        match before / often == (before + bytes.len() as u64) / often {
            true => Carry::All,
            false => {
                let cut = counted.fetch_add(1, Ordering::Relaxed);
                Carry::Only((cut * 37 % 100) as usize)
            }
        }
    });
    survives(harm, &cuts, 6);
}

#[test]
fn a_bit_that_changes_on_its_way_is_found_and_harms_nobody() {
    let (seen, flips) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = flips.clone();
    let harm: Harm = Arc::new(move |bytes| {
        let before = seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let often = 1_500_000;
        if before / often != (before + bytes.len() as u64) / often {
            let flip = counted.fetch_add(1, Ordering::Relaxed) as usize;
            let at = flip * 977 % bytes.len();
            bytes[at] ^= 1 << (flip % 8);
        }
        Carry::All
    });
    survives(harm, &flips, 6);
}
