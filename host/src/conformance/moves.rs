//! Moves that are made up: a strategy in its real sandbox asks for steps, and a host that does none of them answers. Order
//! and bounds are those of a real move.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bench::WALL;
use super::expect::{Result, fail, inner};
use crate::error::{Failure, Kind};
use crate::gate::Gate;
use crate::migration::phases::Refused;
use crate::migration::steps::{Answer, Ask, Outcome, Sample};
use crate::migration::strategy::PluginStrategy;
use crate::plugin::{chosen, settings};
use crate::sandbox::protocol::{Finding, MoveFacts, MoveHost, MovePower, MoveSameness, MoveVolume, Settings, Severity};
use crate::types::{DomainName, PluginId};

/// Of the guest that moves, in bytes.
const MEMORY: u64 = 512 << 20;
/// Of its volume.
const SIZE: u64 = 2 << 30;
/// Between two samples, as they tell it. Seconds are not waited for.
const ELAPSES: u64 = 60_000;
/// Times that memory was gone through from one sample to the next where it never ends.
const ROUNDS: u32 = 25;
/// What came of a move, told by no other.
pub(super) const OUTCOME: Outcome = Outcome { downtime_ms: 137, total_ms: 4_211, transferred: 536_870_999 };

pub(super) struct Bench {
    gate: Gate,
    plugin: PluginId,
    settings: Settings,
    /// Calls that took all of their time.
    pub(super) hung: u32,
}

/// A domain, and where its volume lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) words: &'static str,
    pub(super) power: MovePower,
    /// Both hosts reach its volume.
    pub(super) shared: bool,
}

pub(super) const SITUATIONS: [Situation; 6] = [
    Situation { words: "running, on shared storage", power: MovePower::Running, shared: true },
    Situation {
        words: "running, with a volume that the target does not reach",
        power: MovePower::Running,
        shared: false,
    },
    Situation { words: "paused, on shared storage", power: MovePower::Paused, shared: true },
    Situation {
        words: "paused, with a volume that the target does not reach",
        power: MovePower::Paused,
        shared: false,
    },
    Situation { words: "off, on shared storage", power: MovePower::Off, shared: true },
    Situation { words: "off, with a volume that the target does not reach", power: MovePower::Off, shared: false },
];

/// How the host of a run answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Script {
    /// The step that fails, counted from 0; words for people are not counted.
    pub(super) fails: Option<usize>,
    /// The guest writes faster than can be sent.
    pub(super) unending: bool,
}

/// A run, and how it ended.
#[derive(Debug)]
pub(super) struct Seen {
    /// The steps, but for words for people.
    pub(super) asked: Vec<Ask>,
    pub(super) refused: Vec<Refused>,
    pub(super) said: Result<Outcome, Failure>,
}

impl Bench {
    /// # Errors
    /// `Usage` for a setting that the plugin does not take.
    pub(super) fn new(gate: &Gate, plugin: &PluginId, given: &BTreeMap<String, String>) -> Result<Bench, Failure> {
        let settings = settings::resolve(&chosen(gate, plugin)?.manifest, given)?;
        Ok(Bench { gate: gate.clone(), plugin: plugin.clone(), settings, hung: 0 })
    }

    fn open(&self, facts: &MoveFacts) -> Result<PluginStrategy> {
        let domain: DomainName =
            "fieftest".parse().map_err(|_| Failure::other("a name that is a domain's is said to be none"))?;
        let (settings, facts) = (self.settings.clone(), facts.clone());
        Ok(PluginStrategy::of(&self.gate, &self.plugin, domain, settings, facts)?)
    }

    /// What it finds in the way, by an instance of its own.
    pub(super) fn check(&mut self, facts: &MoveFacts, words: &str) -> Result<Vec<Finding>> {
        let begun = Instant::now();
        let said = self.open(facts)?.check();
        self.timed(begun);
        match said {
            Ok(findings) => Ok(findings),
            Err(failure) => fail(format!("check of a domain that is {words}"), "findings, or none", inner(&failure)),
        }
    }

    /// The situations in which nothing stands in its way.
    pub(super) fn open_to_it(&mut self) -> Result<Vec<Situation>> {
        let mut all = Vec::new();
        for situation in SITUATIONS {
            let findings = self.check(&facts(situation), situation.words)?;
            if !findings.iter().any(|finding| finding.severity == Severity::Blocker) {
                all.push(situation);
            }
        }
        Ok(all)
    }

    /// Moves the domain.
    pub(super) fn run(&mut self, situation: Situation, script: Script) -> Result<Seen> {
        let begun = Instant::now();
        let mut asked = Vec::new();
        let mut samples = 0;
        let (said, refused) = self.open(&facts(situation))?.tried(WALL, &mut |ask| {
            if matches!(ask, Ask::Progress { .. }) {
                return Ok(Answer::Done);
            }
            let number = asked.len();
            asked.push(ask.clone());
            if script.fails == Some(number) {
                let message = format!("`{}` fails on purpose, for a test of this strategy", ask.name());
                return Err(Failure::new(Kind::Unreachable, message));
            }
            Ok(answer(&ask, script, &mut samples))
        });
        self.timed(begun);
        Ok(Seen { asked, refused, said })
    }

