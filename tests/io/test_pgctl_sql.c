/*
 * sql_uv.c and sql_pq.c against a real PostgreSQL, one server for all tests. It has few
 * connections, so that they can be used up.
 */
#include "pgctl/sql_uv.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/text.h"
#include "tests/lib/postgres.h"
#include "tests/lib/test.h"

#define DEADLINE_MS     10000
#define MAX_CONNECTIONS 6

/* What a query's callback was given, or "" for the first cell of no row. */
struct answer {
    enum sql_failure failure;
    char sqlstate[6];
    char text[256];
    char warning[160];
    char first_cell[64];
    uint32_t row_count;
    uint32_t column_count;
};

#define ANSWERS_MAX 16

/* A connection and all that it has told us. */
struct client {
    struct sql *sql;
    uint32_t connected;
    uint32_t failed;
    uint32_t closed;
    enum sql_failure failure;
    struct err err;
    uint32_t answer_count;
    struct answer answers[ANSWERS_MAX];
    void (*on_connected)(struct client *client); /* NULL: only counted. */
    void (*on_failed)(struct client *client);
    void (*on_answer)(struct client *client);
};

static struct postgres server;
static uv_loop_t loop;

/* --- Callbacks --- */

static void note_connected(void *owner)
{
    struct client *client = owner;

    client->connected++;
    uv_stop(&loop);
    if (client->on_connected != NULL) {
        client->on_connected(client);
    }
}

static void note_failed(void *owner, enum sql_failure failure, const struct err *err)
{
    struct client *client = owner;

    client->failed++;
    uv_stop(&loop);
    client->failure = failure;
    client->err = *err;
    if (client->on_failed != NULL) {
        client->on_failed(client);
    }
}

static void note_closed(void *owner)
{
    struct client *client = owner;

    client->closed++;
    uv_stop(&loop);
    client->sql = NULL;
}

static const struct sql_events events = {
    .connected = note_connected, .failed = note_failed, .closed = note_closed};

static void note_answer(void *owner, const struct sql_result *result)
{
    struct client *client = owner;
    struct answer *answer = &client->answers[client->answer_count];

    assert_true(client->answer_count < ANSWERS_MAX);
    client->answer_count++;
    uv_stop(&loop);
    answer->failure = result->failure;
    answer->row_count = result->row_count;
    answer->column_count = result->column_count;
    text_copy_cut(answer->sqlstate, sizeof answer->sqlstate, result->sqlstate);
    text_copy_cut(answer->text, sizeof answer->text, result->text);
    text_copy_cut(answer->warning, sizeof answer->warning, result->warning);
    if (result->row_count > 0) {
        const char *cell = sql_cell(result, 0, 0);

        text_copy_cut(
            answer->first_cell, sizeof answer->first_cell, cell != NULL ? cell : "(null)");
    }
    if (client->on_answer != NULL) {
        client->on_answer(client);
    }
}

/* --- Steps --- */

static void expire(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(&loop);
}

/* Runs the loop until the counter has come up to `want`. */
static void run_until(const uint32_t *counter, uint32_t want)
{
    bool expired = false;
    uv_timer_t timer;

    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &expired;
    assert_int_equal(uv_timer_start(&timer, expire, DEADLINE_MS, 0), 0);
    while (*counter < want && !expired) {
        (void)uv_run(&loop, UV_RUN_DEFAULT); /* Until a callback has something to tell. */
    }
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(*counter, want);
}

static void open_with(
    struct client *client, const struct sql_setting settings[], size_t count,
    uint32_t connect_timeout_ms)
{
    const struct sql_settings all = {
        .settings = settings,
        .setting_count = count,
        .connect_timeout_ms = connect_timeout_ms,
        .statement_timeout_ms = 5000};
    struct err err;

    test_ok(sql_open(&client->sql, &loop, &all, &events, client, &err), &err);
}

