"""Faults one by one: what the cluster does about each, and that it is whole again afterwards."""

import contextlib
import os
import shutil
import signal
import socket

import psycopg2
import pytest

from lab import NOTICED_LATE, POSTGRES_PORT, RAFT_PORT, REST_PORT, SHORT_PAUSE, TTL, now

CONNECTIONS = 40

DCS = {"postgresql": {"parameters": {"max_connections": CONNECTIONS}}}
OUTSIDERS = ("n4",)


def writes_elsewhere(lab, probe, old):
    """Has another node than `old` acknowledged a write?"""
    return any(w.host != lab.nodes[old].address for w in probe.acknowledged())


# --- The parts of a node. ---


def test_a_stopped_daemon_is_no_licence_to_write(lab):
    """SIGSTOP: the daemon neither renews its lease nor notices that it has ended."""
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside, lab.probe() as probe:
        moment = now()
        lab.signal_daemon(old, signal.SIGSTOP)
        try:
            lab.wait_for(lambda: writes_elsewhere(lab, probe, old), 20, "writes elsewhere")
            assert lab.nodes[old].postmaster() is None
        finally:
            lab.signal_daemon(old, signal.SIGCONT)
        lab.wait_until_healthy()
    assert inside.acknowledged()[-1].answered < moment + TTL + NOTICED_LATE
    lab.assert_no_overlap(inside, probe, old)
    assert lab.primary() != old
    for writer in (inside, probe):
        # Those of before the end: the standbys streamed until then.
        lab.assert_only_tail_lost(writer, old, inside.acknowledged()[-1].answered)


def test_a_killed_guard_takes_postgresql_with_it_and_no_row(lab):
    old = lab.primary()
    postmaster = lab.nodes[old].postmaster()
    with lab.probe() as probe:
        os.kill(lab.nodes[old].guard(), signal.SIGKILL)
        killed = now()
        lab.wait_for(lambda: probe.wrote_since(killed + 0.1), 20, "writes again")
        lab.wait_until_healthy()
    assert lab.nodes[old].postmaster() != postmaster
    assert lab.nodes[old].guard() is not None
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_killed_guard_of_a_standby_is_nobody_elses_business(lab):
    standby = lab.replicas()[0]
    before = lab.nodes[standby].postmaster()
    with lab.undisturbed():
        os.kill(lab.nodes[standby].guard(), signal.SIGKILL)
        lab.wait_for(lambda: lab.nodes[standby].postmaster() not in (None, before), 20, "a restart")
        lab.wait_until_healthy()


def test_a_primary_that_cannot_start_gives_way(lab):
    old = lab.primary()
    base = lab.nodes[old].data / "postgresql.base.conf"
    text = base.read_text()
    with lab.probe() as probe:
        base.write_text(text + "\nno such line\n")
        try:
            with contextlib.suppress(OSError):
                lab.rest(old, "/restart", "POST", {}, timeout=0.1)
            new = lab.wait_for_another_primary(old, 30)
            lab.wait_for(lambda: writes_elsewhere(lab, probe, old), 20, "writes elsewhere")
        finally:
            base.write_text(text)
        lab.wait_until_healthy()
        assert lab.primary() == new
    lab.assert_nothing_lost(probe)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize("who", ["the postmaster", "all processes"])
def test_a_primary_that_answers_nobody_is_ended(lab, who):
    patience = 10  # The least.
    lab.patch_config({"primary_start_timeout": patience})
    node = lab.nodes[lab.primary()]
    postmaster = node.postmaster()
    with lab.probe() as probe:
        hung = now()
        for pid in [postmaster] + (children(postmaster) if who == "all processes" else []):
            os.kill(pid, signal.SIGSTOP)
        lab.wait_for(lambda: node.postmaster() != postmaster, 3 * patience, "its end")
        assert now() > hung + patience
        ended = now()
        lab.wait_for(lambda: probe.wrote_since(ended), 20, "writes again")
        lab.wait_until_healthy()
    lab.assert_nothing_lost(probe)
    lab.patch_config({"primary_start_timeout": None})


