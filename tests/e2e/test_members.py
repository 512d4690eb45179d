"""Clusters of another shape than three nodes with PostgreSQL, and how they get it."""

import shutil
import socket

from lab import NO_PAUSE, RAFT_PORT, SHORT_PAUSE, TTL, Lab, now


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


def delete_member(lab, name):
    status, text = lab.rest(lab.primary(), f"/members/{name}", "DELETE", timeout=10)
    assert (status, text) == (200, "member removed")


def is_left_out(lab, name):
    state = lab.state(name)
    return state is not None and state["raft"]["left_out"]


def test_a_third_node_is_removed_again_from_the_running_cluster():
    with Lab() as lab:
        lab.start()
        lab.wait_until_healthy()
        with lab.undisturbed() as primary:
            gone = lab.replicas()[0]
            lab.stop_daemon(gone)
            delete_member(lab, gone)
            lab.dismiss(gone)
            lab.wait_until_healthy()
            assert lab.voters() == set(lab.nodes)
            slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s"
            lab.wait_for(
                lambda: lab.sql(primary, slots, gone) == [(0,)], 10, "no slot that keeps WAL for it"
            )

            # It does not come back by itself, says so, and does no harm when it tries.
            log = lab.outsiders[gone].log
            log_size = log.stat().st_size
            lab.start(gone)
            words = 'this node was removed from cluster "demo"'
            lab.wait_for(lambda: words in log.read_text()[log_size:], 10, "a word about it")
            lab.wait_for(lambda: is_left_out(lab, gone), 10, "the same in its state")
            assert not any(is_left_out(lab, name) for name in lab.nodes)
            lab.wait_while(lambda: lab.voters() == set(lab.nodes), 2 * TTL, "it came back")
            lab.kill_node(gone)

        # Two of two are needed now.
        other = lab.replicas()[0]
        lab.kill_node(other)
        lab.wait_for(lambda: lab.primary() is None, 10, "the primary to give up")
        lab.start(other)
        lab.wait_until_healthy()

        # With an empty store it is a new node.
        shutil.rmtree(lab.outsiders[gone].raft)
        lab.outsiders[gone].raft.mkdir()
        lab.start(gone)
        lab.admit(gone)
        lab.wait_until_healthy()
        lab.wait_for(lambda: lab.voters() == set(lab.nodes), 20, "three voters")


def test_a_node_of_a_newer_version_is_refused_with_a_word_about_it():
    newer = b"\xb7RM\x02" + bytes(36)  # raft/frame.h: magic, version
    with Lab(names=("n1",)) as lab:
        node = lab.nodes["n1"]
        node.change_settings({"raft": {"password": None, "insecure": True}})
        lab.start()
        lab.wait_until_healthy()
        with lab.undisturbed():
            with lab.net.inside("client"):
                peer = socket.create_connection((node.address, RAFT_PORT), timeout=5)
            with peer:
                peer.sendall(newer)
                assert peer.recv(1) == b"", "it was not hung up on"
            client = lab.net.addresses["client"]
            words = (
                f"refused a peer connection from {client}: another version of the protocol:"
                " it speaks 2, this node 1"
            )
            lab.wait_for(lambda: words in node.log.read_text(), 10, "a word about it")
