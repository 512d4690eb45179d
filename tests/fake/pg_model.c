#include "tests/fake/pg_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/record.h"

#define REPLAY_EVERY_MS   10
#define POLL_START_MS     20
#define POLL_CLOSE_MS     100
#define POLL_MS           1000
#define STANDBY_WAIT_MS   1500 /* For connections to a standby that is being started. */
#define RECEIVER_LOST_MS  3000 /* wal_receiver_timeout */
#define RECEIVER_RETRY_MS 200
#define CUT_LIMIT_MS      1000
#define QUIT_LIMIT_MS     5000 /* Then the postmaster kills its children. */
#define STANDSTILL_MS     200
#define FILES_MS          20 /* To write and sync a few small ones. */

#define trace(model, ...) (model)->ops->trace((model)->owner, __VA_ARGS__)

static uint64_t span(struct pg_model *model, uint32_t most_ms)
{
    return prng_between(&model->prng, most_ms / 4 + 1, most_ms + 1);
}

/* By a defect that lasts, or by chance. */
static bool goes_wrong(struct pg_model *model, enum pg_model_defect defect, uint32_t percent)
{
    return model->now_ms < model->defect_ms[defect] || prng_chance(&model->prng, percent);
}

/* --- WAL --- */

static void wal_add(struct pg_model_wal *wal, struct pg_model_record record)
{
    if (wal->count == wal->space) {
        wal->space = wal->space == 0 ? 256 : 2 * wal->space;
        wal->records = realloc(wal->records, wal->space * sizeof *wal->records);
        ASSERT(wal->records != NULL);
    }
    wal->records[wal->count++] = record;
}

static void wal_copy(struct pg_model_wal *to, const struct pg_model_wal *from)
{
    to->count = 0;
    for (uint64_t i = 0; i < from->count; i++) {
        wal_add(to, from->records[i]);
    }
}

static uint64_t common_count(const struct pg_model_wal *a, const struct pg_model_wal *b)
{
    const uint64_t most = time_min(a->count, b->count);
    uint64_t count = 0;

    while (count < most && a->records[count].id == b->records[count].id) {
        count++;
    }
    return count;
}

uint32_t pg_model_timeline(const struct pg_model *model)
{
    return model->wal.count == 0 ? 0 : model->wal.records[model->wal.count - 1].timeline;
}

bool pg_model_contains(const struct pg_model *model, uint64_t at, uint64_t id)
{
    return at < model->wal.count && model->wal.records[at].id == id;
}

bool pg_model_same_history(const struct pg_model *a, const struct pg_model *b)
{
    return common_count(&a->wal, &b->wal) == time_min(a->wal.count, b->wal.count);
}

static uint64_t write_record(struct pg_model *model, uint32_t timeline)
{
    const uint64_t id = model->ops->new_id(model->owner);

    wal_add(&model->wal, (struct pg_model_record){.id = id, .timeline = timeline});
    model->replayed = model->wal.count;
    return id;
}

static struct pg_position position_of(const struct pg_model *model, uint64_t count)
{
    return (struct pg_position){.timeline = pg_model_timeline(model), .lsn = pg_model_lsn(count)};
}

/* --- Facts --- */

static enum pg_run judge_run(const struct pg_model *model)
{
    const enum guard_phase phase = model->guard.phase;

    switch (model->server) {
    case PG_MODEL_GONE:
        return PG_RUN_STOPPED;
    case PG_MODEL_ORPHANS:
        return PG_RUN_DYING;
    case PG_MODEL_STARTING:
    case PG_MODEL_RECOVERY:
    case PG_MODEL_PROMOTING:
    case PG_MODEL_WRITABLE:
    case PG_MODEL_SHUTTING:
    case PG_MODEL_QUITTING:
        if (model->stop_asked || phase == GUARD_PHASE_FENCING || phase == GUARD_PHASE_KILLING) {
            return PG_RUN_STOPPING;
        }
        return model->was_up ? PG_RUN_UP : PG_RUN_STARTING;
    }
    UNREACHABLE();
}

static void forget_server(struct pg_facts *facts)
{
    facts->sql_ok = facts->in_recovery = facts->writable = false;
    facts->receiver_running = facts->replay_idle = false;
    facts->receiver_state[0] = '\0';
    facts->position = (struct pg_position){0};
    facts->received_lsn = facts->replayed_lsn = facts->marker_lsn = 0;
    facts->progress[0] = '\0';
}

/* What the control file and the end of WAL said belongs to the time before this start. */
static void forget_end(struct pg_facts *facts)
{
    facts->shut_down_cleanly = facts->was_primary = false;
    facts->control_end = facts->wal_end = (struct pg_position){0};
    facts->redo_bytes = 0;
}

static void see_guard(struct pg_model *model)
{
    struct pg_facts *facts = &model->facts;
    const enum pg_run before = facts->run;

    if (!model->attached || model->look_ms != 0 || model->guard_paused_ms != 0) {
        return; /* A guard that is stopped tells nothing. */
    }
    if (model->start_id != model->seen_start_id) {
        model->seen_start_id = model->start_id;
        model->stop_asked = false;
        model->was_up = false;
        forget_server(facts);
        forget_end(facts);
        facts->start_id = model->start_id;
        facts->crashed = false;
        facts->writable_start = false;
        facts->start_epoch = 0;
    }
    if (model->guard.armed_epoch != 0) {
        facts->start_epoch = model->guard.armed_epoch;
        facts->writable_start = true;
    }
    facts->guard_epoch = model->guard.armed_epoch;
    facts->guard_fenced = model->guard.fenced_epoch;
    facts->run = judge_run(model);
    if (facts->run == PG_RUN_STOPPED && before != PG_RUN_STOPPED) {
        const bool fenced =
            model->guard.fenced_epoch != 0 && model->guard.fenced_epoch == facts->start_epoch;

        forget_server(facts);
        facts->crashed = model->start_id != 0 && !model->stop_asked && !fenced;
        facts->stopped_since_ms = model->now_ms;
        if (!model->busy) {
            model->measure_ms = model->now_ms + span(model, 2 * FILES_MS);
        } else if (model->action.kind == PG_ACTION_PREPARE_STOP) {
            model->step_ms = model->now_ms; /* It breaks off. */
        }
    }
    if (facts->run != before) {
        model->poll_ms = model->now_ms;
    }
}

