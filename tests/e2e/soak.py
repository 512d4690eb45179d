"""A cluster under full load of CPU and disk, in which nothing must happen; see `make soak`.

The load is pgbench, a probe, busy loops on every core and, on each node, a writer that syncs.
MINUTES says for how long. What the cluster had to bear is printed.
"""

import contextlib
import os
import re
import time

from lab import now

MINUTES = float(os.environ.get("MINUTES", "30"))

POLL_SECONDS = 1.0
SPIN = "while :; do :; done"
WRITE = "while :; do dd if=/dev/zero of={}/load bs=1M count=64 conv=fsync status=none; done"


@contextlib.contextmanager
def full_load(lab):
    with contextlib.ExitStack() as stack:
        loops = [("client", SPIN)] * os.cpu_count()
        loops += [(name, WRITE.format(node.dir)) for name, node in lab.nodes.items()]
        for host, loop in loops:
            stack.enter_context(lab.running(host, ["sh", "-c", loop]))
        stack.enter_context(lab.haproxy())
        stack.enter_context(lab.pgbench())
        yield


def facts(lab, primary):
    """What a failover, a restart or a demotion would change; None if nobody answers in time."""
    state = lab.state(primary)
    if state is None:
        return None
    return state["epoch"]["number"], lab.nodes[primary].postmaster()


def in_logs(lab, pattern):
    """What the pattern's group matched in the logs of all daemons."""
    return [
        found for node in lab.nodes.values() for found in re.findall(pattern, node.log.read_text())
    ]


def report(lab, probe, checks, failed_checks):
    busy = [int(ms) for ms in in_logs(lab, r"the loop was busy or not scheduled for (\d+) ms")]
    transactions = lab.sql(lab.primary(), "SELECT count(*) FROM pgbench_history")[0][0]
    print(
        f"\n{MINUTES:g} minutes: {transactions} transactions of pgbench, "
        f"{len(probe.acknowledged())} rows of the probe, longest gap {probe.longest_gap():.2f} s\n"
        f"health checks: {checks}, not answered with 200 within a second: {failed_checks}\n"
        f"Raft leaders that stepped down: {len(in_logs(lab, '(steps down)'))}\n"
        f"turns of a daemon's loop above 50 ms: {len(busy)}, the longest {max(busy, default=0)} ms"
    )


def test_a_busy_cluster_is_left_alone(whole_lab):
    lab = whole_lab
    lab.wait_until_healthy()
    primary = lab.primary()
    timeline = lab.timeline(primary)
    before = facts(lab, primary)
    checks = failed_checks = 0
    with full_load(lab), lab.probe() as probe:
        end = now() + 60 * MINUTES
        while now() < end:
            time.sleep(POLL_SECONDS)  # The length of the load is the test.
            checks += 1
            failed_checks += lab.status(primary, "/primary") != 200
            assert facts(lab, primary) in (before, None), "something happened"
    report(lab, probe, checks, failed_checks)
    assert facts(lab, primary) == before
    assert lab.timeline(primary) == timeline
    assert lab.primary() == primary
    lab.wait_until_healthy()
    lab.assert_nothing_lost(probe)