def test_a_primary_without_a_free_connection_is_no_failed_one(lab):
    with lab.undisturbed() as primary, contextlib.ExitStack() as stack:
        with pytest.raises(psycopg2.OperationalError, match="too many clients"):
            for _ in range(CONNECTIONS):
                stack.enter_context(contextlib.closing(lab.connect(primary)))
        lab.wait_while(lambda: lab.status(primary, "/primary") == 200, 2 * TTL, "not the primary")


# --- The network. ---


def test_a_primary_that_only_clients_reach_stops_accepting_writes(lab):
    old = lab.primary()
    with lab.probe(nodes=[old]) as stays, lab.probe() as probe:
        fault = now()
        for peer in lab.replicas():
            lab.net.cut(old, peer)
        lab.wait_for(lambda: lab.status(old, "/primary") == 503, 10, "/primary to say so")
        lab.wait_for_another_primary(old)
        moment = now()
        lab.wait_for(lambda: probe.wrote_since(moment), 20, "writes elsewhere")
    assert stays.acknowledged()[-1].answered < fault + TTL + NOTICED_LATE
    lab.assert_no_overlap(stays, probe, old)
    for writer in (stays, probe):
        lab.assert_only_tail_lost(writer, old, fault)


def test_a_standby_that_is_cut_off_catches_up_when_it_is_back(lab):
    standby = lab.replicas()[0]
    with lab.undisturbed() as primary:
        lab.net.cut(standby)
        lab.wait_for(lambda: not lab.is_healthy(), 10, "the cut to be noticed")
        lab.sql(primary, "CREATE TABLE IF NOT EXISTS meanwhile AS SELECT generate_series(1, 1000)")
        lab.net.heal()
        lab.wait_until_healthy()
    lab.wait_until_replicated()
    assert lab.sql(standby, "SELECT count(*) FROM meanwhile") == [(1000,)]


# --- The machines. ---


def test_the_loss_of_two_nodes_ends_writes_and_their_return_brings_them_back(lab):
    primary = lab.primary()
    lost = lab.replicas()
    with lab.probe() as probe:
        for name in lost:
            lab.kill_node(name)
        gone = now()
        lab.wait_for(lambda: lab.status(primary, "/primary") != 200, 10, "the primary to give up")
        lab.wait_for(
            lambda: lab.try_sql(primary, "SELECT pg_is_in_recovery()") in (None, [(True,)]),
            10, "no writable PostgreSQL",
        )
        assert probe.acknowledged()[-1].answered < gone + TTL + NOTICED_LATE
        lab.start(lost[0])
        back = now()
        lab.wait_for(lambda: probe.wrote_since(back), 30, "writes with two nodes of three")
        lab.start(lost[1])
        lab.wait_until_healthy()
    # The old primary was there when the choice was made, with all that it had acknowledged.
    assert lab.primary() == primary
    lab.assert_nothing_lost(probe)


RETURNS = [
    ("primary", "standby", "other"),
    ("other", "standby", "primary"),
    ("other", "standby"),
    ("other", "primary"),
]


@pytest.mark.parametrize("order", RETURNS, ids=", ".join)
def test_a_power_cut_of_all_nodes_costs_no_row_in_whatever_order_they_return(lab, order):
    with lab.probe() as probe:
        pass
    lab.wait_until_replicated()
    names = {"primary": lab.primary()} | dict(zip(("standby", "other"), lab.replicas()))
    for name in names.values():
        lab.kill_node(name)
    for name in (names[role] for role in order):
        lab.start(name)
        lab.wait_for(lambda: lab.state(name), 10, f"an answer of {name} before the next is there")
    lab.wait_for_primary(30)
    lab.assert_nothing_lost(probe)
    lab.recover()
    lab.assert_nothing_lost(probe)


# --- The store. ---


def wipe(node, _):
    shutil.rmtree(node.raft)
    node.raft.mkdir()


def roll_back(node, copy):
    shutil.rmtree(node.raft)
    shutil.copytree(copy, node.raft)


def roll_back_the_database(node, copy):
    """Its mark stays, and tells."""
    shutil.copy(copy / "data.mdb", node.raft / "data.mdb")


