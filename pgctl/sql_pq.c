/*
 * Happy path: PQconnectStartParams, PQconnectPoll until it is satisfied; PQsendQuery, PQflush
 * until all is sent, PQconsumeInput until PQgetResult says NULL.
 *
 * What can fail, and how it is told apart: libpq gives no SQLSTATE for a connection that did
 * not come up, only a text in the server's language. Verbose errors carry the code in a fixed
 * place of it, so that is where it is read. A refused socket has only strerror()'s words.
 */
#include "pgctl/sql_pq.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

struct sql_pq {
    PGconn *conn;
    enum sql_pq_state state;
    enum sql_pq_wait wait;
    enum sql_failure failure;
    char failure_text[256];
    char last_words[256]; /* Of a server that ended an idle session; "" usually. */
    PGresult *rows;       /* What result.cells point into. */
    const char **cells;
    struct sql_result result;
};

const char *sql_failure_name(enum sql_failure failure)
{
    static const char *const names[] = {
#define X(code, text) [SQL_FAILURE_##code] = text,
        SQL_FAILURE_MAP(X)
#undef X
    };

    _Static_assert(ARRAY_SIZE(names) == SQL_FAILURE_COUNT, "every failure has a name");
    ASSERT(failure < SQL_FAILURE_COUNT);
    return names[failure];
}

static bool is_sqlstate(const char *text)
{
    return strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5;
}

/*
 * The code in "FATAL:  57P03: the database system is starting up", NULL if there is none. A
 * message about several addresses may hold several: the last one is about the server that
 * was tried last, and a server that answers says more than a socket that does not.
 */
static const char *find_sqlstate(const char *message)
{
    const char *found = NULL;

    for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 3, ":  ")) {
        if (is_sqlstate(at + 3) && at[8] == ':') {
            found = at + 3;
        }
    }
    return found;
}

static enum sql_failure failure_of_sqlstate(const char *sqlstate)
{
    if (strncmp(sqlstate, "57P03", 5) == 0) {
        return SQL_FAILURE_STARTING;
    }
    if (strncmp(sqlstate, "53300", 5) == 0) {
        return SQL_FAILURE_TOO_MANY;
    }
    if (strncmp(sqlstate, "57014", 5) == 0) {
        return SQL_FAILURE_TIMEOUT;
    }
    if (strncmp(sqlstate, "28", 2) == 0) {
        return SQL_FAILURE_AUTH;
    }
    /* 57P01, 57P02, 57P05: the server ends the session; 08: the connection itself. */
    if (strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "08", 2) == 0) {
        return SQL_FAILURE_LOST;
    }
    return SQL_FAILURE_STATEMENT;
}

static bool mentions(const char *message, int cause)
{
    return strstr(message, strerror(cause)) != NULL;
}

static enum sql_failure failure_of_connect(const PGconn *conn, const char *message)
{
    const char *sqlstate = find_sqlstate(message);

    if (sqlstate != NULL) {
        const enum sql_failure failure = failure_of_sqlstate(sqlstate);

        /* There was no statement yet: an unknown database, or a bad start-up option. */
        return failure == SQL_FAILURE_STATEMENT ? SQL_FAILURE_OTHER : failure;
    }
    if (PQconnectionNeedsPassword(conn)) {
        return SQL_FAILURE_AUTH;
    }
    if (mentions(message, ECONNREFUSED) || mentions(message, ENOENT)) {
        return SQL_FAILURE_REFUSED;
    }
    if (mentions(message, ETIMEDOUT)) {
        return SQL_FAILURE_TIMEOUT;
    }
    /* The server took the connection and then let go of it: it is going down, or died. */
    if (mentions(message, ECONNRESET) || mentions(message, EPIPE) ||
        strstr(message, "server closed the connection") != NULL) {
        return SQL_FAILURE_LOST;
    }
    return SQL_FAILURE_OTHER;
}

/* The first line, for a log line: what follows are hints and places in the server's source. */
static void copy_line(char *target, size_t size, const char *message)
{
    text_copy_cut(target, size, message);
    target[strcspn(target, "\n")] = '\0';
}

