/* Audit: the head of the chain of lines, as the room that writes them says it: sealed in the log, signed, and compared when a session of the room begins. */
#include "core/audit_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "core/ledger.h"
#include "core/record.h"
#include "core/render.h"

enum {
    SEAL_MS = 1000,              /* how far the files are goes into the log so often at most */
    SIGN_MS = 60000,             /* a signature follows new lines so long after the one before, */
    SIGN_LINES = 1000,           /* or so many lines */
    SIGNING_KEY = 0x80000001,    /* number of the key: none of tokens ever has it */
};

void audit_head_key(core *core)
{
    struct audit *audit = core->audit;
    if (!audit->has_key && core->index == 0)
        audit->has_key = vault_sign_public(core->vault, SIGNING_KEY, audit->public_key) == DRO_OK;
}

void audit_seal(core *core)
{
    const head *sealed = &core->audit->sealed;
    dro_builder *part = record_part(core);
    dro_builder_le(part, sealed->series, 8);
    dro_builder_le(part, sealed->sequence, 8);
    dro_builder_bytes(part, sealed->hash, sizeof sealed->hash);
    record_part_end(core, FIELD_AUDIT_HEAD);
}

static void note_head(core *core, enum audit_act act, const head *head, const char *detail)
{
    uint8_t bytes[AUDIT_BYTES_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, act, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_text(&out, AUDIT_DETAIL, detail);
    if (head != NULL) {
        dro_field_put_u64(&out, AUDIT_SERIES, head->series);
        dro_field_put_u64(&out, AUDIT_SEQUENCE, head->sequence);
        dro_field_put(&out, AUDIT_HASH, head->hash, sizeof head->hash);
    }
    if (core->audit->has_key)
        dro_field_put(&out, AUDIT_KEY, core->audit->public_key, sizeof core->audit->public_key);
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

head audit_head_said(const core *core)
{
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    head now = { .series = said->series, .sequence = said->sequence > 0 ? said->sequence - 1 : 0 };
    memcpy(now.hash, said->head, sizeof now.hash);
    return now;
}

static void cut_tell(core *core, const head *missing)
{
    struct audit *audit = core->audit;
    audit->cuts++;
    dro_error("audit: the files are not what they were: line %" PRIu64 " is not there as it was written; entries may be lost: docs/audit.md",
              missing->sequence);
    note_head(core, AUDIT_LOG_CUT, missing, "the files do not have this line as it was written");
}

/* A session of the room begins: is what the log says of the files still true of them? */
static void head_compare(core *core)
{
    struct audit *audit = core->audit;
    head now = audit_head_said(core);
    const head *sealed = &audit->sealed;
    audit->is_checking = false;
    if (sealed->series == 0)
        note_head(core, AUDIT_LOG_BEGUN, NULL, "the first series");
    else if (sealed->series != now.series)
        note_head(core, AUDIT_LOG_BEGUN, sealed, "another series ended so, whose files are not here");
    else if (sealed->sequence > now.sequence || (sealed->sequence == now.sequence && memcmp(sealed->hash, now.hash, sizeof now.hash) != 0))
        cut_tell(core, sealed);
    else if (sealed->sequence > 0) {
        ledger_question question = { .id = AUDIT_ASKED_CHECK, .since = sealed->sequence, .lines_max = 1 };
        audit->asked_for = *sealed;
        audit->is_checking = true;
        if (!ledger_ask(core, LEDGER_AUDIT, &question))
            dro_warn("audit: its room does not listen");
        return;
    }
    audit->sealed = now;
}

/* The line that was sealed, or another one, or nothing. */
void audit_head_checked(core *core, const uint8_t *lines, size_t length)
{
    const head *sealed = &core->audit->asked_for;
    char text[2 * AUDIT_HASH_BYTES + 16];
    dro_builder out = dro_builder_over(text, sizeof text);
    dro_builder_text(&out, "\"hash\":\"");
    line_put_hex(&out, sealed->hash, sizeof sealed->hash);
    dro_builder_text(&out, "\"}\n");
    size_t tail = dro_builder_length(&out);
    core->audit->is_checking = false;
    if (length < tail || memcmp(lines + length - tail, text, tail) != 0)
        cut_tell(core, sealed);
}

static bool is_seal_owed(const struct audit *audit, const ledger_state *said)
{
    return said->sequence - 1 > audit->sealed.sequence && !audit->is_checking;
}

int64_t audit_head_due_ns(const core *core)
{
    const struct audit *audit = core->audit;
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    int64_t due = INT64_MAX;
    if (core->index > 0 || said->session == 0 || !audit->is_begun)
        return due;
    if (is_seal_owed(audit, said))
        due = audit->sealed_ns + SEAL_MS * 1000000ll;
    if (said->sequence - 1 > audit->signed_sequence + 1) { /* the signature's own line is no news */
        int64_t sign = said->sequence - 1 > audit->signed_sequence + SIGN_LINES ? 0 : audit->signed_ns + SIGN_MS * 1000000ll;
        due = sign < due ? sign : due;
    }
    return due;
}

bool audit_head_sign(core *core, const head *head, uint8_t signature[VAULT_SIGNATURE])
{
    char text[AUDIT_SIGNED_TEXT];
    size_t length = audit_signed(text, head->series, head->sequence, head->hash);
    return core->audit->has_key && vault_sign(core->vault, SIGNING_KEY, text, length, signature) == DRO_OK;
}

static void sign_note(core *core)
{
    uint8_t bytes[AUDIT_BYTES_MAX], signature[VAULT_SIGNATURE];
    head now = audit_head_said(core);
    core->audit->signed_ns = core->now_ns;
    core->audit->signed_sequence = now.sequence;
    if (!audit_head_sign(core, &now, signature))
        return;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, AUDIT_LOG_SIGNED, 2);
    dro_field_put_text(&out, AUDIT_ACTOR, "host");
    dro_field_put_u64(&out, AUDIT_SERIES, now.series);
    dro_field_put_u64(&out, AUDIT_SEQUENCE, now.sequence);
    dro_field_put(&out, AUDIT_HASH, now.hash, sizeof now.hash);
    dro_field_put(&out, AUDIT_SIGNATURE, signature, sizeof signature);
    dro_field_put(&out, AUDIT_KEY, core->audit->public_key, sizeof core->audit->public_key);
    audit_note_bytes(core, bytes, dro_builder_length(&out));
}

int audit_head_step(core *core)
{
    struct audit *audit = core->audit;
    const ledger_state *said = ledger_said(core, LEDGER_AUDIT);
    if (audit_head_due_ns(core) > core->now_ns || !audit_is_able(core) || core->is_full)
        return 0;
    if (is_seal_owed(audit, said) && core->now_ns >= audit->sealed_ns + SEAL_MS * 1000000ll) {
        audit->sealed = audit_head_said(core);
        audit->sealed_ns = core->now_ns;
        record_begin(core, NONE, RECORD_GROUPS);
        audit_seal(core);
        record_end(core);
    }
    bool is_much = said->sequence - 1 > audit->signed_sequence + SIGN_LINES;
    if (said->sequence - 1 > audit->signed_sequence + 1 && (is_much || core->now_ns >= audit->signed_ns + SIGN_MS * 1000000ll))
        sign_note(core);
    return 1;
}

void audit_room_said(core *core, bool is_new_session)
{
    struct audit *audit = core->audit;
    if (core->index > 0 || ledger_said(core, LEDGER_AUDIT)->session == 0 || !is_new_session)
        return;
    head_compare(core);
    audit->is_begun = true;
    audit->signed_ns = core->now_ns;
}