static void set_record(struct pg_model *model)
{
    model->facts.record = model->record;
    model->facts.data = model->data;
    model->facts.system_identifier = model->system_identifier;
}

static void check_record(struct pg_model *model, struct pg_position position)
{
    if (model->record.data_dir_id != 0 && !model->record.partial && !model->busy) {
        model->record.marker_epoch = record_epoch_at(&model->record, position);
        set_record(model);
    }
}

static void drop_receiver(struct pg_model *model)
{
    model->receiver = model->streaming = model->receiver_stuck = false;
    model->batch_due_ms = 0;
    model->receiver_due_ms = model->now_ms + RECEIVER_RETRY_MS;
}

static void query(struct pg_model *model)
{
    struct pg_facts *facts = &model->facts;
    const bool recovery = model->server != PG_MODEL_WRITABLE;

    model->was_up = true;
    facts->run = judge_run(model);
    facts->sql_ok = true;
    facts->in_recovery = recovery;
    facts->writable =
        !recovery && facts->start_epoch != 0 && model->record.marker_epoch == facts->start_epoch;
    facts->position = position_of(model, model->wal.count);
    facts->received_lsn = recovery && model->received_any ? pg_model_lsn(model->wal.count) : 0;
    facts->replayed_lsn = recovery ? pg_model_lsn(model->replayed) : 0;
    if (recovery && !model->received_any) {
        facts->position.lsn = facts->replayed_lsn; /* What is still to be read nobody knows. */
    }
    facts->replay_idle = recovery && model->replayed == model->wal.count && !model->streaming;
    facts->receiver_running = model->receiver;
    text_copy_cut(
        facts->receiver_state, sizeof facts->receiver_state, model->streaming ? "streaming" : "");
    facts->conninfo_set = model->conninfo;
    facts->server_version = 150018;
    if (recovery && model->streaming) {
        check_record(model, facts->position);
    }
    facts->record = model->record;
}

static void poll(struct pg_model *model)
{
    const bool answers =
        (model->server == PG_MODEL_RECOVERY || model->server == PG_MODEL_PROMOTING ||
         model->server == PG_MODEL_WRITABLE) &&
        model->now_ms >= model->sql_stuck_ms;

    if (model->now_ms < model->poll_ms) {
        return;
    }
    if (answers) {
        if (model->server == PG_MODEL_RECOVERY && !model->conninfo && !model->busy) {
            drop_receiver(model); /* One that should not be there, after a cut that failed. */
        }
        query(model);
    } else {
        model->facts.sql_ok = false;
    }
    model->poll_ms = model->now_ms + (model->server == PG_MODEL_STARTING ? POLL_START_MS
                                      : model->closely || model->busy    ? POLL_CLOSE_MS
                                                                         : POLL_MS);
}

/* The control file and the end of WAL of a server that is down. */
static void measure(struct pg_model *model)
{
    struct pg_facts *facts = &model->facts;

    model->measure_ms = 0;
    if (model->server != PG_MODEL_GONE || model->data != PG_DATA_VALID) {
        return;
    }
    facts->shut_down_cleanly = model->clean;
    facts->was_primary = !model->standby_signal && !model->was_recovery;
    facts->control_end = position_of(
        model, model->was_recovery ? model->replayed
               : model->clean      ? model->wal.count
                                   : model->checkpoint);
    if (facts->was_primary && model->clean) {
        facts->wal_end = facts->control_end;
    } else if (!prng_chance(&model->prng, model->weather->no_end)) {
        facts->wal_end = position_of(model, model->wal.count);
        facts->redo_bytes = pg_model_lsn(model->wal.count) - pg_model_lsn(model->checkpoint);
    }
    check_record(model, facts->control_end);
}

/* --- Guard --- */

static void stop_server(struct pg_model *model, enum guard_stop_mode mode);

static enum guard_refusal guard_feed(struct pg_model *model, struct deadline_event event)
{
    struct deadline_update update;

    ASSERT(model->guard_up && model->guard_paused_ms == 0);
    event.now_ms = model->now_ms;
    deadline_step(&model->guard, &event, &update);
    model->guard_wake_ms = update.wake_ms;
    model->guard_timer_ms = update.timer_ms;
    if (model->guard.fenced_epoch > model->fenced_told) {
        model->fenced_told = model->guard.fenced_epoch;
        trace(model, "guard: fence of epoch %llu", (unsigned long long)model->fenced_told);
        model->ops->fenced(model->owner, model->fenced_told);
    }
    if (update.signal) {
        stop_server(model, update.signal_mode);
    }
    if (update.kill && model->server != PG_MODEL_GONE) {
        if (model->kill_due_ms == 0) {
            /* After a suspend there may be no time left: at the end the guard's timer comes before
             * anybody's next instruction. */
            model->kill_due_ms = time_min(
                model->now_ms + span(model, model->weather->kill_ms),
                model->guard.armed_epoch != 0 ? time_max(model->guard.armed.end_ms, model->now_ms)
                                              : TIME_NEVER);
            trace(model, "guard: kills");
        }
        (void)guard_feed(
            model, (struct deadline_event){
                       .kind = DEADLINE_EVENT_TREE, .tree_count = 1, .all_signalled = true});
    }
    see_guard(model);
    return update.refusal;
}

/* What became of the server, for a guard that has just been told or has been stopped meanwhile. */
static void tell_guard_gone(struct pg_model *model)
{
    if (!model->guard_up || model->guard_paused_ms != 0) {
        return;
    }
    (void)guard_feed(
        model,
        (struct deadline_event){.kind = DEADLINE_EVENT_SERVER_GONE, .by_signal = !model->clean});
    if (model->server == PG_MODEL_GONE) {
        (void)guard_feed(model, (struct deadline_event){.kind = DEADLINE_EVENT_TREE});
    }
}

static void begin_guard(struct pg_model *model)
{
    model->guard_up = true;
    deadline_init(&model->guard, model->now_ms, model->weather->kill_margin_ms);
    model->guard_wake_ms = model->guard_timer_ms = TIME_NEVER;
    model->guard_paused_ms = 0;
    model->guard_waiting = (struct deadline_event){.kind = DEADLINE_EVENT_TICK};
    model->fenced_told = 0;
    model->kill_due_ms = 0;
}

/* --- Server --- */

