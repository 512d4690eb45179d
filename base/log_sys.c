/*
 * Two buffers: lines are put into one while the thread writes the other, and they change places
 * when it is done. The lock is held for as long as it takes to copy a line.
 */
#include "base/log_sys.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log_file_sys.h"
#include "base/log_format.h"
#include "base/log_line_json.h"
#include "base/text.h"
#include "base/thread_sys.h"

#define DEFAULT_MODE       0644
#define STATIC_FIELDS_SIZE 1024
/* A message, each byte of it escaped, and room for what stands around it. */
#define LINE_SIZE         (2 * LOG_MESSAGE_SIZE + STATIC_FIELDS_SIZE + 1024)
#define BUFFER_BYTES      65536
#define STACK_BYTES       65536
#define CRITICAL_FLUSH_MS 500

struct batch {
    size_t length;
    char lines[BUFFER_BYTES];
};

struct shape {
    struct log_format format;
    bool json;
    char static_fields[STATIC_FIELDS_SIZE];
};

/* Behind the one sink of the process: log.c says why there is one. Guarded by the lock. */
static struct {
    struct shape shape;
    struct batch batches[2];
    struct batch *filling;
    uint64_t lost;      /* Lines for which there was no room, since the start ... */
    uint64_t lost_told; /* ... and until it was logged last. */
    struct log_file next_file;
    bool has_next_file; /* To be used from the next batch on. */
    bool has_writer;
    bool is_writing;
} queue = {.filling = &queue.batches[0]};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;  /* There is something to write. */
static pthread_cond_t written = PTHREAD_COND_INITIALIZER; /* There is nothing left. */

/* "2024-05-06 07:08:09,123", in local time. */
static void print_time(char *target, size_t size)
{
    const uint64_t now_ms = clock_wall_ms();
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char date[32] = "?";

    if (localtime_r(&seconds, &parts) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &parts);
    }
    (void)snprintf(target, size, "%s,%03u", date, (unsigned int)(now_ms % 1000));
}

/* Into LINE_SIZE bytes, with its line feed; returns the length. */
static size_t print_line(char *line, enum log_level level, const char *message)
{
    char time[64];
    const struct log_record record = {
        .time = time,
        .level = log_level_name(level),
        .process = (long)getpid(),
        .message = message,
    };
    struct text text;

    print_time(time, sizeof time);
    /* One byte is kept back, so that a line that was cut ends in a line feed as well. */
    text_init(&text, line, LINE_SIZE - 1);
    if (queue.shape.json) {
        log_line_add_json(&queue.shape.format, &record, queue.shape.static_fields, &text);
    } else {
        log_format_add(&queue.shape.format, &record, &text);
    }
    line[text.length] = '\n';
    return text.length + 1;
}

static void log_to_queue(enum log_level level, const char *message)
{
    char line[LINE_SIZE];
    struct batch *batch;
    size_t length;

    (void)pthread_mutex_lock(&lock);
    length = print_line(line, level, message);
    batch = queue.filling;
    if (sizeof batch->lines - batch->length >= length) {
        memcpy(batch->lines + batch->length, line, length);
        batch->length += length;
    } else {
        queue.lost++;
    }
    (void)pthread_cond_signal(&wanted);
    (void)pthread_mutex_unlock(&lock);
    if (level == LOG_CRITICAL) {
        (void)log_sys_flush(CRITICAL_FLUSH_MS);
    }
}

/* Line by line: between two of them the file may be rotated. */
static void write_lines(struct log_file *file, const char *lines, size_t length)
{
    while (length > 0) {
        const char *end = memchr(lines, '\n', length);
        size_t count;

        ASSERT(end != NULL);
        count = (size_t)(end - lines) + 1;
        log_file_write(file, lines, count);
        lines += count;
        length -= count;
    }
}

/* Called with the lock held, which is let go for the time of writing. */
static void write_batch(struct log_file *file)
{
    struct batch *batch = queue.filling;
    char lost_line[LINE_SIZE];
    size_t lost_length = 0;

    if (queue.lost > queue.lost_told) {
        char message[64];

        (void)snprintf(
            message, sizeof message, "%" PRIu64 " lines of the log were lost here",
            queue.lost - queue.lost_told);
        lost_length = print_line(lost_line, LOG_WARNING, message);
        queue.lost_told = queue.lost;
    }
    queue.filling = batch == &queue.batches[0] ? &queue.batches[1] : &queue.batches[0];
    queue.is_writing = true;
    (void)pthread_mutex_unlock(&lock);
    write_lines(file, batch->lines, batch->length);
    write_lines(file, lost_line, lost_length);
    (void)pthread_mutex_lock(&lock);
    batch->length = 0;
    queue.is_writing = false;
}

