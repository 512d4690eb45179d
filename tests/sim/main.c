/*
 * pgbaton-sim: whole clusters, simulated from a seed.
 *
 * Each run is a process of its own: a check or an ASSERT that fails ends that one, and it is
 * run again with a trace, byte for byte the same.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "tests/sim/world.h"

#define RUN_SECONDS 120 /* Of real time, for one seed: it hangs. */
#define SHOWN_MAX   5   /* Failures with their trace. */

struct options {
    uint64_t seed;
    uint64_t runs;
    uint32_t jobs;
    bool verbose;
    bool coverage;
    bool quiet;
    bool first; /* End with the first failure. */
};

static void run_seed(uint64_t seed)
{
    struct world *world = world_create(seed);

    world_run_faults(world);
    end_check(world);
    coverage->runs++;
    coverage->events += world->steps;
    coverage->virtual_us += world->now_us;
    coverage->acknowledged += world->acknowledged;
    coverage->lost += world->lost;
    net_clear(world);
}

/* An ASSERT of the code under test, or a loop that does not end. */
static void on_fatal_signal(int number)
{
    trace_dump();
    (void)printf("ended by signal %d\n", number);
    (void)fflush(stdout);
    _exit(1);
}

static pid_t start(uint64_t seed, enum trace_mode mode)
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    ASSERT(pid != -1);
    if (pid != 0) {
        return pid;
    }
    trace_open(mode);
    (void)alarm(RUN_SECONDS);
    if (mode == TRACE_OFF) {
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(1);
        }
    } else {
        (void)signal(SIGABRT, on_fatal_signal);
        (void)signal(SIGALRM, on_fatal_signal);
        (void)signal(SIGSEGV, on_fatal_signal);
    }
    run_seed(seed);
    (void)fflush(stdout);
    _exit(0);
}

static bool succeeded(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool run_alone(uint64_t seed, enum trace_mode mode)
{
    int status = 0;
    const pid_t pid = start(seed, mode);

    while (waitpid(pid, &status, 0) == -1) {
    }
    return succeeded(status);
}

/* Returns how many failed; `failures` gets the first of them, in order. */
static uint64_t run_all(const struct options *options, uint64_t *failures)
{
    uint64_t *running = calloc(options->jobs, sizeof *running);
    pid_t *pids = calloc(options->jobs, sizeof *pids);
    uint64_t next = 0;
    uint32_t active = 0;
    uint64_t failed = 0;

    ASSERT(running != NULL && pids != NULL);
    while (active > 0 || next < options->runs) {
        int status = 0;
        pid_t ended;

        for (uint32_t i = 0; i < options->jobs && next < options->runs; i++) {
            if (pids[i] == 0) {
                running[i] = options->seed + next++;
                pids[i] = start(running[i], TRACE_OFF);
                active++;
            }
        }
        ended = wait(&status);
        for (uint32_t i = 0; i < options->jobs; i++) {
            if (ended > 0 && pids[i] == ended) {
                pids[i] = 0;
                active--;
                if (!succeeded(status)) {
                    failures[failed++] = running[i];
                    next = options->first ? options->runs : next;
                }
            }
        }
    }
    free(running);
    free(pids);
    return failed;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return *left < *right ? -1 : *left > *right ? 1 : 0;
}

/* A seed says nothing without the tree that it failed in. */
static void print_revision(void)
{
    FILE *git = popen("git describe --always --dirty 2>/dev/null", "r");
    char line[100] = "";

    if (git == NULL) {
        return;
    }
    if (fgets(line, sizeof line, git) != NULL) {
        (void)printf("revision %s", line);
    }
    (void)pclose(git);
}

static void show_failures(const struct options *options, uint64_t *failures, uint64_t failed)
{
    qsort(failures, failed, sizeof *failures, by_number);
    if (failed > 0) {
        print_revision();
    }
    for (uint64_t i = 0; i < failed; i++) {
        (void)printf("FAILED: --seed=%" PRIu64 "\n", failures[i]);
        if (!options->quiet && i < SHOWN_MAX && run_alone(failures[i], TRACE_RING)) {
            (void)printf("... but not when it was run again: this is a bug of the simulator\n");
        }
    }
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"first",    no_argument,       NULL, 'f'},
        {"seed",     required_argument, NULL, 's'},
        {"runs",     required_argument, NULL, 'r'},
        {"jobs",     required_argument, NULL, 'j'},
        {"verbose",  no_argument,       NULL, 'v'},
        {"coverage", no_argument,       NULL, 'c'},
        {"quiet",    no_argument,       NULL, 'q'},
        {NULL,       0,                 NULL, 0  },
    };
    int option;

    *options = (struct options){.seed = 1, .runs = 1, .jobs = 2};
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            options->runs = strtoull(optarg, NULL, 10);
            break;
        case 'j':
            options->jobs = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            options->verbose = true;
            break;
        case 'c':
            options->coverage = true;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'f':
            options->first = true;
            break;
        default:
            (void)fprintf(
                stderr,
                "usage: %s --seed=N --runs=N [--jobs=N] [--verbose] [--coverage] [--quiet] "
                "[--first]\n",
                argv[0]);
            exit(2);
        }
    }
    if (options->jobs == 0) {
        options->jobs = 1;
    }
}

int main(int argc, char **argv)
{
    struct options options;
    uint64_t *failures;
    uint64_t failed;

    read_options(argc, argv, &options);
    coverage =
        mmap(NULL, sizeof *coverage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(coverage != MAP_FAILED);
    if (options.verbose) {
        const bool ok = run_alone(options.seed, TRACE_ALL);

        (void)printf("%d passed, %d failed\n", ok ? 1 : 0, ok ? 0 : 1);
        return ok ? 0 : 1;
    }
    failures = calloc(options.runs + 1, sizeof *failures);
    ASSERT(failures != NULL);
    (void)printf(
        "seeds %" PRIu64 " to %" PRIu64 "\n", options.seed, options.seed + options.runs - 1);
    failed = run_all(&options, failures);
    show_failures(&options, failures, failed);
    (void)printf(
        "%.1f hours of virtual time, %" PRIu64 " events, %" PRIu64 " commits acknowledged, %" PRIu64
        " lost\n",
        (double)coverage->virtual_us / 3.6e9, coverage->events, coverage->acknowledged,
        coverage->lost);
    if (options.coverage) {
        coverage_print_missing();
    }
    free(failures);
    (void)printf("%" PRIu64 " passed, %" PRIu64 " failed\n", options.runs - failed, failed);
    return failed == 0 ? 0 : 1;
}