/* Begins a connection over TCP, with the right password. */
static void open_tcp(struct client *client, const char *host)
{
    const struct sql_setting settings[] = {
        {"host",     host            },
        {"port",     server.port_text},
        {"user",     "postgres"      },
        {"password", "secret"        },
        {"dbname",   "postgres"      },
    };

    open_with(client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
}

static void reconnect(struct client *client)
{
    sql_reconnect(client->sql);
}

/*
 * Opens a connection and waits until it is up. The sessions of the test before may still be
 * on their way out, and there are few.
 */
static void open_up(struct client *client)
{
    client->on_failed = reconnect;
    open_tcp(client, "127.0.0.1");
    run_until(&client->connected, 1);
    client->on_failed = NULL;
    client->failed = 0;
}

static void ask_for(struct client *client, const char *text, uint32_t timeout_ms)
{
    struct err err;

    test_ok(sql_query(client->sql, text, timeout_ms, note_answer, client, &err), &err);
}

static void ask(struct client *client, const char *text)
{
    ask_for(client, text, 0);
}

static const struct answer *ask_and_wait(struct client *client, const char *text)
{
    const uint32_t want = client->answer_count + 1;

    ask(client, text);
    run_until(&client->answer_count, want);
    return &client->answers[want - 1];
}

static void close_now(struct client *client)
{
    sql_close(client->sql);
    run_until(&client->closed, 1);
}

/* A query is sent from the loop, in its first turn; the second one is for good measure. */
static void run_until_sent(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* --- Queries --- */

static void test_a_query_is_answered(void **state)
{
    struct client client = {0};
    const struct answer *answer;

    (void)state;
    open_up(&client);
    assert_true(sql_is_up(client.sql));
    assert_in_range(sql_server_version(client.sql), 150000, 159999);
    answer = ask_and_wait(&client, "SELECT 'a', NULL UNION ALL SELECT 'b', 'c'");
    assert_int_equal(answer->failure, SQL_FAILURE_NONE);
    assert_string_equal(answer->first_cell, "a");
    assert_int_equal(answer->row_count, 2);
    assert_int_equal(answer->column_count, 2);
    assert_string_equal(answer->text, "");
    close_now(&client);
}

static void test_null_is_told_from_an_empty_text(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    assert_string_equal(ask_and_wait(&client, "SELECT NULL")->first_cell, "(null)");
    assert_string_equal(ask_and_wait(&client, "SELECT ''")->first_cell, "");
    assert_int_equal(client.answers[1].row_count, 1);
    close_now(&client);
}

static void test_queries_queued_before_the_connection_is_up_run_in_order(void **state)
{
    struct client client = {0};

    (void)state;
    open_tcp(&client, "127.0.0.1");
    for (uint32_t i = 0; i < SQL_QUEUE_MAX; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "SELECT %u", i);
        ask(&client, text);
    }
    run_until(&client.answer_count, SQL_QUEUE_MAX);
    for (uint32_t i = 0; i < SQL_QUEUE_MAX; i++) {
        assert_int_equal(strtol(client.answers[i].first_cell, NULL, 10), i);
    }
    close_now(&client);
}

static void test_the_queue_refuses_the_newest_when_it_is_full(void **state)
{
    struct client client = {0};
    struct err err;

    (void)state;
    open_tcp(&client, "127.0.0.1");
    for (uint32_t i = 0; i < SQL_QUEUE_MAX; i++) {
        ask(&client, "SELECT 1");
    }
    assert_int_equal(sql_query(client.sql, "SELECT 1", 0, note_answer, &client, &err), STATUS_FULL);
    run_until(&client.answer_count, SQL_QUEUE_MAX);
    assert_string_equal(ask_and_wait(&client, "SELECT 'again'")->first_cell, "again");
    close_now(&client);
}

static void test_an_error_of_a_statement_leaves_the_connection_up(void **state)
{
    struct client client = {0};
    const struct answer *answer;

    (void)state;
    open_up(&client);
    answer = ask_and_wait(&client, "SELECT 1/0");
    assert_int_equal(answer->failure, SQL_FAILURE_STATEMENT);
    assert_string_equal(answer->sqlstate, "22012");
    assert_string_equal(answer->text, "division by zero");
    assert_int_equal(answer->row_count, 0);
    assert_string_equal(ask_and_wait(&client, "SELECT 'up'")->first_cell, "up");
    assert_int_equal(client.failed, 0);
    close_now(&client);
}

static void test_of_several_statements_the_last_one_counts(void **state)
{
    struct client client = {0};
    const struct answer *answer;

    (void)state;
    open_up(&client);
    answer = ask_and_wait(&client, "SELECT 'first'; SET application_name = 'x'; SELECT 'last'");
    assert_string_equal(answer->first_cell, "last");
    assert_int_equal(ask_and_wait(&client, "SELECT 'rows'; RESET ALL")->row_count, 0);
    close_now(&client);
}

static void test_the_first_error_ends_a_text_of_several_statements(void **state)
{
    struct client client = {0};
    const struct answer *answer;

    (void)state;
    open_up(&client);
    answer = ask_and_wait(&client, "SELECT 'first'; SELECT 1/0; SELECT 'last'");
    assert_string_equal(answer->sqlstate, "22012");
    assert_int_equal(answer->row_count, 0);
    close_now(&client);
}

static void test_a_warning_is_handed_on_and_a_notice_is_not(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    (void)ask_and_wait(
        &client, "DO $$BEGIN RAISE NOTICE 'no'; RAISE WARNING 'one'; RAISE WARNING 'two'; END$$");
    assert_int_equal(client.answers[0].failure, SQL_FAILURE_NONE);
    assert_string_equal(client.answers[0].warning, "one");
    assert_string_equal(ask_and_wait(&client, "SELECT 1")->warning, "");
    close_now(&client);
}

static void test_a_large_query_and_a_large_answer_pass(void **state)
{
    const size_t size = 8U << 20;
    char *text = malloc(size);
    struct client client = {0};

    (void)state;
    assert_non_null(text);
    memset(text, ' ', size);
    memcpy(text, "SELECT repeat('x', 1000) FROM generate_series(1, 20000) --", 58);
    text[size - 1] = '\0';
    open_up(&client);
    assert_int_equal(ask_and_wait(&client, text)->row_count, 20000);
    free(text);
    close_now(&client);
}

static void test_copy_is_refused_and_ends_the_connection(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    ask(&client, "COPY (SELECT 1) TO STDOUT");
    run_until(&client.failed, 1);
    assert_int_equal(client.answer_count, 1);
    assert_int_equal(client.answers[0].failure, SQL_FAILURE_OTHER);
    assert_int_equal(client.failure, SQL_FAILURE_OTHER);
    close_now(&client);
}

/* --- Settings --- */

static void test_values_of_settings_are_not_interpreted(void **state)
{
    const struct sql_setting settings[] = {
        {"host",             server.dir                       },
        {"port",             server.port_text                 },
        {"user",             "postgres"                       },
        {"dbname",           "host=127.0.0.1 user='nobody' \\"},
        {"application_name", "it's \\ host=elsewhere"         },
    };
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    run_until(&client.failed, 1);
    /* It is the name of a database, which does not exist. */
    assert_int_equal(client.failure, SQL_FAILURE_OTHER);
    assert_non_null(strstr(client.err.text, "3D000"));
    close_now(&client);
}

static void test_an_application_name_may_hold_any_character(void **state)
{
    const struct sql_setting settings[] = {
        {"host",             server.dir              },
        {"port",             server.port_text        },
        {"user",             "postgres"              },
        {"application_name", "it's \\ host=elsewhere"},
    };
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    assert_string_equal(
        ask_and_wait(&client, "SHOW application_name")->first_cell, "it's \\ host=elsewhere");
    close_now(&client);
}

static void test_the_options_of_the_caller_are_kept_beside_ours(void **state)
{
    const struct sql_setting settings[] = {
        {"host",     server.dir         },
        {"port",     server.port_text   },
        {"user",     "postgres"         },
        {"password", NULL               },
        {"options",  "-c work_mem=123kB"},
    };
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    assert_string_equal(ask_and_wait(&client, "SHOW work_mem")->first_cell, "123kB");
    assert_string_equal(ask_and_wait(&client, "SHOW statement_timeout")->first_cell, "5s");
    close_now(&client);
}

static void test_settings_that_cannot_be_kept_are_refused(void **state)
{
    char long_text[1100];
    struct sql_setting many[SQL_SETTINGS_MAX];
    const struct {
        struct sql_setting setting;
        const char *want;
    } cases[] = {
        {{"host", "a,b"},        "one host is expected, not \"a,b\""         },
        {{"host", long_text},    "the host has more than 250 characters"     },
        {{"options", long_text}, "the options have more than 1000 characters"},
    };
    struct sql_settings settings = {.setting_count = 1, .connect_timeout_ms = 1};
    struct sql *sql = NULL;
    struct err err;

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        settings.settings = &cases[i].setting;
        assert_int_equal(sql_open(&sql, &loop, &settings, &events, NULL, &err), STATUS_INVALID);
        assert_string_equal(err.text, cases[i].want);
    }
    for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = (struct sql_setting){"user", "x"};
    }
    settings.settings = many;
    settings.setting_count = ARRAY_SIZE(many);
    assert_int_equal(sql_open(&sql, &loop, &settings, &events, NULL, &err), STATUS_INVALID);
    assert_null(sql);
}

