"""A lab: daemons, PostgreSQL and HAProxy on hosts of their own, clients, and faults.

    with Lab() as lab:
        lab.start()
        lab.wait_until_healthy()
        with lab.probe() as probe:
            lab.kill_postmaster(lab.primary())
            lab.wait_for(lambda: probe.wrote_since(mark), 10, "writes again")
        assert probe.longest_gap() < 1
        lab.assert_nothing_lost(probe)
"""

import base64
import collections
import contextlib
import csv
import errno
import http.client
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import psycopg2
import yaml

import net

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PGBATON_BUILD", ROOT / "build/debug")).absolute()
POSTGRES_PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")

REST_PORT = 8008
POSTGRES_PORT = 5432
RAFT_PORT = 2380
WRITE_PORT = 5000  # of HAProxy
READ_PORT = 5001
STATS_PORT = 7000

USER = "postgres"
PASSWORD = "lab-superuser"
API_USER = "admin"
API_PASSWORD = "lab-api"

TTL = 2.0  # seconds, of the shipped settings

# How long writes may pause, generously: another job may have the machine. Where nothing is
# restarted a pause is no more than that; else it has to end soon, and how soon is measured
# elsewhere, on a quiet machine.
NO_PAUSE = 2.0
SHORT_PAUSE = 10.0

POLL_SECONDS = 0.02

# On a machine that other jobs have, a probe reads an answer so much later than it was given.
NOTICED_LATE = 0.5

# A row this old has reached a standby that streams, however busy the machine is.
TAIL_SECONDS = 1.0

Write = collections.namedtuple("Write", "sent answered outcome row host")


def now():
    """The clock of the probes' logs."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def dsn(host, port=POSTGRES_PORT):
    return f"host={host} port={port} user={USER} password={PASSWORD} dbname=postgres"


# What the daemons have freed is overwritten, so that its use shows.
POISON = {"MALLOC_PERTURB_": "165"}


def clean_environment():
    """Ours without the variables that the programs take for settings, such as PGBATON_BUILD."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PGBATON", "PATRONI", "PG"))
    }


def own_by_postgres(path):
    user = pwd.getpwnam("postgres")
    os.chown(path, user.pw_uid, user.pw_gid)


def tail(path, lines=40):
    with contextlib.suppress(FileNotFoundError):
        return "".join(open(path, errors="replace").readlines()[-lines:])
    return ""


@contextlib.contextmanager
def full(folder):
    """Nothing more fits on the folder's volume until the end of the block."""
    filler = folder / "filler"
    try:
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        yield
    finally:
        filler.unlink()


def reigns(probes):
    """What was acknowledged, by time, cut where another host answers."""
    writes = sorted((w for probe in probes for w in probe.acknowledged()), key=lambda w: w.answered)
    return [list(reign) for _, reign in itertools.groupby(writes, key=lambda w: w.host)]


def living(pid_file):
    """The pid in the first line of a file, None if there is no such process."""
    with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
        pid = int(pid_file.read_text().split()[0])
        return pid if os.path.exists(f"/proc/{pid}") else None
    return None


