#!/usr/bin/env python3
"""Planted bugs: each rule is taken away alone, and the simulator or a unit test has to notice.

usage: tests/mutants.py [--seeds=N] [name...]

Works on a copy of the tree, in build/mutants. A bug is a piece of text that is replaced in one
file; if the text is not found exactly once the list has to be brought up to date, and that is a
failure. What noticed is printed: the first seed, else the first unit test of the file's folder. The
last line is "N passed, N failed".
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutants" / "tree"
FOLDERS = "base raft ha pgctl pgctl/guard api conf daemon"
COPIED = ["base", "raft", "ha", "pgctl", "api", "conf", "daemon", "tests", "Makefile"]
ENVIRONMENT = {**os.environ, "PGBATON_BUILD": str(TREE / "out")}

BUILD_SECONDS = 900  # Also the tests', which have limits of their own.
SIM_SECONDS = 900

# Name, what is taken away, file, then each text and its replacement. The numbers are those of
# docs/architecture.md; rules that speak of synchronous modes come with these.
MUTANTS = [
    # Answering a round.
    ("rule-1-newer-epoch", "a voter answers although its log holds a newer epoch", "ha/lease.c",
     "if (log->epoch > epoch) {", "if (false) {"),
    ("rule-1-not-applied", "only applied entries count for a member's epoch", "ha/ha.c",
     "epoch = time_max(epoch, ha->tail[i].epoch);", "epoch = time_max(epoch, 0);"),
    ("rule-1-grant", "a voter answers a grant that is not in its log", "ha/lease.c",
     "if (!log->holds_grant) {", "if (false) {"),
    ("rule-2-round-number", "an answer to an old round counts for the new one", "ha/lease.c",
     "round->start_id != holder->start_id || round->number != flight->number ||",
     "round->start_id != holder->start_id ||"),
    ("rule-2-start", "an answer to a round of the daemon before counts", "ha/lease.c",
     "round->start_id != holder->start_id || round->number != flight->number ||",
     "round->number != flight->number ||"),
    ("rule-3-ttl", "a ttl that the log does not name is answered", "ha/lease.c",
     "if (ttl_ms == 0 || ttl_ms > log->ttl_max_ms) {", "if (ttl_ms == 0) {"),
    ("rule-3-short", "a voter waits for half of what it gave", "ha/lease.c",
     "const uint64_t until_ms = time_add(now_ms, time_lengthen(ttl_ms));",
     "const uint64_t until_ms = time_add(now_ms, time_lengthen(ttl_ms / 2));"),
    ("rule-3-at-once", "a shorter ttl is in force before the longer has passed", "ha/upkeep.c",
     "time_since(ha->now_ms, ha->ttl_seen_ms) >= wait_ms) {",
     "time_since(ha->now_ms, ha->ttl_seen_ms) >= wait_ms || true) {"),
    ("rule-4-restart", "a restarted voter does not wait", "ha/lease.c",
     "if (!holds_serving) {", "if (false) {"),
    ("rule-4-silence", "a restarted voter waits also when the epoch has served", "ha/lease.c",
     "if (!holds_serving) {", "if (true) {"),
    ("rule-iii", "a voter does not wait after its answers", "ha/lease.c",
     "if (answer->node != node && answer->epoch < epoch) {", "if (false) {"),
    ("rule-5-position", "votes before the log position is compared", "raft/election.c",
     "    if (!raft->position_checked) {\n        return RAFT_NOTE_REFUSED_NOT_CHECKED;",
     "    if (false) {\n        return RAFT_NOTE_REFUSED_NOT_CHECKED;"),
    ("rule-5-answer", "answers rounds before the log position is compared", "ha/lease.c",
     "if (!log->position_checked) {", "if (false) {"),
    ("rule-5-named", "acts by a membership that means the store before", "ha/rounds.c",
     "ha->raft.position_checked && ha->raft.member,", "ha->raft.position_checked,"),
    ("rule-16-joined", "a new member does not wait for the failsafe lease before it", "ha/ha.c",
     "if (raft->member && !ha->raft.member) {", "if (false) {"),

    # Suspicion and choice.
    ("rule-6-completed", "hearing a round is enough, completed or not", "ha/rounds.c",
     "    if (completed_number > ha->seen_number) {", "    if (completed_number >= 0) {"),
    ("rule-6-failed", "a grantee that failed goes on sending rounds", "ha/rounds.c",
     "        ha->failed_epoch == epoch || facts->guard_fenced >= epoch) {", "        false) {"),
    ("rule-7-failed", "a grantee that failed is chosen again at once", "ha/leader.c",
     ".failed = ", ".failed = false && "),
    ("rule-7-slow", "slow replay is a failure", "ha/leader.c",
     "if (ha->cluster.phase != CLUSTER_GRANTED || status == NULL) {", "if (true) {"),
    ("hang", "a primary that answers nobody stays for ever", "ha/grantee.c",
     "    } else if (hangs(ha)) {", "    } else if (hangs(ha) && false) {"),
    ("rule-8-cut", "a standby pledges while its receiver runs", "ha/standby.c",
     "    if ((facts->conninfo_set && ha->cut_epoch != ha->cluster.epoch) || "
     "facts->receiver_running) {",
     "    if (false) {"),
    ("rule-8-conninfo", "a receiver that is not running may come back after the pledge",
     "ha/standby.c",
     "    if ((facts->conninfo_set && ha->cut_epoch != ha->cluster.epoch) || "
     "facts->receiver_running) {",
     "    if (facts->receiver_running) {"),
    ("rule-8-follow", "a standby follows while the grant is revoked", "ha/standby.c",
     "        pledge(ha);\n        return;\n    case CLUSTER_GRANTED:",
     "        pledge(ha);\n        follow(ha);\n        return;\n    case CLUSTER_GRANTED:"),
    ("rule-9-marker", "the choice goes by LSN alone", "ha/choose.c",
     "if (a->marker_epoch != b->marker_epoch) {", "if (false) {"),
    ("rule-9-position", "the choice does not go by LSN", "ha/choose.c",
     "if (a->position.lsn != b->position.lsn) {", "if (false) {"),
    ("rule-9-timeline", "what has the primary's timeline is on its line", "ha/rejoin.c",
     "if (end.timeline != 0 && end.timeline != timeline) {", "if (false) {"),
    ("rule-9-hidden", "a line is left where a promotion without a first commit ended", "ha/rejoin.c",
     "return is_told && end.lsn <= limit.lsn;", "return (is_told || true) && end.lsn <= limit.lsn;"),
    ("rule-11-fenced", "an unserved grant whose server is gone is fenced", "ha/leader.c",
     "return last->epoch == 0 || last->served || last->fenced;", "return true;"),
    ("rule-11-gone", "every grant is fenced", "ha/leader.c",
     "ha->cluster.last.epoch == 0 || (old_is_gone(ha) && older_is_over(ha));", "true;"),
    ("rule-11-process", "\"gone\" is said while processes are left", "ha/postgres.c",
     "return facts->run == PG_RUN_STOPPED || (", "return facts->run != PG_RUN_UP || ("),
    ("rule-12-position", "a grantee does not look at what it has", "ha/grantee.c",
     "    if (refusal != NULL) {", "    if (false) {"),
    ("rule-12-directory", "a grantee does not look whose data directory it has", "ha/grantee.c",
     "if (grant->data_dir_id != 0 && facts->record.data_dir_id != grant->data_dir_id) {",
     "if (false) {"),
    ("rule-14-serving", "a writable start after SERVING", "ha/grantee.c",
     "    } else if (ha->cluster.phase == CLUSTER_GRANTED) {\n        prepare(ha);",
     "    } else if (ha->facts.run == PG_RUN_STOPPED || ha->cluster.phase == CLUSTER_GRANTED) {\n"
     "        ha->ready_epoch = ha->facts.run == PG_RUN_STOPPED ? 0 : ha->ready_epoch;\n"
     "        prepare(ha);"),
    ("rule-14-told", "a writable start after SERVING, of which only the others know",
     "ha/grantee.c", "if (!lease_is_good(ha) || has_served(ha)) {",
     "(void)has_served;\n    if (!lease_is_good(ha)) {"),
    ("rule-14-gone", "\"gone\" is said while this epoch can still be started", "ha/postgres.c",
     "ha->phase_index <= ha->durable_index;\n\n    if (last->node", "true;\n\n    if (last->node",
     "const bool is_over = (last->served || ha->cluster.phase == CLUSTER_REVOKED) &&",
     "const bool is_over ="),
    ("rule-15-anybody", "any leader changes the membership", "ha/upkeep.c",
     "    if (!may_change_members(ha)) {", "    if (false) {"),
    ("rule-15-failsafe", "the membership changes while a failsafe lease may run", "ha/leader.c",
     "(fenced || failsafe_ends(ha))", "(fenced || true || failsafe_ends(ha))"),
    ("rule-15-at-once", "the membership changes while the last failsafe round is under way",
     "ha/upkeep.c",
     "time_since(ha->now_ms, ha->nobody_ms) >= time_lengthen(cluster_ttl_max(&ha->cluster));",
     "time_since(ha->now_ms, ha->nobody_ms) >= 500;"),
    ("rule-15-witness", "any leader turns a witness into a standby", "ha/upkeep.c",
     "known->witness != status->member.witness &&", "false &&"),
    ("rule-15-asked", "any leader removes a member when it is asked to", "ha/asks.c",
     "if (upkeep_serves(ha) && ha->raft.membership_settled) {", "if (true) {"),
    ("rule-15-granted", "a grantee that has not served yet removes a member", "ha/upkeep.c",
     "ha->cluster.phase == CLUSTER_SERVING &&\n           lease_holder_runs(&ha->holder, ha->now_ms);",
     "true;"),
    ("rule-16-first", "a failsafe quorum begins a lease", "ha/lease.c",
     "if (members->failsafe_count == 0 || !lease_holder_runs(holder, now_ms)) {",
     "if (members->failsafe_count == 0) {"),
    ("rule-16-membership", "a failsafe quorum of a membership only the primary believes in",
     "ha/rounds.c",
     "for (uint32_t i = 0; i < ha->raft.decided_count; i++) {",
     "for (uint32_t i = 0; i < 0; i++) {"),
    ("rule-16-own-wait", "a grantee does not wait for what it gave itself", "ha/rounds.c",
     "return has_waited(ha);", "return has_waited(ha) || true;"),
    ("rule-19-settled", "acts before all that binds is applied", "ha/ha.c",
     "        if (ha->tail[i].binding) {\n            return false;",
     "        if (false) {\n            return false;"),
    ("rule-19-mine", "acts on a grant although its log holds a newer epoch", "ha/ha.c",
     "return ha_is_granted(ha) && ha_settled(ha) && ha_log_epoch(ha) == ha->cluster.epoch;",
     "return ha_is_granted(ha);"),

    # The lease itself, and what is done under it.
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
    ("grant-not-on-disk", "a pledge counts before it is on the voter's disk", "ha/status.c",
     "i < ha->tail_count && ha->tail[i].index <= ha->durable_index; i++) {",
     "i < ha->tail_count; i++) {"),
    ("grant-decided-not-on-disk", "a pledge counts when the others have decided it", "ha/status.c",
     "ha->cluster.phase == CLUSTER_REVOKED && ha->phase_index > ha->durable_index", "false"),
    ("grant-lag", "maximum_lag_on_failover is not looked at", "ha/choose.c",
     "if (!asked_for && choose_lag(input, candidate) > input->maximum_lag_bytes) {",
     "if (false) {"),
    ("grant-lag-forgotten", "the lag's reference is forgotten with the primary's daemon",
     "ha/ha.c", "peer->told_epoch >= epoch ?", "peer->told_epoch > epoch ?"),
    ("grant-lag-line", "what lies on a line that was left counts as had", "ha/choose.c",
     "has_lsn = has_lsn < candidate->shared_lsn ? has_lsn : candidate->shared_lsn;", ""),
    ("initdb-once", "an initdb that was cut off is never made again", "ha/standby.c",
     "(ha->facts.data == PG_DATA_EMPTY || ha->facts.data == PG_DATA_PARTIAL);",
     "ha->facts.data == PG_DATA_EMPTY;"),
    ("initdb-unasked", "initdb by who was named before and does not know of the next", "ha/standby.c",
     "           leader->applied_index <= ha->applied_index &&\n", ""),
    ("reinit-primary", "who was to be rebuilt as a replica is when it was primary", "ha/local.c",
     "        ha->reinit_wanted = false;\n        ha_note(", "        ha_note("),
    ("stopped-and-lost", "a stopped primary that is lost is waited for, and handed back to",
     "ha/leader.c", "*grantee = ha_fresh_status(ha, ha->cluster.last.node);",
     "*grantee = ha_known_status(ha, ha->cluster.last.node);"),
    ("grant-lag-switchover", "a switchover has its way also when the primary died before it",
     "ha/leader.c",
     "(request->kind == CLUSTER_REQUEST_SWITCHOVER && !has_stopped_as_planned(ha))) {",
     "false) {"),
    ("grant-lag-served", "after a grant that failed everybody may lack anything", "ha/leader.c",
     "= cluster_last_served(&ha->cluster);",
     "= ha->cluster.last.served ? &ha->cluster.last : NULL;"),
    ("follow-once", "whether the line was left is looked at once only", "ha/standby.c",
     "if (follows && facts->receiver_running) {", "if (follows) {"),
    ("unguarded-for-ever", "while a server without a guard is waited for nobody is admitted",
     "ha/leader.c",
     "nobody_can(ha, fenced); /* It may have stopped, and its node be out of the membership. */", ""),
    ("handover-incomplete", "HANDOVER before the shutdown checkpoint has arrived", "ha/leader.c",
     "status->position.lsn < stopped->end.lsn ||", ""),
    ("handover-unsure-end", "the end of WAL that is sure is taken for the end", "ha/postgres.c",
     "        if (ha->facts.wal_end.lsn != 0) {\n            ha->stopped.end = done->position;",
     "        if (true) {\n            ha->stopped.end = done->position;"),
    ("stop-unprepared", "a planned stop waits for the checkpoint when nobody is served",
     "ha/grantee.c",
     "if (is_prepared(ha) || is_overdue) {", "(void)is_prepared;\n    if (true || is_overdue) {"),
    ("stop-rounds", "the rounds end while a planned stop goes on", "ha/rounds.c",
     ": time_add(ha->stopping_ms, grantee_stop_patience(ha));", ": ha->stopping_ms;"),
    ("stop-not-pressed", "a fast stop that takes too long ends with the lease", "ha/grantee.c",
     "    if (ha->stopping_epoch == epoch) {\n        press_stop(ha);",
     "    if (ha->stopping_epoch == epoch) {\n        (void)press_stop;"),
    ("stop-holds-up", "what comes before a stop holds up the next grant", "ha/postgres.c",
     "(ha->action.kind == PG_ACTION_NONE || ha->action.kind == PG_ACTION_PREPARE_STOP) &&",
     "ha->action.kind == PG_ACTION_NONE &&"),
    ("promote-no-lease", "promotion before the lease runs", "ha/grantee.c",
     "if (!lease_is_good(ha) || has_served(ha)) {", "if (has_served(ha)) {"),

    # The guard.
    ("guard-no-fence", "the guard never begins its fence", "pgctl/guard/deadline.c",
     "        deadline->now_ms >= deadline->armed.fence_ms) {", "        false) {"),
    ("guard-no-kill", "what does not stop by itself is not killed", "pgctl/guard/deadline.c",
     "deadline->phase == GUARD_PHASE_FENCING && deadline->now_ms >= kill_ms(deadline)) {",
     "false) {",
     "        return kill_ms(deadline);", "        return TIME_NEVER;"),
    ("guard-no-timer", "a guard that is stopped outlives the deadline", "pgctl/guard/deadline.c",
     "    return deadline->armed.end_ms;\n}\n\nstatic bool is_lease",
     "    return TIME_NEVER;\n}\n\nstatic bool is_lease"),
    ("guard-late-renewal", "the guard takes a renewal after the fence", "pgctl/guard/deadline.c",
     "    if (is_fenced(deadline)) {\n        return GUARD_REFUSAL_FENCED;\n    }\n"
     "    if (deadline->phase",
     "    if (is_fenced(deadline)) {\n        deadline->phase = GUARD_PHASE_ARMED;\n    }\n"
     "    if (deadline->phase"),
    ("guard-lower-epoch", "the guard takes a lower epoch", "pgctl/guard/deadline.c",
     "return epoch < deadline->highest_epoch ? GUARD_REFUSAL_EPOCH_LOW : GUARD_REFUSAL_NONE;",
     "return GUARD_REFUSAL_NONE;",
     "ASSERT(epoch > deadline->highest_epoch);", ""),
    ("guard-second-start", "the guard starts a second server under an epoch",
     "pgctl/guard/deadline.c",
     "    if (epoch <= deadline->ended_epoch) {\n        return GUARD_REFUSAL_EPOCH_ENDED;\n    }\n"
     "    /* The highest itself",
     "    /* The highest itself",
     "ASSERT(epoch > deadline->highest_epoch);", ""),
    ("guard-orphans", "the backends of a killed postmaster are left alone",
     "pgctl/guard/deadline.c",
     "            begin_killing(deadline);\n        } else {",
     "            deadline->phase = GUARD_PHASE_IDLE;\n        } else {"),
    ("guard-only-postmaster", "the guard kills the postmaster and not its backends",
     "pgctl/guard/tree_sys.c",
     "if (kill_all && kill(pid, SIGKILL) == -1 && errno == EPERM) {",
     "if (kill_all && pid == tree->server_pid && kill(pid, SIGKILL) == -1 && errno == EPERM) {"),
    ("guard-margin", "the guard kills without knowing how long that takes",
     "pgctl/guard/loop_sys.c", "loop->kill_margin_ms + SWEEPS_SET_ASIDE * took_ms);",
     "loop->kill_margin_ms);"),
    ("orphans-replaced", "backends whose program was replaced on disk are not found",
     "pgctl/proc_sys.c", "if (text_ends_with(target, deleted)) {", "if (false) {"),
    ("orphans-named", "backends of a program with another name are not found",
     "pgctl/proc_sys.c", "read_title(pid, title) && text_starts_with(title, TITLE_PREFIX)", "false"),

    # Raft.
    ("raft-vote-not-durable", "a vote leaves before it is on disk", "raft/raft.c",
     "message->after_persist = !durable;", "message->after_persist = false;"),
    ("raft-own-vote", "a candidate counts its own vote before it is on disk", "raft/election.c",
     "} else if (raft_hard_is_durable(raft)) {\n            raft_leader_start",
     "} else {\n            raft_leader_start"),
    ("raft-ack-not-durable", "entries are acknowledged before they are on disk", "raft/follower.c",
     "return time_min(raft->durable_index, raft->verified_index);", "return raft->verified_index;"),
    ("raft-learner-votes", "learners count for elections", "raft/election.c",
     "        if (member->kind == RAFT_MEMBER_VOTER) {\n            votes[count++]",
     "        if (true) {\n            votes[count++]"),
    ("raft-learner-commits", "learners count for commits", "raft/leader.c",
     "        if (member->kind != RAFT_MEMBER_VOTER) {\n            continue;\n        }\n"
     "        if (member->id == raft->self) {\n            values",
     "        if (member->id == raft->self) {\n            values"),
    ("raft-old-term", "an entry of an older term is decided by counting", "raft/leader.c",
     "if (index > raft->commit_index && raft_term_at(raft, index) == raft->hard.term) {",
     "if (index > raft->commit_index) {"),
    ("raft-short-log", "a vote for a shorter log", "raft/election.c",
     "return is_up_to_date(raft, message) ? RAFT_NOTE_NONE : RAFT_NOTE_REFUSED_VOTE_LOG;",
     "(void)is_up_to_date;\n    return RAFT_NOTE_NONE;"),
    ("raft-two-votes", "a second vote in a term", "raft/election.c",
     "return raft->hard.voted_for == 0 && raft->hard.term > raft->loaded_term;",
     "return raft->role != RAFT_LEADER;"),
    ("raft-loaded-term", "a vote in the term that the store held at the start", "raft/election.c",
     "return raft->hard.voted_for == 0 && raft->hard.term > raft->loaded_term;",
     "return raft->hard.voted_for == 0;"),
    ("raft-unchecked", "a vote before the position is compared with the others",
     "raft/election.c",
     "    if (!raft->position_checked) {\n        return RAFT_NOTE_REFUSED_NOT_CHECKED;\n    }\n", ""),
    ("raft-half", "half of the voters are a majority", "raft/quorum.c",
     "return voter_count / 2 + 1;", "return (voter_count + 1) / 2;"),
    ("raft-two-formations", "a new cluster is led by a majority of those who formed it",
     "raft/election.c",
     "    return listed < voter_count ? listed : voter_count;", "    return majority;"),
    ("raft-no-previous", "entries are taken whatever is in front of them", "raft/follower.c",
     "    if (!prev_matches(raft, message)) {\n        if (has_f",
     "    if (!prev_matches(raft, message) && message->prev_index > raft_last_index(raft)) {\n"
     "        if (has_f"),
    ("raft-commit-unverified", "a follower decides a tail that is not the leader's",
     "raft/follower.c",
     "raft_commit_to(raft, time_min(message->commit_index, raft->verified_index));",
     "raft_commit_to(raft, time_min(message->commit_index, raft_last_index(raft)));"),
    ("raft-apply-not-durable", "what is not on the own disk is handed out as decided",
     "raft/raft.c",
     "raft->commit_index < raft->durable_index ? raft->commit_index : raft->durable_index;",
     "raft->commit_index;"),
    ("raft-snapshot-tail", "a snapshot drops what was acknowledged behind it", "raft/follower.c",
     "if (raft_term_at(raft, snapshot->index) == snapshot->term) {", "if (false) {"),
    ("raft-wiped-votes", "a store that was wiped goes on under the old name", "raft/raft.c",
     "    if (message->to_incarnation != raft->hard.incarnation) {",
     "    if (false) {"),
    ("raft-wiped-answers", "who was wiped is taken for who it was", "raft/raft.c",
     "(sender == NULL || sender->incarnation != message->from_incarnation)) {",
     "sender == NULL) {"),
    ("raft-rolled-back", "a store that was rolled back goes on", "raft/follower.c",
     "        if (has_forgotten(raft, message)) {",
     "        if (false && has_forgotten(raft, message)) {"),
    ("raft-memory-ignored", "what the others remember of a store is not believed", "raft/form.c",
     "if (!is_only_voter(raft) && has_forgotten(raft, &memory)) {",
     "if (false && !is_only_voter(raft)) {"),
    ("raft-mark-ignored", "a store that shows less than its mark goes on", "raft/raft.c",
     "raft_form_check_mark(raft);", "(void)raft_form_check_mark;"),
    ("raft-mark-falls", "the mark falls after a start", "raft/raft.c",
     "mark->incarnation != raft->hard.incarnation || mark->term < raft->hard.term ||\n"
     "        mark->index < raft->verified_index",
     "mark != NULL"),
    ("raft-slow-is-rot", "a store that a slow disk does not show in time is thrown away",
     "raft/disk_sys.c", "err, TIMEOUT,", "err, CORRUPT,"),
    ("raft-killed-is-rot", "a store whose reader was killed is thrown away", "raft/disk_sys.c",
     "err, IO,\n            \"somebody,", "err, CORRUPT,\n            \"somebody,"),
    ("raft-mark-first", "the mark is written before what it is about", "raft/store_uv.c",
     "    enum status status = write_entries(self, batch, err);\n",
     "    enum status status = mark_write(self->mark_dir, mark, err);\n\n"
     "    status = status == STATUS_OK ? write_entries(self, batch, err) : status;\n"),
    ("raft-mark-late", "answers leave before the mark is on disk", "raft/store_uv.c",
     "status == STATUS_OK && !is_same(mark, &self->mark)",
     "status == STATUS_OK && !is_same(mark, &self->mark) && self->done_number > 0"),
    ("raft-two-changes", "the membership changes before the last change is decided",
     "raft/member.c",
     "if (!raft_leader_ready(raft) || raft->config.index > raft->commit_index ||",
     "if (!raft_leader_ready(raft) ||",
     "    ASSERT(raft->config.index <= raft->commit_index);\n", ""),
    ("raft-early-change", "the membership changes before the new leader has decided anything",
     "raft/member.c",
     "if (!raft_leader_ready(raft) || raft->config.index > raft->commit_index ||",
     "if (raft->config.index > raft->commit_index ||",
     "    ASSERT(raft_leader_ready(raft));\n", ""),
    ("raft-commit-early", "the leader counts its own entries before they are on disk",
     "raft/leader.c",
     "index = raft_leader_quorum(raft, offsetof(struct progress, match_index), "
     "raft->durable_index);",
     "index = raft_leader_quorum(raft, offsetof(struct progress, match_index), "
     "raft_last_index(raft));"),

    # Not safety, but the reason for it all.
    ("raft-left-out", "who was called in by a lost leader waits for ever", "raft/form.c",
     "return raft_is_left_out(raft) && !raft_is_voter(raft);",
     "return raft_is_left_out(raft) && false;"),
    ("raft-removed-returns", "who was removed comes back by itself", "raft/form.c",
     "return raft_is_left_out(raft) && !raft_is_voter(raft);",
     "return raft_is_left_out(raft);"),
    ("suspect-never", "nobody ever suspects the primary", "ha/rounds.c",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 2;",
     "false;"),
    ("one-way-only", "rounds wait for a connection that a bad network holds up", "raft/mesh_uv.c",
     "channel == FRAME_CHANNEL_HA && link_is_behind(link);", "false;"),
    ("suspect-at-once", "one missed round is suspicious", "ha/rounds.c",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 2;",
     "rounds_silent_ms(ha) >= cluster_ttl_max(&ha->cluster) / 9;"),
    # The first epoch, and planned changes.
    ("first-epoch-untold", "a standby is promoted beside a primary whose daemon is missing",
     "ha/leader.c", "if (status->streaming && !writable_known) {", "if (false) {"),
    ("switchover-past-end", "a standby that left the primary's line takes over as complete",
     "ha/leader.c", "return stopped->planned && status->position.lsn >", "return false && 1 >"),
]

# What only a test against the real thing can notice: processes, and the order of writes.
IO_TESTS = {
    "guard-only-postmaster": "test_guard",
    "guard-margin": "test_guard",
    "orphans-replaced": "test_pgctl_proc",
    "orphans-named": "test_pgctl_proc",
    "raft-slow-is-rot": "test_raft_disk_sys",
    "raft-killed-is-rot": "test_raft_disk_sys",
    "raft-mark-first": "test_raft_store_uv",
    "raft-mark-late": "test_raft_store_uv",
    "one-way-only": "test_raft_mesh_uv",
}


class RunnerError(Exception):
    """This run says nothing about the bug."""


def run(command, seconds):
    try:
        return subprocess.run(command, cwd=TREE, capture_output=True, text=True, timeout=seconds,
                              env=ENVIRONMENT, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunnerError(f"{command[0]}: not done after {seconds} s") from error


def make(*targets):
    return run(["make", "--no-print-directory", "-j2", f"FOLDERS={FOLDERS}", "OUT=out",
                "CFLAGS=-Wno-error -w", *targets], BUILD_SECONDS)


def files_of(root):
    found = set()
    for name in COPIED:
        path = root / name
        found |= {path} if path.is_file() else {each for each in path.rglob("*") if each.is_file()}
    return {each.relative_to(root) for each in found}


def copy_tree():
    """Only what differs is written, with the time of now: make has to see what an earlier run left
    behind, and must not build everything anew."""
    TREE.mkdir(parents=True, exist_ok=True)
    wanted = files_of(ROOT)
    for name in files_of(TREE) - wanted:
        (TREE / name).unlink()
    for name in wanted:
        content = (ROOT / name).read_bytes()
        target = TREE / name
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            shutil.copymode(ROOT / name, target)


def simulate(seeds):
    """The first seed that failed, or None. Anything but a full count is an error of this runner:
    a program that did not run has noticed nothing."""
    found = run(["out/pgbaton-sim", "--seed=1", f"--seeds={seeds}", "--quiet", "--first"],
                SIM_SECONDS)
    totals = re.search(r"^(\d+) passed, (\d+) failed$", found.stdout, re.MULTILINE)
    failed = re.findall(r"^FAILED: --seed=(\d+)$", found.stdout, re.MULTILINE)
    if totals is None or found.returncode != (1 if failed else 0) or int(totals[2]) != len(failed):
        raise RunnerError(f"the simulator did not run: {found.stdout[-200:]}{found.stderr[-200:]}")
    return failed[0] if failed else None


def unit_tests(path):
    """The unit tests of the folder of `path`."""
    prefix = "test_" + pathlib.Path(path).parent.name + "_"
    return sorted(f"out/tests/unit/{each.stem}" for each in
                  (TREE / "tests/unit").glob(prefix + "*.c"))


def failing_tests(target, variable, programs):
    """The programs among these in which a test failed."""
    found = make(target, f"{variable}={' '.join(programs)}")
    if not re.search(r"^\d+ passed, \d+ failed$", found.stdout, re.MULTILINE):
        raise RunnerError(f"the tests did not run: {found.stdout[-200:]}{found.stderr[-200:]}")
    return re.findall(r"^FAILED +(\S+)", found.stdout, re.MULTILINE)


def plant(mutant):
    """Returns the file and its text before."""
    path, changes = mutant[2], mutant[3:]
    target = TREE / path
    before = text = target.read_text()
    for old, new in zip(changes[::2], changes[1::2]):
        if text.count(old) != 1:
            raise RunnerError(f"{path}: found {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    target.write_text(text)
    return target, before


def who_notices(name, path, seeds):
    if name in IO_TESTS:
        built = make("out/pgbaton-guard")
        if built.returncode != 0:
            raise RunnerError(f"{path}: does not compile: {built.stderr[-300:]}")
        failing = failing_tests("io", "IO", [f"out/tests/io/{IO_TESTS[name]}"])
        return f"io: {failing[0]}" if failing else None
    built = make("out/pgbaton-sim")
    if built.returncode != 0:
        raise RunnerError(f"{path}: does not compile: {built.stderr[-300:]}")
    seed = simulate(seeds)
    if seed is not None:
        return f"sim: seed {seed}"
    failing = failing_tests("unit", "UNIT", unit_tests(path))
    return f"unit: {failing[0]}" if failing else None


def try_mutant(mutant, seeds):
    """Returns what noticed it, or None."""
    target, before = plant(mutant)
    try:
        return who_notices(mutant[0], mutant[2], seeds)
    finally:
        target.write_text(before)


def check_unmutated(mutants, seeds):
    """Without this, whatever fails by itself would seem to notice every bug."""
    built = make("out/pgbaton-sim", "out/pgbaton-guard")
    if built.returncode != 0:
        raise RunnerError(f"the tree does not compile: {built.stderr[-600:]}")
    seed = simulate(seeds)
    if seed is not None:
        raise RunnerError(f"seed {seed} fails without any planted bug")
    units = sorted({test for mutant in mutants for test in unit_tests(mutant[2])})
    ios = sorted({f"out/tests/io/{IO_TESTS[mutant[0]]}" for mutant in mutants
                  if mutant[0] in IO_TESTS})
    failing = failing_tests("unit", "UNIT", units)
    failing += failing_tests("io", "IO", ios) if ios else []
    if failing:
        raise RunnerError(f"fails without any planted bug: {' '.join(failing)}")


def read_arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = {mutant[0] for mutant in MUTANTS}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"not in the list: {' '.join(unknown)}")
    return arguments


def main():
    arguments = read_arguments()
    mutants = [each for each in MUTANTS if not arguments.names or each[0] in arguments.names]
    copy_tree()
    try:
        check_unmutated(mutants, arguments.seeds)
    except RunnerError as error:
        print(f"ERROR   {error}")
        print(f"0 passed, {len(mutants)} failed")
        return 1
    print(f"unmutated: {arguments.seeds} seeds and all tests pass", flush=True)
    noticed_by = collections.Counter()
    for mutant in mutants:
        try:
            noticed = try_mutant(mutant, arguments.seeds)
        except RunnerError as error:
            noticed_by["error"] += 1
            print(f"ERROR   {mutant[0]}: {error}", flush=True)
            continue
        noticed_by[noticed.split(":")[0] if noticed else "nobody"] += 1
        print(f"{'caught ' if noticed else 'MISSED '} {mutant[0]}: {mutant[1]}"
              f"{f' ({noticed})' if noticed else ''}", flush=True)
    passed = noticed_by["sim"] + noticed_by["unit"] + noticed_by["io"]
    print(f"noticed by the simulator {noticed_by['sim']}, by a unit test {noticed_by['unit']}, "
          f"by an io test {noticed_by['io']}, by nobody {noticed_by['nobody']}")
    print(f"{passed} passed, {len(mutants) - passed} failed")
    return 0 if passed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
