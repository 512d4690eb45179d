"""A network that loses packets at random, and one that comes and goes."""

import contextlib
import itertools
import time

from lab import TTL, now

LOSS = 0.2
LOSS_SECONDS = 60
FLAPS = 10


def test_a_minute_with_a_fifth_of_all_packets_lost_moves_nobody(lab):
    with lab.undisturbed() as primary:
        # Between the nodes: what clients see of a network that bad is no matter of ours.
        for name, peer in itertools.permutations(lab.nodes, 2):
            lab.net.lose(name, peer, LOSS)
        lab.wait_while(
            lambda: lab.status(primary, "/primary") == 200, LOSS_SECONDS, "not the primary"
        )
        lab.net.heal()


def test_a_link_that_comes_and_goes_never_makes_two_writers(lab):
    old = lab.primary()
    epoch = lab.epoch()
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(lab.probe())]
        for name in lab.nodes:
            probes.append(stack.enter_context(lab.probe(name, nodes=[name], wait=False)))
        fault = now()
        for _ in range(FLAPS):
            lab.net.link_down(old)
            time.sleep(TTL / 2)  # The rhythm is the fault: just when suspicion arises.
            lab.net.link_up(old)
            time.sleep(TTL / 2)
        healed = now()
        lab.wait_until_healthy()
        lab.wait_for(lambda: probes[0].wrote_since(healed), 20, "writes after the fault")
    lab.assert_one_writer_at_a_time(probes, epoch)
    for probe in probes:
        if probe.acknowledged():
            lab.assert_only_tails_lost(probe, fault)
