"""pgbatonctl against canned nodes: what it asks, what it prints, how it ends."""

import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import threading

import pytest
import yaml

BUILD = pathlib.Path(os.environ.get("PGBATON_BUILD", "build/debug")).absolute()
CTL = BUILD / "pgbatonctl"
SYSTEM_IDENTIFIER = "7415036829190013573"


class Node:
    """One API that answers what `answers` says and remembers what it was asked."""

    def __init__(self):
        self.requests = []
        self.answers = {}
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def handle_any(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                node.requests.append(
                    {
                        "call": f"{self.command} {self.path}",
                        "body": json.loads(body) if body else None,
                        "headers": dict(self.headers),
                    }
                )
                answer = node.answers.get(f"{self.command} {self.path}", (404, "not here"))
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                code, content, *headers = answer
                if code is None:
                    return  # The connection ends without an answer.
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def calls(self):
        return [request["call"] for request in self.requests if request["call"] != "GET /cluster"]

    def body(self, call):
        return [request["body"] for request in self.requests if request["call"] == call][-1]


class Cluster:
    """Three members whose APIs all run here."""

    def __init__(self, folder):
        self.nodes = {name: Node() for name in ("n1", "n2", "n3")}
        self.settings = folder / "ctl.yaml"
        self.settings.write_text(f"scope: demo\nctl:\n  hosts: {self['n2'].url}\n")
        self.folder = folder
        self.view = {
            "scope": "demo",
            "system_identifier": SYSTEM_IDENTIFIER,
            "members": [
                self.member("n1", "leader", "running"),
                self.member("n2", "sync_standby", "streaming"),
                self.member("n3", "replica", "streaming", receive_lsn="0/7F00000",
                            receive_lag=17826120, replay_lsn="0/7F00000", replay_lag=17826120),
            ],
        }
        for node in self.nodes.values():
            node.answers["GET /cluster"] = (200, self.view)

    def __getitem__(self, name):
        return self.nodes[name]

    def member(self, name, role, state, **more):
        member = {
            "name": name,
            "role": role,
            "state": state,
            "api_url": f"{self[name].url}/patroni",
            "host": f"10.0.0.{name[1]}",
            "port": 5432,
            "timeline": 4,
        }
        if role != "leader":
            member.update(receive_lsn="0/9000148", receive_lag=0, replay_lsn="0/9000148",
                          replay_lag=0)
        member.update(more)
        return member

    def answer_all(self, call, *answer):
        for node in self.nodes.values():
            node.answers[call] = answer

    def ctl(self, *words, answers="", env=None, settings=True):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TZ": "UTC",
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""), **(env or {})}
        options = ["-c", str(self.settings)] if settings else []
        return subprocess.run(
            [str(CTL), *options, *words], input=answers, env=environment, text=True,
            capture_output=True, timeout=30, check=False)


@pytest.fixture(name="cluster")
def make_cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    for node in cluster.nodes.values():
        node.close()