static void server_gone(struct pg_model *model, bool clean)
{
    trace(
        model, "PostgreSQL is gone%s, timeline %u, %llu records", clean ? ", shut down" : "",
        pg_model_timeline(model), (unsigned long long)model->wal.count);
    model->server = PG_MODEL_GONE;
    model->server_due_ms = 0;
    model->kill_due_ms = 0;
    model->sessions = false;
    model->writable_start = false;
    model->clean = clean;
    if (clean) {
        model->checkpoint = model->was_recovery ? model->replayed : model->wal.count;
    } else {
        model->replayed = time_min(model->replayed, model->wal.count);
    }
    drop_receiver(model);
    tell_guard_gone(model);
}

/* Its death takes the postmaster along. The backends notice here at once; in the world a busy one
 * does not, and only a watchdog ends it. */
static void guard_dies(struct pg_model *model, const char *why)
{
    trace(model, "the guard is killed by %s", why);
    model->guard_up = false;
    if (model->server != PG_MODEL_GONE) {
        server_gone(model, false);
    }
    begin_guard(model);
    see_guard(model);
}

static void wake_guard(struct pg_model *model)
{
    const struct deadline_event waiting = model->guard_waiting;

    model->guard_paused_ms = 0;
    model->guard_waiting = (struct deadline_event){.kind = DEADLINE_EVENT_TICK};
    trace(model, "the guard goes on");
    (void)guard_feed(model, waiting);
    if (model->server == PG_MODEL_GONE || model->server == PG_MODEL_ORPHANS) {
        tell_guard_gone(model);
    }
}

static void stop_server(struct pg_model *model, enum guard_stop_mode mode)
{
    const bool hangs = prng_chance(&model->prng, model->weather->hang_stop);

    switch (model->server) {
    case PG_MODEL_GONE:
    case PG_MODEL_ORPHANS:
    case PG_MODEL_QUITTING:
        return;
    case PG_MODEL_STARTING:
    case PG_MODEL_RECOVERY:
    case PG_MODEL_PROMOTING:
    case PG_MODEL_WRITABLE:
    case PG_MODEL_SHUTTING:
        break;
    }
    if (mode == GUARD_STOP_FAST) {
        if (model->server != PG_MODEL_SHUTTING) {
            model->checkpoint_written = model->server != PG_MODEL_WRITABLE;
            model->server_due_ms = time_max(
                model->now_ms + span(model, model->weather->stop_ms),
                model->defect_ms[PG_MODEL_NO_STOP]);
            model->will_fail = model->server == PG_MODEL_STARTING;
            model->server = PG_MODEL_SHUTTING;
            model->sessions = false;
        }
        return;
    }
    model->server = PG_MODEL_QUITTING;
    model->server_due_ms = model->now_ms + (hangs ? QUIT_LIMIT_MS : span(model, 10));
}

static void become_writable(struct pg_model *model, uint32_t timeline)
{
    model->server = PG_MODEL_WRITABLE;
    model->server_due_ms = 0;
    model->was_recovery = false;
    model->standby_signal = false;
    model->sessions = true;
    model->conninfo = false;
    model->replayed = model->wal.count;
    drop_receiver(model);
    if (timeline != pg_model_timeline(model)) {
        model->known_timeline = timeline;
        (void)write_record(model, timeline); /* End of recovery. */
    }
    trace(
        model, "PostgreSQL is writable under epoch %llu, timeline %u, %llu records",
        (unsigned long long)model->guard.armed_epoch, timeline,
        (unsigned long long)model->wal.count);
    model->ops->writable(model->owner, model->guard.armed_epoch);
    model->poll_ms = model->now_ms;
}

/* All standbys that still answer have the shutdown checkpoint; known only to the world, so it
 * is the standbys that look, and this end waits a while. */
static void go_on_shutting(struct pg_model *model)
{
    if (!model->checkpoint_written) {
        (void)write_record(model, pg_model_timeline(model));
        model->checkpoint_written = true;
        model->server_due_ms = model->now_ms + 4 * (uint64_t)model->weather->stream_ms;
        return;
    }
    server_gone(model, !model->will_fail);
}

static void change_server(struct pg_model *model)
{
    model->server_due_ms = 0;
    switch (model->server) {
    case PG_MODEL_STARTING:
        if (model->will_fail) {
            trace(model, "PostgreSQL could not start");
            server_gone(model, false);
        } else if (model->writable_start) {
            become_writable(model, pg_model_timeline(model));
        } else {
            model->server = PG_MODEL_RECOVERY;
            model->was_recovery = true;
            model->poll_ms = model->now_ms;
        }
        return;
    case PG_MODEL_PROMOTING:
        if (model->will_fail) {
            trace(model, "PostgreSQL died while being promoted");
            server_gone(model, false);
        } else {
            become_writable(model, model->known_timeline + 1);
        }
        return;
    case PG_MODEL_SHUTTING:
        go_on_shutting(model);
        return;
    case PG_MODEL_QUITTING:
        server_gone(model, false);
        return;
    case PG_MODEL_GONE:
    case PG_MODEL_RECOVERY:
    case PG_MODEL_WRITABLE:
    case PG_MODEL_ORPHANS:
        return;
    }
    UNREACHABLE();
}

static void replay(struct pg_model *model)
{
    if (model->now_ms < model->replay_ms) {
        return;
    }
    model->replay_ms = model->now_ms + REPLAY_EVERY_MS;
    if (model->now_ms >= model->replay_stuck_ms) {
        model->replayed =
            time_min(model->wal.count, model->replayed + model->weather->replay_records);
    }
}

static bool is_replaying(const struct pg_model *model)
{
    return (model->server == PG_MODEL_RECOVERY || model->server == PG_MODEL_PROMOTING) &&
           model->replayed < model->wal.count;
}

/* --- Receiver --- */

/* Whether PostgreSQL would let `model` stream from there: by timelines and positions alone. */
static bool may_stream(const struct pg_model *model, const struct pg_model *from)
{
    const uint32_t timeline = pg_model_timeline(model);
    uint64_t end = 0;

    if (timeline == pg_model_timeline(from)) {
        return from->wal.count >= model->wal.count;
    }
    for (uint64_t i = from->wal.count; i > 0 && end == 0; i--) {
        if (from->wal.records[i - 1].timeline == timeline) {
            end = i;
        }
    }
    return end != 0 && model->wal.count <= end;
}

