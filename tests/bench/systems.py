"""What is measured: a cluster under pgbaton, and the same three hosts under Patroni and etcd."""

import contextlib
import pathlib
import subprocess
import sys

import psycopg2
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import lab  # noqa: E402

# The same for both. Asynchronous, checksums, rewind allowed.
PARAMETERS = {"max_connections": 200, "shared_buffers": "16MB"}
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")


class BatonLab(lab.Lab):
    """Three nodes under pgbaton with the shipped settings (ttl 2)."""

    programs = ("pgbaton", "pgbaton-guard")
    settings_text = "ttl 2 (shipped settings)"

    def is_whole(self):
        """Does every other node stream from the primary, as the primary's PostgreSQL sees it?"""
        primary = self.primary()
        if primary is None:
            return False
        rows = self.try_sql(primary, STREAMING)
        return rows == [(len(self.nodes) - 1,)]

    def checkpoint(self):
        """So that every run begins with nothing to write and nothing to replay."""
        self.sql(self.wait_for_primary(), "CHECKPOINT")


class PatroniLab(BatonLab):
    """The same under Debian's Patroni, as user postgres, and an etcd on each node."""

    programs = ("patroni", "etcd")

    def __init__(self, dcs):
        self.etcd = {}
        super().__init__(daemon=(*AS_POSTGRES, "patroni"))
        self.settings_text = ", ".join(f"{key} {value}" for key, value in dcs.items())
        hosts = [f"{node.address}:{ETCD_CLIENT_PORT}" for node in self.nodes.values()]
        for node in self.nodes.values():
            settings = patroni_settings(node, yaml.safe_load(node.settings_file.read_text()), dcs)
            settings["etcd3"] = {"hosts": hosts}
            node.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
            (node.dir / "etcd").mkdir()

    def start(self, *names):
        for name in names or self.nodes:
            if name not in self.etcd or self.etcd[name].poll() is not None:
                self.etcd[name] = self._start_etcd(self.nodes[name])
        super().start(*names)

    def _start_etcd(self, node):
        peers = {n.name: f"http://{n.address}:{ETCD_PEER_PORT}" for n in self.nodes.values()}
        client = f"http://{node.address}:{ETCD_CLIENT_PORT}"
        options = {
            "name": node.name,
            "data-dir": str(node.dir / "etcd"),
            "listen-peer-urls": peers[node.name],
            "initial-advertise-peer-urls": peers[node.name],
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "initial-cluster": ",".join(f"{name}={url}" for name, url in peers.items()),
            "initial-cluster-state": "new",
            "log-level": "warn",
        }
        return self.net.popen(
            node.name,
            ["etcd", *(f"--{key}={value}" for key, value in options.items())],
            cwd=node.dir,
            stdin=subprocess.DEVNULL,
            stdout=open(node.dir / "etcd.log", "a"),
            stderr=subprocess.STDOUT,
        )

    def close(self):
        super().close()
        for process in self.etcd.values():
            process.wait()

    def is_healthy(self):
        """Patroni 3.0 does not say "streaming"; PostgreSQL does."""
        primary = self.primary()
        others = [name for name in self.nodes if name != primary]
        return self.is_whole() and all(self.status(n, "/replica") == 200 for n in others)


def patroni_settings(node, settings, dcs):
    """pgbaton's settings file in the shape that Patroni wants."""
    settings = {k: v for k, v in settings.items() if k in ("scope", "name", "restapi", "watchdog")}
    network = lab.net.SUBNET + "0/24"
    settings["bootstrap"] = {
        "dcs": {
            **dcs,
            "postgresql": {"use_pg_rewind": True, "parameters": PARAMETERS},
        },
        "initdb": [{"encoding": "UTF8"}, "data-checksums"],
        "pg_hba": [
            "local all all trust",
            "host all all 127.0.0.1/32 scram-sha-256",
            f"host replication replicator {network} scram-sha-256",
            f"host all all {network} scram-sha-256",
        ],
    }
    settings["postgresql"] = {
        "listen": f"0.0.0.0:{lab.POSTGRES_PORT}",
        "connect_address": f"{node.address}:{lab.POSTGRES_PORT}",
        "data_dir": str(node.data),
        "bin_dir": str(lab.POSTGRES_PROGRAMS),
        "pgpass": str(node.home / "pgpass"),
        "parameters": {"unix_socket_directories": str(node.home)},
        "authentication": {
            "superuser": {"username": lab.USER, "password": lab.PASSWORD},
            "replication": {"username": "replicator", "password": "lab-replication"},
        },
    }
    return settings


def make_table(cluster):
    with contextlib.suppress(psycopg2.errors.DuplicateTable):
        cluster.sql(
            cluster.wait_for_primary(),
            "CREATE TABLE bench (writer text, id bigint, PRIMARY KEY (writer, id))",
        )


PATRONI_DEFAULT = {
    "ttl": 30,
    "loop_wait": 10,
    "retry_timeout": 10,
    "maximum_lag_on_failover": 1048576,
}
PATRONI_FASTEST = {
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 3,
    "maximum_lag_on_failover": 1048576,
    "master_start_timeout": 0,
}

# name -> (title, how to make one)
SYSTEMS = {
    "pgbaton": ("pgbaton", BatonLab),
    "patroni": ("Patroni, defaults", lambda: PatroniLab(PATRONI_DEFAULT)),
    "patroni-fastest": ("Patroni, fastest", lambda: PatroniLab(PATRONI_FASTEST)),
}
