"""On what it was measured, and with which versions."""

import datetime
import os
import pathlib
import shutil
import subprocess

import lab


def output(*command):
    """What a program prints, in one line; None if there is no such program."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, cwd=lab.ROOT)
    return " ".join(done.stdout.split()) if done.returncode == 0 else None


def package(name):
    found = output("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name)
    return found.split()[1] if found and found.startswith("installed") else None


def first_value(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return None


def revision():
    name = output("git", "rev-parse", "--short=10", "HEAD")
    changed = output("git", "status", "--porcelain", "--untracked-files=no")
    return f"{name}{' with changes' if changed else ''}"


def describe():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": revision(),
        "cpu": first_value("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": first_value("/proc/meminfo", "MemTotal"),
        "kernel": os.uname().release,
        "filesystem": output("stat", "-f", "-c", "%T", "/tmp"),
        "load": os.getloadavg()[0],
        "postgresql": package("postgresql-15"),
        "haproxy": package("haproxy"),
        "wrk": package("wrk"),
        "patroni": package("patroni"),
        "etcd": package("etcd-server"),
    }