static void test_a_key_libpq_does_not_know_fails_like_a_connection(void **state)
{
    const struct sql_setting settings[] = {
        {"no_such_key", "1"}
    };
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_OTHER);
    assert_non_null(strstr(client.err.text, "no_such_key"));
    close_now(&client);
}

static void test_literals_and_identifiers_are_quoted(void **state)
{
    static const struct {
        const char *string;
        const char *literal;
        const char *identifier;
    } cases[] = {
        {"",      "''",           "\"\""      },
        {"plain", "'plain'",      "\"plain\"" },
        {"it's",  "'it''s'",      "\"it's\""  },
        {"a\"b",  "'a\"b'",       "\"a\"\"b\""},
        {"a\\'b", " E'a\\\\''b'", "\"a\\'b\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char buffer[64];
        struct text text;

        text_init(&text, buffer, sizeof buffer);
        sql_add_literal(&text, cases[i].string);
        assert_string_equal(buffer, cases[i].literal);
        text_init(&text, buffer, sizeof buffer);
        sql_add_identifier(&text, cases[i].string);
        assert_string_equal(buffer, cases[i].identifier);
    }
}

static void test_the_server_reads_back_a_quoted_literal(void **state)
{
    static const char string[] = "it's \"\\' all''\\\\ one";
    char buffer[128];
    struct client client = {0};
    struct text text;

    (void)state;
    text_init(&text, buffer, sizeof buffer);
    text_add(&text, "SELECT");
    sql_add_literal(&text, string);
    open_up(&client);
    assert_string_equal(ask_and_wait(&client, buffer)->first_cell, string);
    close_now(&client);
}

/* --- Connections that do not come up --- */

static void fail_to_connect(
    const struct sql_setting settings[], size_t count, enum sql_failure want)
{
    struct client client = {0};

    open_with(&client, settings, count, DEADLINE_MS);
    ask(&client, "SELECT 1");
    run_until(&client.failed, 1);
    assert_string_equal(sql_failure_name(client.failure), sql_failure_name(want));
    /* What was queued has been told so, too. */
    assert_int_equal(client.answer_count, 1);
    assert_int_equal(client.answers[0].failure, want);
    assert_int_equal(client.connected, 0);
    assert_false(sql_is_up(client.sql));
    assert_int_equal(sql_server_version(client.sql), 0);
    close_now(&client);
}

static void test_a_closed_port_is_refused(void **state)
{
    char port[8];
    const struct sql_setting settings[] = {
        {"host", "127.0.0.1"},
        {"port", port       },
        {"user", "postgres" },
    };

    (void)state;
    (void)snprintf(port, sizeof port, "%u", postgres_free_port());
    fail_to_connect(settings, ARRAY_SIZE(settings), SQL_FAILURE_REFUSED);
}

static void test_a_missing_socket_is_refused(void **state)
{
    const struct sql_setting settings[] = {
        {"host", "/nonexistent"  },
        {"port", server.port_text},
        {"user", "postgres"      },
    };

    (void)state;
    fail_to_connect(settings, ARRAY_SIZE(settings), SQL_FAILURE_REFUSED);
}

static void test_a_wrong_password_is_a_matter_of_authentication(void **state)
{
    const struct sql_setting settings[] = {
        {"host",     "127.0.0.1"     },
        {"port",     server.port_text},
        {"user",     "postgres"      },
        {"password", "wrong"         },
    };

    (void)state;
    fail_to_connect(settings, ARRAY_SIZE(settings), SQL_FAILURE_AUTH);
}

static void test_a_missing_password_is_a_matter_of_authentication(void **state)
{
    const struct sql_setting settings[] = {
        {"host",     "127.0.0.1"     },
        {"port",     server.port_text},
        {"user",     "postgres"      },
        {"passfile", "/nonexistent"  },
    };

    (void)state;
    fail_to_connect(settings, ARRAY_SIZE(settings), SQL_FAILURE_AUTH);
}

/* A label of 64 characters: the resolver refuses it without asking anybody. */
static void test_a_name_that_cannot_be_looked_up_fails(void **state)
{
    const struct sql_setting settings[] = {
        {"host", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
        {"port", server.port_text                                                  },
        {"user", "postgres"                                                        },
    };

    (void)state;
    fail_to_connect(settings, ARRAY_SIZE(settings), SQL_FAILURE_OTHER);
}

static void test_a_name_is_looked_up(void **state)
{
    struct client client = {0};

    (void)state;
    /* It may have an IPv6 address as well, where nobody listens: then the next one is tried. */
    open_tcp(&client, "localhost");
    assert_string_equal(
        ask_and_wait(&client, "SELECT host(inet_server_addr())")->first_cell, "127.0.0.1");
    close_now(&client);
}

static int open_silent_listener(char port[8])
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    assert_int_not_equal(fd, -1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(port, 8, "%u", ntohs(address.sin_port));
    return fd;
}

static void test_a_server_that_says_nothing_is_given_up_at_the_deadline(void **state)
{
    char port[8];
    const struct sql_setting settings[] = {
        {"host", "127.0.0.1"},
        {"port", port       },
        {"user", "postgres" },
    };
    const int listener = open_silent_listener(port);
    const uint64_t started_ms = clock_boot_ms();
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), 100);
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_TIMEOUT);
    assert_in_range(clock_boot_ms() - started_ms, 99, 2000);
    close_now(&client);
    assert_int_equal(close(listener), 0);
}

