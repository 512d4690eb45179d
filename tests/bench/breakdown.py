"""Where the time of a change goes, read off the logs of all nodes.

A step is the first line after the fault that matches. Lines about decided entries count only
for a newer epoch: a daemon that restarts tells all of its log again.
"""

import calendar
import re
import time

DAEMON_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) \w+: (.*)")
POSTGRES_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3}) UTC \[\d+\] \w+:\s+(.*)")
EPOCH = re.compile(r"epoch (\d+): (.*)")

# (name, pattern, must it be about a newer epoch)
STEPS = [
    ("death seen", r"PostgreSQL is gone|PostgreSQL died", False),
    ("PostgreSQL is told to stop", r"received (fast|immediate) shutdown request", False),
    ("PostgreSQL has stopped", r"database system is shut down", False),
    ("PostgreSQL fenced", r"pgbaton-guard: phase=idle was=(killing|fencing)", False),
    ("suspected", r"no completed lease round from the primary:", False),
    ("revoking", r"revoking the grant:", True),
    ("first pledge", r"pledged:", True),
    ("chosen", r"chose the next primary:|handing over:", True),
    ("granted", r"new grant:|handed over:", True),
    ("lease runs", r"lease runs:", True),
    ("promotion begun", r"action: (promote|start as primary):", True),
    ("PostgreSQL starts", r"starting PostgreSQL", False),
    ("PostgreSQL recovers", r"received promote request|automatic recovery in progress", False),
    ("PostgreSQL accepts writes", r"archive recovery complete|ready to accept connections", False),
    ("promotion seen", r'action="(promote|start as primary)" done', False),
    ("serving", r"primary is serving:", True),
]

# Clients may write a moment before these are logged.
LATE = ("promotion seen", "serving")


def parse(line):
    """(time, epoch or None, text) of a line, None if it is not one."""
    match = DAEMON_LINE.match(line)
    if match:
        seconds = time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S"))
    else:
        match = POSTGRES_LINE.match(line)
        if match is None:
            return None
        seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%d %H:%M:%S"))
    epoch = EPOCH.match(match[3])
    moment = seconds + int(match[2]) / 1000
    return (moment, int(epoch[1]), epoch[2]) if epoch else (moment, None, match[3])


def read(path, offset=0):
    with open(path, errors="replace") as file:
        file.seek(offset)
        return [found for found in map(parse, file) if found is not None]


class Logs:
    """The logs of a cluster from now on."""

    def __init__(self, cluster):
        self.offsets = {node.log: node.log.stat().st_size for node in cluster.nodes.values()}
        epochs = [epoch for path in self.offsets for _, epoch, _ in read(path) if epoch]
        self.epoch = max(epochs, default=0)

    def keep(self, folder):
        """Copies what was logged since then."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, offset in self.offsets.items():
            with open(path, "rb") as file:
                file.seek(offset)
                (folder / f"{path.parent.name}.log").write_bytes(file.read())

    def steps(self, wall, end):
        """Name of a step to milliseconds after the time `wall`.

        What is later than `end` belongs to the return of the old node, but for LATE.
        """
        lines = sorted(
            (line for path, offset in self.offsets.items() for line in read(path, offset)),
            key=lambda line: line[0],
        )
        found = {}
        for name, pattern, newer in STEPS:
            for moment, epoch, text in lines:
                if newer and (epoch is None or epoch <= self.epoch):
                    continue
                # The clock of the log is cut to milliseconds.
                if moment >= wall - 0.001 and re.match(pattern, text):
                    after = max(0.0, (moment - wall) * 1000)
                    if after <= end or name in LATE:
                        found[name] = after
                    break
        return found