@pytest.mark.parametrize("forget", [wipe, roll_back, roll_back_the_database])
def test_a_node_that_has_lost_its_memory_counts_only_once_it_has_learned_again(lab, forget):
    primary, victim, third = lab.primary(), *lab.replicas()
    node = lab.nodes[victim]
    copy = node.dir / "copy"
    lab.kill_node(victim)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(node.raft, copy, ignore=shutil.ignore_patterns("*.sock"))
    lab.start(victim)
    lab.wait_until_healthy()
    # Entries that it acknowledges and is to forget.
    lab.patch_config({"loop_wait": {wipe: 7, roll_back: 8, roll_back_the_database: 9}[forget]})
    term = lab.state(primary)["raft"]["commit_index"]
    lab.wait_for(lambda: lab.state(victim)["raft"]["commit_index"] >= term, 10, "the entry")

    lab.kill_node(victim)
    lab.kill_node(third)
    forget(node, copy)
    lab.start(victim)
    lab.wait_for(lambda: lab.state(victim), 20, "an answer of the node without memory")
    lab.wait_for(lambda: lab.primary() is None, 10, "the primary to give up")
    # With it there are two of three, and yet no majority.
    lab.wait_while(lambda: lab.primary() is None, 2 * TTL, "it voted")

    lab.start(third)
    lab.wait_until_healthy()
    lab.wait_for(lambda: lab.voters() == set(lab.nodes), 20, "three voters")
    # And now it does count.
    lab.kill_node(third)
    with lab.undisturbed():
        pass


def test_a_primary_that_has_lost_its_memory_is_replaced_and_comes_back(lab):
    old = lab.primary()
    lab.wait_until_replicated()
    lab.kill_node(old)
    wipe(lab.nodes[old], None)
    lab.start(old)
    lab.wait_until_healthy()
    lab.wait_for(lambda: lab.voters() == set(lab.nodes), 20, "three voters")


# --- Those who do not belong. ---


@pytest.mark.parametrize(
    "change", [{"raft": {"password": "another-password-of-some-length"}}, {"scope": "other"}]
)
def test_who_has_another_password_or_scope_is_not_let_in(lab, change):
    outsider = lab.outsiders["n4"]
    outsider.log.unlink(missing_ok=True)
    outsider.change_settings(change)
    with lab.undisturbed() as primary:
        lab.start("n4")
        lab.wait_for(lambda: "wrong" in outsider.log.read_text(), 20, "a word about why not")
        assert lab.voters() == set(lab.nodes)
        assert {m["name"] for m in lab.state(primary)["members"]} == set(lab.nodes)
        assert not outsider.data.exists()
        lab.kill_node("n4")
    outsider.change_settings({"raft": {"password": "lab-raft-password-of-some-length"}})
    outsider.change_settings({"scope": "demo"})


def connections(lab, name, port, count, stack):
    """TCP connections from the client, open until the stack is closed."""
    for _ in range(count):
        with lab.net.inside("client"):
            s = socket.create_connection((lab.nodes[name].address, port), timeout=2)
        yield stack.enter_context(s)


def test_garbage_and_half_open_connections_between_nodes_do_no_harm(lab):
    tls_cut_short = b"\x16\x03\x01\xff\xff\x01"
    garbage = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, tls_cut_short, os.urandom(9999)]
    with lab.undisturbed(), contextlib.ExitStack() as stack:
        for name in lab.nodes:
            for i, s in enumerate(connections(lab, name, RAFT_PORT, 40, stack)):
                with contextlib.suppress(OSError):
                    s.sendall(garbage[i // 2 % len(garbage)] if i % 2 else b"")
        lab.wait_while(lab.is_healthy, TTL, "disturbed by garbage")
        # A node that starts now gets through all the same.
        standby = lab.replicas()[0]
        lab.kill_daemon(standby)
        lab.start(standby)
        lab.wait_until_healthy()


def test_a_thousand_idle_http_connections_do_not_hide_the_primary(lab):
    with lab.undisturbed() as primary, contextlib.ExitStack() as stack:
        for s in connections(lab, primary, REST_PORT, 1000, stack):
            s.sendall(b"GET /primary")
        lab.wait_while(lambda: lab.status(primary, "/primary") == 200, TTL, "not the primary")


def test_idle_connections_to_the_port_of_postgresql_are_no_fault(lab):
    with lab.undisturbed() as primary, contextlib.ExitStack() as stack:
        list(connections(lab, primary, POSTGRES_PORT, 3 * CONNECTIONS, stack))
        lab.wait_while(lambda: lab.status(primary, "/primary") == 200, TTL, "not the primary")