static void test_a_server_with_every_connection_taken_says_so(void **state)
{
    struct client clients[MAX_CONNECTIONS] = {0};
    struct client extra = {0};

    (void)state;
    for (uint32_t i = 0; i < MAX_CONNECTIONS; i++) {
        open_up(&clients[i]);
    }
    open_tcp(&extra, "127.0.0.1");
    run_until(&extra.failed, 1);
    assert_int_equal(extra.failure, SQL_FAILURE_TOO_MANY);

    /* And takes us when another one has gone. */
    close_now(&clients[0]);
    extra.on_failed = reconnect;
    sql_reconnect(extra.sql);
    run_until(&extra.connected, 1);
    close_now(&extra);
    for (uint32_t i = 1; i < MAX_CONNECTIONS; i++) {
        close_now(&clients[i]);
    }
}

static void reconnect_until_starting(struct client *client)
{
    if (client->failure == SQL_FAILURE_STARTING) {
        client->answer_count = 1;
    } else {
        sql_reconnect(client->sql);
    }
}

static void test_a_server_that_is_not_ready_says_so(void **state)
{
    char signal_file[TEST_PATH_SIZE];
    struct postgres starting;
    struct client client = {.on_failed = reconnect_until_starting};
    int fd;

    (void)state;
    /* A standby that may not be read stays in this state. */
    postgres_create(&starting);
    test_path(signal_file, starting.data, "standby.signal");
    fd = open(signal_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_not_equal(fd, -1);
    assert_int_equal(close(fd), 0);
    postgres_configure(&starting, "hot_standby = off");
    postgres_start(&starting, false);
    {
        const struct sql_setting settings[] = {
            {"host", starting.dir      },
            {"port", starting.port_text},
            {"user", "postgres"        },
        };

        open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    }
    run_until(&client.answer_count, 1);
    close_now(&client);
    postgres_destroy(&starting);
}

/* --- Queries that do not end --- */

static void test_the_server_ends_a_query_past_its_statement_timeout(void **state)
{
    struct client client = {0};
    const struct answer *answer;

    (void)state;
    open_up(&client);
    (void)ask_and_wait(&client, "SET statement_timeout = 50");
    answer = ask_and_wait(&client, "SELECT pg_sleep(60)");
    assert_int_equal(answer->failure, SQL_FAILURE_TIMEOUT);
    assert_string_equal(answer->sqlstate, "57014");
    assert_int_equal(client.failed, 0);
    assert_int_equal(ask_and_wait(&client, "SELECT 1")->row_count, 1);
    close_now(&client);
}

static void test_a_query_past_our_deadline_ends_the_connection(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    ask_for(&client, "SELECT pg_sleep(60)", 50);
    ask(&client, "SELECT 'behind it'");
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_TIMEOUT);
    assert_int_equal(client.answer_count, 2);
    assert_int_equal(client.answers[0].failure, SQL_FAILURE_TIMEOUT);
    assert_int_equal(client.answers[1].failure, SQL_FAILURE_TIMEOUT);
    assert_int_equal(client.answers[1].row_count, 0);
    close_now(&client);
}

