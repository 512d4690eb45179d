#include "api/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/name.h"
#include "base/time.h"

#define LABELS_SIZE 512

/* An exact number of thousandths: milliseconds shown in seconds, without a float. */
struct value {
    bool absent; /* No sample at all. */
    bool negative;
    uint64_t whole;
    uint32_t thousandths;
};

static struct value of(uint64_t number)
{
    return (struct value){.whole = number};
}

static struct value of_flag(bool flag)
{
    return of(flag ? 1 : 0);
}

static struct value of_ms(uint64_t ms)
{
    return (struct value){.whole = ms / 1000, .thousandths = (uint32_t)(ms % 1000)};
}

static const struct pg_facts *facts_of(const struct show *show)
{
    return show->view->facts;
}

static bool is_live_primary(const struct show *show)
{
    return show_is_live(show) && !facts_of(show)->in_recovery;
}

static bool is_live_standby(const struct show *show)
{
    return show_is_live(show) && facts_of(show)->in_recovery;
}

/* "1.12.3" as 11203: two digits for each part. */
static struct value get_version(const struct show *show)
{
    const char *text = PRODUCT_VERSION;
    uint64_t number = 0;

    (void)show;
    while (*text != '\0') {
        char *end;

        number = number * 100 + strtoul(text, &end, 10);
        text = *end == '.' ? end + 1 : "";
    }
    return of(number);
}

static struct value get_running(const struct show *show)
{
    return of_flag(show_state(show) == HA_STATE_RUNNING);
}

static struct value get_start_time(const struct show *show)
{
    return of_ms(facts_of(show)->postmaster_start_wall_ms);
}

static struct value get_primary(const struct show *show)
{
    return of_flag(is_live_primary(show));
}

static struct value get_zero(const struct show *show)
{
    (void)show;
    return of(0);
}

static struct value get_replica(const struct show *show)
{
    return of_flag(is_live_standby(show));
}

static struct value get_location(const struct show *show)
{
    return of(is_live_primary(show) ? facts_of(show)->position.lsn : 0);
}

static struct value get_received(const struct show *show)
{
    return of(is_live_standby(show) ? facts_of(show)->received_lsn : 0);
}

static struct value get_replayed(const struct show *show)
{
    return of(is_live_standby(show) ? facts_of(show)->replayed_lsn : 0);
}

static struct value get_replayed_time(const struct show *show)
{
    const int64_t ms = facts_of(show)->replayed_wall_ms;

    return is_live_standby(show) && ms > 0 ? of_ms((uint64_t)ms) : of(0);
}

static struct value get_replay_paused(const struct show *show)
{
    return of_flag(is_live_standby(show) && facts_of(show)->replay_paused);
}

static struct value get_streaming(const struct show *show)
{
    if (!show_is_live(show)) {
        return (struct value){.absent = true};
    }
    return of_flag(strcmp(show->health->replication_state, "streaming") == 0);
}

static struct value get_in_archive(const struct show *show)
{
    if (!show_is_live(show)) {
        return (struct value){.absent = true};
    }
    return of_flag(strcmp(show->health->replication_state, "in archive recovery") == 0);
}

static struct value get_server_version(const struct show *show)
{
    return of(show_is_live(show) ? facts_of(show)->server_version : 0);
}

static struct value get_unlocked(const struct show *show)
{
    return of_flag(show->health->unlocked || !show->health->cluster_known);
}

static struct value get_failsafe(const struct show *show)
{
    return of_flag(show->failsafe_mode);
}

static struct value get_failsafe_member(const struct show *show)
{
    return of_flag(show->failsafe_mode && !show->health->witness && show_self(show) != NULL);
}

static struct value get_timeline(const struct show *show)
{
    return of(show_is_live(show) ? facts_of(show)->position.timeline : 0);
}

static struct value get_last_seen(const struct show *show)
{
    return of(show_last_seen_s(show));
}

static struct value get_pending_restart(const struct show *show)
{
    return of_flag(facts_of(show)->pending_restart);
}

static struct value get_paused(const struct show *show)
{
    return of_flag(show->health->paused);
}

static struct value get_state(const struct show *show)
{
    const enum ha_member_state state = show_state(show);

    /* PostgreSQL is there, but does not answer. */
    if (state == HA_STATE_RUNNING && !show_is_live(show)) {
        return (struct value){.negative = true, .whole = 1};
    }
    return of((uint64_t)state);
}

static struct value get_priority(const struct show *show)
{
    const struct ha_member_view *self = show_self(show);

    return self == NULL || self->status.nofailover || self->status.failover_priority < 0
               ? of(0)
               : of((uint64_t)self->status.failover_priority);
}

