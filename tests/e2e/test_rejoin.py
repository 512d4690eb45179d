"""A primary that wrote what nobody else has comes back by rewinding, not by a new copy."""

from lab import now


def inodes(node):
    """The files of the databases, which a new copy would make anew."""
    base = node.data / "base"
    return {path.relative_to(base): path.stat().st_ino for path in base.glob("*/[0-9]*")}


def diverge(lab):
    """Leaves the old primary, cut off, with rows of its own; returns it and those rows."""
    old = lab.primary()
    with lab.probe(where=old, nodes=[old]) as inside:
        lab.net.cut(old)
        moment = now()
        new = lab.wait_for_another_primary(old)
    alone = [w.row for w in inside.acknowledged() if w.sent > moment]
    assert alone, "the old primary wrote nothing after the cut"
    # The new one writes too, so that the two histories go different ways.
    lab.sql(new, "CREATE TABLE IF NOT EXISTS elsewhere (a int)")
    lab.sql(new, "INSERT INTO elsewhere SELECT generate_series(1, 1000)")
    return old, new, inside, alone


def test_a_primary_with_wal_of_its_own_is_rewound(lab):
    old, new, inside, alone = diverge(lab)
    before = inodes(lab.nodes[old])

    lab.net.heal()
    lab.wait_until_healthy()
    assert lab.primary() == new
    assert lab.timeline(old) == lab.timeline(new)

    kept = [path for path, inode in inodes(lab.nodes[old]).items() if before.get(path) == inode]
    assert len(kept) > 0.9 * len(before), "the data directory was copied anew"

    # What only the old one had is gone everywhere; what the new one has, it has too.
    query = "SELECT count(*) FROM probe WHERE writer = %s AND id = ANY(%s)"
    for name in lab.nodes:
        assert lab.sql(name, query, inside.writer, alone) == [(0,)]
        lab.wait_for(
            lambda: lab.sql(name, "SELECT count(*) >= 1000 FROM elsewhere") == [(True,)],
            10, f"the rows of the new primary on {name}",
        )


def test_a_rewound_node_can_become_primary_again(lab):
    old, new, _, _ = diverge(lab)
    lab.net.heal()
    lab.wait_until_healthy()
    body = {"leader": new, "candidate": old}
    status, text = lab.rest(new, "/switchover", "POST", body, timeout=30)
    assert status == 200, text
    lab.wait_until_healthy()
    assert lab.primary() == old


def test_a_standby_whose_data_is_gone_is_cloned_again(lab):
    name = lab.replicas()[0]
    node = lab.nodes[name]
    lab.kill_node(name)
    for path in sorted(node.data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    lab.start(name)
    lab.wait_until_healthy()
    assert lab.sql(name, "SELECT pg_is_in_recovery()") == [(True,)]


def test_a_replica_is_built_anew_when_asked_to(lab):
    name = lab.replicas()[0]
    node = lab.nodes[name]
    # Inode numbers are handed out again; a clone takes only what the primary has.
    left = node.data / "left_from_before"
    left.write_text("")
    postmaster = node.postmaster()
    status, text = lab.rest(name, "/reinitialize", "POST", {"force": True})
    assert (status, text) == (200, "reinitialize started")
    lab.wait_for(lambda: node.postmaster() not in (None, postmaster), 60, "another postmaster")
    lab.wait_until_healthy()
    assert not left.exists(), "the old files are still there"


def tags(lab, seen_from, name):
    members = lab.rest(seen_from, "/cluster")[1]["members"]
    return next(m.get("tags", {}) for m in members if m["name"] == name)


def test_a_replica_is_cloned_from_one_that_is_tagged_for_it(lab):
    primary = lab.primary()
    name, source = lab.replicas()
    node = lab.nodes[name]
    lab.nodes[source].change_settings({"tags": {"clonefrom": True}})
    assert lab.rest(source, "/reload", "POST")[0] == 202
    log_size = node.log.stat().st_size
    postmaster = node.postmaster()
    lab.wait_for(
        lambda: tags(lab, name, source).get("clonefrom") is True, 5, "the others to know of the tag"
    )
    lab.sql(primary, "CREATE TABLE IF NOT EXISTS copied AS SELECT generate_series(1, 1000) n")
    lab.wait_until_replicated()
    assert lab.rest(name, "/reinitialize", "POST", {})[0] == 200
    lab.wait_for(lambda: node.postmaster() not in (None, postmaster), 60, "another postmaster")
    lab.wait_until_healthy()
    assert f'clone: asked for, from "{source}"' in node.log.read_text()[log_size:]

    # It is as good as any: it can be the primary.
    body = {"leader": primary, "candidate": name}
    status, text = lab.rest(primary, "/switchover", "POST", body, timeout=30)
    assert status == 200, text
    assert lab.sql(name, "SELECT count(*) FROM copied") == [(1000,)]
    lab.wait_until_healthy()


def test_the_primary_is_not_built_anew(lab):
    primary = lab.primary()
    status, text = lab.rest(primary, "/reinitialize", "POST", {"force": True})
    assert (status, text) == (503, "I am the leader, can not reinitialize")