static void test_the_deadline_of_one_query_does_not_hit_the_next(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    ask_for(&client, "SELECT 1", 100);
    ask(&client, "SELECT pg_sleep(0.3)");
    run_until(&client.answer_count, 2);
    assert_int_equal(client.answers[1].failure, SQL_FAILURE_NONE);
    assert_int_equal(client.failed, 0);
    close_now(&client);
}

static void test_other_work_of_the_loop_goes_on_during_a_query(void **state)
{
    struct client slow = {0};
    struct client quick = {0};

    (void)state;
    open_up(&slow);
    open_up(&quick);
    ask(&slow, "SELECT pg_sleep(60)");
    (void)ask_and_wait(&quick, "SELECT 1");
    assert_int_equal(slow.answer_count, 0);
    close_now(&quick);
    close_now(&slow);
}

/* --- Servers that go away --- */

/* Another session does something to the one of `client`, whose pid is asked for first. */
static void terminate(struct client *client, const char *function)
{
    char command[96];

    (void)snprintf(
        command, sizeof command, "SELECT %s(%s)", function, client->answers[0].first_cell);
    postgres_sql(&server, command);
}

static void test_a_session_ended_in_the_middle_of_a_query_says_why(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    (void)ask_and_wait(&client, "SELECT pg_backend_pid()");
    ask(&client, "SELECT pg_sleep(60)");
    run_until_sent();
    terminate(&client, "pg_terminate_backend");
    run_until(&client.failed, 1);
    assert_int_equal(client.answer_count, 2);
    assert_int_equal(client.answers[1].failure, SQL_FAILURE_LOST);
    assert_string_equal(client.answers[1].sqlstate, "57P01");
    assert_int_equal(client.failure, SQL_FAILURE_LOST);
    assert_string_equal(client.err.text, "terminating connection due to administrator command");
    close_now(&client);
}

