"""What is planned: a change of the primary, quick and without loss, and restarts at their time."""

import datetime

import contextlib
import os
import signal

import pytest

from lab import SHORT_PAUSE, now


LONG_CHECKPOINT = 13.0  # Longer than a stop may take until its primary is suspected.


def switch_over(lab):
    """Hands over to any standby and returns the new primary."""
    old = lab.primary()
    status, text = lab.rest(old, "/switchover", "POST", {"leader": old}, timeout=30)
    assert status == 200, text
    return lab.wait_for_another_primary(old, 5)


def test_a_switchover_on_an_idle_cluster_is_quick(lab):
    with lab.probe() as probe:
        switch_over(lab)
        done = now()
        lab.wait_for(lambda: probe.wrote_since(done), 10, "writes after the switchover")
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_switchover_under_load_loses_no_row(lab):
    with lab.haproxy(), lab.pgbench(), lab.probe() as probe:
        switch_over(lab)
        done = now()
        lab.wait_for(lambda: probe.wrote_since(done), 10, "writes after the switchover")
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_checkpoint_that_takes_long_is_no_outage(lab):
    old = lab.primary()
    epoch = lab.epoch()
    logged = len(lab.nodes[old].log.read_text())
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    checkpointer = lab.sql(old, query)[0][0]
    with lab.probe() as probe:
        os.kill(checkpointer, signal.SIGSTOP)
        asked = now()
        try:
            with contextlib.suppress(OSError):
                lab.rest(old, "/switchover", "POST", {"leader": old}, timeout=0.1)
            lab.wait_while(
                lambda: lab.status(old, "/primary") == 200, LONG_CHECKPOINT, "it serves on"
            )
            assert probe.wrote_since(asked + LONG_CHECKPOINT - 1, lab.nodes[old].address)
        finally:
            os.kill(checkpointer, signal.SIGCONT)
        new = lab.wait_for_another_primary(old, 10)
        done = now()
        lab.wait_for(lambda: probe.wrote_since(done), 10, "writes after the switchover")
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)
    assert lab.epoch() == epoch + 1
    assert lab.state(new)["grants"][-1]["reason"] == "switchover"
    log = lab.nodes[old].log.read_text()[logged:]
    assert "database system was shut down" in log
    assert "was not properly shut down" not in log and "lease ended" not in log


def test_the_candidate_that_was_asked_for_becomes_primary(lab):
    old = lab.primary()
    candidate = lab.replicas()[-1]
    before = lab.timeline(old)
    body = {"leader": old, "candidate": candidate}
    status, text = lab.rest(old, "/switchover", "POST", body, timeout=30)
    assert status == 200, text
    assert text == f'Successfully switched over to "{candidate}"'
    assert lab.wait_for_another_primary(old, 5) == candidate
    assert lab.timeline(candidate) == before + 1


def test_the_old_primary_follows_without_a_new_copy(lab):
    old = lab.primary()
    created = (lab.nodes[old].data / "PG_VERSION").stat().st_mtime_ns
    new = switch_over(lab)
    lab.wait_until_healthy()
    assert (lab.nodes[old].data / "PG_VERSION").stat().st_mtime_ns == created
    assert lab.sql(old, "SELECT sender_host FROM pg_stat_wal_receiver") == [
        (lab.nodes[new].address,)
    ]


def test_any_node_takes_the_request(lab):
    old = lab.primary()
    standby = lab.replicas()[0]
    status, text = lab.rest(standby, "/switchover", "POST", {"leader": old}, timeout=30)
    assert status == 200, text
    lab.wait_for_another_primary(old, 5)


def test_the_command_line_switches_over(lab):
    old = lab.primary()
    candidate = lab.replicas()[0]
    done = lab.ctl("switchover", "--leader", old, "--candidate", candidate, "--force")
    assert f'Successfully switched over to "{candidate}"' in done.stdout
    assert lab.wait_for_another_primary(old, 5) == candidate


@pytest.mark.parametrize(
    "body, status",
    [
        ({"leader": "n9"}, 412),
        ({"candidate": "n1"}, 400),
        ({"leader": "{primary}", "candidate": "{primary}"}, 400),
        ({"leader": "{primary}", "candidate": "n9"}, 412),
    ],
)
def test_a_switchover_that_makes_no_sense_is_refused(lab, body, status):
    primary = lab.primary()
    body = {key: value.format(primary=primary) for key, value in body.items()}
    assert lab.rest(primary, "/switchover", "POST", body)[0] == status
    assert lab.primary() == primary


def test_a_switchover_without_the_password_is_refused(lab):
    primary = lab.primary()
    body = {"leader": primary}
    assert lab.rest(primary, "/switchover", "POST", body, auth=False)[0] == 401
    assert lab.primary() == primary


def start_of(lab, name):
    return lab.rest(name, "/patroni")[1].get("postmaster_start_time")  # None while it is down.


def in_seconds(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.isoformat()


def schedules(lab, seen_from):
    members = lab.rest(seen_from, "/cluster")[1]["members"]
    return {m["name"]: m["scheduled_restart"] for m in members if "scheduled_restart" in m}


def test_a_restart_can_be_scheduled_and_deleted(lab):
    standby, other = lab.replicas()
    body = {"schedule": in_seconds(3600), "restart_pending": True, "timeout": 90}
    assert lab.rest(standby, "/restart", "POST", body) == (202, "Restart scheduled")
    assert lab.rest(standby, "/restart", "POST", body)[0] == 409
    lab.wait_for(lambda: standby in schedules(lab, other), 5, "the others to know")
    assert schedules(lab, other)[standby]["restart_pending"] is True
    assert lab.rest(standby, "/patroni")[1]["scheduled_restart"]["timeout"] == 90
    lab.ctl("flush", "demo", standby, "restart", "--force")
    lab.wait_for(lambda: schedules(lab, other) == {}, 5, "the others to know")
    assert lab.rest(standby, "/restart", "DELETE") == (404, "no restarts are scheduled")
    past = {"schedule": in_seconds(-60)}
    assert lab.rest(standby, "/restart", "POST", past)[0] == 422


def test_a_scheduled_restart_is_made_at_its_time(lab):
    primary = lab.primary()
    started = start_of(lab, primary)
    at = now() + 2
    with lab.probe() as probe:
        lab.ctl("restart", "demo", primary, "--scheduled", in_seconds(2), "--force")
        lab.wait_for(lambda: start_of(lab, primary) not in (None, started), 10, "another server")
        assert now() >= at - 0.1, "too early"
        lab.wait_until_healthy()
        done = now()
        lab.wait_for(lambda: probe.wrote_since(done), 10, "writes after the restart")
    assert lab.primary() == primary
    assert schedules(lab, primary) == {}
    lab.assert_nothing_lost(probe)
