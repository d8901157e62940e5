//! What must be true of two hosts while a domain moves between them, and afterwards, whatever happened (promises.md, I1 to
//! I10). What guests went through is the witness's to tell (I1, I3: witness/history.rs), what is left the census's (I5),
//! and where a secret lies the canary's (I8).
//!
//! ```text
//!   Owners       one owner, by both journals, looked at all the while (I2)
//!   no_orphans   each guest has a record that knows it, on the one host that runs it (I10)
//!   comes_to     in the end it runs on one host, or is off there, or it is said what is waited for (I4)
//! ```

use std::time::{Duration, Instant};

use crate::pair::Side;
use crate::{Host, Pair};

pub use owners::{Holding, Owners, Seen, Snapshot, judge};

mod owners;

/// Within which what was cut off has to come to something (I4).
const CONVERGES: Duration = Duration::from_secs(60);

/// Within which a guest that was ended is gone.
const GONE: Duration = Duration::from_secs(20);

/// What a host says of a domain; none where it has no such domain.
pub fn said(pair: &Pair, side: Side, domain: &str) -> Option<String> {
    let listing = pair[side].fief(&["list", "-o", "json"]).json();
    let items = listing["items"].as_array().cloned().unwrap_or_default();
    let item = items.into_iter().find(|item| item["name"] == domain)?;
    item["state"].as_str().map(str::to_owned)
}

/// # Panics
/// Where a guest runs that no record knows, and does not end within a moment either.
#[track_caller]
pub fn no_orphans(pair: &Pair) {
    for side in Side::BOTH {
        let until = Instant::now() + GONE;
        loop {
            let orphans = orphans(&pair[side]);
            if orphans.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{}: guests that no record knows: {orphans:?}", side.name());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn orphans(host: &Host) -> Vec<u32> {
    let guests = host.processes("qemu-system");
    let listing = host.fief(&["list", "-o", "json"]).json();
    let names = listing["items"].as_array().cloned().unwrap_or_default();
    let known = names.iter().filter_map(|item| {
        let shown = host.shown(item["name"].as_str()?);
        u32::try_from(shown["run"]["hypervisor"]["pid"].as_u64()?).ok()
    });
    let known: Vec<u32> = known.collect();
    guests.into_iter().filter(|process| !known.contains(process)).collect()
}

/// Waits until the domain is on one host alone, as `wanted` says, and the other has nothing of it any more, what was
/// made ready there for an attempt included; gives which host has it, and its state there.
///
/// # Panics
/// Where it comes to nothing of the kind in a minute.
#[track_caller]
pub fn comes_to(pair: &Pair, domain: &str, wanted: impl Fn(Side, &str) -> bool) -> (Side, String) {
    let until = Instant::now() + CONVERGES;
    loop {
        let states = Side::BOTH.map(|side| said(pair, side, domain));
        let has = |side: Side| pair[side].root().join("domains").join(domain).exists();
        for side in Side::BOTH {
            if let Some(state) = states[side as usize].clone().filter(|state| wanted(side, state))
                && !has(side.other())
            {
                return (side, state);
            }
        }
        assert!(Instant::now() < until, "{domain} is {states:?} on the two hosts, and nothing comes of it");
        std::thread::sleep(Duration::from_millis(100));
    }
}
