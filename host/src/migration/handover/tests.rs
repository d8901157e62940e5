//! Every order of things, over the very functions that hosts run by.
//!
//! ```text
//!   tables     what a state is made of, as small numbers
//!   world      two hosts, their disks, hypervisors and storage, and all words that were ever said
//!   happens    what may happen next, and dies or fails in the middle of it
//!   perform    a host carries something out, which must never lead to two guests, or old memory
//!   explore    breadth first: every state, whether it is sound, and whether all can end well from there
//!   planted    wrong protocols that have to be found
//!   words      each word in each state
//! ```

mod explore;
mod happens;
mod perform;
mod planted;
mod tables;
mod words;
mod world;

use explore::{Explored, explore};
use world::{Bounds, Plant};

/// Prints what was looked at: the figures of docs/decisions/0015 are these.
fn sound(name: &str, bounds: Bounds) -> Explored {
    let explored = explore(bounds, Plant::None);
    eprintln!("{name}: {} states, {} steps, deepest {}", explored.states, explored.steps, explored.depth);
    if let Some(trouble) = &explored.trouble {
        panic!("{name}: {}\n{}", trouble.what, trouble.trace.join("\n"));
    }
    explored
}

const fn bounds(fences: bool, attempts: u8, faults: u8, claims: u8) -> Bounds {
    Bounds { fences, attempts, faults, claims, forget: true }
}

/// Storage that fences nobody: the words alone keep the hosts apart.
#[test]
fn two_hosts_never_run_one_domain_whatever_is_lost_doubled_late_or_dies() {
    sound("no fences, one attempt, four faults", bounds(false, 1, 4, 0));
    sound("no fences, two attempts, one fault", bounds(false, 2, 1, 0));
    sound("no fences, three attempts", bounds(false, 3, 0, 0));
}

#[test]
fn what_is_claimed_runs_at_one_place_once_the_other_host_comes_back() {
    sound("fences, one attempt, three faults, a claim", bounds(true, 1, 3, 1));
    sound("fences, two attempts, one fault, a claim", bounds(true, 2, 1, 1));
    sound("fences, one attempt, two faults, two claims", bounds(true, 1, 2, 2));
}

/// `cargo xtask handover`.
#[test]
fn farther_than_every_run_has_time_for() {
    if std::env::var_os("FIEF_HANDOVER_DEEP").is_none() {
        return;
    }
    let nothing_forgotten = Bounds { forget: false, ..bounds(false, 2, 1, 0) };
    sound("no fences, two attempts, one fault, every word kept", nothing_forgotten);
    sound("no fences, two attempts, four faults", bounds(false, 2, 4, 0));
    sound("no fences, three attempts, two faults", bounds(false, 3, 2, 0));
    sound("fences, two attempts, three faults, two claims", bounds(true, 2, 3, 2));
    sound("no fences, three attempts, four faults", bounds(false, 3, 4, 0));
    sound("fences, three attempts, two faults, a claim", bounds(true, 3, 2, 1));
}
