/*
 * base/log_sys.c - the sink of a running process.
 *
 * The format is taken apart once, when it is set; a record is then put together
 * in a buffer on the stack and leaves with one write(), so that lines of several
 * processes with one standard error do not mix. Rotation is that of Python's
 * RotatingFileHandler: pgbaton.log.1 is the newest old file.
 *
 * What can fail while a record is written cannot be logged. A record that the
 * file did not take goes to standard error; a rotation that failed is tried again
 * with the next record, which meanwhile goes to the file there is.
 */
#include "base/log_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/name.h"
#include "base/text.h"

#define DEFAULT_FORMAT "%(asctime)s %(levelname)s: %(message)s"
#define DEFAULT_MODE   0644
#define FORMAT_SIZE    512
#define PARTS_MAX      32
#define LINE_SIZE      6144 /* A message of log.c, and room for what stands around it. */

enum part_kind {
    PART_LITERAL,
    PART_ASCTIME,
    PART_LEVELNAME,
    PART_MESSAGE,
    PART_NAME,
    PART_PROCESS,
};

struct part {
    enum part_kind kind;
    int width;           /* As printf() takes it after '*': negative aligns left. */
    const char *literal; /* Into log_state.format; NULL but for PART_LITERAL. */
    size_t length;
};

struct log_state {
    char format[FORMAT_SIZE];
    struct part parts[PARTS_MAX];
    size_t part_count;
    char path[PATH_MAX];
    int fd; /* -1: standard error. */
    mode_t mode;
    uint64_t size; /* bytes in the file now */
    uint64_t size_max;
    uint32_t file_num;
};

/* Behind the one sink of the process (log.c says why there is one); guarded by the lock. */
static struct log_state current = {.fd = -1};
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;

static enum status sys_err(struct err *err, const char *what, const char *path)
{
    return ERR(err, IO, "could not %s \"%s\": %s", what, path, strerror(errno));
}

static bool find_field(const char *name, size_t length, enum part_kind *kind)
{
    static const struct {
        const char *name;
        enum part_kind kind;
    } fields[] = {
        {"asctime",   PART_ASCTIME  },
        {"levelname", PART_LEVELNAME},
        {"message",   PART_MESSAGE  },
        {"name",      PART_NAME     },
        {"process",   PART_PROCESS  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0) {
            *kind = fields[i].kind;
            return true;
        }
    }
    return false;
}

static int read_width(const char **at)
{
    const bool left = **at == '-';
    int width = 0;

    *at += left;
    while (**at >= '0' && **at <= '9' && width < 100) {
        width = width * 10 + (**at - '0');
        (*at)++;
    }
    return left ? -width : width;
}

/* `at` points behind "%("; moves it behind the field. */
static enum status parse_field(const char **at, struct part *part, struct err *err)
{
    const char *name = *at;
    const char *end = strchr(name, ')');

    *part = (struct part){0};
    if (end == NULL || !find_field(name, (size_t)(end - name), &part->kind)) {
        return ERR(
            err, INVALID,
            "log format: no field at \"%%(%s\"; there are asctime, levelname, message, name "
            "and process",
            name);
    }
    *at = end + 1;
    part->width = read_width(at);
    if (**at != 's' && !(**at == 'd' && part->kind == PART_PROCESS)) {
        return ERR(err, INVALID, "log format: expected \"s\" at \"%s\"", *at);
    }
    (*at)++;
    return STATUS_OK;
}

static void parse_literal(const char **at, struct part *part)
{
    const size_t length = strcspn(*at, "%");

    *part = (struct part){.kind = PART_LITERAL, .literal = *at, .length = length};
    *at += length;
}

static enum status parse_format(struct log_state *state, const char *format, struct err *err)
{
    const char *at = state->format;

    if (!text_copy(state->format, sizeof state->format, format)) {
        return ERR(err, INVALID, "log format: longer than %d bytes", FORMAT_SIZE - 1);
    }
    while (*at != '\0') {
        struct part *part = &state->parts[state->part_count];

        if (state->part_count == PARTS_MAX) {
            return ERR(err, INVALID, "log format: more than %d parts", PARTS_MAX);
        }
        if (text_starts_with(at, "%(")) {
            at += 2;
            if (parse_field(&at, part, err) != STATUS_OK) {
                return err->status;
            }
        } else if (text_starts_with(at, "%%")) {
            *part = (struct part){.kind = PART_LITERAL, .literal = at, .length = 1};
            at += 2;
        } else if (*at == '%') {
            return ERR(err, INVALID, "log format: expected \"%%(\" or \"%%%%\" at \"%s\"", at);
        } else {
            parse_literal(&at, part);
        }
        state->part_count++;
    }
    return STATUS_OK;
}

/* "2024-05-06 07:08:09,123", in local time. */
static void add_time(struct text *text, int width)
{
    const uint64_t now_ms = clock_wall_ms();
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char date[32] = "?";
    char stamp[64];

    if (localtime_r(&seconds, &parts) != NULL) {
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &parts);
    }
    (void)snprintf(stamp, sizeof stamp, "%s,%03u", date, (unsigned int)(now_ms % 1000));
    text_addf(text, "%*s", width, stamp);
}

