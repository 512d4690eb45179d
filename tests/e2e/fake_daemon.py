"""A stand-in for the daemon, to try the lab itself: n1 is the primary, the others are standbys.

It knows nothing of failover. It answers what Lab asks for, and like the real one it leaves
PostgreSQL running when it is killed.
"""

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

import psycopg2
import yaml

settings = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text())
postgresql = settings["postgresql"]
data = pathlib.Path(postgresql["data_dir"])
superuser = postgresql["authentication"]["superuser"]
address = postgresql["connect_address"].split(":")[0]
partners = [partner.split(":")[0] for partner in settings["raft"]["partner_addrs"]]


def command(program, *arguments):
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--",
            f"{postgresql['bin_dir']}/{program}", *arguments]


def connection_string(host):
    return f"host={host} user={superuser['username']} password={superuser['password']}"


def initialise():
    password = data.with_name("password")
    password.write_text(superuser["password"])
    password.chmod(0o644)
    subprocess.run(
        command("initdb", "-D", data, "-U", "postgres", "-N", f"--pwfile={password}"), check=True
    )
    with open(data / "postgresql.conf", "a") as file:
        file.write("listen_addresses = '*'\nfsync = off\n")
        for name, value in postgresql["parameters"].items():
            file.write(f"{name} = '{value}'\n")
    with open(data / "pg_hba.conf", "a") as file:
        file.write("host all all all scram-sha-256\nhost replication all all scram-sha-256\n")


def clone():
    # The primary may not be there yet.
    source = f"{connection_string(partners[0])} application_name={settings['name']}"
    while subprocess.run(
        command("pg_basebackup", "-D", data, "-R", "-N", "-c", "fast", "-d", source)
    ).returncode != 0:
        time.sleep(0.2)
    with open(data / "postgresql.auto.conf", "a") as file:
        folder = postgresql["parameters"]["unix_socket_directories"]
        file.write(f"unix_socket_directories = '{folder}'\n")


def look():
    """What this node is, from its own PostgreSQL."""
    with psycopg2.connect(connection_string(address), connect_timeout=2) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_is_in_recovery(), (SELECT timeline_id FROM pg_control_checkpoint()),"
                " (SELECT status FROM pg_stat_wal_receiver)"
            )
            standby, timeline, receiver = cursor.fetchone()
    return {
        "name": settings["name"],
        "role": "replica" if standby else "leader",
        "state": receiver or "running",
        "timeline": timeline,
    }


def look_at(host):
    with urllib.request.urlopen(f"http://{host}:8008/patroni", timeout=1) as answer:
        return json.load(answer)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self):
        try:
            me = look()
            self.dispatch(me)
        except (psycopg2.Error, OSError) as error:
            self.reply(503, {"error": str(error)})

    def dispatch(self, me):
        if self.path == "/cluster":
            self.reply(200, {"members": [me, *map(look_at, partners)]})
        elif self.path in ("/primary", "/master"):
            self.reply(200 if me["role"] == "leader" else 503, me)
        elif self.path == "/replica":
            self.reply(200 if me["role"] == "replica" else 503, me)
        elif self.path == "/patroni":
            self.reply(200, me)
        else:
            self.reply(503, me)

    def reply(self, status, body):
        self.send_response(status)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(json.dumps(body).encode())

    do_GET = do_OPTIONS = answer


def main():
    if not data.exists():
        if settings["name"] == "n1":
            initialise()
        else:
            clone()
    if not (data / "postmaster.pid").exists():
        process = subprocess.Popen(command("postgres", "-D", data), start_new_session=True)
        # A zombie would look to the next postmaster like one that still runs.
        threading.Thread(target=process.wait, daemon=True).start()
    http.server.ThreadingHTTPServer((address, 8008), Handler).serve_forever()


if __name__ == "__main__":
    main()
