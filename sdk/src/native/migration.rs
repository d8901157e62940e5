//! A move that is none: it does what the test says, and writes down what it was asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::error::{Error, Result};
use crate::migration::{Facts, HostFacts, Limits, Migration, Outcome, Power, Sameness, Sample, VolumeFacts};

/// What a strategy asked for; [`Migration::progress`] is left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Reserve,
    Pause,
    CopyVolumes,
    Save,
    CopyState,
    Restore,
    Precopy(Limits),
    NextSample,
    Adjust(Limits),
    Postcopy,
    SwitchOver,
}

/// A fake of the host's half of a move, for a strategy's own tests. It refuses nothing by itself: which step may follow
/// which, only a host knows.
#[derive(Debug)]
pub struct FakeMigration {
    facts: Facts,
    samples: RefCell<VecDeque<Sample>>,
    copies: RefCell<VecDeque<u64>>,
    failures: BTreeMap<&'static str, Error>,
    steps: RefCell<Vec<Step>>,
    progress: RefCell<Vec<(u64, u64, String)>>,
}

impl FakeMigration {
    /// A domain with that many bytes of memory, on storage that both hosts reach.
    pub fn new(power: Power, memory: u64) -> Self {
        let host = |name: &str| HostFacts {
            name: name.into(),
            architecture: "x86_64".into(),
            hypervisor: "qemu".into(),
            hypervisor_version: "7.2.0".into(),
            memory_available: Some(1 << 40),
        };
        FakeMigration {
            facts: Facts {
                domain: "node1".into(),
                power,
                memory,
                volumes: vec![volume("nas/node1", Sameness::Proven)],
                snapshots: Vec::new(),
                source: host("hosta"),
                target: host("hostb"),
                bandwidth: None,
                postcopy: false,
            },
            samples: RefCell::default(),
            copies: RefCell::default(),
            failures: BTreeMap::new(),
            steps: RefCell::default(),
            progress: RefCell::default(),
        }
    }
    pub fn running(memory: u64) -> Self {
        Self::new(Power::Running, memory)
    }
    pub fn off() -> Self {
        Self::new(Power::Off, 0)
    }
    /// Besides, a volume that only this host reaches.
    #[must_use]
    pub fn with_local_volume(self) -> Self {
        self.with(|facts| facts.volumes.push(volume("default/scratch", Sameness::Other)))
    }
    /// Other facts.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }
    /// What [`Migration::next_sample`] gives, one after the other, and then none.
    #[must_use]
    pub fn with_samples(self, samples: impl IntoIterator<Item = Sample>) -> Self {
        self.samples.borrow_mut().extend(samples);
        self
    }
    /// What [`Migration::copy_volumes`] gives, one after the other, and then 0.
    #[must_use]
    pub fn with_copies(self, bytes: impl IntoIterator<Item = u64>) -> Self {
        self.copies.borrow_mut().extend(bytes);
        self
    }
    /// The step of that name (as in `wit/migration`) fails.
    #[must_use]
    pub fn failing_at(mut self, step: &'static str, error: Error) -> Self {
        self.failures.insert(step, error);
        self
    }
    /// All that was asked for so far, in order.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.borrow().clone()
    }
    /// All that was told so far: done, total, note.
    pub fn told(&self) -> Vec<(u64, u64, String)> {
        self.progress.borrow().clone()
    }

    fn asked<T>(&self, name: &str, step: Step, answer: impl FnOnce() -> T) -> Result<T> {
        self.steps.borrow_mut().push(step);
        match self.failures.get(name) {
            Some(error) => Err(error.clone()),
            None => Ok(answer()),
        }
    }
}

fn volume(name: &str, sameness: Sameness) -> VolumeFacts {
    VolumeFacts {
        volume: name.into(),
        disc: false,
        size: 2 << 30,
        allocated: 1 << 30,
        sameness,
        room_at_target: Some(1 << 40),
    }
}

impl Migration for FakeMigration {
    fn facts(&self) -> Facts {
        self.facts.clone()
    }
    fn reserve(&self) -> Result<()> {
        self.asked("reserve", Step::Reserve, || ())
    }
    fn pause(&self) -> Result<()> {
        self.asked("pause", Step::Pause, || ())
    }
    fn copy_volumes(&self) -> Result<u64> {
        self.asked("copy-volumes", Step::CopyVolumes, || self.copies.borrow_mut().pop_front().unwrap_or(0))
    }
    fn save(&self) -> Result<()> {
        self.asked("save", Step::Save, || ())
    }
    fn copy_state(&self) -> Result<u64> {
        self.asked("copy-state", Step::CopyState, || self.facts.memory)
    }
    fn restore(&self) -> Result<Outcome> {
        self.asked("restore", Step::Restore, outcome)
    }
    fn precopy(&self, limits: &Limits) -> Result<()> {
        self.asked("precopy", Step::Precopy(*limits), || ())
    }
    fn next_sample(&self) -> Result<Option<Sample>> {
        self.asked("next-sample", Step::NextSample, || self.samples.borrow_mut().pop_front())
    }
    fn adjust(&self, limits: &Limits) -> Result<()> {
        self.asked("adjust", Step::Adjust(*limits), || ())
    }
    fn postcopy(&self) -> Result<()> {
        self.asked("postcopy", Step::Postcopy, || ())
    }
    fn switch_over(&self) -> Result<Outcome> {
        self.asked("switch-over", Step::SwitchOver, outcome)
    }
    fn progress(&self, done: u64, total: u64, note: &str) {
        self.progress.borrow_mut().push((done, total, note.into()));
    }
}

fn outcome() -> Outcome {
    Outcome { downtime_ms: 80, total_ms: 9_000, transferred: 512 << 20 }
}
