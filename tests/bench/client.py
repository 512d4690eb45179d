"""A client that writes a row every few milliseconds and logs what became of each.

    client.py LOG WRITER KIND DSN...

KIND is "each": one connection string for each host, tried side by side as a good driver does;
or "libpq": one connection string, possibly with several hosts, left to libpq.

The log is that of tests/e2e/probe.py. Rows are paced, unlike there, so that a cluster on a
small machine is idle but for them; the pace bounds how exactly a gap is known.
"""

import contextlib
import os
import pathlib
import sys
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import probe  # noqa: E402

PACE_SECONDS = 0.004
INSERT = "INSERT INTO bench (writer, id) VALUES (%s, %s)"


def open_libpq(dsn):
    while True:
        try:
            connection = psycopg2.connect(dsn)
            connection.autocommit = True
            return connection
        except psycopg2.Error:
            time.sleep(probe.RETRY_SECONDS)


def write(connection, writer, row):
    """The outcome, as in probe.py. An asynchronous connection has to be waited for."""
    try:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(INSERT, (writer, row))
            if connection.async_:
                probe.wait_for_answer(connection)
    except psycopg2.Error as error:
        return "refused" if error.pgcode == probe.READ_ONLY else "unknown"
    except TimeoutError:
        return "unknown"
    return "ok"


def main():
    log_path, writer, kind, *dsns = sys.argv[1:]
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    row = 0
    while True:
        connection = probe.connect(dsns) if kind == "each" else open_libpq(dsns[0])
        outcome = "ok"
        while outcome == "ok":
            row += 1
            sent = probe.now()
            outcome = write(connection, writer, row)
            os.write(log, f"{sent:.6f} {probe.now():.6f} {outcome} {row}\n".encode())
            time.sleep(PACE_SECONDS)
        connection.close()


if __name__ == "__main__":
    main()
