"""Faults and planned changes, and what clients see of them."""

import collections
import contextlib
import pathlib
import signal
import sys
import time
import traceback

import breakdown
import lab
import systems

CLIENT = pathlib.Path(__file__).with_name("client.py")
WARM_UP_SECONDS = 2.0  # Of load before the fault.
QUIET_SECONDS = 3.0  # After a fault that clients must not notice.
POLL_SECONDS = 0.02
GAP_DEADLINE = 90
WHOLE_DEADLINE = 90

# An open connection to a node that is silent ends after a second, as it would in production.
MULTI_HOST_OPTIONS = "target_session_attrs=read-write connect_timeout=2 tcp_user_timeout=1000"

# `heal` lets the old node in again; `lease`: the old primary's has to run out first;
# `unnoticed`: clients must not notice anything.
Scenario = collections.namedtuple(
    "Scenario", "name title fault load heal floor lease unnoticed",
    defaults=(False, None, (), False, False),
)


def switch_over(cluster, old):
    status, text = cluster.rest(old, "/switchover", "POST", {"leader": old}, timeout=GAP_DEADLINE)
    assert status == 200, f"switchover refused: {status} {text}"


def kill_postmaster(cluster, old):
    cluster.kill_postmaster(old)


def kill_node(cluster, old):
    cluster.kill_node(old)


def cut_link(cluster, old):
    cluster.net.cut(old)


def stop_daemon(cluster, old):
    cluster.signal_daemon(old, signal.SIGTERM)


def restart_killed_daemon(cluster, old):
    cluster.kill_daemon(old)
    cluster.start(old)


def start_node(cluster, old):
    cluster.nodes[old].daemon.wait(30)
    cluster.start(old)


def mend_link(cluster, _):
    cluster.net.heal()


# `floor` names what PostgreSQL itself has to do meanwhile, see floor.py.
SCENARIOS = [
    Scenario("switchover", "switchover, idle", switch_over, floor=("stop_idle", "promote_idle")),
    Scenario(
        "switchover_load", "switchover under pgbench", switch_over, load=True,
        floor=("stop_load", "promote_load"),
    ),
    Scenario("postmaster", "postmaster killed, idle", kill_postmaster, floor=("crash_idle",)),
    Scenario(
        "postmaster_load", "postmaster killed under pgbench", kill_postmaster, load=True,
        floor=("crash_load",),
    ),
    Scenario(
        "node", "node lost", kill_node, heal=start_node, floor=("promote_idle",), lease=True
    ),
    Scenario("link", "link cut", cut_link, heal=mend_link, floor=("promote_idle",), lease=True),
    Scenario(
        "daemon_stop", "daemon of the primary stopped", stop_daemon, heal=start_node,
        floor=("stop_idle", "promote_idle"),
    ),
    Scenario(
        "daemon_kill", "daemon of the primary killed -9 and restarted", restart_killed_daemon,
        unnoticed=True,
    ),
]


class Client:
    """A running client.py; stopped at the end of its `with` block."""

    def __init__(self, cluster, writer, kind, dsns):
        self.writer = writer
        self.log = cluster.dir / f"{writer}.rows"
        self.log.touch()
        self.process = cluster.net.popen(
            "client", [sys.executable, str(CLIENT), str(self.log), writer, kind, *dsns]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def writes(self):
        """(sent, answered, outcome, row), oldest first; the last line may be half written."""
        lines = (line.split() for line in self.log.read_text().split("\n")[:-1])
        return [(float(s), float(a), outcome, int(row)) for s, a, outcome, row in lines]

    def has_written(self):
        return any(outcome == "ok" for _, _, outcome, _ in self.writes())

    def has_recovered(self, moment):
        """Was the client interrupted after `moment`, and does it write again?"""
        after = [outcome for _, answered, outcome, _ in self.writes() if answered > moment]
        return after[-1:] == ["ok"] and any(outcome != "ok" for outcome in after)

    def gap(self, moment):
        """(seconds, end) of the longest time without an acknowledgement that ended after it."""
        times = [answered for _, answered, outcome, _ in self.writes() if outcome == "ok"]
        gaps = [(b - a, b) for a, b in zip(times, times[1:]) if b > moment]
        return max(gaps)

    def lost(self, cluster):
        """How many acknowledged rows the cluster does not have."""
        query = "SELECT id FROM bench WHERE writer = %s"
        rows = {row for row, in cluster.sql(cluster.wait_for_primary(), query, self.writer)}
        return sum(outcome == "ok" and row not in rows for _, _, outcome, row in self.writes())


def clients(cluster, run):
    """One of each kind; they run side by side, so that they see the same fault."""
    addresses = [node.address for node in cluster.nodes.values()]
    many = lab.dsn(",".join(addresses), ",".join([str(lab.POSTGRES_PORT)] * len(addresses)))
    proxy = lab.dsn(cluster.net.addresses["client"], lab.WRITE_PORT)
    return {
        "each": Client(cluster, f"each{run}", "each", [lab.dsn(a) for a in addresses]),
        "multi": Client(cluster, f"multi{run}", "libpq", [f"{many} {MULTI_HOST_OPTIONS}"]),
        "haproxy": Client(cluster, f"haproxy{run}", "libpq", [f"{proxy} connect_timeout=2"]),
    }


def wait_for(condition, deadline, what):
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline} s: {what}")
        time.sleep(POLL_SECONDS)