static bool sends(const struct pg_model *from)
{
    return from->server == PG_MODEL_RECOVERY || from->server == PG_MODEL_PROMOTING ||
           from->server == PG_MODEL_WRITABLE || from->server == PG_MODEL_SHUTTING;
}

static void take_batch(struct pg_model *model)
{
    model->batch_due_ms = 0;
    ASSERT(model->batch_from == model->wal.count);
    for (uint32_t i = 0; i < model->batch_count; i++) {
        wal_add(&model->wal, model->batch[i]);
    }
    model->known_timeline = model->known_timeline > model->batch_timeline ? model->known_timeline
                                                                          : model->batch_timeline;
    model->received_any = true;
    model->replay_ms = time_max(model->replay_ms, model->now_ms);
}

static void fetch_batch(struct pg_model *model, const struct pg_model *from)
{
    model->batch_from = model->wal.count;
    model->batch_count = 0;
    model->batch_timeline = from->known_timeline;
    while (model->batch_count < PG_MODEL_BATCH &&
           model->batch_from + model->batch_count < from->wal.count) {
        model->batch[model->batch_count] =
            from->wal.records[model->batch_from + model->batch_count];
        model->batch_count++;
    }
    model->batch_due_ms = model->now_ms + span(model, model->weather->stream_ms);
}

static void connect_receiver(struct pg_model *model, const struct pg_model *from)
{
    if (!may_stream(model, from)) {
        model->receiver_due_ms = model->now_ms + RECEIVER_RETRY_MS;
        return;
    }
    if (common_count(&model->wal, &from->wal) < model->wal.count) {
        model->ops->diverged(model->owner, model->upstream.node);
    }
    model->receiver = model->streaming = true;
    model->sender_start_id = from->start_id;
    model->receiver_heard_ms = model->now_ms;
    trace(model, "streams from %s", model->upstream.name);
}

static void receive(struct pg_model *model)
{
    const struct pg_model *from;

    if (model->batch_due_ms != 0 && model->now_ms >= model->batch_due_ms) {
        take_batch(model);
    }
    if (model->now_ms < model->receiver_due_ms) {
        return;
    }
    model->receiver_due_ms = model->now_ms + time_max(model->weather->stream_ms, 1);
    if (!model->conninfo) {
        return;
    }
    from = model->ops->reach(model->owner, model->upstream.node);
    if (from == NULL) {
        if (model->receiver && model->now_ms > model->receiver_heard_ms + RECEIVER_LOST_MS) {
            drop_receiver(model);
        }
        return;
    }
    if (model->receiver && from->start_id != model->sender_start_id) {
        drop_receiver(model); /* Another server answers there: the connection is gone. */
    }
    if (!sends(from) || model->now_ms < model->receiver_due_ms - model->weather->stream_ms) {
        return;
    }
    if (!model->receiver) {
        connect_receiver(model, from);
    }
    if (model->receiver) {
        model->receiver_heard_ms = model->now_ms;
        if (model->batch_due_ms == 0) {
            fetch_batch(model, from);
        }
    }
}

static bool may_receive(const struct pg_model *model)
{
    return model->server == PG_MODEL_RECOVERY && model->conninfo;
}

/* --- Actions --- */

static void end_action(
    struct pg_model *model, enum pg_result result, struct pg_position position, const char *text)
{
    struct pg_action_done *done;

    ASSERT(model->busy);
    ASSERT(model->done_count < ARRAY_SIZE(model->dones));
    done = &model->dones[model->done_count++];
    *done = (struct pg_action_done){
        .id = model->action.id,
        .kind = model->action.kind,
        .result = result,
        .position = position,
    };
    text_copy_cut(done->text, sizeof done->text, text);
    model->busy = false;
    model->facts.progress[0] = '\0';
    model->poll_ms = model->now_ms;
    if (model->server == PG_MODEL_GONE && model->data == PG_DATA_VALID &&
        model->facts.wal_end.lsn == 0) {
        model->measure_ms = model->now_ms + span(model, FILES_MS);
    }
    set_record(model);
    model->facts.conninfo_set = model->conninfo;
}

static void succeed(struct pg_model *model)
{
    end_action(model, PG_RESULT_OK, (struct pg_position){0}, "");
}

static void fail(struct pg_model *model, const char *text)
{
    end_action(model, PG_RESULT_FAILED, (struct pg_position){0}, text);
}

static void refuse(struct pg_model *model, enum guard_refusal refusal)
{
    char text[64];

    (void)snprintf(text, sizeof text, "the guard refused: %d", (int)refusal);
    end_action(model, PG_RESULT_REFUSED, (struct pg_position){0}, text);
}

static void next_step(struct pg_model *model, uint64_t after_ms)
{
    model->step++;
    model->step_ms = model->now_ms + time_max(after_ms, 1);
}

static void again(struct pg_model *model, uint64_t after_ms)
{
    model->step_ms = model->now_ms + time_max(after_ms, 1);
}

static uint64_t random_id(struct pg_model *model)
{
    return prng_next(&model->prng) | 1;
}

static void become_partial(struct pg_model *model)
{
    model->data = PG_DATA_PARTIAL;
    model->record = (struct pg_record){.partial = true};
    forget_end(&model->facts);
    set_record(model);
}

static void make_cluster(struct pg_model *model)
{
    model->data = PG_DATA_VALID;
    model->system_identifier = random_id(model);
    model->record = (struct pg_record){.data_dir_id = random_id(model)};
    model->known_timeline = 1;
    model->standby_signal = model->was_recovery = false;
    model->clean = true;
    (void)write_record(model, 1);
    model->checkpoint = model->wal.count;
}

static void step_initdb(struct pg_model *model)
{
    if (model->data != PG_DATA_EMPTY && model->data != PG_DATA_PARTIAL) {
        fail(model, "the data directory is not empty");
    } else if (model->step == 0) {
        become_partial(model);
        next_step(model, span(model, model->weather->start_ms));
    } else {
        make_cluster(model);
        succeed(model);
    }
}

