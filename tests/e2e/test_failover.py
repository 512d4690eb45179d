"""A primary that fails is replaced, soon, once, and at the cost of its last moments at most."""

import pytest

from lab import NO_PAUSE, NOTICED_LATE, SHORT_PAUSE, TTL, now


def test_a_killed_postmaster_costs_a_moment_and_no_row(lab):
    with lab.probe() as probe:
        lab.kill_postmaster(lab.primary())
        killed = now()
        lab.wait_for(lambda: probe.wrote_since(killed), 20, "writes again")
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_nothing_lost(probe)


def test_a_lost_node_is_replaced_and_only_its_last_moments_are_lost(lab):
    old = lab.primary()
    with lab.probe() as probe:
        fault = now()
        lab.kill_node(old)
        lab.wait_for_another_primary(old)
        killed = now()
        lab.wait_for(lambda: probe.wrote_since(killed), 20, "writes again")
    assert probe.longest_gap() < SHORT_PAUSE
    lab.assert_only_tail_lost(probe, old, fault)


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
    assert probe.longest_gap() < NO_PAUSE
    lab.assert_nothing_lost(probe)


def cut_off(lab, cut):
    """Cuts the primary off, with writers inside it and outside; returns it and the writers."""
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside, lab.probe() as probe:
        fault = now()
        cut(old)
        moment = now()
        lab.wait_for_another_primary(old)
        # Long enough for a primary that does not stop to be seen.
        lab.wait_for(lambda: probe.wrote_since(moment + 2 * TTL), 20, "writes that go on")
    lab.assert_no_overlap(inside, probe, old)
    # The lease that ran when the cut came, and not a moment longer.
    assert inside.acknowledged()[-1].answered < moment + TTL + NOTICED_LATE
    for writer in (inside, probe):
        lab.assert_only_tail_lost(writer, old, fault)
    return moment, inside, probe


def test_a_primary_that_is_cut_off_stops_before_another_one_starts(lab):
    moment, inside, probe = cut_off(lab, lab.net.cut)
    # It served on under its lease, for those who reach it; what it wrote alone is lost.
    alone = [w for w in inside.acknowledged() if w.sent > moment]
    assert alone, "it stopped before its lease had ended"
    assert set(alone) <= set(lab.lost(inside))
    assert probe.longest_gap() < SHORT_PAUSE


@pytest.mark.parametrize("direction", ["cut_in", "cut_out"])
def test_a_primary_that_is_half_cut_off_is_replaced_too(lab, direction):
    cut_off(lab, getattr(lab.net, direction))


def test_a_pulled_cable_is_a_cut_like_any_other(lab):
    cut_off(lab, lab.net.link_down)


def test_a_primary_that_sees_only_one_other_node_stays(lab):
    primary = lab.primary()
    with lab.probe() as probe:
        lab.net.cut(primary, lab.replicas()[0])
        moment = now()
        lab.wait_for(lambda: probe.wrote_since(moment + 2 * TTL), 20, "writes all the time")
    assert lab.primary() == primary
    assert probe.longest_gap() < NO_PAUSE


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
