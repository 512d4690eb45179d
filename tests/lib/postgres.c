#include "tests/lib/postgres.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/text.h"

#define PROGRAMS    "/usr/lib/postgresql/15/bin/"
#define DEADLINE_MS 30000

static const struct passwd *find_user(void)
{
    const struct passwd *user = getpwnam("postgres");

    assert_non_null(user);
    return user;
}

/* In the child: never returns. What it prints goes to the log. */
static void become(pid_t parent, const char *log, char *const argv[])
{
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

    if (fd == -1 || dup2(fd, STDOUT_FILENO) == -1 || dup2(fd, STDERR_FILENO) == -1) {
        _exit(125);
    }
    if (geteuid() == 0) {
        const struct passwd *user = getpwnam("postgres");

        if (user == NULL || setgroups(0, NULL) == -1 || setgid(user->pw_gid) == -1 ||
            setuid(user->pw_uid) == -1) {
            _exit(125);
        }
    }
    /* After setuid(), which clears it: the server must not outlive a test that crashed. */
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) == -1 || getppid() != parent) {
        _exit(125);
    }
    (void)execv(argv[0], argv);
    _exit(126);
}

static pid_t start_program(const char *log, char *const argv[])
{
    const pid_t self = getpid();
    const pid_t pid = fork();

    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        become(self, log, argv);
    }
    return pid;
}

static int run_program(const char *log, char *const argv[])
{
    const pid_t pid = start_program(log, argv);
    int result = 0;

    while (waitpid(pid, &result, 0) == -1) {
        assert_int_equal(errno, EINTR);
    }
    return WIFEXITED(result) ? WEXITSTATUS(result) : 128;
}

