//! What the strategy that was picked takes of settings, and what it finds in the way: asked before anything is done.

use std::collections::BTreeMap;

use super::{Wish, select};
use crate::domain::relocation::{apart, bandwidth};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::migration::plan::Facts;
use crate::migration::strategy::PluginStrategy;
use crate::plugin::package::installed;
use crate::sandbox::protocol::{Finding, Severity};
use crate::types::PluginId;

/// The settings by which `--downtime` is given to a strategy that has them: milliseconds.
const DOWNTIMES: [&str; 2] = ["downtime", "most-downtime"];

/// That an operator gave, with those that stand for options of `fief migrate`.
///
/// # Errors
/// `Usage` where an option means nothing to that strategy.
pub(super) fn settings(gate: &Gate, strategy: &PluginId, wish: &Wish) -> Result<BTreeMap<String, String>> {
    let mut settings = wish.settings.clone();
    let Some(downtime) = wish.downtime else { return Ok(settings) };
    let Ok(plugin) = installed(gate.layout(), strategy) else { return Ok(settings) };
    let takes = |key: &&&str| plugin.manifest.settings.iter().any(|setting| setting.key == **key);
    let takes: Vec<&&str> = DOWNTIMES.iter().filter(takes).collect();
    if takes.is_empty() {
        return Err(Failure::usage(format!("--downtime means nothing to {strategy}"))
            .hint(format!("leave it out, or choose a strategy that has a downtime, as {} has", select::LIVE)));
    }
    for key in takes {
        settings.entry((*key).to_owned()).or_insert_with(|| downtime.as_millis().to_string());
    }
    Ok(settings)
}

/// Everything that it finds. Its codes are `PLUGIN/CODE`. One that cannot be asked is itself in the way.
///
/// # Errors
/// `Usage` where a setting is not one that it takes.
pub(super) fn check(
    gate: &Gate,
    strategy: &PluginId,
    settings: &BTreeMap<String, String>,
    wish: &Wish,
    facts: &Facts,
) -> Result<Vec<Finding>> {
    let most = bandwidth(wish.bandwidth, gate.policy());
    let asked = apart(|| PluginStrategy::open(gate, strategy, settings, facts, most)?.check());
    match asked {
        Ok(findings) => Ok(findings
            .into_iter()
            .map(|finding| Finding { code: format!("{strategy}/{}", finding.code), ..finding })
            .collect()),
        Err(failure) if failure.kind == Kind::Usage => Err(failure),
        Err(failure) => Ok(vec![Finding {
            severity: Severity::Blocker,
            code: "strategy".to_owned(),
            object: strategy.to_string(),
            message: failure.to_string(),
            remedy: failure.hint,
        }]),
    }
}
