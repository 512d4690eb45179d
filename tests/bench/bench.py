"""Measures a cluster; see docs/measurements.md for what, and `--help`.

Everything goes to build/bench/results.json as it is found, what the nodes logged during each run
to build/bench/logs; a whole run also writes docs/measurements.md. A scenario that fails is part
of the result.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
# Before anything reads the clock or starts a server: breakdown.py compares their log lines.
os.environ["TZ"] = "UTC"
time.tzset()

import figures  # noqa: E402
import floor  # noqa: E402
import lab  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402
import systems  # noqa: E402

OUT = lab.ROOT / "build/bench"
PAGE = lab.ROOT / "docs/measurements.md"
IDLE_SECONDS = 60
PATRONI_IDLE_SECONDS = 30
# Seconds for the scenarios of one system; what does not fit is left out.
BUDGET_PER_RUN = 110
PATRONI_BUDGET = 200


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each scenario (default 5)")
    parser.add_argument("--with-patroni", action="store_true",
                        help="the same for Patroni and etcd, which are installed for it")
    parser.add_argument("--patroni-runs", type=int, default=2, help="(default 2)")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", default=[],
                        choices=[s.name for s in scenarios.SCENARIOS],
                        help="only these, without floor and figures; the page stays as it is")
    parser.add_argument("--systems", nargs="+", choices=list(systems.SYSTEMS), default=None)
    parser.add_argument("--budget", type=int, help="seconds for our scenarios (default "
                        f"{BUDGET_PER_RUN} for each run)")
    parser.add_argument("--patroni-budget", type=int, default=PATRONI_BUDGET,
                        help="seconds for the scenarios of each setting of Patroni")
    parser.add_argument("--report", action="store_true",
                        help="only write the page anew, from build/bench/results.json")
    return parser.parse_args()


def save(results):
    OUT.mkdir(parents=True, exist_ok=True)
    new = OUT / "results.json.new"
    new.write_text(json.dumps(results, indent=1))
    new.replace(OUT / "results.json")


def guarded(results, name, measure):
    """A figure, or the reason why there is none."""
    print(f"  {name}", flush=True)
    try:
        results[name] = measure()
    except Exception as error:
        results[name] = {"error": f"{type(error).__name__}: {error}"}
        print(f"  {name} FAILED: {error}", flush=True)
        traceback.print_exc()


def extras(found, ours):
    """What is measured on a cluster before anything is done to it."""

    def measure(cluster):
        seconds = IDLE_SECONDS if ours else PATRONI_IDLE_SECONDS
        found["settings"] = cluster.settings_text
        guarded(found, "idle", lambda: figures.idle(cluster, seconds))
        for method in ("GET", "OPTIONS"):
            guarded(
                found, f"http_{method}", lambda: figures.requests_per_second(cluster, method)
            )
        if ours:
            guarded(found, "decisions", lambda: figures.decisions(cluster))
            guarded(found, "fdatasync", lambda: figures.plain_fdatasync(cluster.dir))

    return measure


def run_system(name, options, results):
    title, make = systems.SYSTEMS[name]
    ours = name == "pgbaton"
    found = {"title": title}
    results["systems"][name] = found
    print(f"{title}:", flush=True)
    chosen = [s for s in scenarios.SCENARIOS if not options.only or s.name in options.only]
    if ours:
        runs, budget = options.runs, options.budget or BUDGET_PER_RUN * options.runs
    else:
        runs, budget = options.patroni_runs, options.patroni_budget
    rounds = scenarios.Rounds(make, chosen, runs, budget, OUT / "logs" / name)
    found["scenarios"] = rounds.results
    before = (lambda _: None) if options.only else extras(found, ours)
    try:
        rounds.run(before)
    except Exception as error:  # No cluster at all. The others are measured none the less.
        found["error"] = f"{type(error).__name__}: {error}"
        print(f"  FAILED: {error}", flush=True)
        traceback.print_exc()
    save(results)


def install_patroni():
    subprocess.run(
        [str(lab.ROOT / "tests/install-packages.sh"), str(HERE / "packages-patroni.txt")],
        check=True,
    )


def failures(results):
    """(system, scenario, error) of all that went wrong."""
    for name, system in results["systems"].items():
        if "error" in system:
            yield name, "the cluster", system["error"]
        for scenario, runs in system.get("scenarios", {}).items():
            for run in runs:
                if "error" in run:
                    yield name, scenario, run["error"]
        for figure, value in system.items():
            if isinstance(value, dict) and "error" in value:
                yield name, figure, value["error"]


def main():
    options = arguments()
    if options.report:
        PAGE.write_text(report.page(json.loads((OUT / "results.json").read_text())))
        return 0
    # End with everything taken down when `timeout` or an operator wants so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if options.with_patroni:
        install_patroni()
    wanted = options.systems or (list(systems.SYSTEMS) if options.with_patroni else ["pgbaton"])
    shutil.rmtree(OUT / "logs", ignore_errors=True)
    begun = time.monotonic()
    results = {"machine": machine.describe(), "systems": {}}
    if not options.only:
        print("floor:", flush=True)
        guarded(results, "floor", lambda: floor.measure(min(options.runs, 3)))
    for name in wanted:
        run_system(name, options, results)
    results["took"] = time.monotonic() - begun
    results["failures"] = list(failures(results))
    save(results)
    if not options.only and not options.systems:
        PAGE.write_text(report.page(results))
    print(report.gap_table(results))
    print(f"{len(results['failures'])} failures, {results['took']:.0f} s; {OUT}/results.json")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