/* Asks the guard for a start; false if the action has ended. */
static bool begin_start(struct pg_model *model, bool writable)
{
    struct deadline_event event = {.kind = DEADLINE_EVENT_START, .start_mode = GUARD_START_STANDBY};
    const uint64_t redo = model->wal.count - time_min(model->checkpoint, model->wal.count);
    enum guard_refusal refusal;

    if (model->data != PG_DATA_VALID || model->server != PG_MODEL_GONE) {
        fail(model, "cannot be started");
        return false;
    }
    model->conninfo = false;
    if (writable) {
        event.start_mode = GUARD_START_WRITABLE;
        event.epoch = model->action.epoch;
        event.deadline.fence_ms = model->action.fence_at_ms;
        event.deadline.end_ms = model->action.deadline_ms;
    }
    refusal = guard_feed(model, event);
    if (refusal != GUARD_REFUSAL_NONE) {
        refuse(model, refusal);
        return false;
    }
    model->standby_signal = !writable;
    model->clean = false;
    model->start_id++;
    model->server = PG_MODEL_STARTING;
    model->writable_start = writable;
    model->received_any = false;
    model->will_fail = goes_wrong(model, PG_MODEL_NO_START, model->weather->fail_start);
    model->replayed = model->was_recovery ? model->replayed : model->checkpoint;
    model->server_due_ms = model->now_ms + span(model, model->weather->start_ms);
    if (writable) {
        model->server_due_ms += redo / model->weather->replay_records * REPLAY_EVERY_MS;
        model->ops->armed(model->owner, model->action.epoch);
    }
    trace(
        model, "PostgreSQL is started %s, epoch %llu", writable ? "writable" : "as a standby",
        (unsigned long long)model->action.epoch);
    see_guard(model);
    return true;
}

static void step_start_standby(struct pg_model *model)
{
    if (model->step == 0) {
        if (model->server == PG_MODEL_RECOVERY) {
            succeed(model);
        } else if (begin_start(model, false)) {
            model->begun_ms = model->now_ms;
            next_step(model, POLL_START_MS);
        }
    } else if (model->server == PG_MODEL_GONE) {
        fail(model, "PostgreSQL ended while it was starting");
    } else if (
        (model->facts.run == PG_RUN_UP && model->facts.sql_ok) ||
        model->now_ms >= model->begun_ms + STANDBY_WAIT_MS) {
        succeed(model);
    } else {
        again(model, POLL_START_MS);
    }
}

/* The record first: a WAL with the marker beside a record without it would look too old. */
static void write_marker(struct pg_model *model)
{
    struct pg_facts *facts = &model->facts;

    if (model->server != PG_MODEL_WRITABLE) {
        fail(model, "could not write the marker");
        return;
    }
    if (model->record.marker_epoch != model->action.epoch || model->record.follow_epoch != 0) {
        model->record.marker_epoch = model->action.epoch;
        model->record.follow_epoch = 0;
        model->record.follow_timeline = 0;
        model->record.follow_lsn = 0;
        again(model, span(model, FILES_MS));
        return;
    }
    (void)write_record(model, pg_model_timeline(model));
    facts->in_recovery = false;
    facts->writable = facts->writable_start = true;
    facts->start_epoch = model->action.epoch;
    facts->position = position_of(model, model->wal.count);
    facts->marker_lsn = facts->position.lsn;
    end_action(model, PG_RESULT_OK, facts->position, "");
}

static bool arm(struct pg_model *model)
{
    const uint64_t before = model->guard.armed_epoch;
    const enum guard_refusal refusal = guard_feed(
        model, (struct deadline_event){
                   .kind = DEADLINE_EVENT_PROMOTED,
                   .epoch = model->action.epoch,
                   .deadline = {
                                .fence_ms = model->action.fence_at_ms,
                                .end_ms = model->action.deadline_ms,
                                }
    });

    if (refusal != GUARD_REFUSAL_NONE) {
        refuse(model, refusal);
        return false;
    }
    if (before != model->action.epoch) {
        model->ops->armed(model->owner, model->action.epoch);
    }
    return true;
}

/* A server that is writable already gets the guard's deadline and the marker of its new epoch. */
static bool adopt_writable(struct pg_model *model)
{
    if (model->server != PG_MODEL_WRITABLE) {
        return false;
    }
    if (arm(model)) {
        model->step = 9;
        again(model, 1);
    }
    return true;
}

static void step_start_primary(struct pg_model *model)
{
    if (model->step == 9) {
        write_marker(model);
    } else if (model->step == 0) {
        if (!adopt_writable(model) && begin_start(model, true)) {
            next_step(model, POLL_START_MS);
        }
    } else if (model->server == PG_MODEL_WRITABLE) {
        model->step = 9;
        again(model, 1);
    } else if (model->server == PG_MODEL_GONE || model->server == PG_MODEL_ORPHANS) {
        fail(model, "PostgreSQL ended while it was starting");
    } else {
        again(model, POLL_START_MS);
    }
}

static void step_promote(struct pg_model *model)
{
    if (model->step == 9) {
        write_marker(model);
        return;
    }
    if (model->step == 0) {
        if (adopt_writable(model)) {
            return;
        }
        model->conninfo = false;
        drop_receiver(model);
        model->begun_ms = model->now_ms;
        next_step(model, 1);
        return;
    }
    if (model->server == PG_MODEL_WRITABLE) {
        model->step = 9;
        again(model, 1);
        return;
    }
    if (model->server != PG_MODEL_RECOVERY && model->server != PG_MODEL_PROMOTING) {
        fail(model, "not a standby that could be promoted");
        return;
    }
    if (model->step == 1 && model->replayed < model->wal.count) {
        text_copy_cut(model->facts.progress, sizeof model->facts.progress, "replay");
        model->facts.progress_ms = model->now_ms;
        again(model, POLL_START_MS);
        return;
    }
    if (model->step == 1) {
        if (arm(model)) {
            model->server = PG_MODEL_PROMOTING;
            model->writable_start = true;
            model->will_fail = goes_wrong(model, PG_MODEL_NO_PROMOTE, model->weather->fail_promote);
            model->server_due_ms = model->now_ms + span(model, model->weather->promote_ms);
            next_step(model, 5);
        }
        return;
    }
    again(model, 5);
}

