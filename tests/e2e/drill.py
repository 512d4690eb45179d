"""Faults at random, one or two at once, for as many rounds as wanted; see `make e2e-long`.

SEED chooses the faults, their victims and how long they last, ROUNDS how many there are. What
happens in between depends on the machine too, so that a seed does not repeat a run exactly.
"""

import contextlib
import os
import random
import signal
import time

import pytest

from lab import now

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "20"))


# --- Faults. All are undone by recover(), after wake_up(). ---


def kill_node(lab, name):
    lab.kill_node(name)


def kill_daemon(lab, name):
    lab.kill_daemon(name)


def restart_daemon(lab, name):
    lab.kill_daemon(name)
    lab.start(name)


def stop_daemon(lab, name):
    lab.stop_daemon(name)


def freeze_daemon(lab, name):
    lab.signal_daemon(name, signal.SIGSTOP)


def kill_postmaster(lab, name):
    lab.kill_postmaster(name)


def kill_guard(lab, name):
    os.kill(lab.nodes[name].guard(), signal.SIGKILL)


def cut(lab, name):
    lab.net.cut(name)


def cut_in(lab, name):
    lab.net.cut_in(name)


def cut_out(lab, name):
    lab.net.cut_out(name)


def cut_from_one(lab, name):
    lab.net.cut(name, next(other for other in lab.nodes if other != name))


def pull_cable(lab, name):
    lab.net.link_down(name)


def ask(lab, name, path, body):
    # Whether it succeeds is not the point here, and the answer may take longer than the fault.
    with contextlib.suppress(OSError):
        lab.rest(name, path, "POST", body, timeout=0.1)


def switch_over(lab, name):
    ask(lab, name, "/switchover", {"leader": lab.primary()})


def restart_postgresql(lab, name):
    ask(lab, name, "/restart", {})


def rebuild(lab, name):
    ask(lab, name, "/reinitialize", {"force": True})


# Whoever is hit by these alone, no row is lost.
HARMLESS = [restart_daemon, stop_daemon, kill_postmaster, switch_over, restart_postgresql, rebuild]
HARMFUL = [kill_node, kill_daemon, freeze_daemon, kill_guard, cut, cut_in, cut_out, cut_from_one,
           pull_cable]


def wake_up(lab):
    for node in lab.nodes.values():
        if node.is_running():
            node.daemon.send_signal(signal.SIGCONT)


# --- What must hold. ---


def must_go_on(lab, faults, victims):
    """A fault of one standby is nothing to the primary, which still has a majority."""
    return len(faults) == 1 and faults[0] is not switch_over and lab.primary() not in victims


def play(lab, rng, faults):
    """One round: faults on different nodes, some time, their end, and what must hold."""
    victims = rng.sample(list(lab.nodes), len(faults))
    seconds = rng.choice([0.0, 0.5, 1.5, 3.0, 6.0])
    print(f"{[f.__name__ for f in faults]} on {victims} of {lab.primary()} for {seconds} s")
    primary = lab.primary()
    postmaster = lab.nodes[primary].postmaster()
    undisturbed = must_go_on(lab, faults, victims)
    epoch = lab.epoch()
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(lab.probe())]
        for name in lab.nodes:
            probes.append(stack.enter_context(lab.probe(name, nodes=[name], wait=False)))
        fault = now()
        try:
            for hit, name in zip(faults, victims):
                hit(lab, name)
            time.sleep(seconds)  # The length of the fault is part of it.
        finally:
            wake_up(lab)
        lab.recover()
        healed = now()
        lab.wait_for(lambda: probes[0].wrote_since(healed), 20, "writes after the fault")
    lab.assert_one_writer_at_a_time(probes, epoch)
    written = [probe for probe in probes if probe.acknowledged()]
    lost = sum(lab.assert_only_tails_lost(probe, fault) for probe in written)
    assert not undisturbed or lab.nodes[primary].postmaster() == postmaster, "restarted"
    assert not undisturbed or lab.primary() == primary, "replaced without need"
    assert lost == 0 or not set(faults) <= set(HARMLESS), f"{lost} rows lost"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_cluster_survives_whatever_happens(lab, number):
    rng = random.Random(SEED * 1000 + number)
    faults = rng.sample(HARMLESS + HARMFUL, rng.choice([1, 1, 2]))
    play(lab, rng, faults)
