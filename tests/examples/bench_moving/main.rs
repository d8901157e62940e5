//! Moves a domain to and fro between two hosts in namespaces, and does the same by other means: what `cargo xtask bench
//! moving` runs, and writes its page from.
//!
//! ```text
//!   bench_moving ROUNDS PART…         live-idle  live-dirtying  static       all where none is given
//!
//!   said: round WORK WHO WHAT MICROSECONDS
//! ```
//! In a round each takes its turn. Everybody has the same network (veth), the same storage (a unit of tgt's) and the same
//! guest; its pause is what its serial port tells, from the last word on one host to the first on the other.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod copies;
mod guest;
mod hand;
mod libvirt;
mod ours;
mod ticks;

use std::time::{Duration, Instant};

use fief_tests::Pair;
use fief_tests::pair::{At, Net, Side, address};

use guest::Guest;

/// Of the iSCSI unit that all boot from, and where it is.
const LUN: u32 = 1;

/// What one move took.
struct Took {
    total: Duration,
    pause: Duration,
}

fn say(work: &str, who: &str, what: &str, time: Duration) {
    println!("round {work} {who} {what} {}", time.as_micros());
}

fn timed(act: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    act();
    begun.elapsed()
}

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds: usize = words.next().and_then(|word| word.parse().ok()).expect("how many rounds");
    let parts: Vec<String> = words.collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    // Whoever is measured alone is so while something is made: `hand`, `virsh`, `fief`.
    let who = std::env::var("BENCH_ONLY").unwrap_or_default();
    let turn = |name: &str| who.is_empty() || who == name;

    let mut pair = Pair::new();
    let unit = pair.iscsi(&[1 << 20]).remove(0);
    for side in Side::BOTH {
        pair.serves_with(side, &[("FIEF_LOG".to_owned(), "warn".to_owned())]);
    }
    for guest in [Guest::Idle, Guest::Dirtying] {
        let work = format!("live-{}", guest.word());
        if !wanted(&work) {
            continue;
        }
        std::fs::write(&unit, guest.disk()).unwrap();
        let libvirt = turn("virsh").then(|| libvirt::Two::start(&pair));
        for round in 0..rounds {
            let from = [Side::A, Side::B][round % 2];
            eprintln!("round {} of {rounds}: {work}", round + 1);
            // Each is first in every third round: where the machine is itself a guest, memory that it gave back a while ago is
            // fetched anew page by page, and whoever comes next has it for nothing.
            let mut order = ["fief", "hand", "virsh"];
            order.rotate_left(round % 3);
            for who in order {
                let Took { total, pause } = match (who, &libvirt) {
                    ("fief", _) if turn(who) => ours::moves(&pair, from),
                    ("hand", _) if turn(who) => hand::moves(&pair, from),
                    ("virsh", Some(libvirt)) => libvirt.moves(from),
                    _ => continue,
                };
                say(&work, who, "total", total);
                say(&work, who, "pause", pause);
            }
        }
    }
    if wanted("static") {
        copies::measure(&pair, rounds, &turn);
    }
}

/// Where a host is reached for memory and disks.
fn reached(side: Side) -> String {
    address(Net::Peers, At::Host(side))
}