class Node:
    """One machine: its files, and the daemon that runs on it (or does not)."""

    def __init__(self, name, address, root):
        self.name = name
        self.address = address
        self.dir = root / name
        self.settings_file = self.dir / "pgbaton.yaml"
        self.log = self.dir / "daemon.log"
        # A folder of PostgreSQL's user: the data directory comes and goes in it.
        self.home = self.dir / "postgres"
        self.data = self.home / "data"
        self.daemon = None
        self.home.mkdir(parents=True)
        self.raft = self.dir / "raft"
        self.raft.mkdir()

    def is_running(self):
        return self.daemon is not None and self.daemon.poll() is None

    def postmaster(self):
        """The pid, None if there is none."""
        return living(self.data / "postmaster.pid")

    def guard(self):
        """The pid, None if there is none."""
        return living(self.raft / "guard.sock.lock")

    def change_settings(self, change):
        """Merges into the settings file; the next start or reload reads it."""
        settings = yaml.safe_load(self.settings_file.read_text())
        self.settings_file.write_text(yaml.safe_dump(merge(settings, change), sort_keys=False))

    def settings(self, names_to_addresses, dcs):
        """The shipped sample, with what differs in a lab."""
        settings = yaml.safe_load((ROOT / "conf/n1.yaml").read_text())
        subnet = net.SUBNET + "0/24"
        settings["name"] = self.name
        settings["restapi"] = {
            "listen": f"0.0.0.0:{REST_PORT}",
            "connect_address": f"{self.address}:{REST_PORT}",
            "authentication": {"username": API_USER, "password": API_PASSWORD},
        }
        settings["raft"] = {
            "self_addr": f"{self.address}:{RAFT_PORT}",
            "partner_addrs": [
                f"{address}:{RAFT_PORT}"
                for name, address in names_to_addresses.items()
                if name != self.name
            ],
            "data_dir": str(self.raft),
            "password": "lab-raft-password-of-some-length",
        }
        settings["bootstrap"]["dcs"] = merge(settings["bootstrap"]["dcs"], dcs)
        settings["bootstrap"]["pg_hba"] = [
            f"host replication replicator {subnet} scram-sha-256",
            f"host all all {subnet} scram-sha-256",
        ]
        settings["postgresql"] |= {
            "listen": f"0.0.0.0:{POSTGRES_PORT}",
            "connect_address": f"{self.address}:{POSTGRES_PORT}",
            "data_dir": str(self.data),
            "bin_dir": str(POSTGRES_PROGRAMS),
            # The hosts share a file system, so the usual folder is not theirs alone.
            "parameters": {"unix_socket_directories": str(self.home), "shared_buffers": "16MB"},
        }
        settings["postgresql"]["authentication"] = {
            "superuser": {"username": USER, "password": PASSWORD},
            "replication": {"username": "replicator", "password": "lab-replication"},
        }
        settings["watchdog"] = {"mode": "off"}  # The device is the whole machine's.
        return settings


def merge(base, change):
    """As PATCH /config does: maps are merged, None deletes."""
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


