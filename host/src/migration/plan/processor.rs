//! Whether a guest that goes on finds the processor that it was shown.

use super::{Facts, Findings};

const CHANGE: &str = "give it a `cpu` that both have (`fief edit`), and start it anew";

pub(super) fn check(facts: &Facts, found: &mut Findings) {
    let Facts { domain, source, target, .. } = facts;
    // One that is off sees another processor at its next start, as it would after an upgrade.
    if !facts.with_memory() {
        return;
    }
    if source.accelerated != target.accelerated {
        let how = |accelerated| if accelerated { "on the processor itself" } else { "by software" };
        let message =
            format!("guests run {} here, and {} on {}", how(source.accelerated), how(target.accelerated), target.name);
        found.blocker("accelerator", &domain.name, message, "shut its guest down and move it then");
    } else if source.accelerated && source.cpu_vendor != target.cpu_vendor {
        let message = format!(
            "it runs on a processor of {}, and {} has one of {}",
            source.cpu_vendor, target.name, target.cpu_vendor
        );
        found.blocker("cpu-vendor", &domain.name, message, "shut its guest down and move it then");
    }
    let missing: Vec<&str> = domain.cpu_features.difference(&target.cpu_features).map(String::as_str).collect();
    if !missing.is_empty() {
        let message =
            format!("its guest has processor features that {} does not have: {}", target.name, missing.join(" "));
        found.blocker("cpu-features", &domain.name, message, CHANGE);
    } else if !target.cpu_models.contains(&domain.cpu_model) {
        let message = format!("{} has no processor model {}", target.name, domain.cpu_model);
        found.blocker("cpu-model", &domain.name, message, CHANGE);
    } else if domain.cpu_model == "max"
        && !source.accelerated
        && series(&source.hypervisor_version) != series(&target.hypervisor_version)
    {
        // All that software can show is another processor with each release.
        let message = format!(
            "the processor \"max\" of {} {} is not that of {} on {}",
            source.hypervisor, source.hypervisor_version, target.hypervisor_version, target.name
        );
        found.blocker("cpu-max", &domain.name, message, CHANGE);
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Releases of one series differ in their last number.
fn series(version: &str) -> Vec<u64> {
    numbers(version).into_iter().take(2).collect()
}

/// Versions by their numbers, as far as both have some.
pub(super) fn older(one: &str, other: &str) -> bool {
    let (one, other) = (numbers(one), numbers(other));
    one.iter().zip(&other).find(|(one, other)| one != other).is_some_and(|(one, other)| one < other)
}