static void test_a_cancelled_query_leaves_the_connection_up(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    (void)ask_and_wait(&client, "SELECT pg_backend_pid()");
    ask(&client, "SELECT pg_sleep(60)");
    run_until_sent();
    terminate(&client, "pg_cancel_backend");
    run_until(&client.answer_count, 2);
    assert_int_equal(client.answers[1].failure, SQL_FAILURE_TIMEOUT);
    assert_int_equal(client.failed, 0);
    close_now(&client);
}

static void test_the_end_of_an_idle_session_is_noticed(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    (void)ask_and_wait(&client, "SELECT pg_backend_pid()");
    terminate(&client, "pg_terminate_backend");
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_LOST);
    assert_string_equal(client.err.text, "terminating connection due to administrator command");
    close_now(&client);
}

static void test_a_server_killed_in_the_middle_of_a_query_is_noticed(void **state)
{
    struct client client = {0};
    struct client bystander = {0};

    (void)state;
    open_up(&client);
    open_up(&bystander);
    (void)ask_and_wait(&client, "SELECT pg_backend_pid()");
    ask(&client, "SELECT pg_sleep(60)");
    ask(&client, "SELECT 'behind it'");
    run_until_sent();
    assert_int_equal(kill((pid_t)strtol(client.answers[0].first_cell, NULL, 10), SIGKILL), 0);
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_LOST);
    assert_int_equal(client.answer_count, 3);
    assert_int_equal(client.answers[1].failure, SQL_FAILURE_LOST);
    assert_string_equal(client.answers[1].sqlstate, "");
    assert_int_equal(client.answers[2].failure, SQL_FAILURE_LOST);

    /* The postmaster ends all other sessions, and is not ready until it has recovered. */
    run_until(&bystander.failed, 1);
    assert_int_equal(bystander.failure, SQL_FAILURE_LOST);
    close_now(&bystander);
    client.on_failed = reconnect;
    sql_reconnect(client.sql);
    run_until(&client.connected, 2);
    close_now(&client);
}