static void step_follow(struct pg_model *model)
{
    const struct pg_upstream *upstream = &model->action.upstream;

    if (model->server == PG_MODEL_GONE || model->server == PG_MODEL_ORPHANS) {
        fail(model, "PostgreSQL is not running");
        return;
    }
    if (model->server != PG_MODEL_RECOVERY && model->server != PG_MODEL_STARTING) {
        fail(model, "PostgreSQL is not a standby");
        return;
    }
    if (model->action.system_identifier != 0 &&
        model->action.system_identifier != model->system_identifier) {
        end_action(model, PG_RESULT_REFUSED, (struct pg_position){0}, "another cluster's");
        return;
    }
    model->record.follow_epoch = upstream->epoch;
    model->record.follow_timeline = upstream->timeline;
    model->record.follow_lsn = upstream->marker_lsn;
    model->upstream = *upstream;
    model->conninfo = true;
    drop_receiver(model);
    model->receiver_due_ms = model->now_ms + 1;
    succeed(model);
}

static void step_cut(struct pg_model *model)
{
    if (model->step == 0) {
        model->conninfo = false;
        model->receiver_stuck =
            model->receiver && prng_chance(&model->prng, model->weather->fail_cut);
        model->begun_ms = model->now_ms;
        next_step(model, span(model, FILES_MS));
        return;
    }
    if (model->receiver_stuck && model->now_ms < model->begun_ms + CUT_LIMIT_MS) {
        again(model, POLL_START_MS);
        return;
    }
    if (model->receiver_stuck) {
        model->receiver_stuck = false;
        fail(model, "a WAL receiver does not end");
        return;
    }
    if (model->batch_due_ms != 0) {
        take_batch(model); /* It had arrived. */
    }
    drop_receiver(model);
    if (model->server == PG_MODEL_RECOVERY && model->was_up) {
        model->facts.replay_idle = model->replayed == model->wal.count;
        model->facts.replayed_lsn = pg_model_lsn(model->replayed);
        if (model->received_any) {
            model->facts.received_lsn = pg_model_lsn(model->wal.count);
            model->facts.position = position_of(model, model->wal.count);
        }
    }
    model->facts.receiver_running = false;
    model->facts.receiver_state[0] = '\0';
    end_action(model, PG_RESULT_OK, model->facts.position, "");
}

static void step_prepare_stop(struct pg_model *model)
{
    if (model->step == 0) {
        next_step(model, prng_between(&model->prng, 0, model->weather->checkpoint_ms));
    } else if (model->server == PG_MODEL_WRITABLE) {
        succeed(model);
    } else {
        fail(model, "PostgreSQL is not running");
    }
}

static enum guard_stop_mode guard_mode(enum pg_stop stop)
{
    switch (stop) {
    case PG_STOP_FAST:
        return GUARD_STOP_FAST;
    case PG_STOP_IMMEDIATE:
        return GUARD_STOP_IMMEDIATE;
    case PG_STOP_KILL:
        return GUARD_STOP_KILL;
    }
    UNREACHABLE();
}

static void step_stop(struct pg_model *model)
{
    enum guard_refusal refusal;

    if (model->step == 2) {
        measure(model);
        end_action(
            model, PG_RESULT_OK,
            model->facts.wal_end.lsn != 0 ? model->facts.wal_end : model->facts.control_end, "");
        return;
    }
    if (model->server == PG_MODEL_GONE) {
        model->step = 1;
        next_step(model, span(model, FILES_MS));
        return;
    }
    if (model->step == 0) {
        model->stop_asked = true;
        refusal = guard_feed(
            model, (struct deadline_event){
                       .kind = DEADLINE_EVENT_STOP, .stop_mode = guard_mode(model->action.stop)});
        if (refusal != GUARD_REFUSAL_NONE && refusal != GUARD_REFUSAL_NOT_RUNNING &&
            refusal != GUARD_REFUSAL_ENDING) {
            refuse(model, refusal);
            return;
        }
        next_step(model, 10);
        return;
    }
    again(model, 10);
}

static void copy_from(struct pg_model *model, const struct pg_model *from)
{
    model->data = PG_DATA_VALID;
    model->system_identifier = from->system_identifier;
    wal_copy(&model->wal, &from->wal);
    model->replayed = model->checkpoint =
        time_min(from->checkpoint, time_min(from->replayed, from->wal.count));
    model->known_timeline = from->known_timeline;
    model->standby_signal = model->was_recovery = true;
    model->clean = false;
    model->record = from->record;
    model->record.data_dir_id = random_id(model);
    model->record.partial = false;
    forget_end(&model->facts);
}

/* A replica is good for a clone; pg_rewind needs a primary. */
static const struct pg_model *find_source(struct pg_model *model)
{
    const struct pg_model *from = model->ops->reach(model->owner, model->action.upstream.node);
    const bool may_recover = model->action.kind == PG_ACTION_CLONE;

    return from != NULL &&
                   (from->server == PG_MODEL_WRITABLE ||
                    (may_recover && from->server == PG_MODEL_RECOVERY)) &&
                   (model->action.system_identifier == 0 ||
                    from->system_identifier == model->action.system_identifier)
               ? from
               : NULL;
}

static void step_clone(struct pg_model *model)
{
    const struct pg_model *from = find_source(model);

    if (model->server != PG_MODEL_GONE || from == NULL) {
        fail(model, "cannot clone");
        return;
    }
    if (model->step == 0) {
        become_partial(model);
        model->wal.count = 0;
        next_step(model, span(model, model->weather->copy_ms));
    } else if (prng_chance(&model->prng, model->weather->fail_copy)) {
        fail(model, "clone failed");
    } else {
        copy_from(model, from);
        succeed(model);
    }
}

static void step_rewind(struct pg_model *model)
{
    const struct pg_model *from = find_source(model);

    if (model->server != PG_MODEL_GONE || from == NULL ||
        (model->step == 0 && model->data != PG_DATA_VALID)) {
        if (model->step > 0) {
            become_partial(model); /* Halfway through. */
        }
        fail(model, "cannot rewind");
        return;
    }
    if (model->step == 0) {
        model->record.partial = true;
        next_step(model, span(model, model->weather->copy_ms));
    } else if (prng_chance(&model->prng, model->weather->fail_copy)) {
        become_partial(model);
        fail(model, "rewind failed");
    } else if (pg_model_timeline(model) == pg_model_timeline(from)) {
        model->record.partial = false; /* pg_rewind sees nothing to do. */
        succeed(model);
    } else {
        copy_from(model, from);
        succeed(model);
    }
}