static bool is_idle(void)
{
    return queue.filling->length == 0 && !queue.has_next_file && !queue.is_writing;
}

static void *run_writer(void *unused)
{
    struct log_file file = {.fd = -1};

    (void)unused;
    thread_set_name("log");
    (void)pthread_mutex_lock(&lock);
    for (;;) {
        while (is_idle()) {
            (void)pthread_cond_broadcast(&written);
            (void)pthread_cond_wait(&wanted, &lock);
        }
        if (queue.has_next_file) {
            log_file_close(&file);
            file = queue.next_file;
            queue.has_next_file = false;
        }
        write_batch(&file);
    }
    return NULL;
}

/* Signals are for the other threads; the loop of a daemon handles them. */
static enum status start_writer(struct err *err)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    int rc;

    (void)sigfillset(&all);
    rc = pthread_attr_init(&attributes);
    ASSERT(rc == 0);
    rc = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    ASSERT(rc == 0);
    rc = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ASSERT(rc == 0);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attributes, run_writer, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return rc == 0 ? STATUS_OK
                   : ERR(err, IO, "could not start the thread of the log: %s", strerror(rc));
}

/* What was logged before still has the old format, and may find itself in the new file. */
static enum status install(const struct shape *shape, const struct log_file *file, struct err *err)
{
    enum status status = STATUS_OK;

    (void)pthread_mutex_lock(&lock);
    if (!queue.has_writer) {
        status = start_writer(err);
        queue.has_writer = status == STATUS_OK;
    }
    if (status == STATUS_OK) {
        queue.shape = *shape;
        if (queue.has_next_file) {
            log_file_close(&queue.next_file); /* Never used: the log does not move. */
        }
        queue.next_file = *file;
        queue.has_next_file = true;
        (void)pthread_cond_signal(&wanted);
    }
    (void)pthread_mutex_unlock(&lock);
    return status;
}

enum status log_sys_open(const struct log_settings *settings, struct err *err)
{
    struct shape shape = {.json = settings->json};
    struct log_file file = {
        .mode = settings->mode != 0 ? (mode_t)settings->mode : DEFAULT_MODE,
        .size_max_bytes = settings->file_size,
        .rotated_max = settings->file_num,
    };
    const char *text = settings->format != NULL ? settings->format : LOG_FORMAT_DEFAULT;

    if (!text_copy(
            shape.static_fields, sizeof shape.static_fields,
            settings->static_fields != NULL ? settings->static_fields : "{}")) {
        return ERR(
            err, INVALID, "static fields of the log: longer than %d bytes as JSON",
            STATIC_FIELDS_SIZE - 1);
    }
    if (log_format_parse(&shape.format, text, err) != STATUS_OK) {
        err_add_context(err, "log format");
        return err->status;
    }
    if (log_file_open(&file, settings->dir, err) != STATUS_OK) {
        return err->status;
    }
    if (install(&shape, &file, err) != STATUS_OK) {
        log_file_close(&file);
        return err->status;
    }
    log_set_level(settings->level);
    log_set_sink(log_to_queue);
    return STATUS_OK;
}

bool log_sys_flush(uint64_t wait_ms)
{
    struct timespec deadline;
    bool idle;
    int rc = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(wait_ms / 1000);
    deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_nsec -= 1000000000;
        deadline.tv_sec++;
    }
    (void)pthread_mutex_lock(&lock);
    while (queue.has_writer && !is_idle() && rc == 0) {
        rc = pthread_cond_clockwait(&written, &lock, CLOCK_MONOTONIC, &deadline);
    }
    idle = is_idle();
    (void)pthread_mutex_unlock(&lock);
    return idle;
}

uint64_t log_sys_lost(void)
{
    uint64_t lost;

    (void)pthread_mutex_lock(&lock);
    lost = queue.lost;
    (void)pthread_mutex_unlock(&lock);
    return lost;
}
