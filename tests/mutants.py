#!/usr/bin/env python3
"""Planted bugs: each rule is taken away alone, and the simulator or a unit test has to notice.

usage: tests/mutants.py [--runs=N] [name...]

Works on a copy of the tree. A bug is a piece of text that is replaced in one file; if the text is
not found exactly once the list has to be brought up to date, and that is a failure. The first seed
that notices is printed, or the unit test; the last line is "N passed, N failed".
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutants"
FOLDERS = "base raft ha pgctl pgctl/guard conf api"
COPIED = ["base", "raft", "ha", "pgctl", "conf", "api", "tests", "Makefile"]

# name, what is taken away, file, text, replacement. The numbers are those of docs/architecture.md.
MUTANTS = [
    ("rule-1-newer-epoch", "a voter answers although its log holds a newer epoch", "ha/lease.c",
     "if (log->epoch > epoch) {", "if (false) {"),
    ("rule-1-not-applied", "only applied entries count for a member's epoch", "ha/ha.c",
     "epoch = time_max(epoch, ha->tail[i].epoch);", "epoch = time_max(epoch, 0);"),
    ("rule-1-grant", "a voter answers a grant that is not in its log", "ha/lease.c",
     "if (!log->holds_grant) {", "if (false) {"),
    ("rule-2-round-number", "an answer to an old round counts for the new one", "ha/lease.c",
     "round->start_id != holder->start_id || round->number != flight->number ||",
     "round->start_id != holder->start_id ||"),
    ("rule-3-ttl", "a ttl that the log does not name is answered", "ha/lease.c",
     "if (ttl_ms == 0 || ttl_ms > log->ttl_max_ms) {", "if (ttl_ms == 0) {"),
    ("rule-3-wait", "the wait goes by the ttl in force, not by the longest", "ha/lease.c",
     "time_lengthen(time_max(voter->ttl_ms, ttl_max_ms));", "time_lengthen(ttl_max_ms / 2);"),
    ("rule-4-restart", "a restarted voter does not wait", "ha/lease.c",
     "if (!holds_serving) {", "if (false) {"),
    ("rule-iii", "a voter does not wait after its answers", "ha/lease.c",
     "if (answer->node != node && answer->epoch < epoch) {", "if (false) {"),
    ("rule-5-position", "votes before the log position is compared", "raft/election.c",
     "    if (!raft->position_checked) {\n        return RAFT_NOTE_REFUSED_NOT_CHECKED;",
     "    if (false) {\n        return RAFT_NOTE_REFUSED_NOT_CHECKED;"),
    ("rule-6-completed", "hearing a round is enough, completed or not", "ha/rounds.c",
     "    if (completed_number > ha->seen_number) {", "    if (completed_number >= 0) {"),
    ("rule-7-failed", "a grantee that failed is chosen again at once", "ha/leader.c",
     ".failed = ", ".failed = false && "),
    ("rule-8-cut", "a standby pledges while its receiver runs", "ha/standby.c",
     "    if ((facts->conninfo_set && ha->cut_epoch != ha->cluster.epoch) || facts->receiver_running) {",
     "    if (false) {"),
    ("rule-8-follow", "a standby follows while the grant is revoked", "ha/standby.c",
     "        pledge(ha);\n        return;\n    case CLUSTER_GRANTED:",
     "        pledge(ha);\n        follow(ha);\n        return;\n    case CLUSTER_GRANTED:"),
    ("rule-9-marker", "the choice goes by LSN alone", "ha/choose.c",
     "if (a->marker_epoch != b->marker_epoch) {", "if (false) {"),
    ("rule-9-timeline", "what has the primary's timeline is on its line", "ha/rejoin.c",
     "if (timeline != 0 && end.timeline != 0 && end.timeline != timeline) {", "if (false) {"),
    ("rule-11-fenced", "an unserved grant whose server is gone is fenced", "ha/leader.c",
     "return last->epoch == 0 || last->served || last->fenced;", "return true;"),
    ("rule-11-gone", "every grant is fenced", "ha/leader.c",
     "ha->cluster.last.epoch == 0 || (old_is_gone(ha) && older_is_over(ha));", "true;"),
    ("rule-12-position", "a grantee does not look at what it has", "ha/grantee.c",
     "    if (refusal != NULL) {", "    if (false) {"),
    ("rule-14-serving", "a writable start after SERVING", "ha/grantee.c",
     "    } else if (ha->cluster.phase == CLUSTER_GRANTED) {\n        prepare(ha);",
     "    } else if (ha->facts.run == PG_RUN_STOPPED || ha->cluster.phase == CLUSTER_GRANTED) {\n"
     "        ha->ready_epoch = ha->facts.run == PG_RUN_STOPPED ? 0 : ha->ready_epoch;\n"
     "        prepare(ha);"),
    ("rule-15-anybody", "any leader changes the membership", "ha/upkeep.c",
     "    if (!may_change_members(ha)) {", "    if (false) {"),
    ("rule-16-first", "a failsafe quorum begins a lease", "ha/lease.c",
     "if (members->failsafe_count == 0 || !lease_holder_runs(holder, now_ms)) {",
     "if (members->failsafe_count == 0) {"),
    ("rule-19-settled", "acts before all that binds is applied", "ha/ha.c",
     "        if (ha->tail[i].binding) {\n            return false;",
     "        if (false) {\n            return false;"),
    ("lease-from-receipt", "the lease counts from the receipt of the answers", "ha/lease.c",
     "flight->sent_ms + time_shorten(flight->ttl_ms));", "now_ms + time_shorten(flight->ttl_ms));"),
    ("lease-no-majority", "one answer less than a majority is enough", "ha/lease.c",
     "return count * 2 > members->voter_count;", "return count * 2 + 1 >= members->voter_count;"),
    ("lease-learner", "learners count for the lease", "ha/rounds.c",
     "        if (ha->raft.members[i].voter) {\n            members.voters",
     "        if (true) {\n            members.voters"),
    ("lease-no-drift", "the lease is not shortened by the drift", "ha/lease.c",
     "flight->sent_ms + time_shorten(flight->ttl_ms));", "flight->sent_ms + flight->ttl_ms);"),
    ("grant-no-majority", "GRANT without the pledges of a majority", "ha/leader.c",
     "    if (pledged * 2 <= voters) {", "    if (pledged == 0) {"),
    ("grant-lag", "maximum_lag_on_failover is not looked at", "ha/choose.c",
     "if (!asked_for && choose_lag(input, candidate) > input->maximum_lag_bytes) {",
     "if (false) {"),
    ("grant-lag-forgotten", "the lag's reference is forgotten with the primary's daemon",
     "ha/leader.c", "if (last->served && ha->told_epoch == last->epoch) {", "if (false) {"),
    ("handover-incomplete", "a hand-over to a standby that lacks WAL", "ha/leader.c",
     "status->position.lsn < stopped->end.lsn ||", ""),
    ("handover-unsure-end", "the end of WAL that is sure is taken for the end", "ha/postgres.c",
     "        if (ha->facts.wal_end.lsn != 0) {\n            ha->stopped.end = done->position;",
     "        if (true) {\n            ha->stopped.end = done->position;"),
    ("promote-no-lease", "promotion before the lease runs", "ha/grantee.c",
     "    if (!lease_is_good(ha)) {\n        return;", "    if (false) {\n        return;"),
    ("guard-no-fence", "the guard never begins its fence", "pgctl/guard/deadline.c",
     "        deadline->now_ms >= deadline->armed.fence_ms) {", "        false) {"),
    ("guard-late-renewal", "the guard takes a renewal after the fence", "pgctl/guard/deadline.c",
     "    if (is_fenced(deadline)) {\n        return GUARD_REFUSAL_FENCED;\n    }\n    if (deadline->phase",
     "    if (is_fenced(deadline)) {\n        deadline->phase = GUARD_PHASE_ARMED;\n    }\n"
     "    if (deadline->phase"),
    ("raft-vote-not-durable", "a vote leaves before it is on disk", "raft/raft.c",
     "message->after_persist = !durable;", "message->after_persist = false;"),
    ("raft-learner-votes", "learners count for elections", "raft/election.c",
     "        if (member->kind == RAFT_MEMBER_VOTER) {\n            votes[count++]",
     "        if (true) {\n            votes[count++]"),
    ("raft-learner-commits", "learners count for commits", "raft/leader.c",
     "        if (member->kind != RAFT_MEMBER_VOTER) {\n            continue;\n        }\n        if (member->id == raft->self) {\n            values",
     "        if (member->id == raft->self) {\n            values"),
    ("raft-old-term", "an entry of an older term is decided by counting", "raft/leader.c",
     "if (index > raft->commit_index && raft_term_at(raft, index) == raft->hard.term) {",
     "if (index > raft->commit_index) {"),
    ("raft-short-log", "a vote for a shorter log", "raft/election.c",
     "return is_up_to_date(raft, message) ? RAFT_NOTE_NONE : RAFT_NOTE_REFUSED_VOTE_LOG;",
     "(void)is_up_to_date;\n    return RAFT_NOTE_NONE;"),
    ("raft-wiped-votes", "a store that was wiped goes on under the old name", "raft/raft.c",
     "    if (message->to_incarnation != raft->hard.incarnation) {",
     "    if (false) {"),
    ("raft-commit-early", "the leader counts its own entries before they are on disk",
     "raft/leader.c",
     "index = raft_leader_quorum(raft, offsetof(struct progress, match_index), raft->durable_index);",
     "index = raft_leader_quorum(raft, offsetof(struct progress, match_index), "
     "raft_last_index(raft));"),
    ("suspect-never", "nobody ever suspects the primary", "ha/rounds.c",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 2;",
     "false;"),
    ("suspect-at-once", "one missed round is suspicious", "ha/rounds.c",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 2;",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 9;"),
]


class RunnerError(Exception):
    """This run says nothing about the bug."""


def run(command, **more):
    return subprocess.run(command, cwd=WORK / "tree", capture_output=True, text=True, **more)


def make(*targets):
    return run(["make", "--no-print-directory", "-j2", f"FOLDERS={FOLDERS}", "OUT=out",
                "CFLAGS=-Wno-error -w", *targets])


def copy_tree():
    tree = WORK / "tree"
    tree.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, dirs_exist_ok=True)
        else:
            shutil.copy2(source, tree / name)


def simulate(runs):
    """The first seed that failed, or None. Anything but a full count is an error of this runner:
    a program that did not run has noticed nothing."""
    found = run(["out/pgbaton-sim", "--seed=1", f"--runs={runs}", "--quiet", "--first"])
    totals = re.search(r"^(\d+) passed, (\d+) failed$", found.stdout, re.MULTILINE)
    seeds = re.findall(r"^FAILED: --seed=(\d+)$", found.stdout, re.MULTILINE)
    if totals is None or found.returncode != (1 if seeds else 0) or int(totals[2]) != len(seeds):
        raise RunnerError(f"the simulator did not run: {found.stdout[-200:]}{found.stderr[-200:]}")
    return seeds[0] if seeds else None


def unit_failures():
    """How many unit tests failed."""
    found = make("unit")
    totals = re.findall(r"^(\d+) passed, (\d+) failed$", found.stdout, re.MULTILINE)
    if not totals:
        raise RunnerError(f"the unit tests did not run: {found.stdout[-200:]}{found.stderr[-200:]}")
    return int(totals[-1][1])


def try_mutant(mutant, runs, with_unit):
    """Returns what noticed it, or None."""
    _, _, path, old, new = mutant
    target = WORK / "tree" / path
    text = target.read_text()
    if text.count(old) != 1:
        raise RunnerError(f"{path}: found {text.count(old)} times: {old!r}")
    try:
        target.write_text(text.replace(old, new))
        built = make("out/pgbaton-sim")
        if built.returncode != 0:
            raise RunnerError(f"{path}: does not compile: {built.stderr[-300:]}")
        seed = simulate(runs)
        if seed is not None:
            return f"seed {seed}"
        return "a unit test" if with_unit and unit_failures() > 0 else None
    finally:
        target.write_text(text)


def check_unmutated(runs):
    """Without this, whatever fails by itself would seem to notice every bug. False means that the
    unit tests fail already, and so prove nothing."""
    built = make("out/pgbaton-sim")
    if built.returncode != 0:
        raise RunnerError(f"the tree does not compile: {built.stderr[-600:]}")
    seed = simulate(runs)
    if seed is not None:
        raise RunnerError(f"seed {seed} fails without any planted bug")
    try:
        return unit_failures() == 0
    except RunnerError as error:
        print(f"        {error}")
        return False


def main():
    runs = 500
    names = []
    for argument in sys.argv[1:]:
        if argument.startswith("--runs="):
            runs = int(argument.split("=")[1])
        else:
            names.append(argument)
    copy_tree()
    with_unit = check_unmutated(runs)
    print(f"unmutated: {runs} seeds pass; unit tests {'pass' if with_unit else 'NOT USED'}",
          flush=True)
    passed = missed = errors = 0
    for mutant in MUTANTS:
        if names and mutant[0] not in names:
            continue
        try:
            noticed = try_mutant(mutant, runs, with_unit)
        except RunnerError as error:
            errors += 1
            print(f"ERROR   {mutant[0]}: {error}", flush=True)
            continue
        passed += noticed is not None
        missed += noticed is None
        print(f"{'MISSED ' if noticed is None else 'caught '} {mutant[0]}: {mutant[1]}"
              f"{'' if noticed is None else f' ({noticed})'}", flush=True)
    print(f"{passed} passed, {missed + errors} failed")
    return 0 if missed + errors == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
