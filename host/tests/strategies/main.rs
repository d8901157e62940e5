//! Strategies in real sandboxes, against a driver that moves nothing: the two of the tree, and one that misbehaves in every
//! way that is known. Whatever it does, the domain is on one host afterwards.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::time::{Duration, Instant};

use fief::error::Kind;
use fief::migration::message::Power;
use fief::migration::plan::{Facts, Sameness};
use fief::migration::steps::{Ask, Limits, Sample};
use fief::plugin::package;
use fixture::{FakeDriver, Host, WITHIN, facts, fetched};

/// The limits end each within seconds; the rest is for a machine with other work.
const IN_TIME: Duration = Duration::from_secs(120);
/// For those that ask and ask, and are ended when it is spent.
const SOON: Duration = Duration::from_secs(1);
/// What then is said of them.
const SPENT: &str = "nothing comes of it";

fn sample(round: u32) -> Sample {
    Sample { round, remaining: 300 << 20, elapsed_ms: u64::from(round) * 1_000, ..Sample::default() }
}

fn live() -> Facts {
    facts(Power::Running, Sameness::Proven)
}

fn local(power: Power) -> Facts {
    facts(power, Sameness::Other)
}

#[test]
fn the_strategies_of_the_tree_move_what_they_are_for() {
    let host = Host::new(&["migration_live", "migration_static"]);
    let still = ["pause", "copy-volumes", "save", "copy-state", "restore"];
    let cases: [(&str, Facts, Vec<&str>); 6] = [
        ("migration-live", live(), vec!["reserve", "precopy", "next-sample", "next-sample", "switch-over"]),
        (
            "migration-live",
            local(Power::Running),
            vec!["reserve", "copy-volumes", "precopy", "next-sample", "next-sample", "switch-over"],
        ),
        ("migration-static", local(Power::Off), vec!["reserve", "copy-volumes", "restore"]),
        (
            "migration-static",
            local(Power::Running),
            [&["reserve", "copy-volumes", "copy-volumes"], &still[..]].concat(),
        ),
        ("migration-static", local(Power::Paused), [&["reserve"], &still[..]].concat()),
        ("migration-static", live(), [&["reserve"], &still[..]].concat()),
    ];
    for (plugin, facts, wanted) in cases {
        let mut strategy = host.opens(plugin, &[], &facts);
        let mut driver = FakeDriver { samples: vec![sample(1)], ..FakeDriver::new(&facts) };
        driver.drives(&mut strategy).unwrap();
        assert_eq!(driver.steps(), wanted, "{plugin} {:?}", facts.domain.power);
        assert!(driver.has_moved());
    }
}

#[test]
fn a_strategy_says_at_once_what_stands_in_its_way() {
    let host = Host::new(&["migration_live", "migration_static"]);
    let codes = |plugin: &str, settings: &[(&str, &str)], facts: &Facts| -> Vec<String> {
        let findings = host.opens(plugin, settings, facts).check().unwrap();
        findings.into_iter().map(|finding| finding.code).collect()
    };
    let off = local(Power::Off);
    assert_eq!(codes("migration-live", &[("disks", "false")], &off), ["not-running", "storage-not-shared"]);
    assert_eq!(codes("migration-live", &[("at-time-out", "postcopy")], &live()), ["postcopy-not-granted"]);
    assert_eq!(codes("migration-live", &[("at-time-out", "later")], &live()), ["settings"]);
    assert!(codes("migration-static", &[], &off).is_empty());
    assert_eq!(codes("migration-static", &[], &live()), ["live-is-shorter"]);
}

#[test]
fn the_same_answers_lead_to_the_same_steps() {
    let host = Host::new(&["migration_live"]);
    let facts = live();
    let run = || {
        let mut strategy = host.opens("migration-live", &[], &facts);
        let samples = (1..40).map(|round| Sample { remaining: u64::from(round * 7_919 % 31) << 20, ..sample(round) });
        let mut driver = FakeDriver { samples: samples.collect(), ..FakeDriver::new(&facts) };
        driver.drives(&mut strategy).unwrap();
        // How much is told depends on the hour; what is done does not.
        driver.asked.retain(|ask| !matches!(ask, Ask::Progress { .. }));
        driver.asked
    };
    assert_eq!(run(), run());
}

#[test]
fn a_strategy_that_looks_at_the_clock_is_not_installed() {
    let host = Host::new(&[]);
    let failure = package::install(&host.gate, &fetched(&host.gate, "examples/strategy_clock")).unwrap_err();
    assert_eq!(failure.kind, Kind::Usage);
    assert!(failure.to_string().contains("wasi:clocks/wall-clock"), "{failure}");
}

#[test]
fn a_step_that_fails_is_what_the_operator_reads() {
    let host = Host::new(&["migration_live", "migration_static"]);
    let steps = ["reserve", "copy-volumes", "pause", "save", "copy-state", "restore"];
    let cases = steps.map(|step| ("migration-static", local(Power::Running), step));
    let cases = cases.into_iter().chain(["precopy", "next-sample"].map(|step| ("migration-live", live(), step)));
    for (plugin, facts, fails) in cases {
        let mut strategy = host.opens(plugin, &[], &facts);
        let mut driver = FakeDriver { fails, samples: vec![sample(1)], ..FakeDriver::new(&facts) };
        let failure = driver.drives(&mut strategy).unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::Unreachable, "hostb does not answer"), "{fails}");
        assert_eq!(driver.steps().last(), Some(&fails));
        assert!(!driver.has_moved());
    }
}

