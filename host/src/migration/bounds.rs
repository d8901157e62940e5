//! How long and how often a strategy may ask. Pure: the clock is handed in.
//!
//! A strategy has the word from one step to the next. Only what moves the domain on gives it more time: telling how far it
//! is, or turning limits back and forth, does not, and neither does a step that was refused. So one that loops, sleeps or
//! never comes to an end is ended, and its guest goes on where it is.

use std::time::{Duration, Instant};

use super::steps::{Answer, Ask, Sample};

/// What a strategy may spend on one move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Its own time between two steps.
    pub between: Duration,
    /// From the first step to the last, the host's work counted.
    pub total: Duration,
    /// Times that memory is gone through: more bring nothing.
    pub rounds: u32,
}

/// Asks in a second. Whoever asks more often waits, in its own time.
const ASKS_PER_SECOND: u32 = 50;
/// Words for people in a second. More are dropped.
const PROGRESS_PER_SECOND: u32 = 5;
/// The slowest transfer that a whole move is given time for, in bytes a second, and how often memory and volumes go over.
const SLOWEST: u64 = 4 << 20;
const TIMES: u32 = 4;
/// What any move is given besides.
const LEAST: Duration = Duration::from_secs(3600);
const ROUNDS_MAX: u32 = 1_000;
const SECOND: Duration = Duration::from_secs(1);

impl Bounds {
    /// For a domain of that many bytes, memory and volumes together.
    pub fn of(bytes: u64, between: Duration) -> Bounds {
        let transfer = Duration::from_secs(bytes / SLOWEST).saturating_mul(TIMES);
        Bounds { between, total: LEAST.saturating_add(transfer), rounds: ROUNDS_MAX }
    }
}

/// What is done with an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// It is carried out after this time.
    Hold(Duration),
    /// It is answered, and nothing comes of it.
    Drop,
    /// The strategy is ended.
    End(&'static str),
}

/// Counts what one strategy spends.
#[derive(Debug)]
pub struct Watch {
    bounds: Bounds,
    begun: Instant,
    /// Since when the strategy has not moved the domain on, less the time in which the host had the word.
    own: Duration,
    second: Instant,
    asks: u32,
    progress: u32,
}

impl Watch {
    pub fn new(bounds: Bounds, now: Instant) -> Watch {
        Watch { bounds, begun: now, own: Duration::ZERO, second: now, asks: 0, progress: 0 }
    }

    /// How long the strategy may still have the word.
    pub fn left(&self, now: Instant) -> Duration {
        let total = self.bounds.total.saturating_sub(now.saturating_duration_since(self.begun));
        self.bounds.between.saturating_sub(self.own).min(total)
    }

    /// The strategy had the word for that long.
    pub fn spent(&mut self, time: Duration) {
        self.own = self.own.saturating_add(time);
    }

