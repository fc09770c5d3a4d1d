/* Kinds of journals. */
#include <string.h>
#include <openssl/sha.h>

#include "ledger/journal.h"
#include "twin/audit.h"
#include "twin/charge.h"

_Static_assert((int)JOURNAL_HEAD == (int)AUDIT_HASH_BYTES && (int)JOURNAL_HEAD == SHA256_DIGEST_LENGTH, "a head is a hash");

static dro_err charging_line(dro_builder *out, const line_origin *origin, uint8_t head[JOURNAL_HEAD], const uint8_t *bytes, size_t length)
{
    (void)head;
    return charge_line(out, origin, bytes, length);
}

const journal_kind journal_charging = { .name = "charging", .line_begin = "{\"localSequenceNumber\":", .bytes_max = CHARGE_BYTES_MAX,
                                        .line_max = CHARGE_LINE_MAX, .line = charging_line };

/* The hash is over the line's own bytes before it, of which the hash of the line before is the last member. */
static dro_err chained_line(dro_builder *out, const line_origin *origin, uint8_t head[JOURNAL_HEAD], const uint8_t *bytes, size_t length)
{
    const uint8_t *begin = out->at;
    uint8_t hash[JOURNAL_HEAD];
    dro_err err = audit_line(out, origin, head, bytes, length);
    if (err != DRO_OK)
        return err;
    SHA256(begin, (size_t)(out->at - begin), hash);
    dro_builder_text(out, ",\"hash\":\"");
    line_put_hex(out, hash, sizeof hash);
    dro_builder_text(out, "\"}\n");
    if (out->err == DRO_OK)
        memcpy(head, hash, sizeof hash);
    return out->err;
}

static uint32_t objects_in(dro_cursor in)
{
    dro_field field;
    uint32_t count = 0;
    dro_cursor_le(&in, 2);
    while (dro_field_next(&in, &field))
        count += field.tag == AUDIT_OBJECT;
    return count;
}

/* Of many that one request named, as a bulk one does. */
static bool audit_join(dro_builder *held, const uint8_t *bytes, size_t length)
{
    size_t before = dro_builder_length(held);
    dro_cursor in = dro_cursor_over(bytes, length);
    dro_field field;
    if (!audit_may_join(held->start, before, bytes, length) ||
        objects_in(dro_cursor_over(held->start, before)) + objects_in(in) > AUDIT_OBJECTS_MAX)
        return false;
    dro_cursor_le(&in, 2);
    while (dro_field_next(&in, &field))
        if (field.tag == AUDIT_OBJECT)
            dro_field_put(held, AUDIT_OBJECT, field.bytes, field.length);
    if (held->err == DRO_OK)
        return true;
    held->at = held->start + before;
    held->err = DRO_OK;
    return false;
}

const journal_kind journal_audit = { .name = "audit", .line_begin = "{\"seq\":", .bytes_max = AUDIT_BYTES_MAX, .line_max = AUDIT_LINE_MAX,
                                     .line = chained_line, .join = audit_join, .is_chain = true };