    fn timed(&mut self, begun: Instant) {
        if begun.elapsed() >= WALL.saturating_sub(Duration::from_secs(1)) {
            self.hung += 1;
        }
    }
}

impl Seen {
    /// The steps by name.
    pub(super) fn steps(&self) -> Vec<&'static str> {
        self.asked.iter().map(Ask::name).collect()
    }

    pub(super) fn told(&self) -> String {
        let ended = match &self.said {
            Ok(outcome) => format!("an outcome of {} ms, {} bytes", outcome.total_ms, outcome.transferred),
            Err(failure) => inner(failure),
        };
        format!("{}; after {}", ended, self.steps().join(", "))
    }
}

fn answer(ask: &Ask, script: Script, samples: &mut u32) -> Answer {
    match ask {
        Ask::Reserve
        | Ask::Pause
        | Ask::Save
        | Ask::Precopy(_)
        | Ask::Adjust(_)
        | Ask::Postcopy
        | Ask::Progress { .. } => Answer::Done,
        Ask::CopyVolumes | Ask::CopyState => Answer::Copied(1 << 20),
        Ask::NextSample => {
            *samples += 1;
            Answer::Sample(sample(*samples, script.unending))
        }
        Ask::Restore | Ask::SwitchOver => Answer::Outcome(OUTCOME),
    }
}

/// The one of that number, from 1.
fn sample(number: u32, unending: bool) -> Option<Sample> {
    let told = |remaining: u64, round: u32, dirty_rate: u64| Sample {
        remaining,
        transferred: MEMORY.saturating_mul(round.into()),
        dirty_rate,
        bandwidth: 100 << 20,
        elapsed_ms: ELAPSES * u64::from(number),
        expected_downtime_ms: remaining / (100 << 10),
        round,
    };
    match (unending, number) {
        (true, _) => Some(told(MEMORY / 2, number.saturating_mul(ROUNDS), 200 << 20)),
        (false, 1) => Some(told(MEMORY / 2, 1, 1 << 20)),
        (false, 2) => Some(told(4 << 20, 2, 1 << 20)),
        (false, _) => None,
    }
}

/// A domain as it is told of.
pub(super) fn facts(situation: Situation) -> MoveFacts {
    let Situation { words: _, power, shared } = situation;
    let sameness = if shared { MoveSameness::Proven } else { MoveSameness::Other };
    MoveFacts {
        domain: "fieftest".to_owned(),
        power,
        memory: MEMORY,
        volumes: vec![MoveVolume {
            volume: "pool/disk".to_owned(),
            disc: false,
            size: SIZE,
            allocated: SIZE / 8,
            sameness,
            room_at_target: Some(SIZE * 8),
        }],
        snapshots: Vec::new(),
        source: host("here"),
        target: host("there"),
        bandwidth: None,
        postcopy: false,
    }
}

fn host(name: &str) -> MoveHost {
    MoveHost {
        name: name.to_owned(),
        architecture: "x86_64".to_owned(),
        hypervisor: "qemu".to_owned(),
        hypervisor_version: "7.2.0".to_owned(),
        memory_available: Some(MEMORY * 8),
    }
}

/// Facts that a real domain may have, and a strategy's author may not think of.
pub(super) fn odd() -> Vec<(&'static str, MoveFacts)> {
    let plain = facts(SITUATIONS[0]);
    let volume = plain.volumes.first().cloned();
    let volumes = |change: fn(&mut MoveVolume), count: usize| {
        let mut all: Vec<MoveVolume> = volume.iter().cycle().take(count).cloned().collect();
        all.iter_mut().for_each(change);
        MoveFacts { volumes: all, ..plain.clone() }
    };
    vec![
        ("running, without volumes", volumes(|_| {}, 0)),
        ("running, with 200 volumes", volumes(|_| {}, 200)),
        ("running, with an empty volume", volumes(|volume| (volume.size, volume.allocated) = (0, 0), 1)),
        (
            "running, with the largest volume",
            volumes(
                |volume| {
                    (volume.size, volume.allocated, volume.sameness) = (u64::MAX, u64::MAX, MoveSameness::Other);
                },
                3,
            ),
        ),
        (
            "running, with a volume that does not answer",
            volumes(
                |volume| {
                    (volume.sameness, volume.room_at_target) = (MoveSameness::Unknown, None);
                },
                1,
            ),
        ),
        (
            "running, with a disc in its drive",
            volumes(
                |volume| {
                    (volume.disc, volume.sameness) = (true, MoveSameness::Other);
                },
                1,
            ),
        ),
        ("running, with as much memory as there can be", MoveFacts { memory: u64::MAX, ..plain.clone() }),
        ("running, without memory, to a host that does not say what it has", {
            let target = MoveHost { memory_available: None, ..host("there") };
            MoveFacts { memory: 0, target, ..plain.clone() }
        }),
        ("running, with snapshots and no bandwidth", {
            let snapshots = (0..100).map(|number| format!("snapshot-{number}")).collect();
            MoveFacts { snapshots, bandwidth: Some(0), postcopy: true, ..plain }
        }),
    ]
}