static void fail(struct sql_pq *pq, enum sql_failure failure, const char *message)
{
    if (pq->state == SQL_PQ_BUSY && pq->result.failure == SQL_FAILURE_NONE) {
        pq->result.failure = failure;
        copy_line(pq->result.text, sizeof pq->result.text, message);
    }
    pq->state = SQL_PQ_FAILED;
    pq->wait = SQL_PQ_WAIT_NOTHING;
    pq->failure = failure;
    copy_line(pq->failure_text, sizeof pq->failure_text, message);
}

/* A server that ends a session says why before it hangs up: that is the better text. */
static void fail_lost(struct sql_pq *pq)
{
    char text[sizeof pq->failure_text];

    if (pq->state == SQL_PQ_BUSY && pq->result.failure == SQL_FAILURE_LOST) {
        text_copy_cut(text, sizeof text, pq->result.text);
    } else if (pq->last_words[0] != '\0') {
        text_copy_cut(text, sizeof text, pq->last_words);
    } else {
        text_copy_cut(text, sizeof text, PQerrorMessage(pq->conn));
    }
    fail(pq, SQL_FAILURE_LOST, text);
}

/* Without it libpq prints notices to standard error. */
static void on_notice(void *owner, const PGresult *notice)
{
    struct sql_pq *pq = owner;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    if (severity == NULL || message == NULL) {
        return;
    }
    /* What ends a session that is idle is no answer to anything, so it comes this way. */
    if (text_equal(severity, "FATAL")) {
        copy_line(pq->last_words, sizeof pq->last_words, message);
    }
    if (!text_equal(severity, "WARNING") || pq->result.warning[0] != '\0') {
        return;
    }
    text_copy_cut(
        pq->result.warning_sqlstate, sizeof pq->result.warning_sqlstate,
        sqlstate != NULL ? sqlstate : "");
    copy_line(pq->result.warning, sizeof pq->result.warning, message);
}

struct sql_pq *sql_pq_create(const struct sql_setting settings[], size_t count)
{
    const char *keys[SQL_SETTINGS_MAX + 1];
    const char *values[SQL_SETTINGS_MAX + 1];
    struct sql_pq *pq = calloc(1, sizeof *pq);

    ASSERT(pq != NULL);
    ASSERT(count <= SQL_SETTINGS_MAX);
    for (size_t i = 0; i < count; i++) {
        keys[i] = settings[i].key;
        values[i] = settings[i].value;
    }
    keys[count] = NULL;
    values[count] = NULL;

    /* A value is a value: `dbname` is not expanded as a connection string. */
    pq->conn = PQconnectStartParams(keys, values, 0);
    ASSERT(pq->conn != NULL);
    if (PQstatus(pq->conn) == CONNECTION_BAD) {
        fail(pq, failure_of_connect(pq->conn, PQerrorMessage(pq->conn)), PQerrorMessage(pq->conn));
        return pq;
    }
    (void)PQsetErrorVerbosity(pq->conn, PQERRORS_VERBOSE);
    (void)PQsetNoticeReceiver(pq->conn, on_notice, pq);
    pq->state = SQL_PQ_CONNECTING;
    pq->wait = SQL_PQ_WAIT_WRITE; /* What libpq's manual says to wait for first. */
    return pq;
}

static void drop_result(struct sql_pq *pq)
{
    PQclear(pq->rows);
    pq->rows = NULL;
    free((void *)pq->cells);
    pq->cells = NULL;
    pq->result = (struct sql_result){.failure = SQL_FAILURE_NONE};
}

void sql_pq_destroy(struct sql_pq *pq)
{
    if (pq == NULL) {
        return;
    }
    drop_result(pq);
    PQfinish(pq->conn);
    free(pq);
}

static void step_connecting(struct sql_pq *pq)
{
    switch (PQconnectPoll(pq->conn)) {
    case PGRES_POLLING_READING:
        pq->wait = SQL_PQ_WAIT_READ;
        return;
    case PGRES_POLLING_WRITING:
    case PGRES_POLLING_ACTIVE: /* Never returned; still in the enum. */
        pq->wait = SQL_PQ_WAIT_WRITE;
        return;
    case PGRES_POLLING_FAILED:
        fail(pq, failure_of_connect(pq->conn, PQerrorMessage(pq->conn)), PQerrorMessage(pq->conn));
        return;
    case PGRES_POLLING_OK:
        if (PQsetnonblocking(pq->conn, 1) != 0) {
            fail_lost(pq);
            return;
        }
        pq->state = SQL_PQ_IDLE;
        pq->wait = SQL_PQ_WAIT_READ;
        return;
    }
    UNREACHABLE();
}

