#include "ha/rejoin.h"

#include "base/assert.h"

/* The same node went on with the same files on the same timeline: nobody left the line. */
static bool went_on_in_place(
    const struct cluster_grant *grant, uint32_t timeline, const struct cluster_grant *parent)
{
    return grant->node == parent->node && grant->data_dir_id == parent->data_dir_id &&
           timeline == parent->served_at.timeline;
}

/* pg_rewind goes by timelines, and sees no difference where both branches took the same number. */
static enum rejoin off_line(uint32_t primary_timeline, struct pg_position end)
{
    return end.timeline == primary_timeline ? REJOIN_CLONE : REJOIN_REWIND;
}

/*
 * The line went on from `limit`. That is where it was left only if the epoch before wrote on the
 * same timeline: else it continued a promotion that ended before its first commit, and where that
 * one left the line no grant tells.
 */
static bool is_before(struct pg_position end, struct pg_position limit, uint32_t timeline)
{
    const bool is_told = limit.timeline == 0 || timeline == 0 || limit.timeline == timeline;

    return is_told && end.lsn <= limit.lsn;
}

static enum rejoin decide_for_marker(
    const struct cluster *cluster, uint32_t primary_timeline, uint64_t marker_epoch,
    struct pg_position end)
{
    const struct cluster_grant *grant = &cluster->last;
    uint32_t timeline = primary_timeline;
    struct pg_position limit = {.lsn = UINT64_MAX}; /* Past it, the line of the grants was left. */

    ASSERT(grant->epoch != 0);
    while (grant->epoch != marker_epoch) {
        const struct cluster_grant *parent = cluster_parent_of(cluster, grant);

        if (grant->parent < marker_epoch) {
            return off_line(primary_timeline, end); /* Its epoch is a branch that was given up. */
        }
        if (parent == NULL) {
            /* The first grant of all continued what was there before any epoch; or the history
             * does not go back far enough. */
            const bool on_line = end.lsn <= grant->start.lsn || end.timeline == timeline;

            return grant->parent == marker_epoch && on_line && is_before(end, limit, timeline)
                       ? REJOIN_FOLLOW
                       : REJOIN_CLONE;
        }
        if (!went_on_in_place(grant, timeline, parent)) {
            limit = grant->start;
        }
        grant = parent;
        timeline = parent->served_at.timeline;
    }
    if (timeline == 0) {
        timeline = end.timeline; /* Of an epoch that never served: who has its marker tells. */
    }
    /* A promotion that ended before its first commit leaves a timeline that no grant tells of, and
     * the primary's may have the same number. */
    if (end.timeline != 0 && end.timeline != timeline) {
        return off_line(primary_timeline, end);
    }
    return is_before(end, limit, timeline) ? REJOIN_FOLLOW : off_line(primary_timeline, end);
}

/* What these files hold on the timeline that they were told to follow came from there. Not so if
 * they were granted an epoch after that: a promotion of their own takes a timeline of the same
 * number, perhaps, and leaves no trace in the record before its first commit. */
static bool came_from_upstream(
    const struct cluster *cluster, const struct pg_record *record, struct pg_position end)
{
    if (record->follow_epoch <= record->marker_epoch || end.timeline == 0 ||
        end.timeline != record->follow_timeline ||
        cluster_grant_of(cluster, record->follow_epoch) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < cluster->history_count; i++) {
        const struct cluster_grant *grant = &cluster->history[i];

        if (grant->epoch > record->follow_epoch && grant->data_dir_id == record->data_dir_id) {
            return false;
        }
    }
    return true;
}

enum rejoin rejoin_decide(
    const struct cluster *cluster, uint32_t primary_timeline, const struct pg_record *record,
    struct pg_position end)
{
    const enum rejoin rejoin =
        decide_for_marker(cluster, primary_timeline, record->marker_epoch, end);

    /* It streamed from the grantee of an epoch and has not got its first commit yet: what it has
     * on that timeline is of that epoch all the same. */
    if (rejoin != REJOIN_FOLLOW && came_from_upstream(cluster, record, end)) {
        return decide_for_marker(cluster, primary_timeline, record->follow_epoch, end);
    }
    return rejoin;
}

const char *rejoin_name(enum rejoin rejoin)
{
    switch (rejoin) {
    case REJOIN_FOLLOW:
        return "follow";
    case REJOIN_REWIND:
        return "rewind";
    case REJOIN_CLONE:
        return "clone";
    }
    UNREACHABLE();
}
