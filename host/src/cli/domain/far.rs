//! How far a move is, for people and for programs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::output::progress::Detail;
use crate::domain::relocation::Progress;
use crate::migration::steps::Sample;
use crate::types::ByteSize;

/// Looks at a move again and again.
#[derive(Debug, Default)]
pub(super) struct Far {
    /// What was done when, the last time that it was more.
    last: Option<(String, u64, Instant)>,
    /// Of what tells no rate itself, in bytes a second.
    rate: Option<u64>,
}

impl Far {
    /// What is done and what is to be, in bytes, and the rest in words.
    pub(super) fn look(&mut self, progress: &Progress) -> (u64, u64, Detail) {
        let (done, total) = match memory(progress) {
            Some(sample) => (sample.transferred, sample.transferred.saturating_add(sample.remaining)),
            None => (progress.done, progress.total),
        };
        self.measure(&progress.phase, done, Instant::now());
        (done, total, detail(progress, (done, total), self.rate))
    }

    fn measure(&mut self, phase: &str, done: u64, now: Instant) {
        match &self.last {
            Some((before, was, at)) if before == phase && *was <= done => {
                let took = now.duration_since(*at);
                if took < Duration::from_millis(200) {
                    return;
                }
                self.rate = Some(((done - was) as f64 / took.as_secs_f64()) as u64);
            }
            Some(_) | None => self.rate = None,
        }
        self.last = Some((phase.to_owned(), done, now));
    }
}

/// What goes over of the guest's memory, with it or after it.
fn memory(progress: &Progress) -> Option<Sample> {
    progress.sample.filter(|_| matches!(progress.phase.as_str(), "memory" | "following"))
}

/// Pure.
fn detail(progress: &Progress, (done, total): (u64, u64), measured: Option<u64>) -> Detail {
    let memory = memory(progress);
    let rate = memory.map(|sample| sample.bandwidth).or(measured).filter(|rate| *rate > 0);
    let dirtied = memory.map(|sample| sample.dirty_rate);
    // What the guest writes anew comes on top of what is left.
    let gains = rate.and_then(|rate| rate.checked_sub(dirtied.unwrap_or(0))).filter(|gains| *gains > 0);
    let left = total.saturating_sub(done);
    let to_go = gains.filter(|_| left > 0).map(|gains| left / gains);
    let each = |bytes: u64| format!("{} a second", ByteSize::from_bytes(bytes).human());
    let mut words = vec![progress.phase.replace('-', " ")];
    words.extend(Some(progress.note.clone()).filter(|note| !note.is_empty() && *note != progress.phase));
    words.extend(memory.map(|sample| format!("round {}", sample.round)));
    words.extend(rate.map(each));
    words.extend(dirtied.map(|dirtied| format!("{} written anew", each(dirtied))));
    words.extend(to_go.map(|seconds| format!("about {seconds}s to go")));
    let known: Value = json!({
        "phase": progress.phase,
        "note": progress.note,
        "rate": rate,
        "round": memory.map(|sample| sample.round),
        "dirty-rate": dirtied,
        "expected-pause-ms": memory.map(|sample| sample.expected_downtime_ms),
        "seconds-to-go": to_go,
    });
    Detail { words: words.join(", "), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bandwidth: u64, dirty_rate: u64) -> Progress {
        let sample = Sample { bandwidth, dirty_rate, round: 3, remaining: 400 << 20, ..Sample::default() };
        Progress { phase: "memory".into(), sample: Some(sample), ..Progress::default() }
    }

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let far = detail(&memory(100 << 20, 20 << 20), (0, 400 << 20), None);
        assert_eq!(far.words, "memory, round 3, 100MiB a second, 20MiB a second written anew, about 5s to go");
        assert_eq!((&far.known["round"], &far.known["seconds-to-go"]), (&json!(3), &json!(5)));
        // It writes faster than can be sent: nobody knows the end.
        assert_eq!(detail(&memory(1, 2), (0, 1), None).known["seconds-to-go"], Value::Null);
        let volumes = Progress { phase: "volumes".into(), note: "round 2".into(), ..Progress::default() };
        assert_eq!(detail(&volumes, (0, 0), None).words, "volumes, round 2");
        assert_eq!(detail(&volumes, (5, 25), Some(10)).words, "volumes, round 2, 10B a second, about 2s to go");
        let over = Progress { phase: "handing-over".into(), ..Progress::default() };
        assert_eq!(detail(&over, (7, 7), None).words, "handing over");
    }

    #[test]
    fn a_rate_is_of_one_phase() {
        let (mut far, begun) = (Far::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        far.measure("volumes", 0, at(0));
        assert_eq!(far.rate, None);
        far.measure("volumes", 1000, at(500));
        assert_eq!(far.rate, Some(2000));
        far.measure("state", 10, at(1000));
        assert_eq!(far.rate, None);
        // A round of less than the one before.
        far.measure("state", 5, at(2000));
        assert_eq!(far.rate, None);
    }
}