static void add_part(
    struct text *text, const struct part *part, enum log_level level, const char *message)
{
    switch (part->kind) {
    case PART_LITERAL:
        text_add_bytes(text, part->literal, part->length);
        return;
    case PART_ASCTIME:
        add_time(text, part->width);
        return;
    case PART_LEVELNAME:
        text_addf(text, "%*s", part->width, log_level_name(level));
        return;
    case PART_MESSAGE:
        text_addf(text, "%*s", part->width, message);
        return;
    case PART_NAME:
        text_addf(text, "%*s", part->width, PRODUCT_NAME);
        return;
    case PART_PROCESS:
        text_addf(text, "%*ld", part->width, (long)getpid());
        return;
    }
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t count = write(fd, data, size);

        if (count == -1 && errno != EINTR) {
            return false;
        }
        if (count > 0) {
            data += count;
            size -= (size_t)count;
        }
    }
    return true;
}

static enum status open_file(struct log_state *state, struct err *err)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    const int fd = open(state->path, flags, state->mode);
    struct stat info;

    if (fd == -1) {
        return sys_err(err, "open", state->path);
    }
    /* The mode of open() is narrowed by the umask; what the user has set is meant. */
    if (fstat(fd, &info) == -1 || fchmod(fd, state->mode) == -1) {
        (void)sys_err(err, "set the mode of", state->path);
        (void)close(fd);
        return err->status;
    }
    state->fd = fd;
    state->size = (uint64_t)info.st_size;
    return STATUS_OK;
}

/* "<path>" for 0, else "<path>.<number>". False if that is too long for a path. */
static bool numbered_path(const struct log_state *state, uint32_t number, struct text *path)
{
    text_add(path, state->path);
    if (number > 0) {
        text_addf(path, ".%" PRIu32, number);
    }
    return !text_overflowed(path);
}

static void rename_numbered(const struct log_state *state, uint32_t from, uint32_t to)
{
    char from_data[PATH_MAX];
    char to_data[PATH_MAX];
    struct text from_path;
    struct text to_path;

    text_init(&from_path, from_data, sizeof from_data);
    text_init(&to_path, to_data, sizeof to_data);
    if (numbered_path(state, from, &from_path) && numbered_path(state, to, &to_path)) {
        /* In the first rounds most of them do not exist yet. */
        (void)rename(from_data, to_data);
    }
}

static void rotate(struct log_state *state)
{
    const int old_fd = state->fd;
    struct err err;

    for (uint32_t number = state->file_num; number > 0; number--) {
        rename_numbered(state, number - 1, number);
    }
    if (open_file(state, &err) == STATUS_OK) {
        (void)close(old_fd);
    }
}

static void write_line(struct log_state *state, const char *line, size_t length)
{
    const bool rotates = state->size_max > 0 && state->file_num > 0;

    if (state->fd == -1) {
        (void)write_all(STDERR_FILENO, line, length);
        return;
    }
    if (rotates && state->size > 0 && state->size + length > state->size_max) {
        rotate(state);
    }
    if (write_all(state->fd, line, length)) {
        state->size += length;
    } else {
        (void)write_all(STDERR_FILENO, line, length);
    }
}

static void log_to_current(enum log_level level, const char *message)
{
    char line[LINE_SIZE];
    struct text text;

    /* One byte is kept back, so that a line that was cut ends in a line feed as well. */
    text_init(&text, line, sizeof line - 1);
    (void)pthread_mutex_lock(&current_lock);
    for (size_t i = 0; i < current.part_count; i++) {
        add_part(&text, &current.parts[i], level, message);
    }
    line[text.length] = '\n';
    write_line(&current, line, text.length + 1);
    (void)pthread_mutex_unlock(&current_lock);
}

/* The literals point into the state that is copied: they have to move with it. */
static void install(const struct log_state *next)
{
    int old_fd;

    (void)pthread_mutex_lock(&current_lock);
    old_fd = current.fd;
    current = *next;
    for (size_t i = 0; i < current.part_count; i++) {
        if (current.parts[i].kind == PART_LITERAL) {
            current.parts[i].literal = current.format + (next->parts[i].literal - next->format);
        }
    }
    (void)pthread_mutex_unlock(&current_lock);
    if (old_fd != -1) {
        (void)close(old_fd);
    }
}

enum status log_sys_open(const struct log_settings *settings, struct err *err)
{
    struct log_state next = {
        .fd = -1,
        .mode = settings->mode != 0 ? (mode_t)settings->mode : DEFAULT_MODE,
        .size_max = settings->file_size,
        .file_num = settings->file_num,
    };
    const char *format = settings->format != NULL ? settings->format : DEFAULT_FORMAT;
    struct text path;

    if (parse_format(&next, format, err) != STATUS_OK) {
        return err->status;
    }
    if (settings->dir != NULL) {
        text_init(&path, next.path, sizeof next.path);
        text_addf(&path, "%s/%s.log", settings->dir, PRODUCT_NAME);
        if (text_overflowed(&path)) {
            return ERR(err, INVALID, "log directory \"%s\": path too long", settings->dir);
        }
        if (open_file(&next, err) != STATUS_OK) {
            return err->status;
        }
    }
    install(&next);
    log_set_level(settings->level);
    log_set_sink(log_to_current);
    return STATUS_OK;
}