static void print_log(const char *log)
{
    FILE *file = fopen(log, "r");
    char line[512];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        print_error("%s", line);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static void run_or_fail(const struct postgres *postgres, char *const argv[])
{
    char log[TEST_PATH_SIZE];
    int result;

    test_path(log, postgres->dir, "log");
    result = run_program(log, argv);
    if (result != 0) {
        print_log(log);
        fail_msg("%s ended with %d", argv[0], result);
    }
}

uint16_t postgres_free_port(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    assert_int_not_equal(fd, -1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void make_folder(struct postgres *postgres)
{
    char log[TEST_PATH_SIZE];
    int fd;

    *postgres = (struct postgres){.port = postgres_free_port()};
    test_dir_make(postgres->dir);
    test_path(postgres->data, postgres->dir, "data");
    test_path(log, postgres->dir, "log");
    (void)snprintf(postgres->port_text, sizeof postgres->port_text, "%u", postgres->port);
    fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_not_equal(fd, -1);
    if (geteuid() == 0) {
        const struct passwd *user = find_user();

        assert_int_equal(chown(postgres->dir, user->pw_uid, user->pw_gid), 0);
        assert_int_equal(fchown(fd, user->pw_uid, user->pw_gid), 0);
    }
    (void)close(fd);
}

static void configure_all(const struct postgres *postgres)
{
    char line[TEST_PATH_SIZE + 64];

    (void)snprintf(line, sizeof line, "unix_socket_directories = '%s'", postgres->dir);
    postgres_configure(postgres, line);
    (void)snprintf(line, sizeof line, "port = %u", postgres->port);
    postgres_configure(postgres, line);
}

static void append_line(const char *path, const char *line)
{
    FILE *file = fopen(path, "a");

    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", line) > 0);
    assert_int_equal(fclose(file), 0);
}

void postgres_configure(const struct postgres *postgres, const char *line)
{
    char path[TEST_PATH_SIZE];

    test_path(path, postgres->data, "postgresql.conf");
    append_line(path, line);
}

static void write_password(const char *path)
{
    append_line(path, "secret");
    assert_int_equal(chmod(path, 0644), 0);
}

void postgres_create(struct postgres *postgres)
{
    char password[TEST_PATH_SIZE];
    char password_option[TEST_PATH_SIZE + 16];

    make_folder(postgres);
    test_path(password, postgres->dir, "password");
    write_password(password);
    (void)snprintf(password_option, sizeof password_option, "--pwfile=%s", password);
    {
        char *const argv[] = {
            (char[]){PROGRAMS "initdb"},
            (char[]){"--no-sync"},
            (char[]){"--username=postgres"},
            (char[]){"--auth-local=trust"},
            (char[]){"--auth-host=scram-sha-256"},
            (char[]){"--encoding=UTF8"},
            (char[]){"--locale=C"},
            password_option,
            (char[]){"-D"},
            postgres->data,
            NULL};

        run_or_fail(postgres, argv);
    }
    configure_all(postgres);
    postgres_configure(postgres, "listen_addresses = '127.0.0.1'");
    postgres_configure(postgres, "fsync = off");
    postgres_configure(postgres, "shared_buffers = 4MB");
    postgres_configure(postgres, "autovacuum = off");
}

void postgres_clone(struct postgres *standby, const struct postgres *primary)
{
    make_folder(standby);
    {
        char host[TEST_PATH_SIZE];
        char port[8];
        char *const argv[] = {
            (char[]){PROGRAMS "pg_basebackup"},
            (char[]){"--no-sync"},
            (char[]){"--checkpoint=fast"},
            (char[]){"--write-recovery-conf"},
            (char[]){"--username=postgres"},
            (char[]){"-h"},
            host,
            (char[]){"-p"},
            port,
            (char[]){"-D"},
            standby->data,
            NULL};

        text_copy_cut(host, sizeof host, primary->dir);
        text_copy_cut(port, sizeof port, primary->port_text);
        run_or_fail(standby, argv);
    }
    configure_all(standby);
}

static bool accepts(const struct postgres *postgres)
{
    char host[TEST_PATH_SIZE];
    char port[8];
    char *const argv[] = {(char[]){PROGRAMS "pg_isready"},
                          (char[]){"-q"},
                          (char[]){"-h"},
                          host,
                          (char[]){"-p"},
                          port,
                          NULL};

    text_copy_cut(host, sizeof host, postgres->dir);
    text_copy_cut(port, sizeof port, postgres->port_text);
    return run_program("/dev/null", argv) == 0;
}

static void wait_until_ready(const struct postgres *postgres)
{
    const uint64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;
    char log[TEST_PATH_SIZE];

    while (!accepts(postgres)) {
        int result = 0;

        if (clock_boot_ms() > deadline_ms || waitpid(postgres->pid, &result, WNOHANG) != 0) {
            test_path(log, postgres->dir, "log");
            print_log(log);
            fail_msg("the server did not come up");
        }
        (void)poll(NULL, 0, 10);
    }
}

void postgres_start(struct postgres *postgres, bool wait)
{
    char log[TEST_PATH_SIZE];
    char *const argv[] = {(char[]){PROGRAMS "postgres"}, (char[]){"-D"}, postgres->data, NULL};

    assert_int_equal(postgres->pid, 0);
    test_path(log, postgres->dir, "log");
    postgres->pid = start_program(log, argv);
    if (wait) {
        wait_until_ready(postgres);
    }
}

void postgres_sql(const struct postgres *postgres, const char *command)
{
    char host[TEST_PATH_SIZE];
    char port[8];
    char text[512];
    char *const argv[] = {
        (char[]){PROGRAMS "psql"},
        (char[]){"-X"},
        (char[]){"-q"},
        (char[]){"-vON_ERROR_STOP=1"},
        (char[]){"-U"},
        (char[]){"postgres"},
        (char[]){"-h"},
        host,
        (char[]){"-p"},
        port,
        (char[]){"-c"},
        text,
        (char[]){"postgres"},
        NULL};

    text_copy_cut(host, sizeof host, postgres->dir);
    text_copy_cut(port, sizeof port, postgres->port_text);
    assert_true(text_copy(text, sizeof text, command));
    run_or_fail(postgres, argv);
}

void postgres_signal(const struct postgres *postgres, int signal)
{
    assert_true(postgres->pid > 0);
    assert_int_equal(kill(postgres->pid, signal), 0);
}

void postgres_stop(struct postgres *postgres)
{
    int result = 0;

    if (postgres->pid == 0) {
        return;
    }
    /* A stopped server would not see the signal. */
    postgres_signal(postgres, SIGCONT);
    postgres_signal(postgres, SIGQUIT);
    while (waitpid(postgres->pid, &result, 0) == -1) {
        assert_int_equal(errno, EINTR);
    }
    postgres->pid = 0;
}

void postgres_destroy(struct postgres *postgres)
{
    postgres_stop(postgres);
    test_dir_remove(postgres->dir);
}