def dead_url():
    """An address of this machine where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def well(result):
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(result, *texts):
    assert result.returncode == 1, result.stdout + result.stderr
    for text in texts:
        assert text in result.stdout + result.stderr
    return result.stdout + result.stderr


TABLE = f"""\
+ Cluster: demo ({SYSTEM_IDENTIFIER}) ---------+----+-------------+-----+------------+-----+
| Member | Host     | Role         | State     | TL | Receive LSN | Lag | Replay LSN | Lag |
+--------+----------+--------------+-----------+----+-------------+-----+------------+-----+
| n1     | 10.0.0.1 | Leader       | running   |  4 |             |     |            |     |
| n2     | 10.0.0.2 | Sync Standby | streaming |  4 |   0/9000148 |   0 |  0/9000148 |   0 |
| n3     | 10.0.0.3 | Replica      | streaming |  4 |   0/7F00000 |  17 |  0/7F00000 |  17 |
+--------+----------+--------------+-----------+----+-------------+-----+------------+-----+
"""


def test_list_prints_the_table(cluster):
    assert well(cluster.ctl("list")) == TABLE
    assert well(cluster.ctl("list", "demo")) == TABLE


def test_list_as_json_and_yaml_are_the_same_data(cluster):
    rows = json.loads(well(cluster.ctl("list", "-f", "json")))
    assert rows[0] == {"Cluster": "demo", "Member": "n1", "Host": "10.0.0.1", "Role": "Leader",
                       "State": "running", "TL": 4}
    assert rows[2]["Replay Lag"] == 17
    assert yaml.safe_load(well(cluster.ctl("list", "--format", "yaml"))) == rows
    assert yaml.safe_load(well(cluster.ctl("list", "--format", "yml"))) == rows


def test_list_extended_shows_the_rings_each_member_reports(cluster):
    cluster["n1"].answers["GET /state"] = (200, {"guard": {"rings": ["timer", "watchdog"]}})
    out = well(cluster.ctl("list", "-e"))
    assert "| Rings" in out and "| timer, watchdog |" in out


def test_list_timestamp_stands_above_the_table(cluster):
    first, rest = well(cluster.ctl("list", "-t")).split("\n", 1)
    assert len(first) == len("2026-08-01 03:00:00")
    assert rest == TABLE


def test_topology_is_a_tree(cluster):
    cluster.view["members"][2]["tags"] = {"replicatefrom": "n2"}
    out = well(cluster.ctl("topology"))
    assert "| + n2   |" in out and "|   + n3 |" in out


def test_another_node_is_asked_when_the_first_is_down(cluster):
    cluster.settings.write_text(f"ctl:\n  hosts: ['{dead_url()}', '{cluster['n3'].url}']\n")
    assert well(cluster.ctl("list")) == TABLE
    cluster.settings.write_text("")
    hosts = f"{dead_url()},127.0.0.1:{cluster['n3'].port}"
    assert well(cluster.ctl("-d", hosts, "list")) == TABLE


def test_a_node_that_cannot_tell_is_passed_over(cluster):
    cluster["n2"].answers["GET /cluster"] = (503, "no view")
    cluster.settings.write_text(
        f"ctl:\n  hosts: ['{cluster['n2'].url}', '{cluster['n3'].url}']\n")
    assert well(cluster.ctl("list")) == TABLE


def test_the_daemons_own_file_names_the_nodes(cluster):
    cluster.settings.write_text(
        "scope: demo\nname: n1\nrestapi:\n  listen: 0.0.0.0:8008\n"
        f"  connect_address: 127.0.0.1:{cluster['n1'].port}\n"
        "raft:\n  self_addr: 10.0.0.1:2222\n")
    assert well(cluster.ctl("list")) == TABLE


def test_partners_are_asked_on_our_own_port(cluster):
    cluster.settings.write_text(
        f"restapi:\n  connect_address: 127.0.0.2:{cluster['n1'].port}\n"
        "raft:\n  partner_addrs: ['127.0.0.1:2222']\n")
    assert well(cluster.ctl("list")) == TABLE


def test_environment_wins_over_the_file(cluster):
    env = {"PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{cluster['n1'].port}"}
    cluster.settings.write_text(f"restapi:\n  connect_address: {dead_url()}\n")
    assert well(cluster.ctl("list", env=env)) == TABLE
    env = {"PGBATONCTL_CONFIG_FILE": str(cluster.settings), **env}
    assert well(cluster.ctl("list", env=env, settings=False)) == TABLE


def test_default_file_is_found_below_home(cluster):
    folder = cluster.folder / ".config" / "patroni"
    folder.mkdir(parents=True)
    (folder / "patronictl.yaml").write_text(cluster.settings.read_text())
    assert well(cluster.ctl("list", settings=False)) == TABLE


def test_nobody_there_is_an_error(cluster):
    cluster.settings.write_text(f"ctl:\n  hosts: {dead_url()}\n")
    result = cluster.ctl("list")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ") and result.stdout == ""


def test_wrong_use_is_status_2(cluster):
    for words in ([], ["nonsense"], ["list", "--nonsense"], ["list", "-f", "xml"], ["restart"],
                  ["flush", "demo", "everything"], ["list", "-w", "0"],
                  ["switchover", "demo", "too", "much"]):
        result = cluster.ctl(*words)
        assert result.returncode == 2, words
        assert "Usage: pgbatonctl" in result.stderr
    assert "Usage: pgbatonctl list" in well(cluster.ctl("list", "--help"))
    assert "Commands:" in well(cluster.ctl("--help"))


def test_a_missing_or_broken_file_is_an_error(cluster):
    missing = str(cluster.folder / "none.yaml")
    refused(cluster.ctl("-c", missing, "list", settings=False), "Error: ", "none.yaml")
    cluster.settings.write_text("scope: demo\nscope: twice\n")
    refused(cluster.ctl("list"), "Error: ", "ctl.yaml:2")
    cluster.settings.write_text("ctl:\n  insecure: perhaps\n")
    refused(cluster.ctl("list"), "ctl.insecure")


def test_another_clusters_name_is_an_error(cluster):
    refused(cluster.ctl("list", "other"), '"demo", not "other"')


def test_an_answer_that_is_no_json_is_an_error(cluster):
    cluster["n2"].answers["GET /cluster"] = (200, '{"members": [')
    refused(cluster.ctl("list"), "Error: ", "/cluster")


def test_history_prints_table_and_json(cluster):
    cluster.answer_all("GET /history", 200, [
        [1, 25623960, "no recovery target specified", "2026-07-01T10:00:00.123456+00:00", "n2"]])
    assert well(cluster.ctl("history")) == """\