static void step_action(struct pg_model *model)
{
    if (model->guard_paused_ms != 0) {
        again(model, POLL_START_MS); /* Most of them ask the guard for something. */
        return;
    }
    switch (model->action.kind) {
    case PG_ACTION_INITDB:
        step_initdb(model);
        return;
    case PG_ACTION_START_STANDBY:
        step_start_standby(model);
        return;
    case PG_ACTION_START_PRIMARY:
        step_start_primary(model);
        return;
    case PG_ACTION_PROMOTE:
        step_promote(model);
        return;
    case PG_ACTION_FOLLOW:
        step_follow(model);
        return;
    case PG_ACTION_CUT:
        step_cut(model);
        return;
    case PG_ACTION_PREPARE_STOP:
        step_prepare_stop(model);
        return;
    case PG_ACTION_STOP:
        step_stop(model);
        return;
    case PG_ACTION_REWIND:
        step_rewind(model);
        return;
    case PG_ACTION_CLONE:
        step_clone(model);
        return;
    case PG_ACTION_RELOAD:
    case PG_ACTION_BOOTSTRAP_SQL:
        if (model->action.kind == PG_ACTION_BOOTSTRAP_SQL && model->server != PG_MODEL_WRITABLE) {
            fail(model, "PostgreSQL is not writable");
        } else {
            succeed(model);
        }
        return;
    case PG_ACTION_NONE:
        break;
    }
    UNREACHABLE();
}

static uint64_t first_delay(struct pg_model *model)
{
    return model->action.kind == PG_ACTION_BOOTSTRAP_SQL ? span(model, model->weather->start_ms)
                                                         : span(model, FILES_MS / 2);
}

void pg_model_start(struct pg_model *model, const struct pg_action *action, uint64_t now_ms)
{
    model->now_ms = now_ms;
    ASSERT(model->attached);
    if (model->busy) {
        ASSERT(action->kind == PG_ACTION_STOP || model->action.kind == PG_ACTION_PREPARE_STOP);
        end_action(model, PG_RESULT_CANCELLED, (struct pg_position){0}, "cancelled");
        if (model->record.partial) {
            become_partial(model); /* A copy that was broken off. */
        }
    }
    model->busy = true;
    model->action = *action;
    model->step = 0;
    model->step_ms = now_ms + first_delay(model);
}

/* --- From outside --- */

void pg_model_renew(
    struct pg_model *model, uint64_t epoch, uint64_t fence_at_ms, uint64_t deadline_ms,
    uint64_t now_ms)
{
    const struct deadline_event event = {
        .kind = DEADLINE_EVENT_RENEW,
        .epoch = epoch,
        .deadline = {.fence_ms = fence_at_ms, .end_ms = deadline_ms},
    };

    model->now_ms = now_ms;
    if (model->busy && model->action.epoch == epoch && model->action.deadline_ms != 0) {
        /* For a start or promotion that has yet to ask the guard. */
        model->action.fence_at_ms = fence_at_ms;
        model->action.deadline_ms = deadline_ms;
    }
    if (model->guard_paused_ms != 0) {
        model->guard_waiting = event;
    } else {
        (void)guard_feed(model, event);
    }
}

void pg_model_watch_closely(struct pg_model *model, bool closely)
{
    if (closely && !model->closely) {
        model->poll_ms = time_min(model->poll_ms, model->now_ms + 1);
    }
    model->closely = closely;
}

static void look(struct pg_model *model)
{
    struct pg_facts *facts = &model->facts;

    if (model->guard_paused_ms != 0) {
        model->look_ms = model->now_ms + FILES_MS; /* The server is its child: it is asked first. */
        return;
    }
    model->look_ms = 0;
    facts->guard_ok = true;
    set_record(model);
    facts->conninfo_set = model->conninfo;
    see_guard(model);
    if (model->server == PG_MODEL_GONE) {
        model->measure_ms = model->now_ms + span(model, FILES_MS);
    }
}

static bool is_due(uint64_t due_ms, uint64_t now_ms)
{
    return due_ms != 0 && now_ms >= due_ms;
}

static void tick_guard(struct pg_model *model)
{
    if (model->guard_paused_ms == 0) {
        if (model->now_ms >= model->guard_wake_ms) {
            (void)guard_feed(model, (struct deadline_event){.kind = DEADLINE_EVENT_TICK});
        }
    } else if (model->now_ms >= model->guard_timer_ms) {
        guard_dies(model, "its kernel timer");
    } else if (model->now_ms >= model->guard_paused_ms) {
        wake_guard(model);
    }
}

static void tick_server(struct pg_model *model)
{
    if (model->guard_up) {
        tick_guard(model);
    }
    if (is_due(model->kill_due_ms, model->now_ms)) {
        server_gone(model, false);
    }
    if (is_due(model->server_due_ms, model->now_ms)) {
        change_server(model);
    }
    if (is_replaying(model)) {
        replay(model);
    }
    if (may_receive(model)) {
        receive(model);
    }
}

static void tell(struct pg_model *model)
{
    if (memcmp(&model->facts, &model->facts_told, sizeof model->facts) != 0) {
        model->facts_told = model->facts;
        model->ops->facts(model->owner, &model->facts_told);
    }
    while (model->done_count > 0 && model->attached) {
        const struct pg_action_done done = model->dones[0];

        model->done_count--;
        memmove(&model->dones[0], &model->dones[1], model->done_count * sizeof model->dones[0]);
        model->ops->done(model->owner, &done);
    }
}

void pg_model_tick(struct pg_model *model, uint64_t now_ms)
{
    ASSERT(now_ms >= model->now_ms);
    model->now_ms = now_ms;
    tick_server(model);
    if (!model->attached) {
        return;
    }
    if (is_due(model->look_ms, now_ms)) {
        look(model);
    }
    see_guard(model);
    if (model->look_ms == 0) {
        poll(model);
    }
    if (is_due(model->measure_ms, now_ms)) {
        measure(model);
    }
    if (model->busy && now_ms >= model->step_ms) {
        step_action(model);
        see_guard(model);
    }
    tell(model);
}

static void sooner(uint64_t *wake_ms, uint64_t due_ms)
{
    if (due_ms != 0 && due_ms < *wake_ms) {
        *wake_ms = due_ms;
    }
}

void pg_model_tick_apart(struct pg_model *model, uint64_t now_ms)
{
    ASSERT(now_ms >= model->now_ms);
    model->now_ms = now_ms;
    tick_server(model);
}

