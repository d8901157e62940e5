//! What pools are like now: all asked side by side, none waited for longer than a person waits.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Pool, PoolInfo};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::types::PoolName;

/// A server that answers does so long before.
const WAIT: Duration = Duration::from_secs(1);
/// Pools that are asked at a time: each is a process.
const AT_A_TIME: usize = 32;

/// How a pool answered.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Answers(PoolInfo),
    /// Its storage does not answer, or not within the time.
    Unreachable,
    /// Another failure; `pool check` says which.
    Failing,
}

impl State {
    pub const fn word(&self) -> &'static str {
        match self {
            State::Answers(_) => "ok",
            State::Unreachable => "unreachable",
            State::Failing => "failing",
        }
    }

    pub const fn info(&self) -> Option<&PoolInfo> {
        match self {
            State::Answers(info) => Some(info),
            State::Unreachable | State::Failing => None,
        }
    }

    pub fn of(answer: Result<PoolInfo>) -> Self {
        match answer {
            Ok(info) => State::Answers(info),
            Err(Failure { kind: Kind::Unreachable | Kind::TimedOut, .. }) => State::Unreachable,
            Err(failure) => {
                tracing::debug!(%failure, "a pool was asked");
                State::Failing
            }
        }
    }
}

/// In the order of `pools`. Who has not answered in time is left behind: its sandbox ends with this process.
pub fn states(gate: &Gate, pools: &[PoolName]) -> Vec<State> {
    let mut states = vec![State::Unreachable; pools.len()];
    for (first, some) in pools.chunks(AT_A_TIME).enumerate() {
        let (answers, answered) = mpsc::channel();
        let mut asked = 0;
        for (place, pool) in some.iter().enumerate() {
            let (gate, pool, answers) = (gate.clone(), pool.clone(), answers.clone());
            let ask = move || {
                let answer = Pool::look(&gate, &pool).and_then(|mut pool| pool.info());
                // Nobody may be waiting any more.
                let _ = answers.send((place, State::of(answer)));
            };
            match std::thread::Builder::new().name("pool".into()).spawn(ask) {
                Ok(_) => asked += 1,
                Err(error) => tracing::warn!(%error, "a pool cannot be asked"),
            }
        }
        let until = Instant::now() + WAIT;
        for _ in 0..asked {
            match answered.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((place, state)) => states[first * AT_A_TIME + place] = state,
                Err(_) => break,
            }
        }
    }
    states
}