+----+----------+------------------------------+----------------------------------+------------+
| TL |      LSN | Reason                       | Timestamp                        | New Leader |
+----+----------+------------------------------+----------------------------------+------------+
|  1 | 25623960 | no recovery target specified | 2026-07-01T10:00:00.123456+00:00 | n2         |
+----+----------+------------------------------+----------------------------------+------------+
"""
    assert json.loads(well(cluster.ctl("history", "-f", "json"))) == [
        {"TL": 1, "LSN": 25623960, "Reason": "no recovery target specified",
         "Timestamp": "2026-07-01T10:00:00.123456+00:00", "New Leader": "n2"}]


def test_dsn_is_the_leaders_or_that_of_a_role_or_member(cluster):
    assert well(cluster.ctl("dsn")) == "host=10.0.0.1 port=5432\n"
    assert well(cluster.ctl("dsn", "-r", "replica")) == "host=10.0.0.2 port=5432\n"
    assert well(cluster.ctl("dsn", "-m", "n3", "demo")) == "host=10.0.0.3 port=5432\n"
    refused(cluster.ctl("dsn", "-m", "n9"))
    refused(cluster.ctl("dsn", "-r", "replica", "-m", "n3"))


def test_version_asks_each_member(cluster):
    assert well(cluster.ctl("version")).startswith("pgbatonctl version ")
    cluster.answer_all("GET /patroni", 200,
                       {"server_version": 160004, "patroni": {"version": "0.1.0"}})
    lines = well(cluster.ctl("version", "demo", "n1", "n3")).splitlines()
    assert lines[1:] == ["", "n1: pgbaton 0.1.0 PostgreSQL 16.4",
                         "n3: pgbaton 0.1.0 PostgreSQL 16.4"]
    cluster["n3"].answers["GET /patroni"] = (500, "no")
    refused(cluster.ctl("version", "demo"), "n1: pgbaton 0.1.0", "n3: could not")


def test_switchover_asks_the_leader_and_shows_the_table_again(cluster):
    cluster["n1"].answers["POST /switchover"] = (200, 'Successfully switched over to "n2"')
    out = well(cluster.ctl("switchover", "--candidate", "n2", "--force"))
    assert cluster["n1"].body("POST /switchover") == {"leader": "n1", "candidate": "n2"}
    assert out.startswith("Current cluster topology\n" + TABLE)
    assert ' Successfully switched over to "n2"\n' in out
    assert out.endswith(TABLE)
    assert cluster["n2"].calls() == [] and cluster["n3"].calls() == []


def test_switchover_asks_for_what_was_not_said(cluster):
    cluster["n1"].answers["POST /switchover"] = (202, "Switchover scheduled")
    result = cluster.ctl("switchover", answers="\nn3\n2030-08-01T03:00+02:00\ny\n")
    out = well(result)
    assert "Primary [n1]: " in out
    assert "Candidate ['n2', 'n3'] []: " in out
    assert "When should the switchover take place (e.g. " in out
    assert "demoting current leader n1? [y/N]: " in out
    assert cluster["n1"].body("POST /switchover") == {
        "leader": "n1", "candidate": "n3", "scheduled_at": "2030-08-01T03:00:00+02:00"}


def test_a_time_without_zone_is_local(cluster):
    cluster["n1"].answers["POST /switchover"] = (202, "Switchover scheduled")
    well(cluster.ctl("switchover", "--scheduled", "2030-08-01 03:00", "--force",
                     env={"TZ": "XYZ-5:30"}))
    assert cluster["n1"].body("POST /switchover")["scheduled_at"] == "2030-08-01T03:00:00+05:30"


@pytest.mark.parametrize("answers", ["", "\n", "\n\n\n", "\n\n\nn\n", "\n\n\n\n"])
def test_an_unfinished_answer_aborts(cluster, answers):
    refused(cluster.ctl("switchover", answers=answers), "Aborted!")
    assert cluster["n1"].calls() == []


@pytest.mark.parametrize("words, text", [
    (["switchover", "--leader", "n2", "--force"], "is not the leader"),
    (["switchover", "--candidate", "n1", "--force"], "is the leader already"),
    (["switchover", "--candidate", "n9", "--force"], "does not exist"),
    (["switchover", "--scheduled", "some day", "--force"], "no time that can be understood"),
    (["failover", "--force"], "needs a candidate"),
    (["failover", "--candidate", "n1", "--force"], "is the leader already"),
])
def test_what_cannot_work_is_refused_before_it_is_sent(cluster, words, text):
    refused(cluster.ctl(*words), "Error: ", text)
    assert cluster["n1"].calls() == []


def test_no_candidates_and_pause_are_refused_in_known_words(cluster):
    cluster.view["pause"] = True
    refused(cluster.ctl("switchover", "--candidate", "n2", "--scheduled", "2030-01-01T00:00",
                        "--force"), "Can't schedule switchover in the paused state")
    for member in cluster.view["members"][1:]:
        member["tags"] = {"nofailover": True}
    refused(cluster.ctl("switchover", "--force"), "No candidates found to switchover to")
    refused(cluster.ctl("failover", "--force"), "No candidates found to failover to")


def test_a_switchover_that_the_cluster_refuses_is_a_failure(cluster):
    cluster["n1"].answers["POST /switchover"] = (412, "no good candidates have been found")
    refused(cluster.ctl("switchover", "--force"),
            "Switchover failed, details: 412, no good candidates have been found")
    cluster["n1"].answers["POST /switchover"] = (503, "Switchover status unknown")
    refused(cluster.ctl("switchover", "--force"), "result unknown")


def test_a_request_that_may_have_been_heard_is_not_sent_twice(cluster):
    cluster["n1"].answers["POST /switchover"] = (None, "")
    refused(cluster.ctl("switchover", "--force"), "Error: ", "no answer")
    assert cluster["n2"].calls() == [] and cluster["n3"].calls() == []


def test_a_request_goes_on_to_another_node_when_the_leaders_is_down(cluster):
    cluster.view["members"][0]["api_url"] = dead_url() + "/patroni"
    cluster["n2"].answers["POST /switchover"] = (200, 'Successfully switched over to "n2"')
    well(cluster.ctl("switchover", "--candidate", "n2", "--force"))
    assert cluster["n2"].calls() == ["POST /switchover"]


def test_failover_to_an_asynchronous_node_has_to_be_meant(cluster):
    cluster["n1"].answers["POST /failover"] = (200, 'Successfully failed over to "n3"')
    refused(cluster.ctl("failover", "--candidate", "n3", answers="n\n"), "asynchronous", "Aborted!")
    assert cluster["n1"].calls() == []
    well(cluster.ctl("failover", "--candidate", "n3", answers="y\ny\n"))
    assert cluster["n1"].body("POST /failover") == {"candidate": "n3"}


def test_restart_asks_members_one_after_the_other(cluster):
    cluster.answer_all("POST /restart", 200, "restarted successfully")
    out = well(cluster.ctl("restart", "demo", "--force"))
    for name in ("n1", "n2", "n3"):
        assert f"Success: restart on member {name}\n" in out
        assert cluster[name].body("POST /restart") == {}


def test_restart_passes_on_its_conditions(cluster):
    cluster.answer_all("POST /restart", 202, "restart scheduled")
    out = well(cluster.ctl("restart", "demo", "n2", "--scheduled", "2030-01-01T00:00Z",
                           "--pending", "--pg-version", "16.4", "--timeout", "30", "--force"))
    assert "Success: restart scheduled on member n2" in out
    assert cluster["n2"].body("POST /restart") == {
        "restart_pending": True, "postgres_version": "16.4", "timeout": "30",
        "schedule": "2030-01-01T00:00:00+00:00"}
    assert cluster["n1"].calls() == []


def test_restart_narrows_to_pending_roles_and_any(cluster):
    cluster.answer_all("POST /restart", 200, "restarted successfully")
    refused(cluster.ctl("restart", "demo", "--pending", "--force"), "pending restart")
    cluster.view["members"][2]["pending_restart"] = True
    well(cluster.ctl("restart", "demo", "--pending", "--force"))
    assert [len(cluster[name].calls()) for name in ("n1", "n2", "n3")] == [0, 0, 1]
    well(cluster.ctl("restart", "demo", "-r", "leader", "--force"))
    assert len(cluster["n1"].calls()) == 1
    well(cluster.ctl("restart", "demo", "--any", "--force"))
    assert sum(len(cluster[name].calls()) for name in ("n1", "n2", "n3")) == 3
    refused(cluster.ctl("restart", "demo", "n9", "--force"), '"n9" is not a member')
    refused(cluster.ctl("restart", "demo", "-r", "chief", "--force"), 'no role "chief"')


def test_restart_goes_on_after_a_failure_and_reports_it(cluster):
    cluster.answer_all("POST /restart", 200, "restarted successfully")
    cluster["n1"].answers["POST /restart"] = (503, "restart failed")
    cluster["n2"].answers["POST /restart"] = (409, "already")
    refused(cluster.ctl("restart", "demo", "--force"),
            "Failed: restart for member n1, status code=503, (restart failed)",
            "Failed: another restart is already scheduled for member n2",
            "Success: restart on member n3")


def test_a_scheduled_restart_makes_room_for_a_forced_one(cluster):
    cluster.view["members"][1]["scheduled_restart"] = {"schedule": "2030-01-01T00:00:00+00:00"}
    cluster["n2"].answers["DELETE /restart"] = (200, "deleted")
    cluster["n2"].answers["POST /restart"] = (202, "scheduled")
    well(cluster.ctl("restart", "demo", "n2", "--scheduled", "2030-02-01T00:00Z", "--force"))
    assert cluster["n2"].calls() == ["DELETE /restart", "POST /restart"]


def test_reload_asks_for_confirmation(cluster):
    cluster.answer_all("POST /reload", 202, "reload scheduled")
    out = well(cluster.ctl("reload", "demo", "n1", "n2", answers="yes\n"))
    assert "Are you sure you want to reload members n1, n2? [y/N]: " in out
    assert "Success: reload request received for member n2" in out
    assert cluster["n3"].calls() == []


def test_reinit_takes_replicas_only(cluster):
    cluster["n3"].answers["POST /reinitialize"] = (200, "reinitialize started")
    cluster["n3"].answers["GET /patroni"] = [(200, {"state": "creating replica"}),
                                             (200, {"state": "running"})]
    out = well(cluster.ctl("reinit", "demo", "n3", "--force", "--wait"))
    assert "Success: reinitialize for member n3\n" in out
    assert "completed on: n3" in out
    assert cluster["n3"].body("POST /reinitialize") == {"force": True, "from_leader": False}
    ended = cluster.ctl("reinit", "demo", "n1", "--force")
    refused(ended, "n1")
    assert ended.stderr.count("Error:") == 1
    assert cluster["n1"].calls() == []


def test_reinit_asks_before_it_cancels_what_is_going_on(cluster):
    cluster["n3"].answers["POST /reinitialize"] = [
        (503, "restart already in progress"), (200, "reinitialize started")]
    out = cluster.ctl("reinit", "demo", answers="n3\ny\ny\n")
    assert out.returncode == 0, out.stdout + out.stderr
    assert "cancel it and reinitialize anyway? [y/N]: " in out.stdout
    assert cluster["n3"].body("POST /reinitialize")["force"] is True


def test_flush_forgets_schedules(cluster):
    assert "No scheduled switchover" in well(cluster.ctl("flush", "demo", "switchover"))
    assert "No scheduled restart for member n1" in well(
        cluster.ctl("flush", "demo", "restart", "--force"))
    cluster.view["scheduled_switchover"] = {"at": "2030-01-01T00:00:00+00:00"}
    cluster.view["members"][1]["scheduled_restart"] = {"schedule": "2030-01-01T00:00:00+00:00"}
    cluster["n1"].answers["DELETE /switchover"] = (200, "scheduled switchover deleted")
    cluster["n2"].answers["DELETE /restart"] = (200, "deleted")
    well(cluster.ctl("flush", "demo", "switchover"))
    assert "member n2" in well(cluster.ctl("flush", "demo", "n2", "restart", "--force"))
    cluster["n1"].answers["DELETE /switchover"] = (409, "lost the race")
    refused(cluster.ctl("flush", "demo", "switchover"), "Failed: 409")


def test_pause_and_resume_change_the_configuration(cluster):
    cluster["n1"].answers["PATCH /config"] = (200, {})
    assert "management is paused" in well(cluster.ctl("pause"))
    assert cluster["n1"].body("PATCH /config") == {"pause": True}
    refused(cluster.ctl("resume"), "Cluster is not paused")
    cluster.view["pause"] = True
    refused(cluster.ctl("pause", "demo"), "Cluster is already paused")
    assert "management is resumed" in well(cluster.ctl("resume"))
    assert cluster["n1"].body("PATCH /config") == {"pause": None}
    cluster["n1"].answers["PATCH /config"] = (503, "no leader")
    refused(cluster.ctl("resume"), "503")


def test_pause_waits_for_all_members(cluster):
    cluster["n1"].answers["PATCH /config"] = (200, {})
    cluster.answer_all("GET /config", 200, {"loop_wait": 1})
    cluster.answer_all("GET /patroni", 200, {"pause": True})
    cluster["n2"].answers["GET /patroni"] = [(200, {}), (200, {"pause": True})]
    assert "on all members" in well(cluster.ctl("pause", "--wait"))
    cluster["n3"].answers["GET /patroni"] = (200, {})
    assert "n3" in refused(cluster.ctl("pause", "--wait")).splitlines()[-1]


CONFIG = {"ttl": 30, "loop_wait": 10, "maximum_lag_on_failover": 1048576,
          "postgresql": {"use_pg_rewind": True, "parameters": {"work_mem": "8MB"}}}


def give_config(cluster, etag='"7"'):
    headers = [("ETag", etag)] if etag else []
    cluster.answer_all("GET /config", 200, CONFIG, *headers)
    cluster.answer_all("PATCH /config", 200, {})


def test_show_config_is_sorted_yaml(cluster):
    give_config(cluster)
    assert well(cluster.ctl("show-config")) == """\
