/* What the strategy does, with a fake move beneath it: `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fief.h"

#define CHECK(what) ((what) ? (void)0 : failed(#what, __LINE__))
#define FAKE(step) fief_migration_session_method_migration_##step
typedef fief_migration_session_borrow_migration_t move_t;
typedef fief_migration_session_error_t error_t;

static void failed(const char *what, int line) {
    fprintf(stderr, "test/test.c:%d: this is not so: %s\n", line, what);
    exit(1);
}

/* A fake move: each step is a letter, and one of them may fail. */
static char steps[32], failing;
static int samples;
static fief_migration_session_facts_t facts;

static bool step(char letter, error_t *error) {
    strncat(steps, &letter, 1);
    return letter == failing ? fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_WRONG_STATE, fief_text("told to fail")) : true;
}
void FAKE(facts)(move_t move, fief_migration_session_facts_t *told) { (void)move, *told = facts; }
bool FAKE(reserve)(move_t move, error_t *error) { (void)move; return step('r', error); }
bool FAKE(copy_volumes)(move_t move, uint64_t *bytes, error_t *error) { (void)move, *bytes = 1; return step('v', error); }
bool FAKE(precopy)(move_t move, fief_migration_session_limits_t *limits, error_t *error) {
    (void)move;
    CHECK(limits->downtime_ms == 500);
    return step('p', error);
}
bool FAKE(next_sample)(move_t move, fief_migration_session_option_sample_t *next, error_t *error) {
    (void)move;
    memset(next, 0, sizeof *next);
    next->is_some = samples-- > 0;
    return step('n', error);
}
void FAKE(progress)(move_t move, uint64_t done, uint64_t total, text *note) { (void)move, (void)done, (void)total, (void)note; }
bool FAKE(switch_over)(move_t move, fief_migration_session_outcome_t *outcome, error_t *error) {
    (void)move;
    memset(outcome, 0, sizeof *outcome);
    return step('s', error);
}

static bool run(error_t *error) {
    fief_types_types_setting_t setting = { fief_text("downtime"), fief_text("500") };
    exports_fief_migration_strategy_list_setting_t settings = { &setting, 1 };
    fief_migration_session_outcome_t outcome;
    steps[0] = 0;
    samples = 1;
    return exports_fief_migration_strategy_run((move_t){ 0 }, &settings, &outcome, error);
}

int main(void) {
    error_t error;
    exports_fief_migration_strategy_list_finding_t all;
    exports_fief_migration_strategy_check(&facts, NULL, &all);
    CHECK(all.len == 0);
    CHECK(run(&error) && strcmp(steps, "rpnns") == 0);
    fief_migration_session_volume_facts_t volume = { .sameness = FIEF_MIGRATION_SESSION_SAMENESS_OTHER };
    facts.volumes.ptr = &volume;
    facts.volumes.len = 1;
    CHECK(run(&error) && strcmp(steps, "rvpnns") == 0);
    failing = 'p';
    CHECK(!run(&error) && strcmp(steps, "rvp") == 0);
    facts.power = FIEF_MIGRATION_SESSION_POWER_OFF;
    exports_fief_migration_strategy_check(&facts, NULL, &all);
    CHECK(all.len == 1);
    puts("all tests passed");
}