def watch(cluster, scenario, old, writers, moment):
    """Waits until all clients write and all nodes stream again; when the latter was, and from
    when on it was possible, is returned."""
    let_in = None if scenario.heal else moment
    whole = None
    ends = lab.now() + GAP_DEADLINE
    while True:
        recovered = (
            lab.now() > moment + QUIET_SECONDS if scenario.unnoticed
            else all(writer.has_recovered(moment) for writer in writers.values())
        )
        if recovered and let_in is None:
            let_in = lab.now()
            scenario.heal(cluster, old)
            ends = lab.now() + WHOLE_DEADLINE
        if let_in is not None and whole is None and cluster.is_whole():
            whole = lab.now()
        if recovered and whole is not None:
            return whole, let_in
        if lab.now() > ends:
            stuck = [name for name, writer in writers.items() if not writer.has_recovered(moment)]
            raise TimeoutError(
                f"clients without writes: {stuck or 'none'}, "
                f"all nodes stream: {whole is not None}, members: {cluster.members()}"
            )
        time.sleep(POLL_SECONDS)


def measure(cluster, scenario, number, log_folder):
    """One run; the cluster is healthy and HAProxy runs. Seconds, but for the steps (ms)."""
    cluster.checkpoint()
    old = cluster.wait_for_primary()
    with contextlib.ExitStack() as stack:
        if scenario.load:
            stack.enter_context(cluster.pgbench())
        writers = clients(cluster, f"-{scenario.name}-{number}")
        for writer in writers.values():
            stack.enter_context(writer)
        wait_for(
            lambda: all(w.has_written() for w in writers.values()), 20, "first writes of clients"
        )
        if scenario.load:
            time.sleep(WARM_UP_SECONDS)
        logs = breakdown.Logs(cluster)
        stack.callback(logs.keep, log_folder)
        moment, wall = lab.now(), time.time()
        scenario.fault(cluster, old)
        whole, let_in = watch(cluster, scenario, old, writers, moment)
    gaps = {name: writer.gap(moment) for name, writer in writers.items()}
    first_write = (gaps["each"][1] - moment) * 1000
    return {
        "old": old,
        "new": cluster.wait_for_primary(),
        "gap": {name: seconds for name, (seconds, _) in gaps.items()},
        "whole": whole - let_in,
        "lost": sum(writer.lost(cluster) for writer in writers.values()),
        "steps": {**logs.steps(wall, first_write), "first write": first_write},
    }


def keep_logs(cluster, folder):
    """All that the logs say, for a run that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in cluster.dir.rglob("*.log"):
        name = "-".join(path.relative_to(cluster.dir).parts)
        (folder / name).write_bytes(path.read_bytes())


def attempt(cluster, scenario, number, log_folder):
    """One run, or why there is none. A failure is a result."""
    begun = time.monotonic()
    folder = log_folder / f"{scenario.name}-{number}"
    try:
        result = measure(cluster, scenario, number, folder)
    except Exception as error:  # Whatever it is: reported, and the other scenarios go on.
        keep_logs(cluster, folder / "all")
        result = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    result["took"] = time.monotonic() - begun
    return result


@contextlib.contextmanager
def fresh(make):
    """A cluster that is healthy, with HAProxy and the table of the clients."""
    with make() as cluster:
        cluster.start()
        cluster.wait_until_healthy()
        systems.make_table(cluster)
        with cluster.haproxy():
            yield cluster


def describe(result):
    if "error" in result:
        return "FAILED: " + result["error"]
    gaps = ", ".join(f"{name} {seconds:.3f}" for name, seconds in result["gap"].items())
    return (
        f"gap {gaps} s; all stream after {result['whole']:.2f} s; lost {result['lost']}; "
        f"{result['old']} -> {result['new']}"
    )


class Rounds:
    """Every scenario once, then every scenario again, until there are enough or time is up.

    So a budget that is too short costs runs of each scenario, never a whole scenario.
    """

    def __init__(self, make, chosen, runs, budget, log_folder):
        self.make = make
        self.work = [(s, number) for number in range(1, runs + 1) for s in chosen]
        self.budget = budget
        self.log_folder = log_folder
        self.results = {scenario.name: [] for scenario in chosen}

    def run(self, extras):
        """The results; `extras(cluster)` is called first, on the healthy cluster."""
        ends = time.monotonic() + self.budget
        first = True
        while self.work and (first or time.monotonic() < ends):
            with fresh(self.make) as cluster:
                if first:
                    extras(cluster)
                    first = False
                    ends = time.monotonic() + self.budget
                self._on(cluster, ends)
        for scenario, number in self.work:
            print(f"  {scenario.name} {number}: left out, time is up", flush=True)
        return self.results

    def _on(self, cluster, ends):
        """As much as this cluster can do: one that does not recover from a failure is given up."""
        while self.work and time.monotonic() < ends:
            scenario, number = self.work.pop(0)
            result = attempt(cluster, scenario, number, self.log_folder)
            self.results[scenario.name].append(result)
            print(f"  {scenario.name} {number}: {describe(result)}", flush=True)
            try:
                cluster.recover()
            except Exception as error:
                keep_logs(cluster, self.log_folder / f"{scenario.name}-{number}" / "recovery")
                result.setdefault("error", f"the cluster did not recover: {error}")
                print(f"  {result['error']}", flush=True)
                return
