"""What PostgreSQL itself needs on this machine, without any manager: the floor of each figure.

Signals and files go straight to the postmaster, as a manager that wastes nothing would do it.
"""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2

import lab

PORTS = (25431, 25432)
LOAD_SECONDS = 2.0
DEADLINE = 60
CLIENTS = 4
SETTINGS = (
    "max_connections=200", "shared_buffers=16MB", "wal_log_hints=on",
    "restart_after_crash=off", "listen_addresses=127.0.0.1",
)


def as_postgres(command):
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


def run(*command):
    """A program of PostgreSQL, which must succeed."""
    path = str(lab.POSTGRES_PROGRAMS / command[0])
    done = subprocess.run(
        as_postgres([path, *command[1:]]), capture_output=True, text=True, timeout=DEADLINE,
        env=lab.clean_environment(), cwd="/",
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"


class Server:
    """A postmaster of our own, as a child."""

    def __init__(self, directory, port):
        self.directory = directory
        self.port = port
        self.process = None
        self.log = directory.with_suffix(".log")

    def start(self):
        options = (*SETTINGS, f"port={self.port}", f"unix_socket_directories={self.directory}")
        self.process = subprocess.Popen(
            as_postgres([
                str(lab.POSTGRES_PROGRAMS / "postgres"), "-D", str(self.directory),
                *(word for option in options for word in ("-c", option)),
            ]),
            env=lab.clean_environment(), cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=open(self.log, "a"), stderr=subprocess.STDOUT,
        )

    def connect(self):
        connection = psycopg2.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=2"
        )
        connection.autocommit = True
        return connection

    def sql(self, query):
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

    def wait_until(self, query):
        """Until the query says true; a server that is not there yet says nothing."""
        end = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(psycopg2.Error):
                if self.sql(query) == [(True,)]:
                    return
            assert time.monotonic() < end, f"{query}: {lab.tail(self.log)}"
            time.sleep(0.002)

    def wait_until_gone(self):
        """Until the postmaster is gone; it is the last to go."""
        handle = os.pidfd_open(self.process.pid)
        try:
            assert select.select([handle], [], [], DEADLINE)[0], "PostgreSQL does not end"
        finally:
            os.close(handle)
        self.process.wait()

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in pathlib.Path(path).read_text().split()]

    def kill(self):
        """SIGKILL to the postmaster and to all it has left behind."""
        pids = self.children()
        self.process.kill()
        self.process.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + DEADLINE
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            assert time.monotonic() < end, "processes of PostgreSQL do not go away"
            time.sleep(0.001)


@contextlib.contextmanager
def pgbench(server):
    target = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    run("pgbench", "--initialize", "--quiet", target)
    process = subprocess.Popen(
        as_postgres([
            str(lab.POSTGRES_PROGRAMS / "pgbench"), "-n", "-c", str(CLIENTS), "-T", "3600", target,
        ]),
        env=lab.clean_environment(), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(LOAD_SECONDS)
        yield
    finally:
        process.kill()
        process.wait()


def load(server, under_load):
    server.sql("CHECKPOINT")
    return pgbench(server) if under_load else contextlib.nullcontext()


def crash(server, under_load):
    """From the SIGKILL to the first write of a new connection."""
    with load(server, under_load):
        begun = time.monotonic()
        server.kill()
    server.start()
    server.wait_until("SELECT NOT pg_is_in_recovery() AND pg_current_xact_id()::text <> ''")
    return time.monotonic() - begun


def clone(primary, directory, port):
    """A standby of `primary` that streams."""
    run(
        "pg_basebackup", "-D", str(directory), "-R", "-c", "fast",
        "-d", f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby",
    )
    standby = Server(directory, port)
    standby.start()
    primary.wait_until(
        "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
    )
    standby.wait_until("SELECT pg_is_in_recovery()")
    return standby


def stop_and_promote(primary, standby, under_load):
    """(fast stop, promotion): until the process is gone; until an open session can write."""
    with load(primary, under_load), contextlib.closing(standby.connect()) as session:
        begun = time.monotonic()
        primary.process.send_signal(signal.SIGINT)
        primary.wait_until_gone()
        stopped = time.monotonic()
        (standby.directory / "promote").touch()
        standby.process.send_signal(signal.SIGUSR1)
        cursor = session.cursor()
        in_recovery = True
        while in_recovery:
            assert time.monotonic() < stopped + DEADLINE, "PostgreSQL is not promoted"
            time.sleep(0.001)
            cursor.execute("SELECT pg_is_in_recovery()")
            in_recovery = cursor.fetchone()[0]
        cursor.execute("SELECT pg_current_xact_id()")
        return stopped - begun, time.monotonic() - stopped


def measure(runs):
    """Name to seconds, a list of `runs` each."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="pgbaton-floor-", dir="/tmp"))
    found = {}
    primary = Server(root / "0", PORTS[0])
    standby = None
    lab.own_by_postgres(root)
    try:
        run("initdb", "-D", str(primary.directory), "-U", "postgres", "-E", "UTF8", "-k", "-A",
            "trust", "--no-sync")
        primary.start()
        primary.wait_until("SELECT NOT pg_is_in_recovery()")
        for number in range(runs):
            for name, under_load in (("idle", False), ("load", True)):
                found.setdefault("crash_" + name, []).append(crash(primary, under_load))
                index = 1 + 2 * number + under_load
                standby = clone(primary, root / str(index), PORTS[index % 2])
                stop, promotion = stop_and_promote(primary, standby, under_load)
                found.setdefault("stop_" + name, []).append(stop)
                found.setdefault("promote_" + name, []).append(promotion)
                shutil.rmtree(primary.directory)
                primary, standby = standby, None
        return found
    finally:
        for server in filter(None, (primary, standby)):
            if server.process is not None and server.process.poll() is None:
                server.kill()
        shutil.rmtree(root)
