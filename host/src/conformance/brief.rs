//! A short run before a plugin is installed: nobody has granted it anything yet, and it gets nothing of this host. What it
//! asks for is denied, or made up: a directory is an empty one with little room, a move is nobody's.
//!
//! ```text
//!   any plugin                       bare calls, all asks denied
//!   wants directories and images     and the quick cases of storage, in a directory of the run's own
//!   wants no links                   and the quick cases of networks
//!   moves domains                    and moves that are made up
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bare::{self, wants_little};
use super::ground::Ground;
use super::{Bench, Case, Fault, Options, Outcome, Report, With, cases, settings};
use crate::config::network::NetworkDefinition;
use crate::config::policy::HostSettings;
use crate::config::pool::PoolDefinition;
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::plugin::source::Fetched;
use crate::plugin::{Installed, Manifest};
use crate::sandbox::protocol::PluginKind;
use crate::sys::{apart, interrupt};
use crate::types::ByteSize;

/// No further case is begun after this; one call takes [`WALL`] at the most.
const TIME: Duration = Duration::from_secs(5);
/// How long one call may take.
const WALL: Duration = Duration::from_secs(5);
/// Of one call: more than policy gives where nothing is said, since an operator may say more.
pub(super) const MEMORY: ByteSize = ByteSize::from_mib(256);
/// What fits into the directories, in bytes: some volumes of the cases below. They take none before they are written to.
const ROOM: u64 = 64 << 20;
/// What random cases do follows from it; none is among those below.
const SEED: u64 = 1;
const NAME: &str = "fieftest";

/// Those that take milliseconds where storage is a directory.
const QUICK: &[&str] = &[
    "info-sane",
    "identity-stable",
    "list-agrees",
    "create-honest",
    "create-twice",
    "create-other-size",
    "find-absent",
    "delete-twice",
    "delete-absent",
    "resize-absent",
    "names-longest",
    "attach-twice",
    "attach-absent",
    "detach-absent",
    "network-up",
    "network-plug",
    "network-plug-same",
    "move-check-odd",
    "move-moves",
    "move-outcome",
    "move-step-fails",
];

/// What the run found out.
#[derive(Debug, Clone)]
pub enum Brief {
    /// So many cases passed.
    Passed(usize),
    Failed(&'static Case, Fault),
}

/// Tries what a source gave, which `new` is; `keeps` may have its compiled form.
///
/// # Errors
/// As [`Ground::make`]; where this host cannot carry a case out.
pub fn brief(new: &Installed, fetched: &Fetched, host: &HostSettings, keeps: &Layout) -> Result<Brief> {
    let manifest = &new.manifest;
    let given = settings::made_up(manifest);
    let mut ground = Ground::make(fetched, host, keeps, |_, _, _| Ok(Vec::new()))?;
    let mut grants = bare::grants(manifest, &given, &ground.directories());
    let with = with(manifest, given)?;
    grants.limits.wall = WALL;
    ground.change_policy(|policy| {
        match &with {
            With::Pool(definition) => {
                policy.pools.insert(definition.kind.clone(), manifest.id.clone());
            }
            With::Network(definition) => {
                policy.networks.insert(definition.kind.clone(), manifest.id.clone());
            }
            With::Moves(_) => {}
        }
        policy.plugins.insert(manifest.id.clone(), grants);
    });
    let report = apart::with_little_room(&ground.directories(), ROOM, || tried(&ground, manifest, with))?;
    let passed = report.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Ok).count();
    let failed = report.verdicts.into_iter().find_map(|verdict| match verdict.outcome {
        Outcome::Failed(fault) => Some(Brief::Failed(verdict.case, fault)),
        Outcome::Ok | Outcome::Skipped(_) => None,
    });
    if failed.is_none() {
        crate::plugin::lend_compiled(ground.gate().layout(), keeps, new.digest)?;
    }
    Ok(failed.unwrap_or(Brief::Passed(passed)))
}

fn with(manifest: &Manifest, settings: BTreeMap<String, String>) -> Result<With> {
    let kind = NAME.to_owned();
    let wrong = |_| Failure::other("a name that is right is said to be wrong");
    Ok(match manifest.kind {
        PluginKind::Storage => With::Pool(PoolDefinition { name: NAME.parse().map_err(wrong)?, kind, settings }),
        PluginKind::Network => With::Network(NetworkDefinition { name: NAME.parse().map_err(wrong)?, kind, settings }),
        PluginKind::Migration => With::Moves(settings),
    })
}

/// Up to the first case that fails.
fn tried(ground: &Ground, manifest: &Manifest, with: With) -> Result<Report> {
    let until = Instant::now() + TIME;
    let mut bench = Bench::bare(ground, &with)?;
    let mut report = Report::default();
    let of = |quick: bool| {
        cases().filter(move |case| {
            case.kind() == manifest.kind && case.is_bare() != quick && quick == QUICK.contains(&case.id)
        })
    };
    let mut each = |bench: &mut Bench, quick: bool| -> Result<bool> {
        for case in of(quick) {
            interrupt::check().context(|| "it was not tried to the end".to_owned())?;
            if Instant::now() > until {
                return Ok(false);
            }
            bench.tried(case, &mut report)?;
            if report.verdicts.iter().any(|verdict| matches!(verdict.outcome, Outcome::Failed(_))) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    if each(&mut bench, false)? && wants_little(manifest) {
        match bench.furnish(ground, with, Options { seed: SEED, volume: None }) {
            Ok(()) => drop(each(&mut bench, true)?),
            Err(failure) if failure.kind == Kind::PluginFault => return Err(failure),
            // It makes nothing of settings that are made up, and says so.
            Err(failure) => tracing::debug!(plugin = %manifest.id, %failure, "it is tried without a pool or network"),
        }
    }
    Ok(report)
}
