//! Every state that can be reached, for every kind of domain, and every step in each.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::migration::steps::Limits;

const LIMITS: Limits = Limits { bandwidth: None, downtime_ms: 300, auto_converge: true, channels: 1, compress: false };

fn asks() -> Vec<Ask> {
    vec![
        Ask::Reserve,
        Ask::Pause,
        Ask::CopyVolumes,
        Ask::Save,
        Ask::CopyState,
        Ask::Restore,
        Ask::Precopy(LIMITS),
        Ask::NextSample,
        Ask::Adjust(LIMITS),
        Ask::Postcopy,
        Ask::SwitchOver,
        Ask::Progress { done: 1, total: 2, note: String::new() },
    ]
}

fn all_terms() -> Vec<Terms> {
    let mut all = Vec::new();
    for power in [Power::Running, Power::Paused, Power::Off] {
        for copies in [false, true] {
            all.extend([false, true].map(|postcopy| Terms { power, copies, postcopy }));
        }
    }
    all
}

type Key = (Phase, bool, Copied);

fn key(phases: &Phases) -> Key {
    (phases.phase, phases.still, phases.copied)
}

/// All states that steps lead to, with the steps out of each that are admitted and done.
fn reachable(terms: Terms) -> BTreeMap<Key, Vec<(Ask, Phases)>> {
    let mut open = vec![Phases::new(terms)];
    let mut known = BTreeMap::new();
    while let Some(state) = open.pop() {
        if known.contains_key(&key(&state)) {
            continue;
        }
        let admitted = asks().into_iter().filter(|ask| state.admit(ask).is_ok());
        let next: Vec<(Ask, Phases)> = admitted
            .map(|ask| {
                let mut next = state;
                next.done(&ask);
                (ask, next)
            })
            .collect();
        open.extend(next.iter().map(|(_, next)| *next));
        known.insert(key(&state), next);
    }
    known
}

#[test]
fn every_move_that_may_begin_may_also_end() {
    for terms in all_terms() {
        let known = reachable(terms);
        // Backwards from the end: all that lead there.
        let mut leads: BTreeSet<Key> = known.keys().filter(|(phase, ..)| *phase == Phase::Over).copied().collect();
        assert!(!leads.is_empty(), "{terms:?} never ends");
        loop {
            let more: Vec<Key> = known
                .iter()
                .filter(|(from, next)| !leads.contains(from) && next.iter().any(|(_, to)| leads.contains(&key(to))))
                .map(|(from, _)| *from)
                .collect();
            if more.is_empty() {
                break;
            }
            leads.extend(more);
        }
        let stuck: Vec<&Key> = known.keys().filter(|from| !leads.contains(from)).collect();
        assert!(stuck.is_empty(), "{terms:?} is stuck in {stuck:?}");
    }
}

#[test]
fn no_domain_is_handed_over_without_all_that_it_is() {
    for terms in all_terms() {
        for ((phase, still, copied), next) in reachable(terms) {
            for (ask, to) in next {
                let place = format!("{terms:?} {phase:?} still={still} {copied:?}: {}", ask.name());
                if to.is_over() {
                    assert!(matches!(ask, Ask::Restore | Ask::SwitchOver), "{place}");
                    assert!(phase != Phase::Begun, "{place}: nothing was reserved");
                }
                match ask {
                    Ask::Restore => {
                        assert!(still, "{place}: the guest still runs");
                        assert!(!terms.copies || copied == Copied::Whole, "{place}: writes are missing");
                        let has_memory = phase == Phase::Sent;
                        assert_eq!(has_memory, terms.power != Power::Off, "{place}");
                    }
                    Ask::SwitchOver | Ask::Precopy(_) => {
                        assert!(terms.power != Power::Off, "{place}: there is no memory");
                        assert!(!terms.copies || copied != Copied::Nothing, "{place}: volumes are missing");
                    }
                    Ask::Save => assert!(!terms.copies || copied == Copied::Whole, "{place}: writes are missing"),
                    Ask::Postcopy => assert!(terms.postcopy && !terms.copies, "{place}"),
                    Ask::Reserve
                    | Ask::Pause
                    | Ask::CopyVolumes
                    | Ask::CopyState
                    | Ask::NextSample
                    | Ask::Adjust(_)
                    | Ask::Progress { .. } => {}
                }
            }
        }
    }
}

