#include "ha/choose.h"

#include "base/assert.h"

uint64_t choose_lag(const struct choose_input *input, const struct choose_candidate *candidate)
{
    uint64_t has_lsn = candidate->position.lsn;

    if (candidate->marker_epoch > input->last_marker) {
        return 0;
    }
    if (candidate->marker_epoch == input->last_marker) {
        return input->last_lsn > has_lsn ? input->last_lsn - has_lsn : 0;
    }
    /* Behind by a whole epoch: it never got the first commit of the last primary. What it has past
     * the place where the lines part counts for nothing. */
    has_lsn = has_lsn < candidate->shared_lsn ? has_lsn : candidate->shared_lsn;
    return input->last_lsn > has_lsn ? input->last_lsn - has_lsn : 1;
}

static enum choose_why_not judge(
    const struct choose_input *input, const struct choose_candidate *candidate)
{
    const bool asked_for = candidate->node == input->requested;

    if (!candidate->has_data) {
        return CHOOSE_NO_DATA;
    }
    if (!candidate->pledged) {
        return CHOOSE_NO_PLEDGE;
    }
    if (candidate->wrong_system) {
        return CHOOSE_WRONG_SYSTEM;
    }
    if (candidate->leaving) {
        return CHOOSE_LEAVING;
    }
    /* The node that was primary may be it again: the tag keeps it from taking over, not from
     * going on. */
    if (candidate->nofailover && !candidate->old_primary) {
        return CHOOSE_NOFAILOVER;
    }
    if (candidate->watchdog_failed) {
        return CHOOSE_WATCHDOG;
    }
    if (candidate->failed) {
        return CHOOSE_FAILED;
    }
    if (!asked_for && choose_lag(input, candidate) > input->maximum_lag_bytes) {
        return CHOOSE_TOO_FAR_BEHIND;
    }
    return CHOOSE_ELIGIBLE;
}

/* True if `a` is to be preferred to `b`. Total: the node id decides in the end, so that every
 * leader chooses the same from the same facts. */
static bool is_better(
    const struct choose_input *input, const struct choose_candidate *a,
    const struct choose_candidate *b)
{
    if (a->marker_epoch != b->marker_epoch) {
        return a->marker_epoch > b->marker_epoch;
    }
    if (a->position.lsn != b->position.lsn) {
        return a->position.lsn > b->position.lsn;
    }
    if (input->old_primary_last && a->old_primary != b->old_primary) {
        return b->old_primary;
    }
    if (a->priority != b->priority) {
        return a->priority > b->priority;
    }
    return a->node < b->node;
}

uint64_t choose_primary(struct choose_input *input)
{
    const struct choose_candidate *best = NULL;

    ASSERT(input->count <= CLUSTER_MEMBERS_MAX);
    for (uint32_t i = 0; i < input->count; i++) {
        struct choose_candidate *candidate = &input->candidates[i];

        candidate->why_not = judge(input, candidate);
        if (candidate->why_not != CHOOSE_ELIGIBLE) {
            continue;
        }
        if (best == NULL || candidate->node == input->requested ||
            (best->node != input->requested && is_better(input, candidate, best))) {
            best = candidate;
        }
    }
    return best == NULL ? 0 : best->node;
}

const char *choose_why_not_text(enum choose_why_not why_not)
{
    switch (why_not) {
    case CHOOSE_ELIGIBLE:
        return "eligible";
    case CHOOSE_NO_PLEDGE:
        return "has not pledged";
    case CHOOSE_NO_DATA:
        return "has no running PostgreSQL";
    case CHOOSE_NOFAILOVER:
        return "is tagged nofailover";
    case CHOOSE_WATCHDOG:
        return "its required watchdog does not work";
    case CHOOSE_FAILED:
        return "tried and failed";
    case CHOOSE_LEAVING:
        return "is being stopped";
    case CHOOSE_WRONG_SYSTEM:
        return "belongs to another system identifier";
    case CHOOSE_TOO_FAR_BEHIND:
        return "lags more than maximum_lag_on_failover";
    }
    UNREACHABLE();
}
