/* The names are after those of 3GPP's charging records (TS 32.253, TS 32.278, TS 32.298) as far as those
 * have one; the documents were not at hand: unverified. */
#include "twin/charge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "twin/plmn.h"
#include "twin/value.h"

typedef enum form { TEXT, LIST, NUMBER, TICKET, HEX, TIME, FLAG, PLMN } form;

static const char *const kinds[CHARGE_KINDS] = {
    [CHARGE_UPLINK] = "MO-Data",
    [CHARGE_DOWNLINK] = "MT-Data",
    [CHARGE_GROUP] = "Group-MT-Data",
    [CHARGE_ESTABLISHED] = "Connection-Establishment",
    [CHARGE_RELEASED] = "Connection-Release",
    [CHARGE_MONITORING] = "Monitoring-Report",
    [CHARGE_TRIGGER] = "Device-Trigger",
    [CHARGE_PARAMETERS] = "Parameter-Change",
    [CHARGE_GAP] = "Gap",
    [CHARGE_CONFIGURATION] = "Monitoring-Configuration",
};

/* A member's place in the line is its row's; a tag that may come again is a list. */
static const struct member { uint8_t tag; form form; uint8_t least, most; const char *name; } members[] = {
    { CHARGE_IDENTIFIER, TEXT, 1, 255, "externalIdentifier" },
    { CHARGE_EXTERNAL_GROUP, TEXT, 1, 255, "externalGroupIdentifier" },
    { CHARGE_IMSI, TEXT, 1, 15, "servedIMSI" },
    { CHARGE_APPLICATION, LIST, 1, 255, "scsAsIds" },
    { CHARGE_APN, TEXT, 1, 255, "accessPointNameNI" },
    { CHARGE_NODE, TEXT, 1, 255, "servingNodeIdentity" },
    { CHARGE_PLMN, PLMN, 3, 3, "servingNodePLMNIdentifier" },
    { CHARGE_RAT, NUMBER, 4, 4, "rATType" },
    { CHARGE_CHARGING_ID, NUMBER, 4, 4, "chargingID" },
    { CHARGE_CHARACTERISTICS, TEXT, 1, 255, "chargingCharacteristics" },
    { CHARGE_INPUT, NUMBER, 4, 4, "accountingInputOctets" },
    { CHARGE_OUTPUT, NUMBER, 4, 4, "accountingOutputOctets" },
    { CHARGE_EVENT, TEXT, 1, 255, "eventType" },
    { CHARGE_REFERENCE, HEX, 8, 8, "reference" },
    { CHARGE_TICKET, TICKET, 8, 8, "reference" },
    { CHARGE_SUBMITTED, TIME, 8, 8, "submissionTimestamp" },
    { CHARGE_RESULT, TEXT, 1, 255, "result" },
    { CHARGE_EXCEPTION, FLAG, 0, 0, "exceptionReport" },
    { CHARGE_FROM, TEXT, 1, 255, "from" },
    { CHARGE_TO, TEXT, 1, 255, "to" },
};

static void put(dro_builder *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(dro_builder *out, const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= sizeof text)
        out->err = DRO_LIMIT;
    else
        dro_builder_bytes(out, text, (size_t)n);
}

const char *charge_kind_text(uint32_t kind)
{
    return kind < CHARGE_KINDS ? kinds[kind] : NULL;
}

static void put_time(dro_builder *out, int64_t ms)
{
    char text[DRO_TIME_TEXT];
    dro_time_text(ms, text);
    put(out, "\"%s\"", text);
}

static void put_plmn(dro_builder *out, const uint8_t *bytes)
{
    char digits[PLMN_DIGITS_MAX + 1];
    if (plmn_read(bytes, digits))
        put(out, "\"%s\"", digits);
    else
        dro_builder_text(out, "null");
}

static void put_value(dro_builder *out, form form, const dro_field *field)
{
    dro_err ignored = DRO_OK;
    switch (form) {
    case TEXT: case LIST: json_text(out, (const char *)field->bytes, field->length); break;
    case NUMBER: put(out, "%" PRIu64, dro_field_u64(field, &ignored)); break;
    case TICKET: put(out, "\"%" PRIu64 "\"", dro_field_u64(field, &ignored)); break;
    case HEX: put(out, "\"%016" PRIx64 "\"", dro_field_u64(field, &ignored)); break;
    case TIME: put_time(out, (int64_t)dro_field_u64(field, &ignored)); break;
    case FLAG: dro_builder_text(out, "true"); break;
    case PLMN: put_plmn(out, field->bytes); break;
    }
}

/* All fields of the member's tag: the first, of a list each. */
static dro_err put_member(dro_builder *out, const struct member *member, dro_cursor in)
{
    dro_field field;
    unsigned count = 0;
    while (dro_field_next(&in, &field)) {
        if (field.tag != member->tag || (count > 0 && member->form != LIST))
            continue;
        if (field.length < member->least || field.length > member->most)
            return DRO_MALFORMED;
        if (count++ == 0)
            put(out, ",\"%s\":%s", member->name, member->form == LIST ? "[" : "");
        else
            dro_builder_text(out, ",");
        put_value(out, member->form, &field);
    }
    if (count > 0 && member->form == LIST)
        dro_builder_text(out, "]");
    return in.err;
}

dro_err charge_line(dro_builder *out, const line_origin *origin, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    const char *kind = charge_kind_text((uint32_t)dro_cursor_le(&in, 1));
    char id[LINE_ID_TEXT];
    if (in.err != DRO_OK || kind == NULL)
        return DRO_MALFORMED;
    line_id(origin, id);
    put(out, "{\"localSequenceNumber\":%" PRIu64 ",\"id\":\"%s\",\"recordType\":\"%s\",\"eventTimestamp\":", origin->sequence, id, kind);
    put_time(out, origin->time_ms);
    dro_builder_text(out, ",\"sCEFID\":");
    json_text(out, origin->node, strlen(origin->node));
    dro_err err = DRO_OK;
    for (size_t i = 0; i < sizeof members / sizeof members[0] && err == DRO_OK; i++)
        err = put_member(out, &members[i], in);
    dro_builder_text(out, "}\n");
    return err == DRO_OK ? out->err : err;
}
