"""What a cluster costs when nothing happens, and how quick its answers are."""

import base64
import contextlib
import http.client
import json
import mmap
import os
import pathlib
import statistics
import subprocess
import time

import lab

TICK = os.sysconf("SC_CLK_TCK")
WRK_SECONDS = 5
WRK_CONNECTIONS = 8
COMMITS = 100
WRK_SCRIPT = """
wrk.method = "%s"
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %%d, "seconds": %%.6f, "p50_us": %%d, "p99_us": %%d, "errors": %%d}\\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def quantiles(seconds):
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "min": ordered[0],
        "median": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "max": ordered[-1],
    }


# --- A node in peace ---


def managers(cluster, name):
    """pid to program of the daemons on a node, without PostgreSQL."""
    found = {}
    for pid in cluster.net.pids(name):
        with contextlib.suppress(FileNotFoundError):
            command = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            if command in cluster.programs:
                found[pid] = command
    return found


def process_figures(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    io = dict(
        line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    )
    kilobytes = {
        line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines() if " kB" in line
    }
    return {
        "cpu": (int(stat[11]) + int(stat[12])) / TICK,
        "rss": kilobytes["Rss"] * 1024,
        "pss": kilobytes["Pss"] * 1024,
        "written": int(io["write_bytes"]),
    }


def idle(cluster, seconds):
    """Program to its figures on each node, over `seconds` in which nobody asks anything."""
    pids = {name: managers(cluster, name) for name in cluster.nodes}
    before = {pid: process_figures(pid) for node in pids.values() for pid in node}
    primary = cluster.primary()
    time.sleep(seconds)
    nodes = {}
    for name, node in pids.items():
        programs = {}
        for pid, program in node.items():
            now = process_figures(pid)
            programs[program] = {
                "rss": now["rss"],
                "pss": now["pss"],
                "cpu_percent": (now["cpu"] - before[pid]["cpu"]) / seconds * 100,
                "written_per_minute": (now["written"] - before[pid]["written"]) * 60 / seconds,
            }
        nodes[name] = {"role": "primary" if name == primary else "replica", "programs": programs}
    return {"seconds": seconds, "nodes": nodes}


# --- HTTP ---


def requests_per_second(cluster, method, path="/primary"):
    """wrk with one thread and keep-alive, from the client to the primary."""
    node = cluster.nodes[cluster.wait_for_primary()]
    script = cluster.dir / f"{method}.lua"
    script.write_text(WRK_SCRIPT % method)
    process = cluster.net.popen(
        "client",
        [
            *("wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", str(script)),
            f"http://{node.address}:{lab.REST_PORT}{path}",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    out, _ = process.communicate(timeout=WRK_SECONDS + 30)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    assert process.returncode == 0 and lines, f"wrk: {out}"
    figures = json.loads(lines[-1])
    return {**figures, "per_second": figures["requests"] / figures["seconds"]}


# --- A decision ---


def timed(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def decisions(cluster):
    """A PATCH that changes one value: the way to an entry that a majority has on disk.

    A GET of the same over the same connection tells what of it is HTTP.
    """
    node = cluster.nodes[cluster.wait_for_primary()]
    token = base64.b64encode(f"{lab.API_USER}:{lab.API_PASSWORD}".encode()).decode()
    with cluster.net.inside("client"):
        connection = http.client.HTTPConnection(node.address, lab.REST_PORT, timeout=10)
        connection.connect()

    def call(method, change=None):
        body = json.dumps(change) if change else None
        connection.request(method, "/config", body, {"Authorization": f"Basic {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, f"{method} /config: {answer.status}"

    with contextlib.closing(connection):
        patches = []
        for number in range(COMMITS):
            change = {"maximum_lag_on_failover": 1048576 + number % 2 + 1}
            patches.append(timed(lambda: call("PATCH", change)))
        gets = [timed(lambda: call("GET")) for _ in range(COMMITS)]
    return {"patch": quantiles(patches), "get": quantiles(gets)}


def plain_fdatasync(directory):
    """Writing and syncing one page of a file that has its blocks already."""
    path = pathlib.Path(directory) / "fdatasync"
    page = os.urandom(mmap.PAGESIZE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write():
        os.pwrite(fd, page, 0)
        os.fdatasync(fd)

    try:
        os.pwrite(fd, page * 16, 0)
        os.fsync(fd)
        return quantiles([timed(write) for _ in range(COMMITS)])
    finally:
        os.close(fd)
        os.unlink(path)