class Probe:
    """A running probe.py. Stopped at the end of its `with` block; its log stays readable."""

    def __init__(self, lab, writer, where, addresses):
        self.writer = writer
        self.log = lab.dir / f"{writer}.log"
        self.log.touch()
        self.stopped = None
        self.process = lab.net.popen(
            where,
            [
                *(sys.executable, str(pathlib.Path(__file__).with_name("probe.py"))),
                *(str(self.log), writer, *(dsn(address) for address in addresses)),
            ],
            stderr=open(lab.dir / f"{writer}.err", "w"),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.stopped is None:
            self.stopped = now()
            self.process.kill()
            self.process.wait()

    def writes(self):
        """What the log says up to now, oldest first."""
        found = []
        # The last line may be half written.
        for line in self.log.read_text().split("\n")[:-1]:
            sent, answered, outcome, row, host = line.split()
            found.append(Write(float(sent), float(answered), outcome, int(row), host))
        return found

    def acknowledged(self, host=None):
        return [w for w in self.writes() if w.outcome == "ok" and host in (None, w.host)]

    def wrote_since(self, moment, host=None):
        """Has a write that was sent after `moment` been acknowledged?"""
        last = self.acknowledged(host)[-1:]
        return bool(last) and last[0].sent > moment

    def longest_gap(self):
        """Seconds between two acknowledged writes, or from the last one to the end."""
        times = [w.answered for w in self.acknowledged()]
        assert times, f"{self.writer} never wrote anything"
        times.append(self.stopped or now())
        return max(after - before for before, after in zip(times, times[1:]))


class Lab:
    """Nodes n1, n2, ... and a client on one network.

    `dcs` is merged into bootstrap.dcs. `daemon` is the command that is given a settings file.
    `volumes` are folders of each node ("raft", "postgres") that get a volume of their own, and
    its size in MiB.
    `outsiders` are nodes that know the others and are not known to them, nor to this class until
    admit() or from dismiss() on: what is said of "all nodes" does not mean them.
    """

    current = None  # The one that is open, for the report of a test that failed.

    def __init__(
        self,
        names=("n1", "n2", "n3"),
        dcs=None,
        outsiders=(),
        daemon=(str(BUILD / "pgbaton"),),
        volumes=None,
    ):
        self.daemon = daemon
        self.volumes = volumes or {}
        self.net = net.Net([*names, *outsiders])
        self.dir = pathlib.Path(net.make_dir())
        self.nodes = self._make_nodes(names)
        self.outsiders = self._make_nodes(outsiders)
        self.probes = []
        self.is_broken = False
        addresses = {name: node.address for name, node in self.nodes.items()}
        for node in [*self.nodes.values(), *self.outsiders.values()]:
            settings = node.settings(addresses, dcs or {})
            node.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def _make_nodes(self, names):
        nodes = {name: Node(name, self.net.addresses[name], self.dir) for name in names}
        for node in nodes.values():
            for folder, mebibytes in self.volumes.items():
                net.mount_memory(node.dir / folder, mebibytes)
            own_by_postgres(node.home)
        return nodes

    def __enter__(self):
        Lab.current = self
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        Lab.current = None
        self.net.close()
        for node in [*self.nodes.values(), *self.outsiders.values()]:
            if node.daemon is not None:
                node.daemon.wait()
        if "PGBATON_KEEP" not in os.environ:
            net.remove_dir(self.dir)

    def logs(self):
        """(name, last lines) of every log, for the report of a test that failed."""
        return [(str(path.relative_to(self.dir)), tail(path)) for path in self._log_files()]

    def _log_files(self):
        return [path for path in sorted(self.dir.rglob("*.log")) if not self._is_probe(path)]

    def _is_probe(self, path):
        return any(probe.log == path for probe in self.probes)

    def node(self, name):
        """Also one that is an outsider."""
        return self.nodes.get(name) or self.outsiders[name]

    # --- Daemons ---

    def start(self, *names):
        """Starts the daemons that do not run: all of them, or those named."""
        for name in names or self.nodes:
            node = self.node(name)
            if not node.is_running():
                node.daemon = self.net.popen(
                    name,
                    [*self.daemon, str(node.settings_file)],
                    cwd=node.dir,
                    env=clean_environment() | POISON,
                    stdin=subprocess.DEVNULL,
                    stdout=open(node.log, "a"),
                    stderr=subprocess.STDOUT,
                )

    def admit(self, name):
        """From now on the outsider is one of the nodes."""
        self.nodes[name] = self.outsiders.pop(name)

    def dismiss(self, name):
        """From now on the node is an outsider."""
        self.outsiders[name] = self.nodes.pop(name)

    def signal_daemon(self, name, number):
        self.nodes[name].daemon.send_signal(number)

    def kill_daemon(self, name):
        """SIGKILL to the daemon alone: its guard and PostgreSQL stay."""
        daemon = self.nodes[name].daemon
        daemon.kill()
        daemon.wait()

    def stop_daemon(self, name):
        """An orderly end, of PostgreSQL too."""
        self.signal_daemon(name, signal.SIGTERM)
        assert self.nodes[name].daemon.wait(timeout=60) == 0

    def kill_postmaster(self, name):
        os.kill(self.nodes[name].postmaster(), signal.SIGKILL)

    def kill_node(self, name):
        """SIGKILL to daemon, guard and every process of PostgreSQL; probes live on."""
        self.net.kill_all(name, spare=[probe.process.pid for probe in self.probes])
        self.node(name).daemon.wait()

    def recover(self):
        """Ends every fault, and waits until the cluster is whole again.

        Fails at once if it was not so before: the tests that follow need not wait as well.
        """
        assert not self.is_broken, "the cluster has not become whole after an earlier test"
        self.is_broken = True
        self.net.heal()
        self.start()
        self.wait_until_healthy()
        self.is_broken = False

    # --- What the cluster says ---

    def rest(self, name, path, method="GET", body=None, timeout=2.0, auth=True):
        """(status, body) of a call from the client; JSON is parsed. OSError if nobody answers."""
        headers = {}
        if auth and method not in ("GET", "HEAD", "OPTIONS"):
            token = base64.b64encode(f"{API_USER}:{API_PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        connection = http.client.HTTPConnection(
            self.node(name).address, REST_PORT, timeout=timeout
        )
        with self.net.inside("client"), contextlib.closing(connection):
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, text

    def status(self, name, path, method="GET"):
        """The status code, None if the node does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.rest(name, path, method, timeout=1.0)[0]
        return None

    def primary(self):
        """The node that says it is the primary, None if there is none. Two are a failure."""
        found = [name for name in self.nodes if self.status(name, "/primary") == 200]
        if len(found) > 1:
            # The first ones may have handed over before the last one was asked.
            last = found.pop()
            found = [name for name in found if self.status(name, "/primary") == 200] + [last]
        assert len(found) < 2, f"several primaries: {found}"
        return found[0] if found else None

    def members(self):
        """Name to member of GET /cluster, as the first node that answers sees it."""
        for name in self.nodes:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, cluster = self.rest(name, "/cluster", timeout=1.0)
                if status == 200:
                    return {member["name"]: member for member in cluster["members"]}
        return {}

    def state(self, name):
        """GET /state of a node, None if it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.rest(name, "/state", timeout=1.0)[1]
        return None

    def voters(self):
        """The names of the members that count in a majority, as the primary sees them."""
        primary = self.primary()
        state = primary and self.state(primary)
        return {m["name"] for m in state["members"] if m["voter"]} if state else set()

    def epoch(self):
        return self.state(self.wait_for_primary())["epoch"]["number"]

    def wait_until_replicated(self):
        """Until the standbys have on their disks what the primary has written up to now."""
        primary = self.wait_for_primary()
        lsn = self.sql(primary, "SELECT pg_current_wal_lsn()")[0][0]
        query = "SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= %s"
        others = len(self.nodes) - 1
        self.wait_for(lambda: self.sql(primary, query, lsn) == [(others,)], 20, f"{lsn} everywhere")

    def timeline(self, name):
        return self.rest(name, "/patroni")[1].get("timeline")

    def is_healthy(self):
        """One primary, and every other member streams from it on its timeline."""
        primary = self.primary()
        members = self.members()
        return (
            primary is not None
            and set(members) == set(self.nodes)
            and members[primary]["role"] == "leader"
            and all(self._streams(m, members[primary]) for n, m in members.items() if n != primary)
            # HTTP says what a member reported last; the health check, what it is now.
            and all(self.status(n, "/replica") == 200 for n in members if n != primary)
        )

    @staticmethod
    def _streams(member, leader):
        return member["state"] == "streaming" and member.get("timeline") == leader.get("timeline")

    def wait_until_healthy(self, deadline=45):
        self.wait_for(self.is_healthy, deadline, "a primary and all others streaming")

    def wait_for_primary(self, deadline=20):
        return self.wait_for(self.primary, deadline, "a primary")

    def wait_for_another_primary(self, old, deadline=20):
        """The node that is the primary once it is not `old` any more."""
        return self.wait_for(
            lambda: (found := self.primary()) not in (None, old) and found,
            deadline, f"a primary other than {old}",
        )

    def patch_config(self, change):
        status, answer = self.rest(self.wait_for_primary(), "/config", "PATCH", change)
        assert status == 200, answer

    def replicas(self):
        primary = self.primary()
        return [name for name in self.nodes if name != primary]

    def wait_for(self, condition, deadline, what):
        """The first true value of `condition`; a failure after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {deadline} s: {what}; members: {self.members()}")
            time.sleep(POLL_SECONDS)
        return value

    def wait_while(self, condition, seconds, what):
        """The condition must hold all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert condition(), f"{what}; members: {self.members()}"
            time.sleep(POLL_SECONDS)

    def ctl(self, *arguments, check=True):
        """pgbatonctl on the client, with the settings of a node. `check`: it must succeed."""
        settings = next(iter(self.nodes.values())).settings_file
        process = self.net.popen(
            "client",
            [str(BUILD / "pgbatonctl"), "-c", str(settings), *arguments],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=60)
        assert not check or process.returncode == 0, f"ctl {arguments}: {out}{err}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    # --- SQL ---

    def connect(self, target, where="client"):
        """A connection from `where` to a node, or to whatever a connection string says."""
        node = self.nodes.get(target)
        with self.net.inside(where):
            connection = psycopg2.connect(
                dsn(node.address) if node else target, connect_timeout=2
            )
        connection.autocommit = True
        return connection

    def sql(self, target, query, *values, where="client"):
        """The rows of a query; [] if it returns none."""
        with contextlib.closing(self.connect(target, where)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall() if cursor.description else []

    def try_sql(self, target, query, *values, where="client"):
        """The same, None if there is no connection or it breaks."""
        with contextlib.suppress(psycopg2.OperationalError):
            return self.sql(target, query, *values, where=where)
        return None

    # --- Clients ---

    def probe(self, where="client", nodes=None, wait=True):
        """Starts to write from `where` to the primary among `nodes` (all).

        `wait`: it has written. Else there may be no primary among them yet.
        """
        self.sql(
            self.wait_for_primary(),
            "CREATE TABLE IF NOT EXISTS probe (writer text, id bigint, PRIMARY KEY (writer, id))",
        )
        addresses = [self.nodes[name].address for name in nodes or self.nodes]
        probe = Probe(self, f"probe{len(self.probes) + 1}", where, addresses)
        self.probes.append(probe)
        if wait:
            self.wait_for(probe.acknowledged, 10, f"the first write of {probe.writer}")
        return probe

    def lost(self, probe):
        """The acknowledged writes that the primary lacks. A row that nobody sent is a failure."""
        writes = probe.writes()
        # The probe may have been stopped after it sent a row and before it logged it.
        possible = {w.row for w in writes if w.outcome != "refused"} | {writes[-1].row + 1}
        primary = self.wait_for_primary()
        rows = self.sql(primary, "SELECT id FROM probe WHERE writer = %s", probe.writer)
        present = {row for row, in rows}
        assert present <= possible, f"never sent: {sorted(present - possible)[:20]}"
        return [w for w in writes if w.outcome == "ok" and w.row not in present]

    def assert_nothing_lost(self, probe):
        """Every acknowledged row is on the primary, and none that was never sent or refused."""
        lost = self.lost(probe)
        assert not lost, f"lost: {[w.row for w in lost[:20]]}"

    def assert_only_tail_lost(self, probe, old, fault):
        """What asynchronous replication may lose when the primary `old` is gone at `fault`.

        Only rows that `old` itself acknowledged, only its last ones without a hole, and none
        that had a second to reach a standby. Returns how many they are.
        """
        host = self.nodes[old].address
        lost = self.lost(probe)
        elsewhere = [w for w in lost if w.host != host]
        assert not elsewhere, f"lost, acknowledged by another node: {elsewhere[:5]}"
        early = [w for w in lost if w.answered < fault - TAIL_SECONDS]
        assert not early, f"lost, {fault - early[0].answered:.3f} s before the fault: {early[:5]}"
        tail = probe.acknowledged(host)[-len(lost) :] if lost else []
        assert lost == tail, f"lost from the middle: {[w for w in lost if w not in tail][:5]}"
        return len(lost)

    def assert_one_writer_at_a_time(self, probes, epoch_before):
        """There is another host only after another grant; two that serve at once would alternate."""
        hosts = [reign[0].host for reign in reigns(probes)]
        grants = self.epoch() - epoch_before
        assert len(hosts) - 1 <= grants, f"{hosts} under {grants} new grants"

    def assert_only_tails_lost(self, probe, fault):
        """What is lost is the end of a reign that a fault, not earlier than `fault`, ended.

        Returns how many rows.
        """
        lost = {w.row for w in self.lost(probe)}
        for reign in reigns([probe]):
            gone = [w.row in lost for w in reign]
            assert gone == sorted(gone), f"lost from the middle of a reign: {sorted(lost)[:20]}"
            early = [w for w in reign if w.row in lost and w.answered < fault - TAIL_SECONDS]
            assert not early, f"lost, from before the fault: {early[:5]}"
        return len(lost)

    def assert_no_overlap(self, inside, probe, old):
        """`old`, seen by `inside`, acknowledged its last write before another node its first."""
        host = self.nodes[old].address
        last = inside.acknowledged(host)[-1].answered
        first = next(w for w in probe.acknowledged() if w.host != host)
        # The answer of the first write, not its sending: until then nothing is promised.
        assert last < first.answered, f"two writers for {last - first.answered:.3f} s"

    @contextlib.contextmanager
    def undisturbed(self):
        """Whatever happens in the block costs the primary nothing, and no row."""
        primary = self.primary()
        epoch = self.epoch()
        postmaster = self.nodes[primary].postmaster()
        with self.probe() as probe:
            yield primary
            done = now()
            self.wait_for(lambda: probe.wrote_since(done), 10, "writes all the time")
        assert (self.primary(), self.epoch()) == (primary, epoch)
        assert self.nodes[primary].postmaster() == postmaster
        assert probe.longest_gap() < NO_PAUSE
        self.assert_nothing_lost(probe)

    @contextlib.contextmanager
    def running(self, host, command, **options):
        """A command and its children, killed at the end of the block."""
        process = self.net.popen(host, command, **options)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def pgbench(self, clients=4):
        """Load through HAProxy's write port for as long as the block lasts."""
        host = self.net.addresses["client"]
        target = f"host={host} port={WRITE_PORT} user={USER} dbname=postgres"
        environment = {**clean_environment(), "PGPASSWORD": PASSWORD}
        program = POSTGRES_PROGRAMS / "pgbench"
        with self.net.inside("client"):
            subprocess.run(
                [program, "--initialize", "--quiet", target],
                env=environment, check=True, capture_output=True, timeout=60,
            )
        # It ends when a connection breaks, so it is started again and again.
        loop = f"while :; do {program} -n -c {clients} -T 3600 '{target}'; sleep 0.05; done"
        with self.running(
            "client", ["sh", "-c", loop], env=environment,
            stdout=subprocess.DEVNULL, stderr=open(self.dir / "pgbench.log", "a"),
        ):
            yield

    @contextlib.contextmanager
    def haproxy(self, primary_check="/primary"):
        """HAProxy on the client, with the shipped settings, until the end of the block."""
        text = (ROOT / "conf/haproxy.cfg").read_text()
        text = re.sub(r"10\.0\.0\.(?=\d+:)", net.SUBNET, text)
        text = text.replace("OPTIONS /primary", f"OPTIONS {primary_check}")
        settings = self.dir / "haproxy.cfg"
        settings.write_text(text)
        with self.running(
            "client", ["haproxy", "-db", "-f", str(settings)],
            stdout=open(self.dir / "haproxy.log", "a"), stderr=subprocess.STDOUT,
        ):
            # Until it has asked, it takes every server for a good one.
            self.wait_for(self._haproxy_has_checked, 10, "HAProxy's first checks")
            yield

    def _haproxy_has_checked(self):
        address = self.net.addresses["client"]
        with self.net.inside("client"), contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{address}:{STATS_PORT}/;csv", timeout=1) as answer:
                lines = answer.read().decode().lstrip("# ").splitlines()
            checks = [row["check_status"] for row in csv.DictReader(lines)]
            return any(checks) and not any("INI" in check for check in checks)
        return False
