//! Plugins as components in real sandboxes, and a driver that moves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fief::config::policy::{HostInterface, Limits, PluginGrants, Policy};
use fief::error::{Failure, Kind, Result};
use fief::gate::{Gate, Mode};
use fief::layout::Layout;
use fief::migration::message::Power;
use fief::migration::phases::{Phases, Terms};
use fief::migration::plan::{DiskFacts, DomainFacts, Facts, HostFacts, Manner, Sameness};
use fief::migration::steps::{Answer, Ask, Outcome, Sample, Strategy};
use fief::migration::strategy::{PluginStrategy, told};
use fief::plugin::package;
use fief::plugin::source::{self, FetchOptions, Fetched, Source};
use fief::types::ByteSize;

/// What a strategy has between two steps: more than one needs that a busy machine holds up.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A plugin that `cargo xtask test` built; the ones that misbehave are examples.
fn wasm(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .join(target)
        .join(format!("wasm32-wasip2/release/{name}.wasm"));
    assert!(file.exists(), "{} is not built; `cargo xtask test` builds it", file.display());
    file
}

/// The same, as what an operator named.
pub(crate) fn fetched(gate: &Gate, name: &str) -> Fetched {
    source::fetch(gate, &Source::Path(wasm(name)), &FetchOptions::default()).unwrap()
}

/// A root of its own, and a gate that grants each strategy its steps.
pub(crate) struct Host {
    _folder: tempfile::TempDir,
    pub(crate) gate: Gate,
}

impl Host {
    pub(crate) fn new(plugins: &[&str]) -> Host {
        fief::plugin::process::use_executable(env!("CARGO_BIN_EXE_fief"));
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { cpu: Duration::from_millis(300), wall: WITHIN, ..Limits::default() };
        let grants = PluginGrants { interfaces: vec![HostInterface::Session], limits, ..PluginGrants::default() };
        let ids = ["hostile-strategy", "hostile-clock", "migration-live", "migration-static"];
        let plugins_of = ids.iter().map(|id| (id.parse().unwrap(), grants.clone())).collect();
        let policy = Policy { plugins: plugins_of, ..Policy::default() };
        let gate = Gate::new(Layout::new(folder.path()), Arc::new(policy), Mode::Perform).forgiving();
        for plugin in plugins {
            package::install(&gate, &fetched(&gate, plugin)).unwrap();
        }
        Host { _folder: folder, gate }
    }

    pub(crate) fn opens(&self, plugin: &str, settings: &[(&str, &str)], facts: &Facts) -> PluginStrategy {
        let settings: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PluginStrategy::open(&self.gate, &plugin.parse().unwrap(), &settings, facts, None).unwrap()
    }
}

/// A domain with one volume, and two hosts that differ in nothing.
pub(crate) fn facts(power: Power, sameness: Sameness) -> Facts {
    let host = |name: &str, uuid: u128| HostFacts {
        host: uuid::Uuid::from_u128(uuid),
        name: name.into(),
        architecture: "x86_64".into(),
        hypervisor: "qemu".into(),
        hypervisor_version: "7.2.0".into(),
        accelerated: false,
        machines: ["pc-q35-7.2".to_owned()].into(),
        cpu_models: ["qemu64".to_owned()].into(),
        cpu_features: ["sse2".to_owned()].into(),
        cpu_vendor: "GenuineIntel".into(),
        uefi: true,
        memory_available: Some(ByteSize::from_mib(4096)),
        networks: Vec::new(),
        plugins: Vec::new(),
        domains: Vec::new(),
        denial: None,
    };
    let disk = DiskFacts {
        volume: "default/node1".parse().unwrap(),
        disc: false,
        format: fief::gate::operation::ImageFormat::Raw,
        size: ByteSize::from_mib(2048),
        allocated: ByteSize::from_mib(512),
        sameness,
        pool_there: true,
        room_there: Some(ByteSize::from_mib(10_240)),
        exists_there: false,
        snapshots: Vec::new(),
        snapshots_there: false,
    };
    Facts {
        domain: DomainFacts {
            name: "node1".parse().unwrap(),
            uuid: uuid::Uuid::from_u128(7),
            power,
            memory: ByteSize::from_mib(512),
            machine: "pc-q35-7.2".into(),
            cpu_model: "qemu64".into(),
            cpu_features: ["sse2".to_owned()].into(),
            disks: vec![disk],
            cards: Vec::new(),
            uefi: false,
            host_files: Vec::new(),
            host_devices: Vec::new(),
            saved: None,
            snapshots: Vec::new(),
            plugins: Vec::new(),
        },
        source: host("hosta", 1),
        target: host("hostb", 2),
        manner: Manner {
            postcopy: None,
            copies_volumes: sameness == Sameness::Other,
            ejects: false,
            leaves_snapshots: false,
            unheard_of: BTreeSet::new(),
        },
    }
}

/// A fake of whoever carries a move out: it keeps to the order of steps as a real one does, and moves nothing.
pub(crate) struct FakeDriver {
    pub(crate) phases: Phases,
    pub(crate) asked: Vec<Ask>,
    /// Measurements, one after the other; then memory has converged.
    pub(crate) samples: Vec<Sample>,
    /// Goes on with the last sample for ever.
    pub(crate) never_converges: bool,
    /// The step that fails.
    pub(crate) fails: &'static str,
}

impl FakeDriver {
    pub(crate) fn new(facts: &Facts) -> Self {
        let phases = Phases::new(Terms::of(&told::facts(facts, None, false)));
        FakeDriver { phases, asked: Vec::new(), samples: Vec::new(), never_converges: false, fails: "" }
    }

    fn step(&mut self, ask: Ask) -> Result<Answer> {
        self.phases.admit(&ask)?;
        self.asked.push(ask.clone());
        if ask.name() == self.fails {
            self.phases.failed(&ask);
            return Err(Failure::new(Kind::Unreachable, "hostb does not answer"));
        }
        self.phases.done(&ask);
        Ok(match ask {
            Ask::Reserve | Ask::Pause | Ask::Save | Ask::Precopy(_) | Ask::Adjust(_) | Ask::Postcopy => Answer::Done,
            Ask::Progress { .. } => Answer::Done,
            Ask::CopyVolumes | Ask::CopyState => Answer::Copied(1 << 20),
            Ask::NextSample => Answer::Sample(self.sample()),
            Ask::Restore | Ask::SwitchOver => {
                Answer::Outcome(Outcome { downtime_ms: 80, total_ms: 900, transferred: 1 << 29 })
            }
        })
    }

    fn sample(&mut self) -> Option<Sample> {
        match (self.samples.len(), self.never_converges) {
            (0, _) => None,
            (1, true) => self.samples.first().copied(),
            (_, _) => Some(self.samples.remove(0)),
        }
    }

    /// Lets the strategy move the domain.
    pub(crate) fn drives(&mut self, strategy: &mut dyn Strategy) -> Result<()> {
        self.drives_within(WITHIN, strategy)
    }

    pub(crate) fn drives_within(&mut self, within: Duration, strategy: &mut dyn Strategy) -> Result<()> {
        strategy.run(within, &mut |ask| self.step(ask))
    }

    /// The domain was handed over; where not, its guest goes on here.
    pub(crate) fn has_moved(&self) -> bool {
        self.phases.is_over()
    }

    /// The steps by name; what is told to people is left out.
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        self.asked.iter().filter(|ask| !matches!(ask, Ask::Progress { .. })).map(Ask::name).collect()
    }
}
