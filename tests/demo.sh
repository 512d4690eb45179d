#!/bin/sh
# Usage: demo.sh start | stop | status | kill NODE | start-node NODE
#
# A cluster of three nodes on this machine, behind HAProxy, to try things out. It lives in one
# directory, /var/tmp/pgbaton-demo or $PGBATON_DEMO, and listens on loopback only.
#
#   start            builds nothing; makes the settings, starts everything, waits until it works
#   stop             ends what `start` and its children began, and removes the directory
#   status           the members, as pgbatonctl shows them
#   kill NODE        SIGKILL to all of a node at once, as if its machine had lost power
#   start-node NODE  what a boot would do: starts the node's daemon again
#
# A process is ours if its program is one of `programs` and its working directory is in the
# demo's: a daemon is started in the directory of its node and stays there, its guard inherits
# it, and PostgreSQL works in its data directory. So nothing is missed because somebody
# restarted it, and a shell or an editor of yours in there is left alone.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=${PGBATON_BUILD:-$root/build/release}
demo=${PGBATON_DEMO:-/var/tmp/pgbaton-demo}
nodes='1 2 3'
programs=' pgbaton pgbaton-guard postgres initdb pg_basebackup pg_rewind pg_controldata pg_waldump haproxy '
write_port=5000
read_port=5001
stats_port=7000
start_seconds=120
end_seconds=20

rest_port() { echo $((8007 + $1)); }
postgres_port() { echo $((5440 + $1)); }
raft_port() { echo $((2380 + $1)); }

fail() {
    echo "demo: $*" >&2
    exit 1
}

# --- Processes. ---

# pids_in DIRECTORY: our processes that work in it or below it.
pids_in() {
    { find /proc/[0-9]*/cwd -prune \( -lname "$1" -o -lname "$1/*" \) 2>/dev/null || true; } |
        while read -r cwd; do
            exe=$(readlink "${cwd%/cwd}/exe" 2>/dev/null) || continue
            exe=${exe% (deleted)}
            case $programs in *" ${exe##*/} "*) cwd=${cwd%/cwd} && echo "${cwd#/proc/}" ;; esac
        done
}

# of PROGRAM PID...: those of the processes that run the program.
of() {
    wanted=$1
    shift
    for pid in "$@"; do
        exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || continue
        exe=${exe% (deleted)}
        [ "${exe##*/}" != "$wanted" ] || echo "$pid"
    done
}

# signal NAME PID...: a process that has ended meanwhile is no failure.
signal() {
    name=$1
    shift
    for pid in "$@"; do
        kill -s "$name" "$pid" 2>/dev/null || true
    done
}

# wait_gone SECONDS DIRECTORY: false if something of ours still works in it.
wait_gone() {
    tries=$(($1 * 20))
    while [ "$tries" -gt 0 ]; do
        [ -n "$(pids_in "$2")" ] || return 0
        sleep 0.05
        tries=$((tries - 1))
    done
    return 1
}

# What the kernel keeps of a PostgreSQL or a guard that was killed: a shared memory segment (its
# number is in line 7 of postmaster.pid) and an empty cgroup. Noted before, removed at the end.
note_leftovers() {
    for pid_file in "$demo"/n*/postgres/data/postmaster.pid; do
        [ -e "$pid_file" ] || continue
        sed -n '7s/^ *\([0-9]*\) *\([0-9]*\) *$/\1 \2/p' "$pid_file" >>"$demo/segments"
    done
    mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    # shellcheck disable=SC2046 # A list of numbers, to be split.
    for guard in $(of pgbaton-guard $(pids_in "$demo")); do
        own=$(sed -n 's/^0::\(.*\)/\1/p' "/proc/$guard/cgroup" 2>/dev/null) || continue
        [ -z "$mount" ] || echo "$mount${own%/}/pgbaton-$guard" >>"$demo/cgroups"
    done
}

# A segment is named by its key and its number, so that no other one is meant.
remove_leftovers() {
    if [ -e "$demo/segments" ]; then
        while read -r key id; do
            if ipcs -m | awk -v key="$key" -v id="$id" '
                $2 == id && $6 == 0 && $1 == sprintf("0x%08x", key) { found = 1 }
                END { exit !found }'; then
                ipcrm -m "$id" || true
            fi
        done <"$demo/segments"
    fi
    if [ -e "$demo/cgroups" ]; then
        while read -r cgroup; do
            if [ -d "$cgroup" ]; then rmdir "$cgroup" || true; fi
        done <"$demo/cgroups"
    fi
}

