"""The daemon comes and goes; PostgreSQL does not notice."""

import contextlib
import os
import signal

import net
from lab import NO_PAUSE, SHORT_PAUSE, TTL, now


def kill_and_start(lab, name):
    lab.kill_daemon(name)
    lab.start(name)


def receivers(lab):
    """The processes that stream: another pid is a stream that was interrupted."""
    query = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'"
    return {name: lab.sql(name, query) for name in lab.replicas()}


def assert_untouched(lab, name, kill):
    """Whatever `kill` does to the daemon of `name`: same server, same primary, same streams."""
    primary = lab.primary()
    streams = receivers(lab)
    assert all(streams.values())
    postmaster = lab.nodes[name].postmaster()
    timeline = lab.timeline(primary)
    with lab.probe() as probe:
        kill(lab, name)
        restarted = now()
        lab.wait_until_healthy()
        lab.wait_for(lambda: probe.wrote_since(restarted + 2 * TTL), 20, "writes all the time")
    assert lab.nodes[name].postmaster() == postmaster
    assert lab.primary() == primary
    assert lab.timeline(primary) == timeline
    assert receivers(lab) == streams
    assert probe.longest_gap() < NO_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_killed_daemon_of_the_primary_that_comes_back_changes_nothing(lab):
    assert_untouched(lab, lab.primary(), kill_and_start)


def test_a_killed_daemon_of_a_standby_that_comes_back_changes_nothing(lab):
    assert_untouched(lab, lab.replicas()[0], kill_and_start)


def test_daemons_killed_one_after_the_other_change_nothing(lab):
    def kill_all_in_turn(lab, _):
        for name in lab.nodes:
            kill_and_start(lab, name)
            lab.wait_until_healthy()

    assert_untouched(lab, lab.primary(), kill_all_in_turn)


def test_all_daemons_killed_at_once_change_nothing(lab):
    def kill_all(lab, _):
        for name in lab.nodes:
            lab.kill_daemon(name)
        lab.start()

    assert_untouched(lab, lab.primary(), kill_all)


def test_a_killed_daemon_that_stays_away_is_replaced(lab):
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside, lab.probe() as probe:
        lab.kill_daemon(old)
        killed = now()
        lab.wait_for_another_primary(old)
        lab.wait_for(lambda: probe.wrote_since(killed + TTL), 20, "writes elsewhere")
    # The guard ended PostgreSQL when the lease did.
    ended = inside.acknowledged()[-1].answered
    elsewhere = [w for w in probe.acknowledged() if w.host != lab.nodes[old].address]
    assert ended < elsewhere[0].answered
    assert lab.nodes[old].postmaster() is None
    # The standbys have streamed to the end.
    lab.assert_only_tail_lost(probe, old, ended)


def test_a_reload_of_the_settings_changes_nothing(lab):
    def reload(lab, name):
        lab.signal_daemon(name, signal.SIGHUP)

    assert_untouched(lab, lab.primary(), reload)


def has_open(pid, path):
    descriptors = f"/proc/{pid}/fd"
    return any(os.path.realpath(f"{descriptors}/{fd}") == str(path) for fd in os.listdir(descriptors))


@contextlib.contextmanager
def full_pipe(path):
    """A named pipe that takes nothing more, until the end of the block, where it breaks."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"#")
        yield
    finally:
        path.unlink()
        os.close(pipe)


def test_a_log_that_nobody_reads_changes_nothing(lab):
    name = lab.primary()
    node = lab.nodes[name]
    before = node.settings_file.read_text()
    folder = node.dir / "unread"
    folder.mkdir()
    pipe = folder / "pgbaton.log"

    def get_stuck(lab, name):
        node.change_settings({"log": {"dir": str(folder)}})
        lab.signal_daemon(name, signal.SIGHUP)
        lab.wait_for(lambda: has_open(node.daemon.pid, pipe), 10, "the pipe is the log")
        node.change_settings({"log": {"file_num": 7}})  # It logs that.
        lab.signal_daemon(name, signal.SIGHUP)

    with full_pipe(pipe):
        assert_untouched(lab, name, get_stuck)
    # What waited goes to standard error now, and the daemon is asked to go on there.
    lab.wait_for(lambda: "setting log.file_num" in node.log.read_text(), 10, "the line it waited with")
    node.settings_file.write_text(before)
    lab.signal_daemon(name, signal.SIGHUP)


def test_a_daemon_that_is_told_to_end_hands_over_first(lab):
    old = lab.primary()
    with lab.probe() as probe:
        asked = now()
        lab.stop_daemon(old)
        lab.wait_for_another_primary(old)
        lab.wait_for(lambda: probe.wrote_since(asked), 20, "writes elsewhere")
    assert lab.nodes[old].postmaster() is None
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_daemon_that_is_told_to_end_while_its_disk_is_slow_ends_in_order(lab):
    name = lab.replicas()[0]
    node = lab.nodes[name]

    def has_closed():
        return lab.status(name, "/liveness") is None

    with net.thread_held(node.daemon.pid, "raft-store"):
        before = lab.state(name)["raft"]["last_index"]
        lab.patch_config({"loop_wait": 8})
        lab.wait_for(lambda: lab.state(name)["raft"]["last_index"] > before, 10, "an entry to write")
        lab.signal_daemon(name, signal.SIGTERM)
        lab.wait_for(has_closed, 10, "all but the writing has ended")
        assert node.is_running()
    assert node.daemon.wait(timeout=20) == 0


def test_a_daemon_of_a_standby_that_is_told_to_end_stops_only_its_own_postgresql(lab):
    primary = lab.primary()
    standby = lab.replicas()[0]
    with lab.probe() as probe:
        lab.stop_daemon(standby)
        stopped = now()
        assert lab.nodes[standby].postmaster() is None
        lab.wait_for(lambda: probe.wrote_since(stopped), 20, "writes all the time")
    assert lab.primary() == primary
    assert probe.longest_gap() < NO_PAUSE
    lab.assert_nothing_lost(probe)