#[test]
fn the_first_step_is_reserve_and_it_comes_once() {
    for terms in all_terms() {
        for ((phase, ..), next) in reachable(terms) {
            let steps = next.iter().filter(|(ask, _)| !matches!(ask, Ask::Progress { .. }));
            let reserves = next.iter().any(|(ask, _)| matches!(ask, Ask::Reserve));
            assert_eq!(reserves, phase == Phase::Begun, "{terms:?} {phase:?}");
            if phase == Phase::Begun {
                assert_eq!(steps.count(), 1, "{terms:?}");
            }
        }
    }
}

#[test]
fn nothing_follows_the_end_or_a_step_that_failed() {
    for terms in all_terms() {
        for (_, next) in reachable(terms) {
            for (ask, done) in next {
                let mut failed = done;
                failed.failed(&ask);
                for later in asks() {
                    if done.is_over() {
                        assert!(done.admit(&later).is_err(), "{terms:?}: {} after the end", later.name());
                    }
                    if !matches!(ask, Ask::Progress { .. }) {
                        assert!(failed.admit(&later).is_err(), "{terms:?}: {} after a failure", later.name());
                    }
                }
            }
        }
    }
}

/// Walks a recipe; gives the first step that is refused.
fn refused(terms: Terms, recipe: &[Ask]) -> Option<&'static str> {
    let mut phases = Phases::new(terms);
    for ask in recipe {
        if phases.admit(ask).is_err() {
            return Some(ask.name());
        }
        phases.done(ask);
    }
    assert!(phases.is_over(), "the recipe ends before its domain has moved");
    None
}

#[test]
fn the_recipes_are_admitted() {
    use Ask::{
        Adjust, CopyState, CopyVolumes, NextSample, Pause, Postcopy, Precopy, Reserve, Restore, Save, SwitchOver,
    };
    let terms = |power, copies| Terms { power, copies, postcopy: false };
    let live = [Reserve, Precopy(LIMITS), NextSample, Adjust(LIMITS), NextSample, SwitchOver];
    let with_disks = [Reserve, CopyVolumes, Precopy(LIMITS), NextSample, SwitchOver];
    let later = [Reserve, Precopy(LIMITS), NextSample, Postcopy, NextSample, SwitchOver];
    let fixed = [Reserve, CopyVolumes, CopyVolumes, Pause, CopyVolumes, Save, CopyState, Restore];
    let shared = [Reserve, Save, CopyState, Restore];
    let off = [Reserve, CopyVolumes, Restore];
    for power in [Power::Running, Power::Paused] {
        assert_eq!(refused(terms(power, false), &live), None);
        assert_eq!(refused(terms(power, true), &with_disks), None);
        assert_eq!(refused(terms(power, true), &fixed), None);
        assert_eq!(refused(terms(power, false), &fixed), None);
        assert_eq!(refused(terms(power, false), &shared), None);
        assert_eq!(refused(Terms { postcopy: true, ..terms(power, false) }, &later), None);
        assert_eq!(refused(terms(power, false), &later), Some("postcopy"));
        assert_eq!(refused(terms(power, true), &live), Some("precopy"));
    }
    assert_eq!(refused(terms(Power::Off, true), &off), None);
    assert_eq!(refused(terms(Power::Off, false), &[Reserve, Restore]), None);
    assert_eq!(refused(terms(Power::Off, true), &[Reserve, Restore]), Some("restore"));
    assert_eq!(refused(terms(Power::Running, true), &[Reserve, CopyVolumes, Save]), Some("save"));
    assert_eq!(refused(terms(Power::Running, true), &[Reserve, CopyVolumes, Pause, Save]), Some("save"));
}

#[test]
fn a_refusal_says_which_step_and_why_and_a_grant_how_to_give_it() {
    let phases = Phases::new(Terms { power: Power::Running, copies: false, postcopy: false });
    let failure = Failure::from(phases.admit(&Ask::SwitchOver).unwrap_err());
    assert_eq!(failure.kind, Kind::Conflict);
    assert_eq!(failure.message, "`switch-over` may not be asked for now: no memory is under way");
    let failure = Failure::from(phases.admit(&Ask::Postcopy).unwrap_err());
    assert_eq!(failure.kind, Kind::Denied);
    assert!(failure.hint.unwrap().contains("postcopy = true"));
}