# Daemons first, so that nobody starts anything again. A guard that is told to leave stops its
# PostgreSQL with a checkpoint.
end_all() {
    note_leftovers
    # shellcheck disable=SC2046 # Lists of numbers, to be split.
    {
        signal KILL $(of pgbaton $(pids_in "$demo"))
        signal TERM $(of haproxy $(pids_in "$demo"))
        signal TERM $(of pgbaton-guard $(pids_in "$demo"))
        if ! wait_gone "$end_seconds" "$demo"; then
            echo 'demo: something does not end by itself; killing it' >&2
            signal KILL $(pids_in "$demo")
            wait_gone 5 "$demo" || fail "cannot be killed: $(pids_in "$demo" | tr '\n' ' ')"
        fi
    }
    remove_leftovers
}

# --- Settings. ---

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

find_postgres() {
    found=$(find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || fail 'PostgreSQL is not installed; run "make deps"'
    dirname "$found"
}

# partners NUMBER: the peer addresses of the other nodes.
partners() {
    list=
    for other in $nodes; do
        [ "$other" = "$1" ] || list="$list${list:+, }127.0.0.1:$(raft_port "$other")"
    done
    echo "$list"
}

all_urls() {
    list=
    for other in $nodes; do
        list="$list${list:+, }http://127.0.0.1:$(rest_port "$other")"
    done
    echo "$list"
}

write_settings() {
    cat >"$demo/n$1.yml" <<END
# Node $1 of 3 of the demo.
scope: demo
name: n$1

restapi:
  listen: 127.0.0.1:$(rest_port "$1")
  connect_address: 127.0.0.1:$(rest_port "$1")
  authentication:
    username: admin
    password: $api_password

ctl:
  hosts: [$(all_urls)] # On one machine the nodes differ in their ports.

raft:
  self_addr: 127.0.0.1:$(raft_port "$1")
  partner_addrs: [$(partners "$1")]
  data_dir: $demo/n$1/raft
  password: $raft_password

bootstrap:
  dcs:
    ttl: 2
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        shared_buffers: 32MB
        # Files in the data directory, not in /dev/shm: what is killed must leave no trace.
        dynamic_shared_memory_type: mmap
  initdb:
    - encoding: UTF8
    - data-checksums
  pg_hba:
    - host replication replicator 127.0.0.1/32 scram-sha-256
    - host all all 127.0.0.1/32 scram-sha-256

postgresql:
  listen: 127.0.0.1:$(postgres_port "$1")
  connect_address: 127.0.0.1:$(postgres_port "$1")
  data_dir: $demo/n$1/postgres/data
  bin_dir: $postgres_programs
  parameters:
    unix_socket_directories: $demo/n$1/postgres
  authentication:
    superuser:
      username: postgres
      password: $superuser_password
    replication:
      username: replicator
      password: $replication_password

watchdog:
  mode: off # The device would be the whole machine's.
END
}

# The shipped file, with this machine's ports.
write_haproxy() {
    sed -e "s/bind \*:5000/bind 127.0.0.1:$write_port/" \
        -e "s/bind \*:5001/bind 127.0.0.1:$read_port/" \
        -e "s/bind \*:7000/bind 127.0.0.1:$stats_port/" \
        -e '/log global/d' "$root/conf/haproxy.cfg" >"$demo/haproxy.cfg"
    for node in $nodes; do
        address=127.0.0.1:$(postgres_port "$node")
        sed -i "/server n$node /{ s/[0-9.]*:5432/$address/; s/port 8008/port $(rest_port "$node")/; }" \
            "$demo/haproxy.cfg"
    done
    haproxy -c -q -f "$demo/haproxy.cfg" || fail "conf/haproxy.cfg does not make a valid file"
}

write_files() {
    postgres_programs=$(find_postgres)
    api_password=$(secret)
    raft_password=$(secret)
    superuser_password=$(secret)
    replication_password=$(secret)
    umask 077
    for node in $nodes; do
        # PostgreSQL's user has to pass through, and works in a directory of its own.
        mkdir -p "$demo/n$node/raft" "$demo/n$node/postgres"
        chmod 755 "$demo" "$demo/n$node"
        if [ "$(id -u)" -eq 0 ]; then
            chown postgres: "$demo/n$node/postgres"
        fi
        write_settings "$node"
    done
    mkdir -p "$demo/haproxy"
    write_haproxy
    echo "127.0.0.1:*:*:postgres:$superuser_password" >"$demo/pgpass"
    echo "$postgres_programs" >"$demo/postgres_programs"
    echo "$build" >"$demo/build"
}

# --- Starting. ---

# The directory itself is the lock; daemons must not inherit it.
lock() {
    exec 9<"$demo"
    flock -n 9 || fail "another demo.sh is at work on $demo"
}

check_path() {
    case $demo in
    *[!-_./a-zA-Z0-9]* | [!/]* | *..* | */) fail "PGBATON_DEMO is no plain absolute path: \"$demo\"" ;;
    esac
    # A Unix socket's path has room for 107 bytes.
    [ "${#demo}" -le 64 ] || fail "PGBATON_DEMO is longer than 64 characters: \"$demo\""
}

