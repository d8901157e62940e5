use fief_sdk::Error;
use fief_sdk::native::{FakeMigration, Step};
use fief_sdk::settings::Settings as _;

use super::*;

const MEMORY: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

fn settings() -> Settings {
    Settings::read(&[]).unwrap()
}

fn run(fake: &FakeMigration) -> Vec<Step> {
    Static::run(fake, &settings()).unwrap();
    fake.steps()
}

/// Copies while the guest ran.
fn rounds(copies: &[u64]) -> usize {
    let steps = run(&FakeMigration::running(MEMORY).with_local_volume().with_copies(copies.iter().copied()));
    let pause = steps.iter().position(|step| *step == Step::Pause).unwrap();
    let rest = [Step::Pause, Step::CopyVolumes, Step::Save, Step::CopyState, Step::Restore];
    assert_eq!(steps[pause..], rest);
    steps[..pause].iter().filter(|step| **step == Step::CopyVolumes).count()
}

#[test]
fn a_domain_that_is_off_is_copied_and_that_is_all() {
    assert_eq!(run(&FakeMigration::off().with_local_volume()), [Step::Reserve, Step::CopyVolumes, Step::Restore]);
    assert_eq!(run(&FakeMigration::off()), [Step::Reserve, Step::CopyVolumes, Step::Restore]);
}

#[test]
fn a_guest_runs_until_a_round_is_small_or_no_smaller() {
    assert_eq!(rounds(&[2048 * MIB, 200 * MIB, 10 * MIB]), 3);
    // Even a small volume is copied twice: the first round is all of it.
    assert_eq!(rounds(&[MIB, 0]), 2);
    assert_eq!(rounds(&[2048 * MIB, 300 * MIB, 300 * MIB, 300 * MIB]), 3);
    assert_eq!(rounds(&[2048 * MIB, 1024 * MIB, 512 * MIB, 256 * MIB, 128 * MIB, 64 * MIB]), 5);
}

#[test]
fn a_guest_that_stands_still_is_copied_once_and_shared_volumes_keep_nobody_waiting() {
    let once = [Step::Reserve, Step::Pause, Step::CopyVolumes, Step::Save, Step::CopyState, Step::Restore];
    assert_eq!(run(&FakeMigration::new(Power::Paused, MEMORY).with_local_volume()), once);
    assert_eq!(run(&FakeMigration::running(MEMORY)), once);
}

#[test]
fn a_step_that_fails_is_the_last() {
    for step in ["reserve", "copy-volumes", "pause", "save", "copy-state", "restore"] {
        let fake = FakeMigration::running(MEMORY).with_local_volume().failing_at(step, Error::exhausted("no room"));
        assert_eq!(Static::run(&fake, &settings()).unwrap_err().message, "no room", "{step}");
        assert_eq!(fake.steps().contains(&Step::Restore), step == "restore", "{step}");
    }
}

#[test]
fn each_obstacle_has_its_code() {
    let codes = |fake: &FakeMigration| -> Vec<String> {
        Static::check(&fake.facts(), &settings()).into_iter().map(|finding| finding.code).collect()
    };
    let local = || FakeMigration::running(MEMORY).with_local_volume();
    let room = |room: Option<u64>| {
        local().with(|facts| facts.volumes.iter_mut().for_each(|volume| volume.room_at_target = room))
    };
    assert!(codes(&FakeMigration::off().with_local_volume()).is_empty());
    assert!(codes(&local()).is_empty());
    assert_eq!(codes(&room(Some(MIB))), ["room"]);
    assert_eq!(codes(&room(None)), ["room-unknown"]);
    assert_eq!(codes(&FakeMigration::running(MEMORY)), ["live-is-shorter"]);
}
