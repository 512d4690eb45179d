"""Volumes that are full: of the Raft store, and of PostgreSQL's data."""

import contextlib
import itertools

import psycopg2
import pytest

import net
from lab import TTL, full, now

VOLUMES = {"raft": 32, "postgres": 300}  # MiB; the store takes 16, a new cluster some 100.


# --- The Raft store. Leases do not need the log. ---


def test_full_volumes_do_no_harm_to_stores_that_have_reserved_their_room(lab):
    old = lab.primary()
    with contextlib.ExitStack() as stack:
        for node in lab.nodes.values():
            stack.enter_context(full(node.raft))
        with lab.probe() as probe:
            fault = now()
            lab.kill_node(old)
            lab.wait_for_another_primary(old)
            moved = now()
            lab.wait_for(lambda: probe.wrote_since(moved), 20, "writes elsewhere")
        lab.start(old)
        lab.wait_until_healthy()
    lab.assert_only_tail_lost(probe, old, fault)


@contextlib.contextmanager
def no_room_for_the_log(node):
    """The volume is full, and the file system has not kept the room that the store reserved."""
    database = node.raft / "data.mdb"
    used = len(database.read_bytes().rstrip(b"\0"))
    size = database.stat().st_size
    net.run("fallocate", "--punch-hole", "-o", str(used), "-l", str(size - used), str(database))
    with full(node.raft):
        yield


@pytest.mark.parametrize("role", ["primary", "standby"])
def test_a_node_that_cannot_write_its_log_serves_on(lab, role):
    name = lab.primary() if role == "primary" else lab.replicas()[0]
    node = lab.nodes[name]
    size_before = node.log.stat().st_size
    numbers = itertools.count()

    def has_run_out():
        """Has one entry more: what the database has used before it uses again."""
        with contextlib.suppress(TimeoutError):  # A leader that cannot write decides nothing.
            lab.patch_config({"loop_wait": 5 + next(numbers) % 2})
        return "raft store: could not" in node.log.read_text()[size_before:]

    with lab.undisturbed() as primary:
        with no_room_for_the_log(node):
            lab.wait_for(has_run_out, 20, "a word about it")
            lab.wait_while(lambda: lab.status(primary, "/primary") == 200, 2 * TTL, "gave up")
            assert lab.is_healthy()
        lab.wait_for(
            lambda: len({lab.state(each)["raft"]["applied_index"] for each in lab.nodes}) == 1,
            10, "the entries when there is room",
        )


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