loop_wait: 10
maximum_lag_on_failover: 1048576
postgresql:
  parameters:
    work_mem: 8MB
  use_pg_rewind: true
ttl: 30
"""


def test_edit_config_shows_and_sends_the_difference(cluster):
    give_config(cluster)
    result = cluster.ctl("edit-config", "-s", "ttl=20", "-p", "work_mem=null",
                         "-p", "auto_explain.log_min_duration=3s", "-s", "loop_wait=10",
                         answers="y\n")
    out = well(result)
    assert "-ttl: 30\n+ttl: 20\n" in out
    assert "Apply these changes? [y/N]: " in out
    assert out.endswith("Configuration changed\n")
    assert cluster["n1"].body("PATCH /config") == {
        "ttl": 20, "postgresql": {"parameters": {
            "work_mem": None, "auto_explain.log_min_duration": "3s"}}}
    request = [r for r in cluster["n1"].requests if r["call"] == "PATCH /config"][0]
    assert request["headers"]["If-Match"] == '"7"'
    assert request["headers"]["Content-Type"] == "application/json"


def test_edit_config_without_version_sends_no_condition(cluster):
    give_config(cluster, etag=None)
    well(cluster.ctl("edit-config", "-s", "ttl=20", "--force"))
    request = [r for r in cluster["n1"].requests if r["call"] == "PATCH /config"][0]
    assert "If-Match" not in request["headers"]


def test_edit_config_that_changes_nothing_sends_nothing(cluster):
    give_config(cluster)
    assert well(cluster.ctl("edit-config", "-s", "ttl=30")) == "Not changed\n"
    assert well(cluster.ctl("edit-config", "-s", "none.such=null")) == "Not changed\n"
    assert "PATCH /config" not in cluster["n1"].calls()


def test_edit_config_declined_sends_nothing(cluster):
    give_config(cluster)
    refused(cluster.ctl("edit-config", "-s", "ttl=20", answers="\n"), "Aborted!")
    assert "PATCH /config" not in cluster["n1"].calls()


def test_edit_config_applies_and_replaces_from_files(cluster):
    give_config(cluster)
    part = cluster.folder / "part.yaml"
    part.write_text("ttl: 5\npostgresql:\n  use_pg_rewind: null\n")
    well(cluster.ctl("edit-config", "--apply", str(part), "--force", "-q", "-s", "loop_wait=3"))
    assert cluster["n1"].body("PATCH /config") == {
        "ttl": 5, "loop_wait": 3, "postgresql": {"use_pg_rewind": None}}
    well(cluster.ctl("edit-config", "--replace", "-", "--force", answers="ttl: 30\n"))
    assert cluster["n1"].body("PATCH /config") == {
        "loop_wait": None, "maximum_lag_on_failover": None, "postgresql": None}
    refused(cluster.ctl("edit-config", "--replace", "-", answers="ttl: 30\n"), "--force")
    refused(cluster.ctl("edit-config", "--apply", "/none/such", "--force"), "/none/such")
    part.write_text("- a\n- b\n")
    refused(cluster.ctl("edit-config", "--replace", str(part), "--force"), "no map")


def test_edit_config_runs_the_editor(cluster):
    give_config(cluster)
    result = cluster.ctl("edit-config", answers="y\n",
                         env={"EDITOR": "sed -i s/30/25/", "TMPDIR": str(cluster.folder)})
    assert "+ttl: 25\n" in well(result)
    assert cluster["n1"].body("PATCH /config") == {"ttl": 25}
    refused(cluster.ctl("edit-config", env={"EDITOR": "false"}), "editor failed")
    assert list(cluster.folder.glob("demo-config-*")) == []


@pytest.mark.parametrize("setting", ["ttl", "=1", "ttl.x=1", "a..b=1", "ttl={"])
def test_settings_that_make_no_sense_are_refused(cluster, setting):
    give_config(cluster)
    refused(cluster.ctl("edit-config", "-s", setting, "--force"), "Error: ")
    assert "PATCH /config" not in cluster["n1"].calls()


@pytest.mark.parametrize("code, text", [
    (409, "somebody else"), (412, "somebody else"), (422, "ttl: 0 is below 1")])
def test_edit_config_that_is_refused_is_a_failure(cluster, code, text):
    give_config(cluster)
    cluster["n1"].answers["PATCH /config"] = (code, "ttl: 0 is below 1")
    refused(cluster.ctl("edit-config", "-s", "ttl=0", "--force"), text)


def test_credentials_are_sent(cluster):
    cluster.settings.write_text(
        cluster.settings.read_text()
        + "restapi:\n  authentication:\n    username: u\n    password: secret\n")
    give_config(cluster)
    well(cluster.ctl("edit-config", "-s", "ttl=20", "--force"))
    assert cluster["n1"].requests[-1]["headers"]["Authorization"] == "Basic dTpzZWNyZXQ="


def make_certificate(folder, name):
    """A self-signed certificate for this machine's loopback address, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=30)
    return cert, key


