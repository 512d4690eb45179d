"""Settings that are wrong are refused before anything starts, with the place and the reason."""

import re
import subprocess

import pytest

from lab import BUILD, ROOT, clean_environment

SAMPLE = (ROOT / "conf/n1.yaml").read_text()


def run(*arguments):
    return subprocess.run(
        [BUILD / "pgbaton", *map(str, arguments)],
        env=clean_environment(), capture_output=True, text=True, timeout=20,
    )


@pytest.fixture
def write(tmp_path):
    """Writes the sample with one line changed, and returns the file and that line's number."""

    def write_changed(pattern, replacement):
        text, count = re.subn(pattern, replacement, SAMPLE, count=1, flags=re.MULTILINE)
        assert count == 1, f"the sample has no {pattern}"
        path = tmp_path / "changed.yaml"
        path.write_text(text)
        before = re.search(pattern, SAMPLE, flags=re.MULTILINE).start()
        return path, SAMPLE[:before].count("\n") + 1

    return write_changed


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_the_shipped_samples_are_right(name):
    done = run("--validate-config", ROOT / f"conf/{name}.yaml")
    assert (done.returncode, done.stderr) == (0, "")


WRONG = [
    (r"ttl: 2\b", "ttl: soon", "ttl"),
    (r"ttl: 2\b", "ttl: -1", "ttl"),
    (r"use_pg_rewind: true", "use_pg_rewind: maybe", "use_pg_rewind"),
    (r"ttl: 2\b", "synchronous_mode: true", "synchronous_mode"),
    (r"listen: 0\.0\.0\.0:8008", "listen: 0.0.0.0:80080", "restapi.listen"),
    (r"connect_address: 10\.0\.0\.1:5432", "connect_address: 0.0.0.0:5432", "connect_address"),
    (r"self_addr: 10\.0\.0\.1:2222", "self_addr: 10.0.0.1", "raft.self_addr"),
    (r"mode: automatic", "mode: maybe", "watchdog.mode"),
]


@pytest.mark.parametrize("pattern, replacement, path", WRONG)
def test_a_wrong_value_is_refused_with_file_line_and_reason(write, pattern, replacement, path):
    file, line = write(pattern, replacement)
    done = run("--validate-config", file)
    assert done.returncode == 1
    assert re.search(rf"^{re.escape(str(file))}:{line}: .*{re.escape(path)}.*: .+",
                     done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize("pattern, replacement, path", WRONG[:1])
def test_the_daemon_itself_does_not_start_with_it(write, pattern, replacement, path):
    file, line = write(pattern, replacement)
    done = run(file)
    assert done.returncode == 1
    assert f"{file}:{line}: " in done.stdout + done.stderr


def test_every_problem_is_told_at_once(write, tmp_path):
    file, first = write(r"ttl: 2\b", "ttl: soon")
    text = file.read_text().replace("mode: automatic", "mode: maybe")
    file.write_text(text)
    second = text[: text.index("mode: maybe")].count("\n") + 1
    done = run("--validate-config", file)
    assert f"{file}:{first}: " in done.stderr
    assert f"{file}:{second}: " in done.stderr


def test_text_that_is_no_yaml_is_refused_with_its_line(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("scope: demo\nname: [n1\nraft: {}\n")
    done = run("--validate-config", file)
    assert done.returncode == 1
    assert re.search(rf"^{re.escape(str(file))}:[23]: ", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("key", ["scope: demo", "name: n1"])
def test_a_missing_key_is_named(tmp_path, key):
    file = tmp_path / "missing.yaml"
    file.write_text(SAMPLE.replace(key + "\n", "", 1))
    done = run("--validate-config", file)
    assert done.returncode == 1
    assert key.split(":")[0] in done.stderr


def test_an_unknown_key_is_a_warning(write):
    file, line = write(r"^scope: demo", "scope: demo\nno_such_key: 1")
    done = run("--validate-config", file)
    assert done.returncode == 0
    assert re.search(rf"{re.escape(str(file))}:{line + 1}: .*no_such_key", done.stderr)


def test_a_file_that_is_not_there_is_named(tmp_path):
    done = run("--validate-config", tmp_path / "nowhere.yaml")
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr


def test_settings_of_patroni_with_etcd_are_told_what_to_write_instead(write):
    file, _ = write(r"^raft:", "etcd:\n  hosts: 10.0.0.1:2379\n\nraft:")
    done = run("--validate-config", file)
    assert done.returncode == 0
    assert re.search(r"etcd.*raft", done.stderr)
