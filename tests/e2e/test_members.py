"""Clusters of another shape than three nodes with PostgreSQL, and how they get it."""

from lab import NO_PAUSE, SHORT_PAUSE, TTL, Lab, now


def test_a_third_node_is_added_to_two():
    with Lab(names=("n1", "n2"), outsiders=("n3",)) as lab:
        lab.start()
        lab.wait_until_healthy()
        primary = lab.primary()
        with lab.probe() as probe:
            lab.admit("n3")
            lab.start("n3")
            lab.wait_until_healthy()
            lab.wait_for(lambda: lab.voters() == {"n1", "n2", "n3"}, 20, "three voters")
        assert lab.primary() == primary
        assert probe.longest_gap() < NO_PAUSE
        lab.assert_nothing_lost(probe)

        # With two, the loss of one was the end.
        with lab.probe() as probe:
            fault = now()
            lab.kill_node(primary)
            lab.wait_for_another_primary(primary)
            moved = now()
            lab.wait_for(lambda: probe.wrote_since(moved), 20, "writes elsewhere")
        lab.assert_only_tail_lost(probe, primary, fault)


def test_a_witness_votes_and_has_no_postgresql():
    with Lab() as lab:
        lab.nodes["n3"].change_settings({"witness": True, "postgresql": None, "bootstrap": None})
        witness = lab.nodes["n3"]
        lab.start()
        nodes = ("n1", "n2")

        def is_whole():
            primary = lab.primary()
            others = [name for name in nodes if name != primary]
            return primary and lab.status(others[0], "/replica") == 200

        lab.wait_for(is_whole, 45, "a primary and a replica")
        lab.wait_for(lambda: lab.voters() == set(lab.nodes), 20, "three voters")
        assert lab.primary() in nodes
        assert lab.status("n3", "/replica") == 503
        assert lab.status("n3", "/liveness") == 200

        old = lab.primary()
        with lab.probe(nodes=nodes) as probe:
            fault = now()
            lab.kill_node(old)
            new = lab.wait_for_another_primary(old)
            moved = now()
            lab.wait_for(lambda: probe.wrote_since(moved), 20, "writes elsewhere")
            lab.start(old)
            lab.wait_for(is_whole, 45, "the lost node as a replica")
            assert lab.primary() == new
            # Its vote is not needed now.
            lab.kill_node("n3")
            gone = now()
            lab.wait_for(lambda: probe.wrote_since(gone + TTL), 20, "writes without the witness")
        assert probe.longest_gap() < SHORT_PAUSE
        lab.assert_only_tail_lost(probe, old, fault)
        assert not witness.data.exists()
