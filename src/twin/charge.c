/* The names are after those of 3GPP's charging records (TS 32.253, TS 32.278, TS 32.298) as far as those
 * have one; the documents were not at hand: unverified. */
#include "twin/charge.h"

#include <inttypes.h>

#include "twin/value.h"

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
static const line_member members[] = {
    { CHARGE_IDENTIFIER, LINE_TEXT, 1, 255, "externalIdentifier" },
    { CHARGE_EXTERNAL_GROUP, LINE_TEXT, 1, 255, "externalGroupIdentifier" },
    { CHARGE_IMSI, LINE_TEXT, 1, 15, "servedIMSI" },
    { CHARGE_APPLICATION, LINE_LIST, 1, 255, "scsAsIds" },
    { CHARGE_APN, LINE_TEXT, 1, 255, "accessPointNameNI" },
    { CHARGE_NODE, LINE_TEXT, 1, 255, "servingNodeIdentity" },
    { CHARGE_PLMN, LINE_PLMN, 3, 3, "servingNodePLMNIdentifier" },
    { CHARGE_RAT, LINE_NUMBER, 4, 4, "rATType" },
    { CHARGE_CHARGING_ID, LINE_NUMBER, 4, 4, "chargingID" },
    { CHARGE_CHARACTERISTICS, LINE_TEXT, 1, 255, "chargingCharacteristics" },
    { CHARGE_INPUT, LINE_NUMBER, 4, 4, "accountingInputOctets" },
    { CHARGE_OUTPUT, LINE_NUMBER, 4, 4, "accountingOutputOctets" },
    { CHARGE_EVENT, LINE_TEXT, 1, 255, "eventType" },
    { CHARGE_REFERENCE, LINE_HEX, 8, 8, "reference" },
    { CHARGE_TICKET, LINE_TICKET, 8, 8, "reference" },
    { CHARGE_SUBMITTED, LINE_TIME, 8, 8, "submissionTimestamp" },
    { CHARGE_RESULT, LINE_TEXT, 1, 255, "result" },
    { CHARGE_EXCEPTION, LINE_FLAG, 0, 0, "exceptionReport" },
    { CHARGE_FROM, LINE_TEXT, 1, 255, "from" },
    { CHARGE_TO, LINE_TEXT, 1, 255, "to" },
};

const char *charge_kind_text(uint32_t kind)
{
    return kind < CHARGE_KINDS ? kinds[kind] : NULL;
}

dro_err charge_line(dro_builder *out, const line_origin *origin, const uint8_t *bytes, size_t length)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    const char *kind = charge_kind_text((uint32_t)dro_cursor_le(&in, 1));
    char id[LINE_ID_TEXT];
    if (in.err != DRO_OK || kind == NULL)
        return DRO_MALFORMED;
    line_id(origin, id);
    line_put(out, "{\"localSequenceNumber\":%" PRIu64 ",\"id\":\"%s\",\"recordType\":\"%s\",\"eventTimestamp\":", origin->sequence, id, kind);
    line_put_time(out, origin->time_ms);
    dro_builder_text(out, ",\"sCEFID\":");
    json_text(out, origin->node, strlen(origin->node));
    dro_err err = line_put_members(out, members, sizeof members / sizeof members[0], in);
    dro_builder_text(out, "}\n");
    return err == DRO_OK ? out->err : err;
}