def secure(cluster, server, client=None):
    """Lets all nodes speak TLS with `server`'s certificate; asks for `client`'s if given."""
    for node in cluster.nodes.values():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*server)
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client[0])
        node.server.socket = context.wrap_socket(node.server.socket, server_side=True)
        node.url = node.url.replace("http:", "https:")
    for member in cluster.view["members"]:
        member["api_url"] = member["api_url"].replace("http:", "https:")


def test_certificates_are_checked_unless_that_is_switched_off(cluster):
    server = make_certificate(cluster.folder, "server")
    other = make_certificate(cluster.folder, "other")
    secure(cluster, server)
    hosts = f"ctl:\n  hosts: {cluster['n1'].url}\n"
    cluster.settings.write_text(hosts)
    refused(cluster.ctl("list"), "Error: ")
    assert well(cluster.ctl("-k", "list")) == TABLE
    cluster.settings.write_text(f"{hosts}  cacert: {other[0]}\n")
    refused(cluster.ctl("list"), "Error: ")
    cluster.settings.write_text(f"{hosts}  cacert: {server[0]}\n")
    assert well(cluster.ctl("list")) == TABLE
    cluster.settings.write_text(f"{hosts}  insecure: on\n")
    assert well(cluster.ctl("list")) == TABLE


def test_a_certificate_of_our_own_is_shown_to_nodes_that_ask(cluster):
    server = make_certificate(cluster.folder, "server")
    client = make_certificate(cluster.folder, "client")
    secure(cluster, server, client)
    hosts = f"ctl:\n  hosts: {cluster['n1'].url}\n  cacert: {server[0]}\n"
    cluster.settings.write_text(hosts)
    refused(cluster.ctl("list"), "Error: ")
    cluster.settings.write_text(f"{hosts}  certfile: {client[0]}\n  keyfile: {client[1]}\n")
    assert well(cluster.ctl("list")) == TABLE


def test_our_own_certificate_means_that_nodes_speak_tls(cluster):
    server = make_certificate(cluster.folder, "server")
    secure(cluster, server)
    cluster.settings.write_text(
        f"restapi:\n  connect_address: 127.0.0.1:{cluster['n1'].port}\n"
        f"  certfile: {server[0]}\n  cafile: {server[0]}\n")
    assert well(cluster.ctl("list")) == TABLE
