"""Network namespaces for a lab: hosts on one switch, and links that can be cut.

Everything lives in namespaces named after the process that made them, so that a run that
crashed leaves nothing behind for good: sweep() removes what belongs to processes that are gone.
Needs root.
"""

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = "pgb"
SUBNET = "10.77.0."
SWITCH = "switch"
CLONE_NEWNET = 0x40000000
PR_SET_CHILD_SUBREAPER = 36
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_FOR_THREADS = 0x40000000  # __WALL

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_numbers = itertools.count(1)
_children = set()  # What popen() has started.


def run(*command):
    """Runs a command that must succeed, and returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _enter(fd):
    if _libc.setns(fd, CLONE_NEWNET) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _names():
    # "name" or "name (id: 3)" on each line.
    return [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.split()]


def _pids(name):
    return [int(pid) for pid in run("ip", "netns", "pids", name).split()]


def adopt_orphans():
    """Makes us the init of what daemons leave behind, until we end: it is reaped when it dies.

    PostgreSQL takes a zombie for the living owner of its lock file, and init can be slow.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    signal.signal(signal.SIGCHLD, lambda *_: _reap_orphans())


def _reap_orphans():
    for pid in filter(_is_dead_orphan, map(int, filter(str.isdigit, os.listdir("/proc")))):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _is_dead_orphan(pid):
    """Our own children are Popen's to reap: they are in our session, or popen() started them."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as f:
        state, parent, _, session = f.read().rpartition(")")[2].split()[:4]
        is_ours = pid in _children or int(session) == os.getsid(0)
        return state == "Z" and int(parent) == os.getpid() and not is_ours
    return False


def _is_left(pid):
    """Is the process there, even as a zombie? Our own children are not reaped here."""
    return pid not in _children and os.path.exists(f"/proc/{pid}")


def kill_all(name, spare=(), deadline=10):
    """SIGKILL to every process in the namespace until none is left."""
    end = time.monotonic() + deadline
    killed = set()
    while (left := set(_pids(name)) - set(spare)) or any(map(_is_left, killed)):
        if time.monotonic() > end:
            raise TimeoutError(f"processes {left or killed} in {name} do not go away")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= left
        time.sleep(0.005)


def _remove(name):
    kill_all(name)
    run("ip", "netns", "del", name)


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")


@contextlib.contextmanager
def thread_held(pid, name):
    """One thread of a process stands still until the end of the block; the others go on."""
    tasks = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    [thread] = [t for t in tasks if open(f"/proc/{pid}/task/{t}/comm").read().strip() == name]
    _ptrace(PTRACE_SEIZE, thread)
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WAIT_FOR_THREADS)
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def make_dir():
    """A folder for a lab, which sweep() knows as ours. PostgreSQL's user may pass through it."""
    path = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp")
    os.chmod(path, 0o755)
    return path


def mount_memory(path, mebibytes):
    """A volume of that size, in memory, in place of the folder."""
    run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", str(path))


def remove_dir(path):
    """Removes a folder of make_dir(), and the volumes in it."""
    mounted = [line.split()[1] for line in open("/proc/self/mounts")]
    for point in reversed(mounted):
        if point.startswith(f"{path}/"):
            run("umount", "--lazy", point)
    shutil.rmtree(path)


def sweep():
    """Removes the namespaces and folders of runs that are over."""

    def is_stale(name):
        match = re.match(PREFIX + r"(\d+)-", name)
        return match is not None and not os.path.exists(f"/proc/{match[1]}")

    for name in filter(is_stale, _names()):
        _remove(name)
    for name in filter(is_stale, os.listdir("/tmp")):
        remove_dir(os.path.join("/tmp", name))


class Net:
    """Hosts `names`, the i-th with address 10.77.0.i from 1, and "client" with 10.77.0.100."""

    def __init__(self, names):
        if os.geteuid() != 0:
            raise PermissionError("network namespaces need root")
        sweep()
        adopt_orphans()
        self.prefix = f"{PREFIX}{os.getpid()}-{next(_numbers)}-"
        self.addresses = {name: f"{SUBNET}{i}" for i, name in enumerate(names, 1)}
        self.addresses["client"] = f"{SUBNET}100"
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        switch = self.prefix + SWITCH
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        for host, address in self.addresses.items():
            name = self.prefix + host
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run(
                *("ip", "link", "add", "eth0", "netns", name),
                *("type", "veth", "peer", "name", host, "netns", switch),
            )
            run("ip", "-n", switch, "link", "set", host, "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")

    def close(self):
        """Kills what runs in the namespaces and removes them."""
        for name in _names():
            if name.startswith(self.prefix):
                _remove(name)

    # --- Processes ---

    def popen(self, host, command, **options):
        """Starts a command on the host, in a session of its own."""
        enter = ["nsenter", f"--net=/run/netns/{self.prefix}{host}", "--"]
        process = subprocess.Popen([*enter, *command], start_new_session=True, **options)
        _children.add(process.pid)
        return process

    def pids(self, host):
        return _pids(self.prefix + host)

    def kill_all(self, host, spare=()):
        """A power cut: SIGKILL to everything on the host but the pids in `spare`."""
        kill_all(self.prefix + host, spare)

    @contextlib.contextmanager
    def inside(self, host):
        """Sockets that this thread opens in the block belong to the host, also afterwards."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.prefix}{host}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)

    # --- Faults. What is cut is dropped, not refused: nobody is told. ---

    def _drop(self, host, chain, *match):
        iptables = ("ip", "netns", "exec", self.prefix + host, "iptables", "-w")
        run(*iptables, "-A", chain, *match, "-j", "DROP")

    def lose(self, host, peer, share):
        """So much of what a peer sends to the host does not arrive, at random."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", str(share))
        self._drop(host, "INPUT", "-i", "eth0", "-s", self.addresses[peer], *chance)

    def cut_in(self, host, peer=None):
        """What others (or one peer) send to the host does not arrive; what it sends does."""
        source = ["-s", self.addresses[peer]] if peer else []
        self._drop(host, "INPUT", "-i", "eth0", *source)

    def cut_out(self, host, peer=None):
        """What the host sends to others (or to one peer) does not leave it."""
        target = ["-d", self.addresses[peer]] if peer else []
        self._drop(host, "OUTPUT", "-o", "eth0", *target)

    def cut(self, host, peer=None):
        self.cut_in(host, peer)
        self.cut_out(host, peer)

    def link_down(self, host):
        """Pulls the cable: unlike with cut(), the host itself can see it."""
        run("ip", "-n", self.prefix + host, "link", "set", "eth0", "down")

    def link_up(self, host):
        run("ip", "-n", self.prefix + host, "link", "set", "eth0", "up")

    def heal(self):
        """Undoes every cut."""
        for host in self.addresses:
            run("ip", "netns", "exec", self.prefix + host, "iptables", "-w", "-F")
            self.link_up(host)
