use super::*;
use std::collections::BTreeSet;

const ACTIONS: [Action; 3] = [Action::Destroy, Action::Restart, Action::Preserve];

fn all_rules() -> impl Iterator<Item = Rules> {
    ACTIONS.into_iter().flat_map(|on_poweroff| {
        ACTIONS.into_iter().flat_map(move |on_reboot| {
            ACTIONS.into_iter().flat_map(move |on_crash| {
                (0..=RESTARTS_MAX).map(move |restarts| Rules { on_poweroff, on_reboot, on_crash, restarts })
            })
        })
    })
}

fn all_steps() -> impl Iterator<Item = (State, Happening, Rules, State, Task)> {
    State::ALL.into_iter().flat_map(|state| {
        Happening::ALL.into_iter().flat_map(move |happening| {
            all_rules().map(move |rules| {
                let (next, task) = step(state, happening, rules);
                (state, happening, rules, next, task)
            })
        })
    })
}

#[test]
fn the_guest_is_let_go_only_once_all_is_launched_and_recorded() {
    for (state, happening, _, next, task) in all_steps() {
        assert_eq!(task == Task::LetGo, state == State::Starting && happening == Happening::Launched);
        if next == State::Running && state != State::Running {
            assert!(matches!(happening, Happening::Launched | Happening::Resumed | Happening::Rebooted));
        }
    }
}

#[test]
fn a_domain_is_off_only_after_everything_was_undone() {
    for (state, happening, _, next, task) in all_steps() {
        if next == State::Off && state != State::Off {
            assert_eq!((state, happening, task), (State::Stopping, Happening::Undone, Task::End));
        }
        assert_eq!(task == Task::End, state == State::Stopping && happening == Happening::Undone);
    }
}

#[test]
fn every_way_into_stopping_undoes_the_start() {
    for (state, _, _, next, task) in all_steps() {
        if next == State::Stopping && state != State::Stopping {
            assert!(matches!(task, Task::TearDown | Task::StartAgain { .. }));
        }
    }
}

#[test]
fn stop_leads_to_off_from_every_state_that_has_a_supervisor() {
    for rules in all_rules() {
        for state in State::ALL.into_iter().filter(|s| !matches!(s, State::Off | State::Ceded | State::Elsewhere)) {
            let (next, _) = step(state, Happening::StopAsked, rules);
            assert_eq!(step(next, Happening::Undone, rules).0, State::Off, "from {state:?}");
        }
    }
}

#[test]
fn a_restart_loop_backs_off_and_ends() {
    let mut waits = Vec::new();
    for restarts in 0..=RESTARTS_MAX {
        let rules =
            Rules { on_poweroff: Action::Destroy, on_reboot: Action::Restart, on_crash: Action::Restart, restarts };
        match step(State::Running, Happening::Crashed, rules) {
            (State::Stopping, Task::StartAgain { after }) => waits.push(after.as_secs()),
            (State::Stopping, Task::TearDown) => assert_eq!(restarts, RESTARTS_MAX),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 16]);
}

#[test]
fn every_state_can_be_reached_and_left() {
    let mut reached = BTreeSet::from([State::Starting]);
    loop {
        let before = reached.len();
        for (state, _, _, next, _) in all_steps() {
            if reached.contains(&state) {
                reached.insert(next);
            }
        }
        if reached.len() == before {
            break;
        }
    }
    // The handover alone leads to these, and out of them (migration/handover.rs).
    let by_itself = State::ALL.into_iter().filter(|state| !matches!(state, State::Ceded | State::Elsewhere));
    assert_eq!(reached, by_itself.collect());
}

#[test]
fn what_is_admitted_has_a_meaning_for_the_state() {
    for state in State::ALL {
        // Starting what runs, and stopping what is off, is success and does nothing.
        assert_eq!(admit(state, Request::Start) == Admission::Accept, state == State::Off);
        assert_eq!(admit(state, Request::Stop) == Admission::Already, state == State::Off);
        assert_eq!(admit(state, Request::Delete) == Admission::Accept, state == State::Off);
        for request in Request::ALL {
            if let Admission::Deny { because, hint, .. } = admit(state, request) {
                assert!(!because.is_empty() && !hint.is_empty());
            }
        }
    }
}

#[test]
fn nothing_is_done_with_a_domain_that_is_handed_over_or_anothers() {
    for request in Request::ALL {
        let Admission::Deny { kind, hint, .. } = admit(State::Ceded, request) else {
            panic!("{request:?} is admitted")
        };
        assert!(kind == Kind::NeedsRecover && hint.contains("fief recover"), "{request:?}");
        assert_eq!(kind.exit_code(), 11);
        assert!(
            matches!(admit(State::Elsewhere, request), Admission::Deny { kind: Kind::Conflict, .. }),
            "{request:?}"
        );
    }
    for (state, happening, _, next, task) in all_steps() {
        if matches!(state, State::Ceded | State::Elsewhere) {
            assert_eq!((next, task), (state, Task::Nothing), "{happening:?}");
        }
        assert_eq!(
            matches!(next, State::Ceded | State::Elsewhere),
            next == state && task == Task::Nothing && matches!(state, State::Ceded | State::Elsewhere)
        );
    }
}

#[test]
fn who_owns_a_domain_counts_for_more_than_what_its_record_says() {
    for state in State::ALL {
        assert_eq!(state.where_held(Holding::Ceded), State::Ceded);
        assert_eq!(state.where_held(Holding::Foreign), State::Elsewhere);
        assert_eq!(state.where_held(Holding::Gone), State::Elsewhere);
        let own = if matches!(state, State::Ceded | State::Elsewhere) { State::Off } else { state };
        assert_eq!(state.where_held(Holding::Owned), own);
    }
}
