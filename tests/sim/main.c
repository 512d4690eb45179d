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
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "tests/sim/world.h"

#define RUN_SECONDS   120 /* Of real time, for one seed: it hangs. */
#define SHOWN_MAX     5   /* Failures with their trace. */
#define PROGRESS_SECS 60

struct options {
    uint64_t seed;
    uint64_t seeds;
    uint32_t jobs;
    bool verbose;
    bool coverage;
    bool quiet;
    bool first; /* End with the first failure. */
};

/* No further seeds: what has been found so far is told. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

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
    (void)signal(SIGINT, SIG_IGN); /* Of the terminal: each seed that was begun is ended. */
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

/* Seeds that run at once have a place each; what they reached is counted apart. */
struct job {
    pid_t pid; /* 0: free. */
    uint64_t seed;
    struct coverage *coverage;
};

struct campaign {
    const struct options *options;
    double begun; /* Seconds. */
    double told;
    uint64_t next;
    uint64_t ended;
    uint64_t failed;
    uint64_t *failures; /* In order of their end. */
    struct job *jobs;
};

static double now_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void tell_progress(struct campaign *campaign)
{
    const double now = now_seconds();

    if (now - campaign->told < PROGRESS_SECS) {
        return;
    }
    campaign->told = now;
    (void)printf(
        "%" PRIu64 " of %" PRIu64 " seeds, %.1f a second, %" PRIu64 " failed\n", campaign->ended,
        campaign->options->seeds, (double)campaign->ended / (now - campaign->begun),
        campaign->failed);
}

static bool start_next(struct campaign *campaign, struct job *job)
{
    if (campaign->next == campaign->options->seeds || interrupted) {
        return false;
    }
    job->seed = campaign->options->seed + campaign->next++;
    coverage = job->coverage;
    job->pid = start(job->seed, TRACE_OFF);
    return true;
}

static void end_one(struct campaign *campaign, struct job *job, int status)
{
    job->pid = 0;
    campaign->ended++;
    if (!succeeded(status)) {
        (void)printf("seed %" PRIu64 " fails\n", job->seed);
        campaign->failures[campaign->failed++] = job->seed;
        campaign->next = campaign->options->first ? campaign->options->seeds : campaign->next;
    }
}

static void run_all(struct campaign *campaign)
{
    uint32_t active = 0;
    int status = 0;
    pid_t pid;

    for (uint32_t i = 0; i < campaign->options->jobs; i++) {
        active += start_next(campaign, &campaign->jobs[i]) ? 1 : 0;
    }
    while (active > 0) {
        pid = wait(&status);
        for (uint32_t i = 0; i < campaign->options->jobs; i++) {
            struct job *job = &campaign->jobs[i];

            if (pid > 0 && job->pid == pid) {
                end_one(campaign, job, status);
                active -= start_next(campaign, job) ? 0 : 1;
                tell_progress(campaign);
            }
        }
    }
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

static void show_failures(struct campaign *campaign)
{
    qsort(campaign->failures, campaign->failed, sizeof *campaign->failures, by_number);
    if (campaign->failed > 0) {
        print_revision();
    }
    for (uint64_t i = 0; i < campaign->failed; i++) {
        const uint64_t seed = campaign->failures[i];

        (void)printf("FAILED: --seed=%" PRIu64 "\n", seed);
        if (!campaign->options->quiet && i < SHOWN_MAX && run_alone(seed, TRACE_RING)) {
            (void)printf("... but not when it was run again: this is a bug of the simulator\n");
        }
    }
}

static void show_figures(const struct campaign *campaign)
{
    const double wall = now_seconds() - campaign->begun;
    const double simulated = (double)coverage->virtual_us / 1e6;
    uint64_t faults = 0;

    for (int i = 0; i < SIM_FAULTS; i++) {
        faults += coverage->faults[i];
    }
    (void)printf(
        "%" PRIu64 " seeds in %.0f s, %.1f a second; %.1f hours simulated, %.0f times real time\n",
        campaign->ended, wall, (double)campaign->ended / wall, simulated / 3600, simulated / wall);
    (void)printf(
        "%" PRIu64 " events, %" PRIu64 " faults, %" PRIu64 " commits acknowledged, %" PRIu64
        " lost as far as is allowed\n",
        coverage->events, faults, coverage->acknowledged, coverage->lost);
}

/* Coverage that the processes to come share with this one. */
static struct coverage *make_coverages(size_t count)
{
    struct coverage *made =
        mmap(NULL, count * sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ASSERT(made != MAP_FAILED);
    return made;
}

/* The last line, for who counts. */
static bool tell_totals(uint64_t seeds, uint64_t failed)
{
    (void)printf("%" PRIu64 " passed, %" PRIu64 " failed\n", seeds - failed, failed);
    return failed == 0;
}

static bool run_campaign(const struct options *options)
{
    struct coverage *coverages = make_coverages(options->jobs);
    struct coverage sum = {0};
    struct campaign campaign = {
        .options = options,
        .begun = now_seconds(),
        .failures = calloc(options->seeds + 1, sizeof *campaign.failures),
        .jobs = calloc(options->jobs, sizeof *campaign.jobs),
    };

    ASSERT(campaign.failures != NULL && campaign.jobs != NULL);
    (void)signal(SIGINT, on_interrupt);
    (void)signal(SIGTERM, on_interrupt);
    campaign.told = campaign.begun;
    for (uint32_t i = 0; i < options->jobs; i++) {
        campaign.jobs[i].coverage = &coverages[i];
    }
    run_all(&campaign);
    for (uint32_t i = 0; i < options->jobs; i++) {
        coverage_add(&sum, &coverages[i]);
    }
    show_failures(&campaign);
    coverage = &sum;
    show_figures(&campaign);
    if (options->coverage) {
        coverage_report();
    }
    free(campaign.failures);
    free(campaign.jobs);
    return tell_totals(campaign.ended, campaign.failed);
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"first",    no_argument,       NULL, 'f'},
        {"seed",     required_argument, NULL, 's'},
        {"seeds",    required_argument, NULL, 'n'},
        {"jobs",     required_argument, NULL, 'j'},
        {"verbose",  no_argument,       NULL, 'v'},
        {"coverage", no_argument,       NULL, 'c'},
        {"quiet",    no_argument,       NULL, 'q'},
        {NULL,       0,                 NULL, 0  },
    };
    int option;

    *options = (struct options){.seed = 1, .seeds = 1, .jobs = 2};
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            options->seeds = strtoull(optarg, NULL, 10);
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
                "usage: %s --seed=N --seeds=N [--jobs=N] [--verbose] [--coverage] [--quiet] "
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
    bool ok;

    read_options(argc, argv, &options);
    if (options.verbose) {
        coverage = make_coverages(1);
        ok = tell_totals(1, run_alone(options.seed, TRACE_ALL) ? 0 : 1);
    } else {
        (void)printf(
            "seeds %" PRIu64 " to %" PRIu64 "\n", options.seed, options.seed + options.seeds - 1);
        ok = run_campaign(&options);
    }
    return ok ? 0 : 1;
}