check_tools() {
    for program in pgbaton pgbaton-guard pgbatonctl; do
        [ -x "$build/$program" ] || fail "there is no $build/$program; run \"make demo\""
    done
    for program in haproxy curl ss flock setsid ipcs; do
        command -v "$program" >/dev/null || fail "there is no program \"$program\"; run \"make deps\""
    done
}

# All that are in use are named, with the process if the kernel tells us.
check_ports() {
    taken=
    for port in $(for n in $nodes; do rest_port "$n"; postgres_port "$n"; raft_port "$n"; done) \
        "$write_port" "$read_port" "$stats_port"; do
        line=$(ss -Hltnp "sport = :$port" | head -n 1)
        [ -n "$line" ] || continue
        user=$(echo "$line" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1 (pid \2)/p')
        taken="$taken
  port $port is in use$user"
    done
    [ -z "$taken" ] || fail "these ports of 127.0.0.1 are not free:$taken"
}

# launch LOG DIRECTORY COMMAND...: in a session of its own, without our descriptors, and without
# variables of yours that would be settings to a daemon.
launch() {
    launch_log=$1
    launch_dir=$2
    shift 2
    (cd "$launch_dir" && exec env -i PATH="$PATH" LANG=C.UTF-8 setsid "$@" \
        >>"$launch_log" 2>&1 </dev/null 9<&-) &
}

start_daemon() {
    launch "$demo/n$1.log" "$demo/n$1" "$build/pgbaton" "$demo/n$1.yml"
}

daemon_runs() {
    # shellcheck disable=SC2046 # A list of numbers, to be split.
    [ -n "$(of pgbaton $(pids_in "$demo/n$1"))" ]
}

# How many nodes have a daemon: a node that was killed and not started again is not waited for.
count_running() {
    running=0
    for node in $nodes; do
        if daemon_runs "$node"; then running=$((running + 1)); fi
    done
    echo "$running"
}

cluster_json() {
    for node in $nodes; do
        if curl -fsS --max-time 1 "http://127.0.0.1:$(rest_port "$node")/cluster" 2>/dev/null; then
            return 0
        fi
    done
}

# primary: the number of the node whose health check says so; nothing if there is none.
primary() {
    for node in $nodes; do
        code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 1 -X OPTIONS \
            "http://127.0.0.1:$(rest_port "$node")/primary" 2>/dev/null) || code=
        if [ "$code" = 200 ]; then
            echo "$node"
            return 0
        fi
    done
}

# Does a session through HAProxy reach a server that takes writes?
write_port_works() {
    answer=$(PGPASSFILE=$demo/pgpass PGCONNECT_TIMEOUT=2 "$(cat "$demo/postgres_programs")/psql" \
        -XAtq -h 127.0.0.1 -p "$write_port" -U postgres -d postgres \
        -c 'SELECT pg_is_in_recovery()' 2>/dev/null) || return 1
    [ "$answer" = f ]
}

count() { echo "$1" | grep -o "$2" | wc -l; }

# describe: how far the cluster is, in one line; `complete` if nothing is missing.
describe() {
    json=$(cluster_json)
    wanted=$(($(count_running) - 1))
    leaders=$(count "$json" '"role": *"leader"')
    streaming=$(count "$json" '"state": *"streaming"')
    if [ "$leaders" -eq 1 ] && [ "$streaming" -eq "$wanted" ] && write_port_works; then
        echo complete
    elif [ -z "$json" ]; then
        echo 'no node answers yet'
    elif [ "$leaders" -ne 1 ]; then
        echo 'no leader yet'
    else
        echo "n$(primary) leads, $streaming of $wanted replicas stream"
    fi
}

# A condition with a deadline; a line for each change on the way.
wait_complete() {
    said=
    began=$(date +%s)
    while state=$(describe) && [ "$state" != complete ]; do
        seconds=$(($(date +%s) - began))
        if [ "$state" != "$said" ]; then
            echo "  $seconds s: $state"
            said=$state
        fi
        if [ "$seconds" -ge "$start_seconds" ]; then
            echo "demo: not complete within $start_seconds s: $state" >&2
            return 1
        fi
        for node in $1; do
            daemon_runs "$node" || { echo "demo: the daemon of n$node has ended" >&2; return 1; }
        done
        sleep 0.2
    done
    echo "  $(($(date +%s) - began)) s: all members run, and port $write_port takes writes"
}

ctl() { "$(cat "$demo/build")/pgbatonctl" -c "$demo/n1.yml" "$@"; }

show_logs() {
    for node in $nodes; do
        [ -s "$demo/n$node.log" ] || continue
        echo "--- the end of $demo/n$node.log:" >&2
        tail -n 15 "$demo/n$node.log" >&2
    done
}