static void test_a_server_that_stops_ends_every_session_and_refuses_new_ones(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    postgres_stop(&server);
    run_until(&client.failed, 1);
    assert_int_equal(client.failure, SQL_FAILURE_LOST);
    sql_reconnect(client.sql);
    run_until(&client.failed, 2);
    assert_int_equal(client.failure, SQL_FAILURE_REFUSED);

    postgres_start(&server, true);
    sql_reconnect(client.sql);
    run_until(&client.connected, 2);
    assert_int_equal(ask_and_wait(&client, "SELECT 1")->row_count, 1);
    close_now(&client);
}

static void test_a_failed_connection_takes_no_query(void **state)
{
    struct client client = {0};
    struct err err;

    (void)state;
    open_tcp(&client, "/nonexistent");
    run_until(&client.failed, 1);
    assert_int_equal(
        sql_query(client.sql, "SELECT 1", 0, note_answer, &client, &err), STATUS_REFUSED);
    close_now(&client);
}

/* --- Closing --- */

static void close_client(struct client *client)
{
    sql_close(client->sql);
}

static void test_close_before_anything_has_happened(void **state)
{
    struct client client = {0};

    (void)state;
    open_tcp(&client, "127.0.0.1");
    ask(&client, "SELECT 1");
    close_now(&client);
    assert_int_equal(client.answer_count, 0);
}

static void test_close_during_a_lookup(void **state)
{
    struct client client = {0};

    (void)state;
    open_tcp(&client, "localhost");
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    close_now(&client);
    assert_int_equal(client.connected, 0);
    assert_int_equal(client.failed, 0);
}

static void test_close_during_a_connect(void **state)
{
    char port[8];
    const struct sql_setting settings[] = {
        {"host", "127.0.0.1"},
        {"port", port       },
        {"user", "postgres" },
    };
    const int listener = open_silent_listener(port);
    struct client client = {0};

    (void)state;
    open_with(&client, settings, ARRAY_SIZE(settings), DEADLINE_MS);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    close_now(&client);
    assert_int_equal(client.failed, 0);
    assert_int_equal(close(listener), 0);
}

static void test_close_during_a_query(void **state)
{
    struct client client = {0};

    (void)state;
    open_up(&client);
    ask(&client, "SELECT pg_sleep(60)");
    ask(&client, "SELECT 2");
    run_until_sent();
    close_now(&client);
    assert_int_equal(client.answer_count, 0);
}

static void test_close_from_the_callback_of_a_query(void **state)
{
    struct client client = {.on_answer = close_client};

    (void)state;
    open_up(&client);
    ask(&client, "SELECT 1");
    ask(&client, "SELECT 2");
    run_until(&client.closed, 1);
    assert_int_equal(client.answer_count, 1);
}

static void test_close_from_the_callback_of_a_connect(void **state)
{
    struct client client = {.on_connected = close_client};

    (void)state;
    open_up(&client);
    run_until(&client.closed, 1);
}

static void test_close_from_the_callback_of_a_failure(void **state)
{
    struct client client = {.on_failed = close_client};

    (void)state;
    open_tcp(&client, "/nonexistent");
    run_until(&client.closed, 1);
    assert_int_equal(client.failed, 1);
}

static void test_close_from_the_callback_of_a_query_that_failed_with_the_connection(void **state)
{
    struct client client = {.on_answer = close_client};

    (void)state;
    open_tcp(&client, "/nonexistent");
    ask(&client, "SELECT 1");
    ask(&client, "SELECT 2");
    run_until(&client.closed, 1);
    assert_int_equal(client.answer_count, 1);
    assert_int_equal(client.failed, 0);
}

static void ask_once_more(struct client *client)
{
    if (client->answer_count == 1) {
        ask(client, "SELECT 'from the callback'");
    }
}