    pub fn asked(&mut self, ask: &Ask, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.asks, self.progress) = (now, 0, 0);
        }
        if now.saturating_duration_since(self.begun) >= self.bounds.total {
            return Verdict::End("the move took longer than any may");
        }
        if self.own >= self.bounds.between {
            return Verdict::End("it asks, and nothing comes of it");
        }
        self.asks += 1;
        if self.asks > ASKS_PER_SECOND {
            return Verdict::Hold((self.second + SECOND).saturating_duration_since(now));
        }
        if matches!(ask, Ask::Progress { .. }) {
            self.progress += 1;
            if self.progress > PROGRESS_PER_SECOND {
                return Verdict::Drop;
            }
        }
        Verdict::Go
    }

    /// A step was done. What moved the domain on gives the strategy its time anew.
    ///
    /// # Errors
    /// Why the strategy is ended all the same.
    pub fn answered(&mut self, ask: &Ask, answer: &Answer) -> Result<(), &'static str> {
        let on = match ask {
            Ask::Reserve
            | Ask::Pause
            | Ask::CopyVolumes
            | Ask::Save
            | Ask::CopyState
            | Ask::Restore
            | Ask::Precopy(_)
            | Ask::Postcopy
            | Ask::SwitchOver => true,
            // One that says that nothing is left to wait for took no time.
            Ask::NextSample => matches!(answer, Answer::Sample(Some(_))),
            Ask::Adjust(_) | Ask::Progress { .. } => false,
        };
        if on {
            self.own = Duration::ZERO;
        }
        match answer {
            Answer::Sample(Some(Sample { round, .. })) if *round > self.bounds.rounds => {
                Err("memory was gone through more often than brings anything")
            }
            Answer::Sample(_) | Answer::Done | Answer::Copied(_) | Answer::Outcome(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::steps::Limits;

    const BETWEEN: Duration = Duration::from_secs(30);
    const LIMITS: Limits =
        Limits { bandwidth: None, downtime_ms: 300, auto_converge: true, channels: 1, compress: false };

    fn progress() -> Ask {
        Ask::Progress { done: 0, total: 0, note: String::new() }
    }

    /// Asks `ask` again and again, each time `pause` of the strategy's own time later; the host takes `work`. Gives when and
    /// why it is ended.
    fn until_ended(
        mut ask: impl FnMut(u32) -> (Ask, Answer),
        pause: Duration,
        work: Duration,
    ) -> (Duration, &'static str) {
        let bounds = Bounds { rounds: 100, ..Bounds::of(512 << 20, BETWEEN) };
        let begun = Instant::now();
        let (mut now, mut watch) = (begun, Watch::new(bounds, begun));
        for turn in 0..100_000_000 {
            now += pause;
            watch.spent(pause);
            let (ask, answer) = ask(turn);
            match watch.asked(&ask, now) {
                Verdict::End(why) => return (now - begun, why),
                Verdict::Hold(time) => {
                    now += time;
                    watch.spent(time);
                }
                Verdict::Drop => continue,
                Verdict::Go => {}
            }
            now += work;
            if let Err(why) = watch.answered(&ask, &answer) {
                return (now - begun, why);
            }
        }
        panic!("it is never ended");
    }

    #[test]
    fn a_strategy_that_asks_and_does_nothing_is_ended_within_its_own_time() {
        let soon = Duration::from_micros(100);
        let late = BETWEEN + Duration::from_secs(2);
        for work in [Duration::ZERO, soon] {
            let (took, why) = until_ended(|_| (progress(), Answer::Done), soon, work);
            assert!(took <= late && why.contains("nothing comes of it"), "{took:?} {why}");
            let (took, why) = until_ended(|_| (Ask::Adjust(LIMITS), Answer::Done), soon, work);
            assert!(took <= late && why.contains("nothing comes of it"), "{took:?} {why}");
            let (took, why) = until_ended(|_| (Ask::NextSample, Answer::Sample(None)), soon, work);
            assert!(took <= late && why.contains("nothing comes of it"), "{took:?} {why}");
        }
    }

    #[test]
    fn a_strategy_that_waits_for_samples_without_end_is_ended() {
        let sample = |round| (Ask::NextSample, Answer::Sample(Some(Sample { round, ..Sample::default() })));
        let (soon, work) = (Duration::from_millis(1), Duration::from_millis(500));
        let (took, why) = until_ended(|_| sample(3), soon, work);
        assert!(why.contains("longer than any may") && took < Duration::from_secs(2 * 3600), "{took:?} {why}");
        let (_, why) = until_ended(sample, soon, work);
        assert!(why.contains("gone through"), "{why}");
    }

    #[test]
    fn work_of_the_hosts_is_not_the_strategys_time() {
        let begun = Instant::now();
        let mut watch = Watch::new(Bounds::of(1 << 40, BETWEEN), begun);
        watch.spent(Duration::from_secs(29));
        let later = begun + Duration::from_secs(7200);
        assert_eq!(watch.left(later), Duration::from_secs(1));
        assert_eq!(watch.asked(&Ask::CopyVolumes, later), Verdict::Go);
        watch.answered(&Ask::CopyVolumes, &Answer::Copied(1 << 40)).unwrap();
        assert_eq!(watch.left(later), BETWEEN);
    }

    #[test]
    fn words_for_people_are_few_and_asks_are_slowed_down() {
        let now = Instant::now();
        let mut watch = Watch::new(Bounds::of(0, BETWEEN), now);
        let verdicts: Vec<Verdict> = (0..60).map(|_| watch.asked(&progress(), now)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Go).count(), 5);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Drop).count(), 45);
        assert_eq!(verdicts[59], Verdict::Hold(SECOND));
        assert_eq!(watch.asked(&progress(), now + SECOND), Verdict::Go);
    }
}
