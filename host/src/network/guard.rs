//! The guard of a network that is on trial: `fief guard-network ROOT NAME` (hidden), started by the gate before it
//! touches a link that the operator is reached by. It lives in a session of its own and needs nothing of who started it.

use std::net::IpAddr;
use std::time::Duration;

use rustix::process::Signal;

use super::store::Store;
use super::trial;
use crate::error::Result;
use crate::gate::Gate;
use crate::gate::rollback::{self, Armed, MOVE_LIMIT, Phase};
use crate::sys::process;
use crate::types::NetworkName;

/// Between two looks.
const STEP: Duration = Duration::from_millis(200);
/// So many rounds in a row have to be answered: a switch may shut a port a moment after it saw something new there.
const STEADY: u32 = 3;
/// For the command that is under way with the network to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often an undoing that leaves something is tried again.
const TRIES: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Wait,
    Keep,
    Undo(String),
}

/// What the guard sees in one round.
#[derive(Debug, Clone)]
struct Seen {
    phase: Phase,
    by_hand: bool,
    /// The phase's time is up.
    over: bool,
    starter_lives: bool,
    /// Rounds in a row in which all peers answered.
    answered: u32,
    silent: Vec<IpAddr>,
}

fn decide(seen: &Seen) -> Decision {
    match seen.phase {
        Phase::Moving if !seen.starter_lives => {
            Decision::Undo("the command that moved its uplink was cut off".to_owned())
        }
        Phase::Moving if seen.over => {
            Decision::Undo(format!("the command that moved its uplink did not end within {} s", MOVE_LIMIT.as_secs()))
        }
        Phase::Moving => Decision::Wait,
        Phase::Trial if seen.by_hand && seen.over => Decision::Undo("nobody confirmed it in time".to_owned()),
        Phase::Trial if seen.by_hand => Decision::Wait,
        Phase::Trial if seen.answered >= STEADY => Decision::Keep,
        Phase::Trial if seen.over => {
            let silent: Vec<String> = seen.silent.iter().map(IpAddr::to_string).collect();
            Decision::Undo(match silent.is_empty() {
                false => format!("{} did not answer any more", silent.join(", ")),
                true => "what is behind the uplink did not answer steadily".to_owned(),
            })
        }
        Phase::Trial => Decision::Wait,
    }
}

/// Watches until it is decided. `ready` is called once nothing but this process is needed for the way back.
pub fn run(gate: &Gate, name: &NetworkName, ready: impl FnOnce()) -> Result<()> {
    // Away from the terminal of the command that started it, and from what ends with it.
    let _ = rustix::process::setsid();
    let store = Store::new(gate.layout(), name);
    let rollback = store.rollback();
    let me = process::this();
    let Some(mut armed) = rollback.armed()? else { return Ok(()) };
    armed.guard = Some(me);
    rollback.arm(&armed)?;
    ready();
    let mut answered = 0;
    loop {
        match rollback.armed() {
            Ok(Some(now)) if now.guard == Some(me) => armed = now,
            Ok(Some(_) | None) => return Ok(()),
            Err(failure) => tracing::warn!(%failure, "the last known state counts"),
        }
        let silent = match armed.phase {
            Phase::Trial if !armed.by_hand => silent(&armed),
            Phase::Trial | Phase::Moving => Vec::new(),
        };
        answered = if silent.is_empty() { answered + 1 } else { 0 };
        if armed.phase == Phase::Moving {
            answered = 0;
        }
        let seen = Seen {
            phase: armed.phase,
            by_hand: armed.by_hand,
            over: armed.left().is_zero(),
            starter_lives: process::alive(armed.starter),
            answered,
            silent,
        };
        match decide(&seen) {
            Decision::Wait => std::thread::sleep(STEP),
            Decision::Keep => return keep(&store),
            Decision::Undo(why) => return undo(gate, &store, name, &armed, &why),
        }
    }
}

/// Where the kernel cannot be asked, nobody answered.
fn silent(armed: &Armed) -> Vec<IpAddr> {
    rollback::silent(armed).unwrap_or_else(|failure| {
        tracing::warn!(%failure, "the peers could not be asked");
        armed.peers.iter().map(|peer| peer.address).collect()
    })
}

fn keep(store: &Store) -> Result<()> {
    let _lock = store.lock()?;
    let rollback = store.rollback();
    if rollback.armed()?.is_some() {
        rollback.disarm()?;
        rollback.forget_last()?;
    }
    Ok(())
}

fn undo(gate: &Gate, store: &Store, name: &NetworkName, armed: &Armed, why: &str) -> Result<()> {
    let _lock = match store.lock_within(PATIENCE) {
        Ok(lock) => lock,
        Err(failure) => {
            if armed.phase == Phase::Moving {
                // It hangs in the middle, with the lock: what it would still do must not come after what is done here.
                tracing::warn!(%failure, "the command that hangs is ended");
                let _ = process::kill(armed.starter, Signal::KILL);
            }
            store.lock()?
        }
    };
    if store.rollback().armed()?.is_none() {
        return Ok(());
    }
    let mut tried = trial::roll_back(gate, store, name, why);
    for _ in 1..TRIES {
        match tried {
            Ok(()) => break,
            Err(failure) => {
                tracing::warn!(%failure, "tried again");
                std::thread::sleep(STEP);
                tried = trial::roll_back(gate, store, name, why);
            }
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_that_is_cut_off_or_takes_too_long_is_undone() {
        let moving = Seen {
            phase: Phase::Moving,
            by_hand: false,
            over: false,
            starter_lives: true,
            answered: 9,
            silent: Vec::new(),
        };
        assert_eq!(decide(&moving), Decision::Wait);
        assert!(matches!(decide(&Seen { starter_lives: false, ..moving.clone() }), Decision::Undo(_)));
        assert!(matches!(decide(&Seen { over: true, ..moving }), Decision::Undo(_)));
    }

    #[test]
    fn a_trial_ends_with_steady_answers_or_by_hand_and_else_in_an_undoing() {
        let trial = Seen {
            phase: Phase::Trial,
            by_hand: false,
            over: false,
            starter_lives: false,
            answered: STEADY - 1,
            silent: vec!["192.0.2.1".parse().unwrap()],
        };
        assert_eq!(decide(&trial), Decision::Wait);
        assert_eq!(decide(&Seen { answered: STEADY, ..trial.clone() }), Decision::Keep);
        let Decision::Undo(why) = decide(&Seen { over: true, ..trial.clone() }) else { panic!("it stands") };
        assert_eq!(why, "192.0.2.1 did not answer any more");
        let by_hand = Seen { by_hand: true, answered: 99, ..trial };
        assert_eq!(decide(&by_hand), Decision::Wait, "answers do not stand for a hand");
        assert!(matches!(decide(&Seen { over: true, ..by_hand }), Decision::Undo(_)));
    }
}