/// (what it does, after which step, whether the domain moves all the same, the kind of failure, words of it)
type Family = (&'static str, &'static str, bool, Option<Kind>, &'static str);

const FAMILIES: &[Family] = &[
    ("out-of-order", "", false, Some(Kind::Conflict), "nothing may be done"),
    ("saves-early", "", false, Some(Kind::Conflict), "have not been copied since the guest stands still"),
    ("lies", "", false, Some(Kind::PluginFault), "says that the domain has moved, and it has not"),
    ("fails", "", false, Some(Kind::Other), "it has had enough"),
    ("traps", "", false, Some(Kind::PluginFault), "its code failed"),
    ("traps", "reserve", false, Some(Kind::PluginFault), "its code failed"),
    ("traps", "precopy", false, Some(Kind::PluginFault), "its code failed"),
    ("traps", "next-sample", false, Some(Kind::PluginFault), "its code failed"),
    ("traps", "switch-over", true, None, ""),
    ("spins", "", false, Some(Kind::PluginFault), "it spent its processor time"),
    ("spins", "next-sample", false, Some(Kind::PluginFault), "it spent its processor time"),
    ("spins", "switch-over", true, None, ""),
    ("grows", "reserve", false, Some(Kind::PluginFault), "it wanted more memory than its limit"),
    ("floods", "", false, Some(Kind::PluginFault), SPENT),
    ("floods", "precopy", false, Some(Kind::PluginFault), SPENT),
    ("adjusts", "precopy", false, Some(Kind::PluginFault), SPENT),
    ("insists", "reserve", false, Some(Kind::PluginFault), SPENT),
    ("never-ends", "precopy", false, Some(Kind::PluginFault), "gone through more often"),
    ("flips", "", true, None, ""),
    ("absurd", "", true, None, ""),
    ("postcopy", "", false, Some(Kind::Denied), "post-copy"),
    ("goes-on", "switch-over", true, None, ""),
    ("exaggerates", "", true, None, ""),
    ("long-note", "reserve", true, None, ""),
];

#[test]
fn a_strategy_that_misbehaves_leaves_its_domain_on_one_host() {
    let host = Host::new(&["examples/strategy"]);
    let within_bounds = |limits: &Limits| {
        (1..=16).contains(&limits.channels)
            && (1..=10_000).contains(&limits.downtime_ms)
            && limits.bandwidth.is_none_or(|bandwidth| (1 << 20..=1 << 40).contains(&bandwidth))
    };
    for (attack, after, moves, kind, words) in FAMILIES {
        let family = format!("{attack} after {after:?}");
        let facts = if *attack == "saves-early" { local(Power::Running) } else { live() };
        let mut strategy = host.opens("hostile-strategy", &[("attack", attack), ("after", after)], &facts);
        let samples = match *attack {
            "never-ends" => (1..4).map(|turn| sample(turn * 400)).collect(),
            _ => (1..4).map(sample).collect(),
        };
        let mut driver = FakeDriver { samples, never_converges: *attack == "never-ends", ..FakeDriver::new(&facts) };
        let begun = Instant::now();
        let within = if *words == SPENT { SOON } else { WITHIN };
        let ended = driver.drives_within(within, &mut strategy);
        assert!(begun.elapsed() < IN_TIME, "{family} took {:?}", begun.elapsed());
        assert_eq!(driver.has_moved(), *moves, "{family}: {ended:?}");
        assert_eq!(ended.as_ref().err().map(|failure| failure.kind), *kind, "{family}: {ended:?}");
        if let Err(failure) = ended {
            // A busy machine may have held it up for all of its time before it asked.
            let late = *words == SPENT && failure.to_string().contains("it ran past its deadline");
            assert!(late || failure.to_string().contains(words), "{family}: {failure}");
            assert!(!failure.to_string().contains('\x1b'), "{family}: {failure}");
        }
        // Refused steps reach nobody; limits that no host can keep neither; and people are not flooded.
        for ask in &driver.asked {
            match ask {
                Ask::Precopy(limits) | Ask::Adjust(limits) => assert!(within_bounds(limits), "{family}: {limits:?}"),
                Ask::Progress { note, .. } => assert!(note.chars().count() < 200, "{family}"),
                _ => {}
            }
        }
        let told = driver.asked.iter().filter(|ask| matches!(ask, Ask::Progress { .. })).count();
        assert!(told < 40, "{family}: {told} words for people");
    }
}

#[test]
fn a_check_that_misbehaves_fails_alone() {
    let host = Host::new(&["examples/strategy"]);
    let facts = live();
    let check = |attack| host.opens("hostile-strategy", &[("attack", attack)], &facts).check();
    let failure = check("check-traps").unwrap_err();
    assert!(failure.kind == Kind::PluginFault && failure.to_string().contains("its code failed"), "{failure}");
    let findings = check("check-lies").unwrap();
    let plain = |text: &str| !text.contains(char::is_control) && text.chars().count() < 3_000;
    assert!(findings.iter().all(|finding| plain(&finding.code) && plain(&finding.object) && plain(&finding.message)));
}