uint64_t pg_model_wake_apart_ms(const struct pg_model *model)
{
    uint64_t wake_ms = model->guard_paused_ms == 0
                           ? model->guard_wake_ms
                           : time_min(model->guard_paused_ms, model->guard_timer_ms);

    sooner(&wake_ms, model->kill_due_ms);
    sooner(&wake_ms, model->server_due_ms);
    if (is_replaying(model)) {
        sooner(&wake_ms, time_max(model->replay_ms, 1));
    }
    if (may_receive(model)) {
        sooner(&wake_ms, time_max(model->receiver_due_ms, 1));
        sooner(&wake_ms, model->batch_due_ms);
    }
    return wake_ms;
}

uint64_t pg_model_wake_ms(const struct pg_model *model)
{
    uint64_t wake_ms = pg_model_wake_apart_ms(model);

    if (!model->attached) {
        return wake_ms;
    }
    if (model->done_count > 0) {
        return model->now_ms;
    }
    sooner(&wake_ms, model->look_ms);
    sooner(&wake_ms, model->measure_ms);
    if (model->look_ms == 0) {
        sooner(&wake_ms, time_max(model->poll_ms, 1));
    }
    if (model->busy) {
        sooner(&wake_ms, model->step_ms);
    }
    return wake_ms;
}

bool pg_model_can_acknowledge(const struct pg_model *model)
{
    return model->sessions;
}

bool pg_model_has_writable_process(const struct pg_model *model)
{
    return model->server != PG_MODEL_GONE && model->writable_start;
}

uint64_t pg_model_commit(struct pg_model *model)
{
    return model->sessions ? write_record(model, pg_model_timeline(model)) : 0;
}

void pg_model_init(
    struct pg_model *model, const struct pg_model_ops *ops, void *owner,
    const struct pg_model_weather *weather, uint64_t seed, uint64_t now_ms)
{
    memset(model, 0, sizeof *model);
    model->ops = ops;
    model->owner = owner;
    model->weather = weather;
    model->now_ms = now_ms;
    model->data = PG_DATA_EMPTY;
    prng_init(&model->prng, seed);
    begin_guard(model);
}

void pg_model_deinit(struct pg_model *model)
{
    free(model->wal.records);
    model->wal = (struct pg_model_wal){0};
}

void pg_model_attach(struct pg_model *model, uint64_t now_ms)
{
    ASSERT(!model->attached);
    model->now_ms = time_max(model->now_ms, now_ms);
    model->attached = true;
    memset(&model->facts, 0, sizeof model->facts);
    memset(&model->facts_told, 0, sizeof model->facts_told);
    model->seen_start_id = model->start_id;
    model->facts.start_id = model->start_id;
    model->busy = model->was_up = model->stop_asked = model->closely = false;
    model->done_count = 0;
    model->measure_ms = 0;
    model->poll_ms = now_ms;
    model->look_ms = now_ms + span(model, 2 * FILES_MS);
    if (model->record.partial) {
        become_partial(model);
    }
}

void pg_model_detach(struct pg_model *model)
{
    model->attached = false;
    model->busy = false;
    model->done_count = 0;
}

void pg_model_crash_node(struct pg_model *model, uint64_t now_ms)
{
    model->now_ms = time_max(model->now_ms, now_ms);
    model->guard_up = false;
    if (model->server != PG_MODEL_GONE) {
        server_gone(model, false);
    }
    begin_guard(model);
    model->sql_stuck_ms = model->replay_stuck_ms = 0;
}

void pg_model_crash_server(struct pg_model *model, uint64_t now_ms)
{
    model->now_ms = now_ms;
    if (model->server != PG_MODEL_GONE) {
        server_gone(model, false);
    }
}

void pg_model_kill_postmaster(struct pg_model *model, uint64_t now_ms)
{
    model->now_ms = now_ms;
    if (model->server == PG_MODEL_GONE || model->server == PG_MODEL_ORPHANS) {
        return;
    }
    model->server = PG_MODEL_ORPHANS;
    model->server_due_ms = 0;
    model->clean = false;
    drop_receiver(model);
    tell_guard_gone(model);
}

void pg_model_stick_sql(struct pg_model *model, uint64_t until_ms)
{
    model->sql_stuck_ms = until_ms;
}

void pg_model_stick_replay(struct pg_model *model, uint64_t until_ms)
{
    model->replay_stuck_ms = until_ms;
}

void pg_model_spoil(struct pg_model *model, enum pg_model_defect defect, uint64_t until_ms)
{
    model->defect_ms[defect] = until_ms;
}

void pg_model_pause_guard(struct pg_model *model, uint64_t until_ms)
{
    if (until_ms != 0 && model->guard_paused_ms == 0) {
        trace(model, "the guard is stopped");
        model->guard_paused_ms = until_ms;
    } else if (until_ms == 0 && model->guard_paused_ms != 0) {
        model->guard_paused_ms = 1; /* Long ago. */
    }
}

void pg_model_kill_guard(struct pg_model *model, uint64_t now_ms)
{
    model->now_ms = now_ms;
    guard_dies(model, "somebody");
}

void pg_model_wipe(struct pg_model *model)
{
    ASSERT(model->server == PG_MODEL_GONE);
    model->data = PG_DATA_EMPTY;
    model->system_identifier = 0;
    model->record = (struct pg_record){0};
    model->wal.count = model->checkpoint = model->replayed = 0;
    model->known_timeline = 0;
    model->conninfo = model->standby_signal = model->was_recovery = model->clean = false;
}

void pg_model_replace(struct pg_model *model)
{
    pg_model_wipe(model);
    make_cluster(model);
}

void pg_model_copy(struct pg_model *model, const struct pg_model *from)
{
    pg_model_wipe(model);
    copy_from(model, from);
}

const char *pg_model_server_name(enum pg_model_server server)
{
    static const char *const names[] = {
        [PG_MODEL_GONE] = "gone",         [PG_MODEL_STARTING] = "starting",
        [PG_MODEL_RECOVERY] = "recovery", [PG_MODEL_PROMOTING] = "promoting",
        [PG_MODEL_WRITABLE] = "writable", [PG_MODEL_SHUTTING] = "shutting down",
        [PG_MODEL_QUITTING] = "quitting", [PG_MODEL_ORPHANS] = "orphans",
    };

    ASSERT(server < ARRAY_SIZE(names));
    return names[server];
}
