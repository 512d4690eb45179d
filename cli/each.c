#include "cli/each.h"

#include <stdio.h>

#include "cli/member.h"

static int report(const struct each_call *call, const char *name, struct client_answer *answer)
{
    const char *body = ctl_answer_text(answer);

    for (uint32_t i = 0; i < call->meaning_count; i++) {
        const struct each_meaning *meaning = &call->meanings[i];

        if (meaning->code == answer->code) {
            (void)printf(
                "%s: %s %s\n", meaning->success ? "Success" : "Failed", meaning->text, name);
            return meaning->success ? CTL_OK : CTL_FAILED;
        }
    }
    (void)printf(
        "Failed: %s for member %s, status code=%ld, (%s)\n", call->action, name, answer->code,
        body);
    return CTL_FAILED;
}

int each_send_one(
    struct ctl *ctl, const struct node *member, const struct each_call *call,
    struct client_answer *answer)
{
    const char *name = member_field(member, "name");
    struct err err;

    if (ctl_send_to(ctl, member, &call->request, answer, &err) != STATUS_OK) {
        (void)printf("Failed: %s for member %s, (%s)\n", call->action, name, err.text);
        return CTL_FAILED;
    }
    return report(call, name, answer);
}

int each_send(struct ctl *ctl, const struct selection *selection, const struct each_call *call)
{
    int status = CTL_OK;

    for (uint32_t i = 0; i < selection->count; i++) {
        struct client_answer answer;

        if (each_send_one(ctl, selection->members[i], call, &answer) != CTL_OK) {
            status = CTL_FAILED;
        }
        client_answer_deinit(&answer);
    }
    return status;
}
