"""Three nodes with empty disks become a cluster, and clients find their way in."""

import time

import psycopg2
import pytest

from lab import READ_PORT, WRITE_PORT, Lab, dsn


def initialising(lab):
    """The node in whose data directory initdb has begun to write, None if there is none yet."""
    for name, node in lab.nodes.items():
        if (node.data / "PG_VERSION").exists():
            return name
    return None


def test_an_initdb_that_was_cut_off_is_made_again():
    with Lab() as lab:
        lab.start()
        name = lab.wait_for(lambda: initialising(lab), 30, "an initdb")
        lab.kill_node(name)
        assert (lab.nodes[name].raft / "partial").exists(), "the fault came too late"
        lab.start(name)
        lab.wait_until_healthy()
        assert lab.primary() == name


def test_one_node_initialises_and_two_clone(lab):
    identifiers = {
        name: lab.sql(name, "SELECT system_identifier FROM pg_control_system()")[0][0]
        for name in lab.nodes
    }
    assert len(set(identifiers.values())) == 1
    in_recovery = {name: lab.sql(name, "SELECT pg_is_in_recovery()")[0][0] for name in lab.nodes}
    assert sorted(in_recovery.values()) == [False, True, True]
    assert not in_recovery[lab.primary()]


def test_every_node_tells_the_same_story(lab):
    primary = lab.primary()
    for name in lab.nodes:
        status, cluster = lab.rest(name, "/cluster")
        assert status == 200
        roles = {member["name"]: member["role"] for member in cluster["members"]}
        assert set(roles) == set(lab.nodes)
        assert [member for member, role in roles.items() if role == "leader"] == [primary]
        assert cluster["scope"] == "demo"


def test_members_are_shown_with_their_addresses_and_state(lab):
    primary = lab.primary()
    for name, member in lab.members().items():
        assert member["host"] == lab.nodes[name].address
        assert member["port"] == 5432
        assert member["api_url"] == f"http://{lab.nodes[name].address}:8008/patroni"
        assert member["state"] == ("running" if name == primary else "streaming")
        assert member["timeline"] == lab.timeline(primary)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD"])
def test_health_checks_tell_primary_and_replicas_apart(lab, method):
    primary = lab.primary()
    for name in lab.nodes:
        is_primary = name == primary
        assert lab.status(name, "/primary", method) == (200 if is_primary else 503)
        assert lab.status(name, "/master", method) == (200 if is_primary else 503)
        assert lab.status(name, "/replica", method) == (503 if is_primary else 200)


def test_what_is_written_on_the_primary_is_read_on_the_others(lab):
    value = str(time.monotonic())
    lab.sql(lab.primary(), "CREATE TABLE IF NOT EXISTS story (line text)")
    lab.sql(lab.primary(), "INSERT INTO story VALUES (%s)", value)
    for name in lab.replicas():
        lab.wait_for(
            lambda: lab.try_sql(name, "SELECT 1 FROM story WHERE line = %s", value),
            10, f"the row on {name}",
        )


def test_standbys_refuse_to_write(lab):
    for name in lab.replicas():
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            lab.sql(name, "CREATE TABLE refused ()")


def test_the_primary_keeps_a_slot_for_each_standby(lab):
    query = "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1"
    want = [(name,) for name in sorted(lab.replicas())]
    lab.wait_for(lambda: lab.sql(lab.primary(), query) == want, 10, f"active slots {want}")


def test_haproxy_leads_writes_to_the_primary_and_reads_to_replicas(lab):
    client = lab.net.addresses["client"]
    address = "SELECT host(inet_server_addr()), pg_is_in_recovery()"
    with lab.haproxy(primary_check="/master"):
        primary = lab.nodes[lab.primary()].address
        assert lab.sql(dsn(client, WRITE_PORT), address) == [(primary, False)]
        readers = {lab.sql(dsn(client, READ_PORT), address)[0] for _ in range(10)}
    assert readers == {(lab.nodes[name].address, True) for name in lab.replicas()}


def test_the_command_line_lists_the_members(lab):
    primary = lab.primary()
    shown = lab.ctl("list").stdout
    assert "Cluster: demo" in shown
    rows = {
        cells[1]: cells
        for cells in ([cell.strip() for cell in line.split("|")] for line in shown.splitlines())
        if len(cells) > 3 and cells[1] in lab.nodes
    }
    assert set(rows) == set(lab.nodes)
    assert rows[primary][3:5] == ["Leader", "running"]