static struct value get_epoch(const struct show *show)
{
    return of(show->view->cluster->epoch);
}

static struct value get_lease(const struct show *show)
{
    return of_flag(show->health->lease);
}

static struct value get_lease_left(const struct show *show)
{
    return of_ms(show->view->lease_runs ? show->view->lease_left_ms : 0);
}

static struct value get_round_age(const struct show *show)
{
    return of_ms(show->view->completed_ago_ms);
}

static struct value get_raft_leader(const struct show *show)
{
    return of_flag(show->view->is_raft_leader);
}

static struct value get_raft_term(const struct show *show)
{
    return of(show->view->raft_term);
}

static struct value get_raft_commit(const struct show *show)
{
    return of(show->raft->commit_index);
}

static struct value get_raft_applied(const struct show *show)
{
    return of(show->view->applied_index);
}

static struct value get_raft_last(const struct show *show)
{
    return of(show->raft->last_index);
}

static struct value get_peers(const struct show *show)
{
    return of(show->raft->peers_up);
}

static struct value get_store_last(const struct show *show)
{
    return of_ms(show->raft->commit_last_ms);
}

static struct value get_store_max(const struct show *show)
{
    return of_ms(show->raft->commit_max_ms);
}

static struct value get_log_lost(const struct show *show)
{
    return of(show->raft->log_lines_lost);
}

static struct value get_rings(const struct show *show)
{
    const char *names[SHOW_RINGS_MAX];

    return of(show_rings(facts_of(show)->guard_rings, names));
}

static struct value get_watchdog_failed(const struct show *show)
{
    return of_flag(facts_of(show)->watchdog_failed);
}

struct metric {
    const char *name;
    const char *help;
    bool counter; /* Else a gauge. */
    struct value (*get)(const struct show *show);
};

#define THEIRS "patroni_"
#define OURS   PRODUCT_NAME "_"

/* In the order that users know; ours come behind. Synchronous standbys and standby clusters
 * have their samples, which are 0 as there can be nothing of the kind. That a lease was extended
 * by failsafe mode shows nowhere but in the lease. */
static const struct metric metrics[] = {
    {THEIRS "version",                      "Version, two digits for each part.",                      false, get_version      },
    {THEIRS "postgres_running",             "1 if PostgreSQL is running, else 0.",                     false, get_running      },
    {THEIRS "postmaster_start_time",        "When PostgreSQL was started, seconds since 1970.",        false,
     get_start_time                                                                                                            },
    {THEIRS "primary",                      "1 if PostgreSQL runs as a primary, else 0.",              false, get_primary      },
    {THEIRS "xlog_location",                "Position of the primary's WAL in bytes, 0 on a standby.", true,
     get_location                                                                                                              },
    {THEIRS "standby_leader",               "1 if this is the leader of a standby cluster, else 0.",   false,
     get_zero                                                                                                                  },
    {THEIRS "replica",                      "1 if PostgreSQL runs as a standby, else 0.",              false, get_replica      },
    {THEIRS "sync_standby",                 "1 if this is a synchronous standby, else 0.",             false, get_zero         },
    {THEIRS "quorum_standby",               "1 if this is a quorum standby, else 0.",                  false, get_zero         },
    {THEIRS "xlog_received_location",       "WAL a standby has received, bytes, else 0.",              true,
     get_received                                                                                                              },
    {THEIRS "xlog_replayed_location",       "WAL a standby has replayed, bytes, else 0.",              true,
     get_replayed                                                                                                              },
    {THEIRS "xlog_replayed_timestamp",      "Commit time last replayed, seconds since 1970, else 0.",
     false,                                                                                                   get_replayed_time},
    {THEIRS "xlog_paused",                  "1 if replay is paused, else 0.",                          false, get_replay_paused},
    {THEIRS "postgres_streaming",           "1 if PostgreSQL is streaming, else 0.",                   false, get_streaming    },
    {THEIRS "postgres_in_archive_recovery", "1 if WAL comes from the archive, else 0.",                false,
     get_in_archive                                                                                                            },
    {THEIRS "postgres_server_version",      "Version of PostgreSQL, 0 if unknown.",                    false,
     get_server_version                                                                                                        },
    {THEIRS "cluster_unlocked",             "1 if no primary is known, else 0.",                       false, get_unlocked     },
    {THEIRS "failsafe_mode_is_active",      "1 if failsafe mode is in use, else 0.",                   false, get_zero         },
    {THEIRS "failsafe_mode_enabled",        "1 if failsafe mode may be used, else 0.",                 false,
     get_failsafe                                                                                                              },
    {THEIRS "failsafe_member",              "1 if failsafe mode counts this node, else 0.",            false,
     get_failsafe_member                                                                                                       },
    {THEIRS "postgres_timeline",            "Timeline of PostgreSQL, 0 if it is not running.",         false,
     get_timeline                                                                                                              },
    {THEIRS "dcs_last_seen",                "When the cluster was last heard of, seconds since 1970.", false,
     get_last_seen                                                                                                             },
    {THEIRS "pending_restart",              "1 if PostgreSQL needs a restart, else 0.",                false,
     get_pending_restart                                                                                                       },
    {THEIRS "is_paused",                    "1 if automatic failover is off, else 0.",                 false, get_paused       },
    {THEIRS "postgres_state",               "State of PostgreSQL as a number.",                        false, get_state        },
    {THEIRS "failover_priority",            "Priority in a failover, 0: never.",                       false, get_priority     },

    {OURS "epoch",                          "Number of the newest grant.",                             false, get_epoch        },
    {OURS "lease",                          "1 if this node holds the lease and serves, else 0.",      false, get_lease        },
    {OURS "lease_left_seconds",             "Until this node's lease ends, 0 without one.",            false,
     get_lease_left                                                                                                            },
    {OURS "round_age_seconds",              "Since the newest lease round known to be completed.",     false,
     get_round_age                                                                                                             },
    {OURS "raft_leader",                    "1 if this node leads Raft, else 0.",                      false, get_raft_leader  },
    {OURS "raft_term",                      "Term of Raft.",                                           true,  get_raft_term    },
    {OURS "raft_commit_index",              "Newest decided entry.",                                   true,  get_raft_commit  },
    {OURS "raft_applied_index",             "Newest applied entry.",                                   true,  get_raft_applied },
    {OURS "raft_last_index",                "Newest entry of the log.",                                false, get_raft_last    },
    {OURS "raft_peers_up",                  "Nodes this one is connected to.",                         false, get_peers        },
    {OURS "store_commit_seconds",           "What the newest commit to disk took.",                    false, get_store_last   },
    {OURS "store_commit_max_seconds",       "What the slowest commit to disk took.",                   false,
     get_store_max                                                                                                             },
    {OURS "log_lines_lost",                 "Lines that the log did not take.",                        true,  get_log_lost     },
    {OURS "guard_rings",                    "Rings that end PostgreSQL if its guard cannot.",          false, get_rings        },
    {OURS "watchdog_failed",                "1 if a required watchdog cannot be used, else 0.",        false,
     get_watchdog_failed                                                                                                       },
};

