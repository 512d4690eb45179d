"""A primary that fails is replaced, soon, once, and without losing what was acknowledged.

The cluster runs in the synchronous mode of the shipped settings unless a test says otherwise.
"""

import signal

import pytest

from lab import now

TTL = 2.0  # seconds, of the shipped settings


SYNCHRONOUS = "SELECT count(*) = 2 FROM pg_stat_replication WHERE sync_state = 'quorum'"


@pytest.fixture
def lab(lab):
    """Whole again, and synchronous: what is acknowledged from now on must not be lost."""

    def is_synchronous():
        primary = lab.primary()
        return primary and lab.try_sql(primary, SYNCHRONOUS) == [(True,)]

    lab.wait_for(is_synchronous, 20, "synchronous replication to both others")
    return lab


@pytest.fixture
def asynchronous(lab):
    """The cluster without synchronous replication, for one test."""
    lab.patch_config({"synchronous_mode": False})
    query = "SHOW synchronous_standby_names"
    lab.wait_for(lambda: lab.sql(lab.primary(), query) == [("",)], 20, "asynchronous replication")
    yield lab
    lab.recover()
    lab.patch_config({"synchronous_mode": "quorum"})


def test_a_killed_postmaster_costs_a_moment_and_no_row(lab):
    with lab.probe() as probe:
        lab.kill_postmaster(lab.primary())
        killed = now()
        lab.wait_for(lambda: probe.wrote_since(killed), 20, "writes again")
    assert probe.longest_gap() < TTL
    lab.assert_nothing_lost(probe)


def test_a_lost_node_is_replaced_and_no_row_is_lost(lab):
    old = lab.primary()
    with lab.probe() as probe:
        lab.kill_node(old)
        killed = now()
        lab.wait_for_another_primary(old)
        lab.wait_for(lambda: probe.wrote_since(killed), 20, "writes again")
    assert probe.longest_gap() < TTL + 2
    lab.assert_nothing_lost(probe)


def test_the_lost_node_comes_back_as_a_standby(lab):
    old = lab.primary()
    lab.kill_node(old)
    new = lab.wait_for_another_primary(old)
    lab.start(old)
    lab.wait_until_healthy()
    assert lab.primary() == new


def test_a_lost_standby_costs_nothing(lab):
    primary = lab.primary()
    with lab.probe() as probe:
        lab.kill_node(lab.replicas()[0])
        killed = now()
        lab.wait_for(lambda: probe.wrote_since(killed + TTL), 20, "writes all the time")
    assert lab.primary() == primary
    assert probe.longest_gap() < 1
    lab.assert_nothing_lost(probe)


def assert_no_overlap(inside, probe, old_address):
    """The cut-off primary acknowledged its last write before another one its first."""
    last = inside.acknowledged()[-1].answered
    first = next(w for w in probe.acknowledged() if w.host != old_address)
    # The answer of the first write, not its sending: until then nothing is promised.
    assert last < first.answered, f"two writers for {last - first.answered:.3f} s"


def cut_off(lab, cut):
    """Cuts the primary off, with writers inside it and outside; returns it and the writers."""
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside, lab.probe() as probe:
        cut(old)
        moment = now()
        lab.wait_for_another_primary(old)
        lab.wait_for(lambda: probe.wrote_since(moment), 20, "writes elsewhere")
        # Long enough for a primary that does not stop to be seen.
        lab.wait_for(lambda: probe.wrote_since(moment + 2 * TTL), 20, "writes that go on")
    return old, moment, inside, probe


def test_a_primary_that_is_cut_off_stops_before_another_one_starts(asynchronous):
    lab = asynchronous
    old, moment, inside, probe = cut_off(lab, lab.net.cut)
    # It served on under its lease, and not a moment longer.
    last = inside.acknowledged()[-1].answered
    assert moment < last < moment + TTL
    assert_no_overlap(inside, probe, lab.nodes[old].address)
    assert probe.longest_gap() < TTL + 2


@pytest.mark.parametrize("direction", ["cut_in", "cut_out"])
def test_a_primary_that_is_half_cut_off_is_replaced_too(asynchronous, direction):
    lab = asynchronous
    old, moment, inside, probe = cut_off(lab, getattr(lab.net, direction))
    assert inside.acknowledged()[-1].answered < moment + TTL
    assert_no_overlap(inside, probe, lab.nodes[old].address)


def test_in_a_synchronous_mode_a_cut_off_primary_acknowledges_nothing(lab):
    old, moment, inside, probe = cut_off(lab, lab.net.cut)
    assert not [w for w in inside.acknowledged() if w.sent > moment]
    assert_no_overlap(inside, probe, lab.nodes[old].address)
    assert probe.longest_gap() < TTL + 2
    lab.net.heal()
    lab.wait_until_healthy()
    lab.assert_nothing_lost(probe)
    lab.assert_nothing_lost(inside)


def test_a_pulled_cable_is_a_cut_like_any_other(lab):
    old, _, inside, probe = cut_off(lab, lab.net.link_down)
    assert_no_overlap(inside, probe, lab.nodes[old].address)
    lab.assert_nothing_lost(probe)


def test_a_primary_that_sees_only_one_other_node_stays(lab):
    primary = lab.primary()
    with lab.probe() as probe:
        lab.net.cut(primary, lab.replicas()[0])
        moment = now()
        lab.wait_for(lambda: probe.wrote_since(moment + 2 * TTL), 20, "writes all the time")
    assert lab.primary() == primary
    assert probe.longest_gap() < 1


def test_without_a_majority_nobody_is_primary(lab):
    first, second = lab.replicas()
    primary = lab.primary()
    for name in (first, second):
        lab.kill_node(name)
    lab.wait_for(lambda: lab.primary() is None, 20, "the primary to give up")
    # Writes end, not only the health check: a session that is open is ended as well.
    lab.wait_for(
        lambda: lab.try_sql(primary, "SELECT pg_is_in_recovery()") in (None, [(True,)]),
        20, "no writable PostgreSQL",
    )


def test_all_nodes_down_at_once_come_back_with_every_row(lab):
    with lab.probe() as probe:
        pass
    for name in lab.nodes:
        lab.kill_node(name)
    lab.start()
    lab.wait_until_healthy()
    lab.assert_nothing_lost(probe)


def test_a_stopped_daemon_is_no_licence_to_write(asynchronous):
    """SIGSTOP: the daemon neither renews its lease nor notices that it has ended."""
    lab = asynchronous
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside, lab.probe() as probe:
        lab.signal_daemon(old, signal.SIGSTOP)
        try:
            moment = now()
            lab.wait_for_another_primary(old)
            lab.wait_for(
                lambda: any(w.sent > moment for w in probe.acknowledged()
                            if w.host != lab.nodes[old].address),
                20, "writes elsewhere",
            )
        finally:
            lab.signal_daemon(old, signal.SIGCONT)
    assert_no_overlap(inside, probe, lab.nodes[old].address)