/* Nothing is asked, so all that can come are notices, parameters, and the end. */
static void step_idle(struct sql_pq *pq)
{
    if (PQconsumeInput(pq->conn) == 0) {
        fail_lost(pq);
        return;
    }
    (void)PQisBusy(pq->conn); /* Parses what came, so that it does not pile up. */
    for (PGnotify *notify = PQnotifies(pq->conn); notify != NULL; notify = PQnotifies(pq->conn)) {
        PQfreemem(notify);
    }
}

static void take_error(struct sql_pq *pq, const PGresult *error)
{
    const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);
    struct sql_result *result = &pq->result;

    /* An error without a code is libpq's own: the connection broke under the query. */
    result->failure = sqlstate != NULL ? failure_of_sqlstate(sqlstate) : SQL_FAILURE_LOST;
    text_copy_cut(result->sqlstate, sizeof result->sqlstate, sqlstate != NULL ? sqlstate : "");
    copy_line(
        result->text, sizeof result->text, message != NULL ? message : PQresultErrorMessage(error));
}

/* Keeps the rows of the last statement, but only while there is no error. */
static void take_rows(struct sql_pq *pq, PGresult *rows)
{
    PQclear(pq->rows);
    pq->rows = rows;
}

/* Takes ownership of `part`. False if the connection is of no use after it. */
static bool take_part(struct sql_pq *pq, PGresult *part)
{
    switch (PQresultStatus(part)) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        take_rows(pq, part);
        return true;
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
        if (pq->result.failure == SQL_FAILURE_NONE) {
            take_error(pq, part);
        }
        PQclear(part);
        return true;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
        /* libpq would hand out the same result for ever. */
        PQclear(part);
        fail(pq, SQL_FAILURE_OTHER, "COPY is not possible here");
        return false;
    case PGRES_NONFATAL_ERROR: /* Notices do not come this way; the rest is not asked for. */
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
        break;
    }
    UNREACHABLE();
}

static void index_cells(struct sql_pq *pq)
{
    struct sql_result *result = &pq->result;
    size_t next = 0;

    if (pq->rows == NULL || result->failure != SQL_FAILURE_NONE || PQntuples(pq->rows) == 0) {
        return;
    }
    result->row_count = (uint32_t)PQntuples(pq->rows);
    result->column_count = (uint32_t)PQnfields(pq->rows);
    pq->cells = calloc((size_t)result->row_count * result->column_count + 1, sizeof *pq->cells);
    ASSERT(pq->cells != NULL);
    for (int row = 0; row < PQntuples(pq->rows); row++) {
        for (int column = 0; column < PQnfields(pq->rows); column++) {
            pq->cells[next++] =
                PQgetisnull(pq->rows, row, column) != 0 ? NULL : PQgetvalue(pq->rows, row, column);
        }
    }
    result->cells = pq->cells;
}

static void finish_query(struct sql_pq *pq)
{
    if (PQstatus(pq->conn) == CONNECTION_BAD) {
        fail_lost(pq);
        return;
    }
    index_cells(pq);
    pq->state = SQL_PQ_DONE;
    pq->wait = SQL_PQ_WAIT_NOTHING;
}

/*
 * Input is taken in even while output waits: a server that cannot send does not receive.
 */
static void step_busy(struct sql_pq *pq)
{
    const int consumed = PQconsumeInput(pq->conn);
    const int flush = consumed != 0 ? PQflush(pq->conn) : -1;

    if (consumed == 0 && PQisBusy(pq->conn)) {
        fail_lost(pq);
        return;
    }
    while (!PQisBusy(pq->conn)) {
        PGresult *part = PQgetResult(pq->conn);

        if (part == NULL) {
            finish_query(pq);
            return;
        }
        if (!take_part(pq, part)) {
            return;
        }
    }
    if (flush == -1) {
        fail_lost(pq);
        return;
    }
    pq->wait = flush == 1 ? SQL_PQ_WAIT_BOTH : SQL_PQ_WAIT_READ;
}

