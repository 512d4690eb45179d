#include "raft/driver.h"

#include <string.h>

#include "base/assert.h"

void driver_init(
    struct driver *driver, struct raft *raft, struct store *store, const struct driver_ops *ops,
    void *owner, struct driver_held *held)
{
    *driver = (struct driver){
        .raft = raft,
        .store = store,
        .ops = ops,
        .owner = owner,
        .held = held,
    };
}

/* --- Messages that wait for the disk --- */

static void drop_held(struct driver *driver, uint32_t count)
{
    ASSERT(count <= driver->held_count);
    driver->held_count -= count;
    memmove(driver->held, &driver->held[count], driver->held_count * sizeof *driver->held);
}

static void hold(struct driver *driver, const struct raft_message *message)
{
    struct driver_held *held;

    /* The copy must not borrow what the next step moves. */
    ASSERT(message->entry_count == 0);
    ASSERT(message->kind != RAFT_SNAPSHOT);
    if (driver->held_count == DRIVER_HELD_MAX) {
        drop_held(driver, 1);
    }
    held = &driver->held[driver->held_count++];
    held->number = driver->submitted_number;
    held->message = *message;
}

static void send_or_hold(struct driver *driver, const struct raft_update *update)
{
    for (uint32_t i = 0; i < update->message_count; i++) {
        const struct raft_message *message = &update->messages[i];

        if (message->after_persist && driver->done_number < driver->submitted_number) {
            hold(driver, message);
        } else {
            driver->ops->send(driver->owner, message);
        }
    }
}

static void release_held(struct driver *driver)
{
    uint32_t ready = 0;

    while (ready < driver->held_count && driver->held[ready].number <= driver->done_number) {
        driver->ops->send(driver->owner, &driver->held[ready].message);
        ready++;
    }
    drop_held(driver, ready);
}

/* --- The rest of an update, in the order of driver.h --- */

static void submit(struct driver *driver, const struct raft_update *update)
{
    const struct raft_persist *persist = &update->persist;

    if (persist->number == 0) {
        return;
    }
    ASSERT(persist->number == driver->submitted_number + 1);
    driver->submitted_number = persist->number;
    store_submit(driver->store, driver->raft, persist);
}

static void tell_log(struct driver *driver, const struct raft_update *update)
{
    const struct driver_ops *ops = driver->ops;
    const uint64_t durable_index = raft_durable_index(driver->raft);

    if (update->truncated_from != 0) {
        ops->truncated(driver->owner, update->truncated_from);
        if (driver->durable_index >= update->truncated_from) {
            driver->durable_index = update->truncated_from - 1;
        }
    }
    if (update->appended_from != 0) {
        for (uint64_t index = update->appended_from; index <= update->appended_to; index++) {
            const struct raft_entry entry = raft_entry_get(driver->raft, index);

            ops->appended(driver->owner, &entry);
        }
    }
    if (durable_index > driver->durable_index) {
        driver->durable_index = durable_index;
        ops->durable(driver->owner, durable_index);
    }
}

static void apply(struct driver *driver, const struct raft_update *update)
{
    if (update->apply_snapshot) {
        driver->ops->restore(driver->owner, raft_snapshot(driver->raft));
    }
    if (update->apply_from != 0) {
        for (uint64_t index = update->apply_from; index <= update->apply_to; index++) {
            const struct raft_entry entry = raft_entry_get(driver->raft, index);

            driver->ops->apply(driver->owner, &entry);
        }
    }
}

static void tell_reads(struct driver *driver, const struct raft_update *update)
{
    for (uint32_t i = 0; i < update->read_count; i++) {
        driver->ops->read_done(driver->owner, update->read_numbers[i], true);
    }
    for (uint32_t i = 0; i < update->read_failed_count; i++) {
        driver->ops->read_done(driver->owner, update->read_failed_numbers[i], false);
    }
}

void driver_feed(
    struct driver *driver, const struct raft_event *event, struct driver_result *result)
{
    struct raft_update update;

    ASSERT(!driver->busy); /* The update borrows the core's memory: no step inside a step. */
    driver->busy = true;
    raft_step(driver->raft, event, &update);
    if (result != NULL) {
        *result = (struct driver_result){
            .proposal = update.proposal,
            .index = update.proposed_index,
            .term = update.proposed_term,
        };
    }

    submit(driver, &update);
    send_or_hold(driver, &update);
    tell_log(driver, &update);
    apply(driver, &update);
    tell_reads(driver, &update);
    for (uint32_t i = 0; i < update.note_count; i++) {
        driver->ops->note(driver->owner, &update.notes[i]);
    }
    driver->wake_ms = update.wake_ms;
    driver->busy = false;
    if (update.lost_memory) {
        driver->held_count = 0; /* Nothing may leave any more in the old name. */
        driver->ops->lost_memory(driver->owner);
    }
}

void driver_persisted(struct driver *driver, uint64_t number, uint64_t now_ms)
{
    const struct raft_event event = {
        .kind = RAFT_EVENT_PERSISTED,
        .now_ms = now_ms,
        .persist_number = number,
    };

    ASSERT(!driver->busy);
    ASSERT(number > driver->done_number);
    ASSERT(number <= driver->submitted_number);
    driver->done_number = number;
    driver->busy = true;
    release_held(driver);
    driver->busy = false;
    driver_feed(driver, &event, NULL);
}
