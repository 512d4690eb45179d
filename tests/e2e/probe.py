"""A client that writes rows as fast as it can and logs what became of each.

    probe.py LOG WRITER DSN...

Each DSN names one host. While there is no connection all hosts are tried side by side, as a
good driver does, so that a host that swallows packets does not hide how soon another one took
over; the first one that is writable is used until it fails.

A line of the log: when the write was sent, when its fate was known (CLOCK_BOOTTIME, seconds),
the outcome, the id of the row, the host. Outcomes: "ok"; "refused": the server said that it
is read-only, so the row is not there; "unknown": it may be there or not, because the connection
broke, no answer came in time, or the answer came with a warning (a cancelled wait for
synchronous standbys succeeds with one).
"""

import os
import select
import sys
import time

import psycopg2
from psycopg2 import extensions

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
RETRY_SECONDS = 0.01
READ_ONLY = "25006"


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Attempt:
    """One host that is being connected to."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.connection = None
        self.wait = None
        self.next_start = 0.0

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.next_start = now() + RETRY_SECONDS

    def step(self):
        """True when the connection is up. A writable one: the DSN asks for that."""
        try:
            if self.connection is None:
                if now() < self.next_start:
                    return False
                self.connection = psycopg2.connect(
                    self.dsn, target_session_attrs="read-write", async_=1
                )
                self.deadline = now() + CONNECT_SECONDS
            self.wait = self.connection.poll()
            if self.wait == extensions.POLL_OK:
                return True
            if now() > self.deadline:
                self.drop()
        except psycopg2.Error:
            self.drop()
        return False


def connect(dsns):
    """Waits for a writable connection to any host."""
    attempts = [Attempt(dsn) for dsn in dsns]
    while True:
        for attempt in attempts:
            if attempt.step():
                for other in attempts:
                    if other is not attempt:
                        other.drop()
                return attempt.connection
        open_attempts = [attempt for attempt in attempts if attempt.connection is not None]
        select.select(
            [a.connection for a in open_attempts if a.wait == extensions.POLL_READ],
            [a.connection for a in open_attempts if a.wait == extensions.POLL_WRITE],
            [],
            RETRY_SECONDS,
        )


def wait_for_answer(connection):
    deadline = now() + ANSWER_SECONDS
    while (state := connection.poll()) != extensions.POLL_OK:
        left = deadline - now()
        if left <= 0:
            raise TimeoutError
        if state == extensions.POLL_READ:
            select.select([connection], [], [], left)
        else:
            select.select([], [connection], [], left)


def write(connection, writer, row):
    """Writes one row. An asynchronous connection commits each statement by itself."""
    del connection.notices[:]
    try:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO probe (writer, id) VALUES (%s, %s)", (writer, row))
        wait_for_answer(connection)
    except psycopg2.Error as error:
        return "refused" if error.pgcode == READ_ONLY else "unknown"
    except TimeoutError:
        return "unknown"
    return "unknown" if connection.notices else "ok"


def main():
    log_path, writer, *dsns = sys.argv[1:]
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    row = 0
    while True:
        connection = connect(dsns)
        host = connection.get_dsn_parameters()["host"]
        outcome = "ok"
        while outcome == "ok":
            row += 1
            sent = now()
            outcome = write(connection, writer, row)
            os.write(log, f"{sent:.6f} {now():.6f} {outcome} {row} {host}\n".encode())
        connection.close()


if __name__ == "__main__":
    main()