enum sql_pq_state sql_pq_step(struct sql_pq *pq)
{
    switch (pq->state) {
    case SQL_PQ_CONNECTING:
        step_connecting(pq);
        break;
    case SQL_PQ_IDLE:
        step_idle(pq);
        break;
    case SQL_PQ_BUSY:
        step_busy(pq);
        break;
    case SQL_PQ_DONE:
    case SQL_PQ_FAILED:
        break;
    }
    return pq->state;
}

enum sql_pq_state sql_pq_state(const struct sql_pq *pq)
{
    return pq->state;
}

enum sql_pq_wait sql_pq_wait(const struct sql_pq *pq)
{
    return pq->wait;
}

int sql_pq_socket(const struct sql_pq *pq)
{
    return PQsocket(pq->conn);
}

void sql_pq_send(struct sql_pq *pq, const char *text)
{
    ASSERT(pq->state == SQL_PQ_IDLE);
    ASSERT(pq->rows == NULL);
    pq->result = (struct sql_result){.failure = SQL_FAILURE_NONE};
    pq->state = SQL_PQ_BUSY;
    if (PQsendQuery(pq->conn, text) == 0) {
        fail_lost(pq);
        return;
    }
    /* It may not be sent yet: step_busy() flushes as soon as the socket is writable. */
    pq->wait = SQL_PQ_WAIT_BOTH;
}

const struct sql_result *sql_pq_result(const struct sql_pq *pq)
{
    ASSERT(pq->state == SQL_PQ_DONE || pq->state == SQL_PQ_FAILED);
    return &pq->result;
}

void sql_pq_release(struct sql_pq *pq)
{
    ASSERT(pq->state == SQL_PQ_DONE);
    drop_result(pq);
    pq->state = SQL_PQ_IDLE;
    pq->wait = SQL_PQ_WAIT_READ;
}

enum sql_failure sql_pq_failure(const struct sql_pq *pq, struct err *err)
{
    static const enum status statuses[] = {
        [SQL_FAILURE_NONE] = STATUS_OK,          [SQL_FAILURE_REFUSED] = STATUS_REFUSED,
        [SQL_FAILURE_STARTING] = STATUS_REFUSED, [SQL_FAILURE_TOO_MANY] = STATUS_REFUSED,
        [SQL_FAILURE_AUTH] = STATUS_REFUSED,     [SQL_FAILURE_TIMEOUT] = STATUS_TIMEOUT,
        [SQL_FAILURE_LOST] = STATUS_IO,          [SQL_FAILURE_STATEMENT] = STATUS_INVALID,
        [SQL_FAILURE_OTHER] = STATUS_IO,
    };

    _Static_assert(ARRAY_SIZE(statuses) == SQL_FAILURE_COUNT, "every failure has a status");
    ASSERT(pq->state == SQL_PQ_FAILED);
    (void)err_set(err, statuses[pq->failure], __FILE__, __LINE__, "%s", pq->failure_text);
    return pq->failure;
}

uint32_t sql_pq_server_version(const struct sql_pq *pq)
{
    return (uint32_t)PQserverVersion(pq->conn);
}

static void add_quoted(struct text *text, const char *string, char quote)
{
    text_add_bytes(text, &quote, 1);
    for (const char *at = string; *at != '\0'; at++) {
        if (*at == quote || (*at == '\\' && quote == '\'')) {
            text_add_bytes(text, at, 1);
        }
        text_add_bytes(text, at, 1);
    }
    text_add_bytes(text, &quote, 1);
}

void sql_add_literal(struct text *text, const char *string)
{
    /* The E form means the same whatever standard_conforming_strings says. */
    if (strchr(string, '\\') != NULL) {
        text_add(text, " E");
    }
    add_quoted(text, string, '\'');
}

void sql_add_identifier(struct text *text, const char *string)
{
    add_quoted(text, string, '"');
}
