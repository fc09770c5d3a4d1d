/* Audit: lines for who asks for them over the API, which the room reads from its files. */
#include "core/audit_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/call.h"
#include "core/ledger.h"
#include "core/render.h"

enum { ASK_MS = 5000 };          /* the room has so long to answer */

static asked *asked_take(struct audit *audit, uint64_t id)
{
    asked **at = &audit->asked;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    asked *found = *at;
    if (found != NULL)
        *at = found->next;
    return found;
}

void audit_room_lost(core *core)
{
    while (core->audit->asked != NULL) {
        asked *gone = core->audit->asked;
        core->audit->asked = gone->next;
        tell_problem(core, gone->caller, 503, "about:blank", "the audit files cannot be read now: the host's log says why");
        free(gone);
    }
}

void audit_room_answers(core *core, uint64_t id, const uint8_t *body, size_t length)
{
    ledger_lines head;
    if (length < sizeof head)
        return;
    memcpy(&head, body, sizeof head);
    if (head.length > length - sizeof head || head.length > LEDGER_LINES_MAX)
        return;
    if (id == AUDIT_ASKED_CHECK) {
        if (head.is_failed) /* no sign of what the files have */
            dro_warn("audit: its files cannot be compared with the log: the next start of their room tries again");
        else
            audit_head_checked(core, body + sizeof head, head.length);
        return;
    }
    asked *who = asked_take(core->audit, id);
    if (who == NULL)
        return;
    reply reply = { .status = 200, .content = CONTENT_LINES, .etag = UINT64_MAX };
    if (head.is_failed)
        tell_problem(core, who->caller, 503, "about:blank", "the audit files cannot be read: the host's log says why");
    else
        tell_reply(core, who->caller, &reply, body + sizeof head, head.length);
    free(who);
}

void api_audit_list(core *core, const call *call)
{
    struct audit *audit = core->audit;
    if (audit == NULL) {
        tell_problem(core, call->caller, 404, "about:blank", "audit.enabled is false: there is no audit log");
        return;
    }
    asked *made = calloc(1, sizeof *made);
    uint64_t most = call->has_limit && call->limit > 0 && call->limit < AUDIT_LINES_MAX ? call->limit : AUDIT_LINES_MAX;
    ledger_question question = { .id = AUDIT_ASKED_CHECK + 1 + audit->asked_last, .since = call->after + 1, .lines_max = (uint32_t)most };
    if (made == NULL || !ledger_ask(core, LEDGER_AUDIT, &question)) {
        free(made);
        tell_problem(core, call->caller, 503, "about:blank", "the audit files cannot be read now: the host's log says why");
        return;
    }
    audit->asked_last++;
    *made = (asked){ .next = audit->asked, .id = question.id, .until_ns = core->now_ns + ASK_MS * 1000000ll, .caller = call->caller };
    audit->asked = made;
}

static void hex_json(dro_builder *out, const char *name, const uint8_t *bytes, size_t length)
{
    json_put(out, ",\"%s\":\"", name);
    line_put_hex(out, bytes, length);
    dro_builder_text(out, "\"");
}

void api_audit_head(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    uint8_t signature[VAULT_SIGNATURE];
    head now = audit_head_said(core);
    json_put(&out, "{\"enabled\":%s,\"state\":\"%s\"", core->audit != NULL ? "true" : "false",
             core->audit == NULL ? "off" : said->session != 0 ? "writing" : said->error[0] != '\0' ? "failed" : "starting");
    if (core->audit != NULL && said->session != 0) {
        json_put(&out, ",\"series\":\"%016" PRIx64 "\",\"seq\":%" PRIu64, now.series, now.sequence);
        hex_json(&out, "hash", now.hash, sizeof now.hash);
        if (audit_head_sign(core, &now, signature)) {
            hex_json(&out, "signature", signature, sizeof signature);
            hex_json(&out, "key", core->audit->public_key, sizeof core->audit->public_key);
        }
        json_put(&out, ",\"sealed\":%" PRIu64 ",\"cuts\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"backlog_bytes\":%" PRIu64, core->audit->sealed.sequence, core->audit->cuts,
                 core_count_all(core, COUNT_AUDIT_GAPS), core_count_all(core, COUNT_AUDIT_DROPPED), core_count_all(core, COUNT_AUDIT_BACKLOG));
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void audit_asked_expire(core *core)
{
    for (asked **at = &core->audit->asked; *at != NULL;) {
        asked *late = *at;
        if (late->until_ns > core->now_ns) {
            at = &late->next;
            continue;
        }
        *at = late->next;
        tell_problem(core, late->caller, 503, "about:blank", "the room of the audit files does not answer");
        free(late);
    }
}
