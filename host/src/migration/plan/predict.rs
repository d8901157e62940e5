//! How long a move will take, and how long its guest will stand still: what an operator is told before. Plain arithmetic of
//! pre-copy: each round sends what was dirtied while the round before was on its way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More rounds bring nothing: what is left then is sent while the guest stands still.
const ROUNDS_MAX: u32 = 64;

/// What is to be sent, and how fast. Bytes, and bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pace {
    pub memory: u64,
    pub volumes: u64,
    pub bandwidth: u64,
    /// What the guest writes to its memory meanwhile, anew.
    pub dirtied: u64,
    /// How long its guest may stand still for the last round; the switch-over itself comes on top.
    pub pause: Duration,
    pub switch_over: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Prediction {
    pub total: Duration,
    pub pause: Duration,
    pub rounds: u32,
    pub sent: u64,
    /// The guest writes faster than can be sent: without slowing it down, the pause is longer than asked for.
    pub converges: bool,
}

/// None where nothing can be sent.
pub fn predict(pace: Pace) -> Option<Prediction> {
    let bandwidth = (pace.bandwidth > 0).then_some(pace.bandwidth)?;
    // Longer than anything lasts, where the figures are absurd.
    let time = |bytes: u64| Duration::try_from_secs_f64(bytes as f64 / bandwidth as f64).unwrap_or(Duration::MAX);
    let (mut left, mut sent, mut rounds) = (pace.memory, pace.volumes, 0);
    while time(left) > pace.pause && rounds < ROUNDS_MAX {
        sent = sent.saturating_add(left);
        rounds += 1;
        let dirtied = (time(left).as_secs_f64() * pace.dirtied as f64) as u64;
        if dirtied >= left {
            left = dirtied.min(pace.memory);
            break;
        }
        left = dirtied;
    }
    let sent = sent.saturating_add(left);
    let pause = time(left).saturating_add(pace.switch_over);
    Some(Prediction {
        total: time(sent).saturating_add(pace.switch_over),
        pause,
        rounds: rounds + 1,
        sent,
        converges: time(left) <= pace.pause,
    })
}
