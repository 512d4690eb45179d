"""Volumes that are full: of the Raft store, and of PostgreSQL's data."""

import psycopg2
import pytest

from lab import TTL, full, now

VOLUMES = {"raft": 32, "postgres": 300}  # MiB; the store takes 16, a new cluster some 100.


# --- The Raft store. Leases do not need the log, and there is room for it from the start on. ---


def test_a_primary_whose_raft_volume_is_full_serves_on(lab):
    with lab.undisturbed() as primary, full(lab.nodes[primary].raft):
        lab.wait_while(lambda: lab.status(primary, "/primary") == 200, 3 * TTL, "not the primary")
        # Its daemon can even be restarted.
        lab.kill_daemon(primary)
        lab.start(primary)
        lab.wait_until_healthy()


def test_a_standby_whose_raft_volume_is_full_is_nobody_elses_business(lab):
    standby = lab.replicas()[0]
    with lab.undisturbed(), full(lab.nodes[standby].raft):
        # There is something to decide, too.
        lab.patch_config({"loop_wait": 7})
        lab.kill_daemon(standby)
        lab.start(standby)
        lab.wait_until_healthy()


def test_a_primary_whose_raft_volume_is_full_can_be_replaced(lab):
    old = lab.primary()
    with full(lab.nodes[old].raft), lab.probe() as probe:
        fault = now()
        lab.kill_node(old)
        new = lab.wait_for_another_primary(old)
        moved = now()
        lab.wait_for(lambda: probe.wrote_since(moved), 20, "writes elsewhere")
        lab.start(old)
        lab.wait_for(lambda: "could not" in lab.nodes[old].log.read_text(), 20, "a word about it")
        lab.wait_while(lambda: lab.primary() == new, TTL, f"{new} is not the primary any more")
    lab.wait_until_healthy()
    lab.assert_only_tail_lost(probe, old, fault)


# --- PostgreSQL's data. ---


def use_up_wal(lab, name):
    """Writes WAL, and no table, until PostgreSQL has no room for more and ends."""
    message = "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))"
    with pytest.raises(psycopg2.OperationalError):
        for _ in range(1000):
            lab.sql(name, message)


def test_a_primary_that_has_no_room_for_wal_gives_way(lab):
    old = lab.primary()
    with lab.probe() as probe, full(lab.nodes[old].home):
        use_up_wal(lab, old)
        new = lab.wait_for_another_primary(old)
        moved = now()
        lab.wait_for(lambda: probe.wrote_since(moved), 20, "writes elsewhere")
        lab.wait_while(lambda: lab.primary() == new, 2 * TTL, f"{new} is not the primary any more")
    lab.wait_until_healthy()
    assert lab.primary() == new
    lab.assert_nothing_lost(probe)


def test_a_primary_that_has_no_room_for_rows_refuses_them_and_stays(lab):
    """PostgreSQL lives and answers reads; another node would have the same data on its disk."""
    primary = lab.primary()
    epoch = lab.epoch()
    with lab.probe() as probe:
        with full(lab.nodes[primary].home):
            with pytest.raises(psycopg2.errors.DiskFull):
                lab.sql(primary, "CREATE TABLE large AS SELECT generate_series(1, 1000000)")
            lab.wait_while(lambda: lab.status(primary, "/primary") == 200, TTL, "not the primary")
        room = now()
        lab.wait_for(lambda: probe.wrote_since(room), 10, "writes when there is room")
    assert (lab.primary(), lab.epoch()) == (primary, epoch)
    lab.assert_nothing_lost(probe)


def test_a_standby_that_has_no_room_catches_up_when_it_has_some(lab):
    standby = lab.replicas()[0]
    with lab.undisturbed() as primary:
        with full(lab.nodes[standby].home):
            lab.sql(
                primary,
                "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))"
                " FROM generate_series(1, 48)",
            )
            lab.wait_for(lambda: not lab.is_healthy(), 20, "the standby to stop streaming")
        lab.wait_until_healthy()
        lab.wait_until_replicated()