say_what_next() {
    serving=$(primary)
    psql="psql \"host=127.0.0.1 user=postgres dbname=postgres passfile=$demo/pgpass"
    cat <<END

Try:
  $(cat "$demo/build")/pgbatonctl -c $demo/n1.yml list
  $(cat "$demo/build")/pgbatonctl -c $demo/n1.yml switchover --force
  tests/demo.sh kill n${serving:-1}          # power off; then tests/demo.sh start-node n${serving:-1}

Writes, through HAProxy, to whoever is primary:
  $psql port=$write_port"
Reads, from the replicas:
  $psql port=$read_port"

HAProxy's view: http://127.0.0.1:$stats_port   Logs: $demo/n*.log   End: make demo-stop
END
}

# Until the cluster is complete: what was begun is ended, the files stay for a look.
on_failed_start() {
    code=$?
    trap - EXIT
    set +e
    show_logs
    echo "demo: ending what was begun; the logs stay in $demo until the next start or stop" >&2
    end_all
    [ "$code" -ne 0 ] || code=1
    exit "$code"
}

is_ours() { [ -e "$demo/.pgbaton-demo" ]; }

remove_demo() {
    is_ours || fail "$demo was not made by this script; it is left alone"
    rm -rf -- "$demo"
}

start() {
    check_path
    check_tools
    if is_ours; then
        lock
        if [ -e "$demo/ready" ] && [ -n "$(pids_in "$demo")" ]; then
            echo "The demo runs already, in $demo:"
            show_list
            say_what_next
            return 0
        fi
        end_all
        remove_demo
    elif [ -e "$demo" ] && [ -n "$(ls -A "$demo" 2>/dev/null)" ]; then
        fail "$demo exists, and was not made by this script"
    fi
    check_ports
    mkdir -p "$demo"
    lock
    : >"$demo/.pgbaton-demo"
    trap on_failed_start EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo "Starting three nodes and HAProxy in $demo ..."
    write_files
    for node in $nodes; do
        start_daemon "$node"
    done
    launch "$demo/haproxy.log" "$demo/haproxy" haproxy -db -f "$demo/haproxy.cfg"
    wait_complete "$nodes"
    : >"$demo/ready"
    trap - EXIT INT TERM HUP
    show_list
    say_what_next
}

# --- The other commands. ---

show_list() { ctl list || echo 'demo: no node answers' >&2; }

stop() {
    check_path
    if ! is_ours; then
        echo "There is no demo in $demo."
        return 0
    fi
    lock
    end_all
    remove_demo
    echo "The demo has ended; $demo is gone."
}

# node_number NAME: 2 for "n2" or "2".
node_number() {
    number=${1#n}
    case " $nodes " in
    *" $number "*) echo "$number" ;;
    *) fail "there is no node \"$1\": n1, n2 or n3" ;;
    esac
}

need_demo() {
    check_path
    [ -e "$demo/ready" ] || fail "no demo runs in $demo; run \"make demo\""
    build=$(cat "$demo/build")
}

kill_node() {
    need_demo
    killed=$(node_number "$1")
    lock
    note_leftovers
    # Again until nothing is left: one of them may have been about to start another.
    while pids=$(pids_in "$demo/n$killed") && [ -n "$pids" ]; do
        # shellcheck disable=SC2086 # A list of numbers, to be split.
        signal KILL $pids
        sleep 0.05
    done
    echo "n$killed is dead. Bring it back with: tests/demo.sh start-node n$killed"
}

start_node() {
    need_demo
    started=$(node_number "$1")
    lock
    if daemon_runs "$started"; then
        echo "The daemon of n$started runs already."
    else
        start_daemon "$started"
        tries=40
        until daemon_runs "$started"; do
            tries=$((tries - 1))
            [ "$tries" -gt 0 ] || fail "the daemon of n$started does not start: $demo/n$started.log"
            sleep 0.05
        done
    fi
    exec 9<&- # So that another node can be started while this one is waited for.
    if [ "$(count_running)" -lt 2 ]; then
        echo "n$started runs, alone. Two of three make a majority: start another one."
        return 0
    fi
    wait_complete "$started" || { show_list; exit 1; }
    show_list
}

usage() { sed -n '2s/^# //p' "$0" >&2; exit 2; }

case ${1:-} in
start) [ $# -eq 1 ] || usage; start ;;
stop) [ $# -eq 1 ] || usage; stop ;;
status) [ $# -eq 1 ] || usage; need_demo; show_list ;;
kill) [ $# -eq 2 ] || usage; kill_node "$2" ;;
start-node) [ $# -eq 2 ] || usage; start_node "$2" ;;
*) usage ;;
esac
