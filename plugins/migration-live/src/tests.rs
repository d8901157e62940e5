use fief_sdk::migration::{Limits, Sample};
use fief_sdk::native::{FakeMigration, Step};
use fief_sdk::settings::{Setting, Settings as _};

use super::*;

const MEMORY: u64 = 1 << 30;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let written: Vec<Setting> =
        pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect();
    Settings::read(&written).unwrap()
}

/// The n-th round, with so many MiB left; ten seconds each.
fn sample(round: u32, mib: u64) -> Sample {
    Sample {
        round,
        remaining: mib << 20,
        transferred: u64::from(round) << 30,
        elapsed_ms: u64::from(round) * 10_000,
        expected_downtime_ms: mib * 10,
        ..nothing()
    }
}

fn downtimes(fake: &FakeMigration) -> Vec<u32> {
    let limits = |step: Step| match step {
        Step::Precopy(limits) | Step::Adjust(limits) => Some(limits.downtime_ms),
        _ => None,
    };
    fake.steps().into_iter().filter_map(limits).collect()
}

fn codes(fake: &FakeMigration, settings: &Settings) -> Vec<String> {
    Live::check(&fake.facts(), settings).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn a_guest_that_converges_goes_over_with_the_limits_that_were_set() {
    let fake = FakeMigration::running(MEMORY).with_samples([sample(1, 1024), sample(2, 200), sample(3, 20)]);
    let set = settings(&[("downtime", "150"), ("bandwidth", "100MiB"), ("channels", "4"), ("compress", "true")]);
    Live::run(&fake, &set).unwrap();
    let limits =
        Limits { bandwidth: Some(100 << 20), downtime_ms: 15, auto_converge: true, channels: 4, compress: true };
    let next = || Step::NextSample;
    let wanted = [Step::Reserve, Step::Precopy(limits), next(), next(), next(), next(), Step::SwitchOver];
    assert_eq!(fake.steps(), wanted);
    assert_eq!(fake.told()[1], (2 << 30, (2 << 30) + (200 << 20), "memory".to_owned()));
}

#[test]
fn a_guest_that_comes_no_closer_is_given_a_longer_pause_step_by_step() {
    // 3 s are expected of it: what may be at once, and then more.
    let rounds = (1..9).map(|round| sample(round, 300));
    let fake = FakeMigration::running(MEMORY).with_samples(rounds);
    Live::run(&fake, &settings(&[])).unwrap();
    assert_eq!(downtimes(&fake), [30, 300, 600, 1200, 2000]);
    // 50 ms are, so they are tried before what may be.
    let rounds = (1..9).map(|round| sample(round, 5));
    let fake = FakeMigration::running(MEMORY).with_samples(rounds);
    Live::run(&fake, &settings(&[])).unwrap();
    assert_eq!(downtimes(&fake), [30, 60, 120, 240, 300, 600, 1200, 2000]);
    // Within a round, and while each brings something, the pause stays what it is, until it was tried for long.
    let same = (1..9).map(|round| sample(1, 300 - round));
    let closer = (2..5).map(|round| sample(round, 900 / u64::from(round * round)));
    let fake = FakeMigration::running(MEMORY).with_samples(same.clone().chain(closer));
    Live::run(&fake, &settings(&[])).unwrap();
    assert_eq!(downtimes(&fake), [30]);
    let closer = (2..9).map(|round| sample(round, 900 / u64::from(round * round)));
    let fake = FakeMigration::running(MEMORY).with_samples(same.chain(closer));
    Live::run(&fake, &settings(&[])).unwrap();
    assert_eq!(downtimes(&fake), [30, 300]);
}

#[test]
fn time_is_given_by_memory_and_then_the_settings_say_what_happens() {
    let late = || [sample(1, 900), Sample { elapsed_ms: 180_001, ..sample(2, 900) }, sample(3, 1)];
    let run = |at: &str, memory: u64| {
        let fake = FakeMigration::running(memory).with_samples(late());
        let ended = Live::run(&fake, &settings(&[("at-time-out", at)]));
        (ended, fake.steps())
    };
    let (ended, steps) = run("give-up", MEMORY);
    let why = ended.unwrap_err().message;
    assert!(why.contains("after 180 s, 900 MiB are left"), "{why}");
    assert_eq!(steps.last(), Some(&Step::NextSample));
    let (ended, steps) = run("switch-over", MEMORY);
    assert!(ended.is_ok() && steps[steps.len() - 2..] == [Step::NextSample, Step::SwitchOver], "{steps:?}");
    let (ended, steps) = run("postcopy", MEMORY);
    let postcopied = [Step::Postcopy, Step::NextSample, Step::NextSample, Step::SwitchOver];
    assert!(ended.is_ok() && steps.ends_with(&postcopied), "{steps:?}");
    // Twice the memory has twice the time, and what all guests have may be another one.
    assert!(run("give-up", 2 * MEMORY).0.is_ok());
    let none = settings(&[("seconds", "0"), ("seconds-per-gib", "0"), ("at-time-out", "postcopy")]);
    let fake = FakeMigration::running(MEMORY).with_samples([sample(1, 900)]);
    assert!(Live::run(&fake, &none).is_ok() && fake.steps()[2..4] == [Step::NextSample, Step::Postcopy]);
}

#[test]
fn volumes_that_the_target_does_not_reach_go_first() {
    let fake = FakeMigration::running(MEMORY).with_local_volume();
    Live::run(&fake, &settings(&[])).unwrap();
    assert_eq!(fake.steps()[..2], [Step::Reserve, Step::CopyVolumes]);
}

#[test]
fn a_step_that_fails_is_the_last() {
    for (step, count) in [("reserve", 1), ("precopy", 2), ("next-sample", 3), ("switch-over", 4)] {
        let fake = FakeMigration::running(MEMORY).failing_at(step, Error::unreachable("hostb is gone"));
        let error = Live::run(&fake, &settings(&[])).unwrap_err();
        assert_eq!((error.message.as_str(), fake.steps().len()), ("hostb is gone", count), "{step}");
    }
}

#[test]
fn each_obstacle_has_its_code() {
    let plain = settings(&[]);
    assert!(codes(&FakeMigration::running(MEMORY), &plain).is_empty());
    assert_eq!(codes(&FakeMigration::off(), &plain), ["not-running"]);
    let local = FakeMigration::running(MEMORY).with_local_volume();
    assert_eq!(codes(&local, &plain), ["volumes-copied"]);
    assert_eq!(codes(&local, &settings(&[("disks", "false")])), ["storage-not-shared"]);
    let full = local.with(|facts| facts.volumes.iter_mut().for_each(|volume| volume.room_at_target = Some(1)));
    assert_eq!(codes(&full, &plain), ["room", "volumes-copied"]);
    let postcopy = settings(&[("at-time-out", "postcopy")]);
    assert_eq!(codes(&FakeMigration::running(MEMORY), &postcopy), ["postcopy-not-granted"]);
    assert!(codes(&FakeMigration::running(MEMORY).with(|facts| facts.postcopy = true), &postcopy).is_empty());
}

#[test]
fn figures_that_are_absurd_are_lived_with() {
    let absurd = Sample {
        remaining: u64::MAX,
        transferred: u64::MAX,
        dirty_rate: u64::MAX,
        bandwidth: 0,
        elapsed_ms: 0,
        expected_downtime_ms: u64::MAX,
        round: u32::MAX,
    };
    let fake = FakeMigration::running(u64::MAX).with_samples([absurd, nothing(), absurd]);
    let most = u32::MAX.to_string();
    Live::run(&fake, &settings(&[("seconds-per-gib", &most), ("downtime", &most), ("most-downtime", "0")])).unwrap();
}

fn nothing() -> Sample {
    Sample {
        remaining: 0,
        transferred: 0,
        dirty_rate: 0,
        bandwidth: 0,
        elapsed_ms: 0,
        expected_downtime_ms: 0,
        round: 0,
    }
}
