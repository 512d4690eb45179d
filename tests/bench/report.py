"""The results as a page of tables."""

import statistics

import breakdown
import figures
import scenarios

TITLES = {scenario.name: scenario.title for scenario in scenarios.SCENARIOS}
BY_NAME = {scenario.name: scenario for scenario in scenarios.SCENARIOS}
FLOOR_TITLES = {
    "promote_idle": "promotion of a caught-up standby, until an open session writes",
    "promote_load": "the same after a stop under pgbench",
    "stop_idle": "fast stop, idle, one standby",
    "stop_load": "fast stop under pgbench, one standby",
    "crash_idle": "crash, start and first write, idle before",
    "crash_load": "crash, start and first write, pgbench before",
}
CLIENTS = {"each": "any host", "multi": "multi-host string", "haproxy": "HAProxy"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def seconds(value):
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def spread(values):
    """min / median / max"""
    if not values:
        return "-"
    return " / ".join(map(seconds, (min(values), statistics.median(values), max(values))))


def good(runs):
    return [run for run in runs if "gap" in run]


def has(results, *path):
    """The figure at the end of the path; None if it is missing or failed."""
    for key in path:
        results = results.get(key) if isinstance(results, dict) else None
    return None if isinstance(results, dict) and "error" in results else results


def floor_of(results, scenario):
    """What PostgreSQL needs in this scenario (the sum of the medians), and waiting for a lease."""
    floor = has(results, "floor") or {}
    parts = [floor.get(name) for name in BY_NAME[scenario].floor]
    if not parts or not all(parts):
        return "-"
    own = seconds(sum(statistics.median(part) for part in parts))
    return f"ttl + {own}" if BY_NAME[scenario].lease else own


def counted(runs):
    failed = sum("error" in run for run in runs)
    return f"{len(good(runs))}" + (f", {failed} failed" if failed else "")


def gap_table(results, name=None):
    """One line for each scenario of a system, the first one by default."""
    name = name or next(iter(results["systems"]))
    rows = []
    for scenario, runs in results["systems"][name].get("scenarios", {}).items():
        fine = good(runs)
        rows.append([
            TITLES[scenario],
            floor_of(results, scenario),
            *(spread([run["gap"][client] for run in fine]) for client in CLIENTS),
            spread([run["whole"] for run in fine]),
            max((run["lost"] for run in fine), default="-"),
            counted(runs),
        ])
    head = ["", "floor", *CLIENTS.values(), "all nodes stream again", "rows lost, max", "runs"]
    return table(head, rows)


def comparison(results):
    """Medians of all systems side by side."""
    names = list(results["systems"])
    rows = []
    for scenario, title in TITLES.items():
        cells = []
        for name in names:
            fine = good(results["systems"][name].get("scenarios", {}).get(scenario, []))
            cells.append(" / ".join(
                seconds(statistics.median(values)) if values else "-"
                for values in (
                    [run["gap"]["multi"] for run in fine],
                    [run["gap"]["haproxy"] for run in fine],
                    [run["whole"] for run in fine],
                )
            ))
        rows.append([title, *cells])
    return table(["", *(results["systems"][name]["title"] for name in names)], rows)


def steps_table(runs):
    """When each step was seen, and how long after the one before it: medians over the runs."""
    order = [name for name, _, _ in breakdown.STEPS] + ["first write"]
    times = {
        name: [run["steps"][name] for run in runs if name in run["steps"]] for name in order
    }
    medians = [(statistics.median(v), order.index(n), n, len(v)) for n, v in times.items() if v]
    rows, before = [], 0
    for moment, _, name, count in sorted(medians):
        seen = "" if count == len(runs) else f" ({count} of {len(runs)} runs)"
        rows.append([name + seen, f"{moment:.0f}", f"+{moment - before:.0f}"])
        before = moment
    return table(["step", "ms after the fault", "since the step before"], rows)


def breakdowns(system):
    parts = []
    for scenario, runs in system.get("scenarios", {}).items():
        fine = good(runs)
        if fine and not BY_NAME[scenario].unnoticed:
            parts += [f"### {TITLES[scenario]}\n", steps_table(fine)]
    return "\n".join(parts)


def idle_table(results):
    rows = []
    for system in results["systems"].values():
        idle = has(system, "idle")
        for node, figure in (idle or {}).get("nodes", {}).items():
            for program, f in figure["programs"].items():
                rows.append([
                    system["title"], f"{node} ({figure['role']})", program,
                    f"{f['rss'] / 1e6:.1f}", f"{f['pss'] / 1e6:.1f}",
                    f"{f['cpu_percent']:.2f}", f"{f['written_per_minute'] / 1e3:.0f}",
                ])
    head = ["", "node", "program", "RSS, MB", "PSS, MB", "CPU, % of a core", "written, kB a minute"]
    return table(head, rows)


def http_table(results):
    rows = []
    for system in results["systems"].values():
        for method in ("GET", "OPTIONS"):
            f = has(system, f"http_{method}")
            if f:
                rows.append([
                    system["title"], f"{method} /primary", f"{f['per_second']:.0f}",
                    f"{f['p50_us'] / 1000:.2f}", f"{f['p99_us'] / 1000:.2f}", f["errors"],
                ])
    return table(["", "request", "a second", "median, ms", "p99, ms", "errors"], rows)


def disk_table(results):
    rows = []
    for system in results["systems"].values():
        for title, f in (
            ("PATCH /config: a decided entry", has(system, "decisions", "patch")),
            ("GET /config: HTTP alone", has(system, "decisions", "get")),
            ("plain fdatasync of one page", has(system, "fdatasync")),
        ):
            if f:
                cells = (f"{f[key] * 1000:.2f}" for key in ("min", "median", "p99", "max"))
                rows.append([system["title"], title, *cells])
    return table(["", "ms", "min", "median", "p99", "max"], rows)


def floor_table(results):
    floor = has(results, "floor") or {}
    rows = [[FLOOR_TITLES[name], spread(values)] for name, values in sorted(floor.items())]
    return table(["PostgreSQL alone", "seconds, min / median / max"], rows)


def machine_text(results):
    m = results["machine"]
    versions = ", ".join(
        f"{title} {m[key]}" for title, key in (
            ("PostgreSQL", "postgresql"), ("HAProxy", "haproxy"), ("wrk", "wrk"),
            ("Patroni", "patroni"), ("etcd", "etcd"),
        ) if m.get(key)
    )
    settings = "; ".join(
        f"{s['title']}: {s['settings']}" for s in results["systems"].values() if "settings" in s
    )
    return (
        f"- {m['date']}, revision {m['revision']}, release build.\n"
        f"- {m['cores']} cores ({m['cpu']}), {m['memory']} of memory, Linux {m['kernel']}, "
        f"{m['filesystem']}; load average at the start {m['load']:.2f}.\n"
        f"- {versions}.\n"
        f"- Settings: {settings}. Asynchronous replication, data checksums.\n"
        f"- It took {results['took']:.0f} s.\n"
    )


METHOD = f"""\
Written by `make bench BENCH="--with-patroni"`; the raw figures are in `build/bench/results.json`. Times are in
seconds, min / median / max, unless a table says otherwise.

- Three nodes and a client, each in a network namespace of its own, on one machine: all of them share its cores and its
  disk. Nodes are lost by SIGKILL to every process of the namespace (their addresses still refuse connections), links
  are cut by dropping every packet.
- *Gap*: the longest time between two acknowledged writes. Three clients write a row every 4 ms each, during the same
  fault. *Any host* tries all hosts side by side and shows what the cluster needs. *Multi-host string* is libpq with
  `{scenarios.MULTI_HOST_OPTIONS}`: with a cut link it
  needs a second to notice, and one more to give up connecting to the node that is cut off. *HAProxy* goes through the shipped `conf/haproxy.cfg`,
  whose intervals between health checks are part of the figure. Under pgbench, its four clients go through HAProxy too.
- *All nodes stream again*: until the new primary shows all others in state `streaming`; counted from the fault, or
  from the moment the lost node is started, the link mended.
- *Rows lost*: acknowledged, and not there afterwards. Replication is asynchronous.
- *Floor*: what PostgreSQL alone needs for the same (sum of the medians below), and the lease of a primary that may
  still serve.
- Every run begins with a whole cluster and a CHECKPOINT. Scenarios take turns, so that a slow minute of the machine
  does not hit one of them only; with Patroni as many rounds as fit its time.
- Idle: no client, no HAProxy. HTTP: `wrk`, one thread, {figures.WRK_CONNECTIONS} connections kept alive,
  {figures.WRK_SECONDS} s, against the primary. Decided entry: {figures.COMMITS} calls at the leader, one after the
  other.
"""


def failure_text(results):
    if not results["failures"]:
        return "None.\n"
    return "".join(f"- {name}, {what}: {error}\n" for name, what, error in results["failures"])


def page(results):
    ours = results["systems"].get("pgbaton", {})
    parts = ["# Measurements\n", machine_text(results), "## Method\n", METHOD]
    parts += ["## Write gap under pgbaton\n", gap_table(results, "pgbaton")]
    others = [name for name in results["systems"] if name != "pgbaton"]
    if others:
        parts += [
            "## Beside Patroni and etcd\n",
            "Medians: gap with the multi-host string / gap through HAProxy / until all nodes stream "
            "again.\n",
            comparison(results),
        ]
        for name in others:
            title = results["systems"][name]["title"]
            parts += [f"### {title}: every figure\n", gap_table(results, name)]
    parts += ["## PostgreSQL's floor\n", floor_table(results)]
    parts += ["## In peace\n", idle_table(results)]
    parts += ["## Health checks\n", http_table(results)]
    parts += ["## Decisions and the disk\n", disk_table(results)]
    parts += ["## Where the time goes\n",
              "Medians, from the log lines of all nodes: the first of its kind after the fault. The "
              "first write is that of the client that tries any host.\n", breakdowns(ours)]
    parts += ["## Failures\n", failure_text(results)]
    return "\n".join(parts)
