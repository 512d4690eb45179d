"""The lab itself, with a stand-in for the daemon: what the other tests rely on is true."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import psycopg2
import pytest

import net
from lab import READ_PORT, TAIL_SECONDS, WRITE_PORT, Lab, Write, dsn, merge, now

FAKE_DAEMON = (sys.executable, str(pathlib.Path(__file__).with_name("fake_daemon.py")))


@pytest.fixture(scope="module")
def shared():
    with Lab(names=("n1", "n2"), daemon=FAKE_DAEMON) as lab:
        lab.start()
        yield lab


@pytest.fixture
def lab(shared):
    shared.recover()
    return shared


def test_the_stand_in_forms_a_cluster(lab):
    assert lab.primary() == "n1"
    assert lab.replicas() == ["n2"]
    assert lab.members()["n2"]["state"] == "streaming"
    assert lab.timeline("n1") == 1
    assert lab.sql("n2", "SELECT pg_is_in_recovery()") == [(True,)]


def test_hosts_see_each_other_and_are_not_seen_from_outside(lab):
    assert lab.sql("n1", "SELECT host(inet_client_addr())", where="n2") == [("10.77.0.2",)]
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(dsn(lab.nodes["n1"].address), connect_timeout=2)


def test_a_cut_host_is_silent_until_it_is_healed(lab):
    lab.net.cut("n2")
    assert lab.status("n2", "/replica") is None
    assert lab.status("n1", "/primary") == 200
    lab.net.heal()
    assert lab.status("n2", "/replica") == 200


def test_a_cut_between_two_hosts_leaves_others_alone(lab):
    lab.net.cut("n1", "n2")
    assert lab.status("n1", "/primary") == 200
    assert lab.status("n2", "/replica") == 200
    with pytest.raises(psycopg2.OperationalError):
        lab.connect("n1", where="n2")


def heard_by(lab, sender, receiver):
    """Does a datagram from one host arrive at the other?"""
    with lab.net.inside(receiver):
        into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lab.net.inside(sender):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with into, out:
        into.bind((lab.net.addresses[receiver], 0))
        into.settimeout(0.3)
        try:
            out.sendto(b"x", into.getsockname())
            return into.recv(1) == b"x"
        except (TimeoutError, PermissionError):
            return False  # Not delivered, or (EPERM) stopped on the way out.


@pytest.mark.parametrize("cut, heard", [("cut_in", "sent"), ("cut_out", "received")])
def test_a_one_way_cut_lets_the_other_way_pass(lab, cut, heard):
    getattr(lab.net, cut)("n2")
    assert heard_by(lab, "n2", "n1") == (heard == "sent")
    assert heard_by(lab, "n1", "n2") == (heard == "received")


def test_a_pulled_cable_cuts_too(lab):
    lab.net.link_down("n2")
    assert not heard_by(lab, "n1", "n2")
    lab.net.heal()
    assert heard_by(lab, "n1", "n2")


def test_a_probe_measures_the_gap_of_its_writes(lab):
    with lab.probe() as probe:
        lab.net.cut("n1")
        cut_at = now()
        time.sleep(0.7)  # The length of the fault is what is measured.
        lab.net.heal()
        lab.wait_for(lambda: probe.wrote_since(cut_at + 0.7), 10, "writes after the cut")
    assert 0.7 <= probe.longest_gap() < 5
    lab.assert_nothing_lost(probe)


def test_a_probe_inside_a_node_goes_on_when_the_node_is_cut_off(lab):
    with lab.probe(where="n1", nodes=["n1"]) as inside:
        lab.net.cut("n1")
        cut_at = now()
        lab.wait_for(lambda: inside.wrote_since(cut_at), 10, "writes inside the node")
    assert {w.host for w in inside.acknowledged()} == {"10.77.0.1"}


def test_a_row_that_vanished_is_noticed(lab):
    with lab.probe() as probe:
        pass
    lab.assert_nothing_lost(probe)
    lab.sql("n1", "DELETE FROM probe WHERE writer = %s AND id = 1", probe.writer)
    with pytest.raises(AssertionError, match="lost: .1"):
        lab.assert_nothing_lost(probe)


def test_only_the_last_rows_of_the_lost_primary_may_be_missing(lab):
    def remove(write):
        query = "DELETE FROM probe WHERE writer = %s AND id = %s"
        lab.sql("n1", query, probe.writer, write.row)

    with lab.probe() as probe:
        lab.wait_for(lambda: len(probe.acknowledged()) > 3, 10, "some rows")
    writes = probe.acknowledged()
    end = writes[-1].answered
    remove(writes[-1])
    assert lab.assert_only_tail_lost(probe, "n1", end) == 1
    with pytest.raises(AssertionError, match="acknowledged by another node"):
        lab.assert_only_tail_lost(probe, "n2", end)
    with pytest.raises(AssertionError, match="before the fault"):
        lab.assert_only_tail_lost(probe, "n1", end + TAIL_SECONDS + 0.1)
    remove(writes[-3])
    with pytest.raises(AssertionError, match="lost from the middle"):
        lab.assert_only_tail_lost(probe, "n1", end)


def test_a_row_that_nobody_sent_is_noticed(lab):
    with lab.probe() as probe:
        pass
    lab.sql("n1", "INSERT INTO probe VALUES (%s, 1000000)", probe.writer)
    with pytest.raises(AssertionError, match="never sent: .1000000"):
        lab.assert_nothing_lost(probe)


def test_a_daemon_that_is_killed_leaves_postgresql_alone(lab):
    before = lab.nodes["n1"].postmaster()
    lab.kill_daemon("n1")
    assert lab.nodes["n1"].postmaster() == before
    assert lab.status("n1", "/primary") is None
    assert lab.sql("n1", "SELECT 1") == [(1,)]


def test_a_node_that_is_killed_has_no_process_left_but_the_probe(lab):
    with lab.probe(where="n1", nodes=["n1"]) as probe:
        lab.kill_node("n1")
        assert lab.net.pids("n1") == [probe.process.pid]
        assert not lab.nodes["n1"].is_running()
        # PostgreSQL left its pid file, and nothing behind it.
        assert lab.nodes["n1"].postmaster() is None
        (lab.nodes["n1"].data / "postmaster.pid").unlink()


def test_a_postmaster_can_be_killed_by_itself(lab):
    lab.kill_postmaster("n2")
    lab.wait_for(lambda: lab.nodes["n2"].postmaster() is None, 10, "the postmaster gone")
    assert lab.nodes["n2"].is_running()
    lab.kill_node("n2")
    (lab.nodes["n2"].data / "postmaster.pid").unlink()


def test_haproxy_sends_writes_to_the_primary_and_reads_to_replicas(lab):
    client = lab.net.addresses["client"]
    with lab.haproxy(primary_check="/master"):
        assert lab.sql(dsn(client, WRITE_PORT), "SELECT pg_is_in_recovery()") == [(False,)]
        assert lab.sql(dsn(client, READ_PORT), "SELECT pg_is_in_recovery()") == [(True,)]


def test_pgbench_writes_for_as_long_as_its_block_lasts(lab):
    def count():
        return lab.sql("n1", "SELECT count(*) FROM pgbench_history")[0][0]

    with lab.haproxy(), lab.pgbench():
        lab.wait_for(lambda: count() > 10, 20, "transactions of pgbench")
    # The transactions in flight end with their connections.
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
    lab.wait_for(lambda: lab.sql("n1", query) == [(0,)], 10, "the end of pgbench")


def test_what_a_dead_run_left_is_swept_away(tmp_path):
    # A process that is over, and a lab under its name with a process that goes on.
    dead = subprocess.Popen(["true"])
    dead.wait()
    name = f"{net.PREFIX}{dead.pid}-1-n1"
    folder = pathlib.Path(f"/tmp/{net.PREFIX}{dead.pid}-x")
    folder.mkdir()
    net.run("ip", "netns", "add", name)
    orphan = f"setsid ip netns exec {name} sleep 1000 >/dev/null 2>&1 & echo $!"
    left = net.run("sh", "-c", orphan).strip()
    end = time.monotonic() + 5
    while left not in net.run("ip", "netns", "pids", name).split():
        assert time.monotonic() < end
    net.sweep()
    assert not os.path.exists(f"/proc/{left}")
    assert name not in net.run("ip", "netns", "list")
    assert not folder.exists()


def test_what_a_living_run_has_is_not_swept_away(lab):
    net.sweep()
    assert lab.primary() == "n1"
    assert os.path.isdir(lab.dir)


def test_changes_of_settings_are_merged_like_a_patch():
    base = {"ttl": 2, "postgresql": {"parameters": {"a": 1, "b": 2}}}
    change = {"ttl": None, "postgresql": {"parameters": {"b": 3}}, "new": True}
    want = {"postgresql": {"parameters": {"a": 1, "b": 3}}, "new": True}
    assert merge(base, change) == want
    assert base["ttl"] == 2


def test_a_gap_lasts_until_the_end_if_nothing_was_written_after_it():
    class Stub(Lab.__init__.__globals__["Probe"]):
        def __init__(self, stopped):
            self.stopped = stopped

        def writes(self):
            return [Write(0, 1.0, "ok", 1, "a"), Write(1, 1.5, "ok", 2, "a"),
                    Write(1.5, 9.0, "unknown", 3, "a")]

    assert Stub(stopped=4.0).longest_gap() == 2.5
