/* A domain that moves while its guest runs, without waiting for more than one round of its memory.

   What each step does, and which may follow which, is in wit/deps/fief-migration. */
#include "fief.h"

#define STEP(name) fief_migration_session_method_migration_##name

typedef exports_fief_migration_strategy_error_t error_t;

void exports_fief_migration_strategy_check(exports_fief_migration_strategy_facts_t *facts,
                                           exports_fief_migration_strategy_list_setting_t *settings,
                                           exports_fief_migration_strategy_list_finding_t *all) {
    (void)settings;
    all->ptr = fief_room(sizeof *all->ptr);
    all->len = 0;
    if (facts->power != FIEF_MIGRATION_SESSION_POWER_RUNNING) {
        all->ptr[all->len++] = (exports_fief_migration_strategy_finding_t){
            .severity = FIEF_TYPES_TYPES_SEVERITY_BLOCKER,
            .code = fief_text("not-running"),
            .object = facts->domain,
            .message = fief_text("its guest does not run"),
            .remedy = { true, fief_text("choose another strategy") },
        };
    }
}

/* Whether there are volumes that have to go along, because the target does not reach them. */
static bool to_copy(const fief_migration_session_facts_t *facts) {
    for (size_t i = 0; i < facts->volumes.len; i += 1) {
        const fief_migration_session_volume_facts_t *volume = &facts->volumes.ptr[i];
        bool there = volume->sameness == FIEF_MIGRATION_SESSION_SAMENESS_PROVEN ||
                     volume->sameness == FIEF_MIGRATION_SESSION_SAMENESS_CLAIMED;
        if (!there && !volume->disc) {
            return true;
        }
    }
    return false;
}

bool exports_fief_migration_strategy_run(exports_fief_migration_strategy_borrow_migration_t migration,
                                         exports_fief_migration_strategy_list_setting_t *settings,
                                         exports_fief_migration_strategy_outcome_t *outcome, error_t *error) {
    uint64_t downtime;
    if (!fief_number_of(fief_setting(settings->ptr, settings->len, "downtime"), &downtime) || downtime > UINT32_MAX) {
        return fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_INVALID, fief_text("downtime is a number of milliseconds"));
    }
    fief_migration_session_facts_t facts;
    uint64_t copied;
    STEP(facts)(migration, &facts);
    if (!STEP(reserve)(migration, error) || (to_copy(&facts) && !STEP(copy_volumes)(migration, &copied, error))) {
        return false;
    }
    fief_migration_session_limits_t limits = { .downtime_ms = (uint32_t)downtime, .auto_converge = true, .channels = 1 };
    if (!STEP(precopy)(migration, &limits, error)) {
        return false;
    }
    for (;;) {
        fief_migration_session_option_sample_t next;
        if (!STEP(next_sample)(migration, &next, error)) {
            return false;
        }
        /* None: what is left fits the downtime. */
        if (!next.is_some) {
            break;
        }
        text note = fief_text("memory");
        STEP(progress)(migration, next.val.transferred, next.val.transferred + next.val.remaining, &note);
    }
    return STEP(switch_over)(migration, outcome, error);
}