static void add_label(struct text *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') {
            text_addf(out, "\\%c", *value);
        } else if (*value == '\n') {
            text_add(out, "\\n");
        } else {
            text_add_bytes(out, value, 1);
        }
    }
}

static void make_labels(const struct show *show, char labels[LABELS_SIZE])
{
    struct text text;

    text_init(&text, labels, LABELS_SIZE);
    text_add(&text, "{scope=\"");
    add_label(&text, show->scope);
    text_add(&text, "\",name=\"");
    add_label(&text, show->name);
    text_add(&text, "\"}");
}

/* The comment that tells what the numbers of the state mean. */
static void add_states(struct text *out)
{
    text_add(out, "# Values: -1=unknown");
    for (uint32_t i = 0; i <= HA_STATE_CRASHED; i++) {
        if (i != 7) { /* Of a way to begin that we do not have. */
            text_addf(out, ", %" PRIu32 "=%s", i, ha_state_name((enum ha_member_state)i));
        }
    }
    text_add(out, "\n");
}

static void add_sample(
    const struct metric *metric, struct value value, const char *labels, struct text *out)
{
    text_addf(out, "%s%s %s", metric->name, labels, value.negative ? "-" : "");
    if (metric->get == get_version) {
        text_addf(out, "%06" PRIu64 "\n", value.whole);
    } else if (value.thousandths != 0) {
        text_addf(out, "%" PRIu64 ".%03" PRIu32 "\n", value.whole, value.thousandths);
    } else {
        text_addf(out, "%" PRIu64 "\n", value.whole);
    }
}

void metrics_print(const struct show *show, struct text *out)
{
    char labels[LABELS_SIZE];

    make_labels(show, labels);
    for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
        const struct metric *metric = &metrics[i];
        const struct value value = metric->get(show);

        if (value.absent) {
            continue;
        }
        text_addf(out, "# HELP %s %s\n", metric->name, metric->help);
        if (metric->get == get_state) {
            add_states(out);
        }
        text_addf(out, "# TYPE %s %s\n", metric->name, metric->counter ? "counter" : "gauge");
        add_sample(metric, value, labels, out);
    }
}
