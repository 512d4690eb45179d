/*
 * raft/describe.h - the core's words for people: log lines, traces, golden files.
 */
#ifndef PGBATON_RAFT_DESCRIBE_H
#define PGBATON_RAFT_DESCRIBE_H

#include "base/text.h"
#include "raft/raft.h"

const char *raft_role_name(enum raft_role role);
const char *raft_member_kind_name(enum raft_member_kind kind);
const char *raft_entry_kind_name(enum raft_entry_kind kind);
const char *raft_message_kind_name(enum raft_message_kind kind);
const char *raft_event_kind_name(enum raft_event_kind kind);
const char *raft_proposal_result_name(enum raft_proposal_result result);
const char *raft_note_kind_name(enum raft_note_kind kind); /* "BECAME_LEADER" */
const char *raft_note_kind_text(enum raft_note_kind kind); /* "became leader" */

/* One line each, without its end. Ids are written as 16 hexadecimal digits. */
void raft_describe_message(struct text *text, const struct raft_message *message);
void raft_describe_event(struct text *text, const struct raft_event *event);
void raft_describe_note(struct text *text, const struct raft_note *note);
void raft_describe_config(struct text *text, const struct raft_config *config);

#endif
