//! A checker that finds nothing proves nothing: each of these protocols is wrong in one place, and is found out.

use super::explore::explore;
use super::world::{Bounds, Plant};

const WORDS_ALONE: Bounds = Bounds { fences: false, attempts: 2, faults: 2, claims: 0, forget: true };
const FENCES: Bounds = Bounds { fences: true, attempts: 1, faults: 2, claims: 1, forget: true };

/// The trace is the shortest that there is.
fn caught(plant: Plant, bounds: Bounds, steps: usize, what: &str) {
    let explored = explore(bounds, plant);
    let trouble = explored.trouble.unwrap_or_else(|| panic!("{plant:?} was not found in {} states", explored.states));
    let trace = trouble.trace.join("\n");
    eprintln!("{plant:?}: {} after {} steps, {} states", trouble.what, trouble.trace.len(), explored.states);
    assert_eq!((trouble.what.as_str(), trouble.trace.len()), (what, steps), "{plant:?}\n{trace}");
}

#[test]
fn a_cede_that_is_not_on_disk_is_found() {
    caught(Plant::CedeUnsynced, WORDS_ALONE, 12, "two own it");
}

#[test]
fn a_domain_that_is_taken_but_not_on_disk_is_found() {
    caught(Plant::TakenUnsynced, WORDS_ALONE, 13, "gone, and nobody has it");
}

#[test]
fn an_attempt_whose_number_is_given_twice_is_found() {
    caught(Plant::AttemptUnsynced, WORDS_ALONE, 17, "taken, and what was staged is not there, or old");
}

#[test]
fn a_refusal_that_is_not_on_disk_is_found() {
    caught(Plant::RefusalUnsynced, Bounds { attempts: 1, faults: 4, ..WORDS_ALONE }, 18, "a generation is given twice");
}

#[test]
fn a_source_that_goes_on_when_it_has_waited_for_long_is_found() {
    caught(Plant::ResumeOnTimeout, WORDS_ALONE, 12, "a generation is given twice");
}

#[test]
fn a_source_that_forgets_before_it_is_told_is_found() {
    caught(Plant::GoneOnTimeout, WORDS_ALONE, 10, "gone, and nobody has it");
}

#[test]
fn a_target_that_runs_before_it_has_the_fences_is_found() {
    caught(Plant::RunBeforeFence, FENCES, 11, "a guest runs whose fences are not taken");
}

#[test]
fn what_counts_as_staged_after_a_restart_is_found() {
    caught(Plant::StageKeptOverRestart, WORDS_ALONE, 13, "taken, and what was staged is not there, or old");
}

#[test]
fn a_word_of_which_nothing_is_on_disk_taken_for_a_refusal_is_found() {
    caught(Plant::DeclineTakenForRefusal, WORDS_ALONE, 13, "two own it");
}

#[test]
fn a_cede_with_volumes_open_is_found() {
    caught(Plant::CedeBeforeClosed, WORDS_ALONE, 9, "ceded, and its volumes are open");
}

#[test]
fn a_claim_that_goes_on_with_what_memory_is_there_is_found() {
    caught(Plant::ClaimKeepsMemory, FENCES, 11, "a guest goes on with memory that another has left behind");
}

#[test]
fn an_answer_to_an_earlier_attempt_that_counts_is_found() {
    caught(Plant::OldWordsCount, Bounds { faults: 1, forget: false, ..WORDS_ALONE }, 25, "a generation is given twice");
}