static void test_a_query_may_be_asked_from_a_callback(void **state)
{
    struct client client = {.on_answer = ask_once_more};

    (void)state;
    open_up(&client);
    ask(&client, "SELECT 1");
    run_until(&client.answer_count, 2);
    assert_string_equal(client.answers[1].first_cell, "from the callback");
    close_now(&client);
}

/* --- The group --- */

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    postgres_create(&server);
    /* MAX_CONNECTIONS. */
    postgres_configure(&server, "max_connections = 6");
    postgres_configure(&server, "superuser_reserved_connections = 0");
    postgres_start(&server, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    postgres_destroy(&server);
    /* No handle is left behind: the loop would refuse to close. */
    assert_int_equal(uv_run(&loop, UV_RUN_NOWAIT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_query_is_answered),
        cmocka_unit_test(test_null_is_told_from_an_empty_text),
        cmocka_unit_test(test_queries_queued_before_the_connection_is_up_run_in_order),
        cmocka_unit_test(test_the_queue_refuses_the_newest_when_it_is_full),
        cmocka_unit_test(test_an_error_of_a_statement_leaves_the_connection_up),
        cmocka_unit_test(test_of_several_statements_the_last_one_counts),
        cmocka_unit_test(test_the_first_error_ends_a_text_of_several_statements),
        cmocka_unit_test(test_a_warning_is_handed_on_and_a_notice_is_not),
        cmocka_unit_test(test_a_large_query_and_a_large_answer_pass),
        cmocka_unit_test(test_copy_is_refused_and_ends_the_connection),
        cmocka_unit_test(test_values_of_settings_are_not_interpreted),
        cmocka_unit_test(test_an_application_name_may_hold_any_character),
        cmocka_unit_test(test_the_options_of_the_caller_are_kept_beside_ours),
        cmocka_unit_test(test_settings_that_cannot_be_kept_are_refused),
        cmocka_unit_test(test_a_key_libpq_does_not_know_fails_like_a_connection),
        cmocka_unit_test(test_literals_and_identifiers_are_quoted),
        cmocka_unit_test(test_the_server_reads_back_a_quoted_literal),
        cmocka_unit_test(test_a_closed_port_is_refused),
        cmocka_unit_test(test_a_missing_socket_is_refused),
        cmocka_unit_test(test_a_wrong_password_is_a_matter_of_authentication),
        cmocka_unit_test(test_a_missing_password_is_a_matter_of_authentication),
        cmocka_unit_test(test_a_name_that_cannot_be_looked_up_fails),
        cmocka_unit_test(test_a_name_is_looked_up),
        cmocka_unit_test(test_a_server_that_says_nothing_is_given_up_at_the_deadline),
        cmocka_unit_test(test_a_server_with_every_connection_taken_says_so),
        cmocka_unit_test(test_a_server_that_is_not_ready_says_so),
        cmocka_unit_test(test_the_server_ends_a_query_past_its_statement_timeout),
        cmocka_unit_test(test_a_query_past_our_deadline_ends_the_connection),
        cmocka_unit_test(test_the_deadline_of_one_query_does_not_hit_the_next),
        cmocka_unit_test(test_other_work_of_the_loop_goes_on_during_a_query),
        cmocka_unit_test(test_a_session_ended_in_the_middle_of_a_query_says_why),
        cmocka_unit_test(test_a_cancelled_query_leaves_the_connection_up),
        cmocka_unit_test(test_the_end_of_an_idle_session_is_noticed),
        cmocka_unit_test(test_a_server_killed_in_the_middle_of_a_query_is_noticed),
        cmocka_unit_test(test_a_server_that_stops_ends_every_session_and_refuses_new_ones),
        cmocka_unit_test(test_a_failed_connection_takes_no_query),
        cmocka_unit_test(test_close_before_anything_has_happened),
        cmocka_unit_test(test_close_during_a_lookup),
        cmocka_unit_test(test_close_during_a_connect),
        cmocka_unit_test(test_close_during_a_query),
        cmocka_unit_test(test_close_from_the_callback_of_a_query),
        cmocka_unit_test(test_close_from_the_callback_of_a_connect),
        cmocka_unit_test(test_close_from_the_callback_of_a_failure),
        cmocka_unit_test(test_close_from_the_callback_of_a_query_that_failed_with_the_connection),
        cmocka_unit_test(test_a_query_may_be_asked_from_a_callback),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
