#include "core/charge.h"

#include <string.h>

#include "base/wipe.h"
#include "core/exposure.h"
#include "core/groups.h"
#include "core/mailbox.h"
#include "core/nidd.h"
#include "core/rate.h"
#include "core/record.h"
#include "core/serving.h"
#include "core/twin_table.h"
#include "core/vault.h"

enum { APPLICATIONS_SHOWN = 8, RAT_ABSENT = -1 };

static void put_connection(const core *core, const twin *twin, dro_builder *out)
{
    const twin_rates *rates = twin->extra == NULL ? NULL : twin->extra->rates;
    if (rates != NULL && rates->apn[0] != '\0')
        dro_field_put_text(out, CHARGE_APN, rates->apn);
    if (twin->flags & TWIN_CONNECTED)
        dro_field_put_text(out, CHARGE_NODE, core->hosts[twin->connection.host].name);
    const serving *serving = twin->flags & TWIN_CONNECTED ? serving_of(core, twin) : NULL;
    if (serving == NULL)
        return;
    if (serving->has_plmn)
        dro_field_put(out, CHARGE_PLMN, serving->plmn, sizeof serving->plmn);
    if (serving->rat_type != (uint32_t)RAT_ABSENT)
        charge_put_u32(out, CHARGE_RAT, serving->rat_type);
    if (serving->charging[0] != '\0')
        dro_field_put_text(out, CHARGE_CHARACTERISTICS, serving->charging);
}

static void put_imsi(core *core, const twin *twin, dro_builder *out)
{
    char digits[16];
    if (twin->flags & TWIN_HAS_IMSI && vault_identity_open(core->vault, twin->number, twin->imsi, digits) == DRO_OK)
        dro_field_put_text(out, CHARGE_IMSI, digits);
    dro_wipe(digits, sizeof digits);
}

dro_builder *charge_begin(core *core, uint32_t index, enum charge_kind kind)
{
    const twin *twin = twin_at(core, index);
    size_t length;
    const char *id = twin_id(core, twin, &length);
    dro_builder *out = record_part(core);
    dro_builder_le(out, kind, 1);
    dro_field_put(out, CHARGE_IDENTIFIER, id, length);
    if (core->options.charging.has_imsi)
        put_imsi(core, twin, out);
    put_connection(core, twin, out);
    return out;
}

void charge_application(core *core, dro_builder *out, uint32_t number)
{
    const application *application = number == 0 ? NULL : application_at(core, number);
    if (application != NULL && application->id != NULL)
        dro_field_put_text(out, CHARGE_APPLICATION, application->id);
}

void charge_end(core *core)
{
    record_is_charged(core);
    record_part_end(core, FIELD_CHARGE);
}

/* ---- what there is ---- */

/* Each application that has an active configuration here, once. */
static void put_applications(core *core, const twin *twin, dro_builder *out)
{
    uint32_t seen[APPLICATIONS_SHOWN], count = 0;
    for (const nidd_configuration *c = twin->nidd == NULL ? NULL : twin->nidd->configurations; c != NULL && count < APPLICATIONS_SHOWN; c = c->next) {
        uint32_t i = 0;
        while (i < count && seen[i] != c->application)
            i++;
        if (i < count || c->status != NIDD_ACTIVE)
            continue;
        seen[count++] = c->application;
        charge_application(core, out, c->application);
    }
}

void charge_uplink_put(core *core, uint32_t index, size_t length, bool is_exception)
{
    dro_builder *out = charge_begin(core, index, CHARGE_UPLINK);
    put_applications(core, twin_at(core, index), out);
    charge_put_u32(out, CHARGE_INPUT, (uint32_t)length);
    if (is_exception)
        dro_field_put(out, CHARGE_EXCEPTION, "", 0);
    charge_end(core);
}

void charge_connection_put(core *core, uint32_t index, enum charge_kind kind, uint32_t charging_id)
{
    dro_builder *out = charge_begin(core, index, kind);
    if (charging_id != 0)
        charge_put_u32(out, CHARGE_CHARGING_ID, charging_id);
    charge_end(core);
}

static uint32_t data_length(const uint8_t *fields, size_t length)
{
    dro_field room;
    const dro_field *data = nidd_field(fields, length, API_FIELD_DATA, &room);
    return data == NULL ? 0 : data->length;
}

void charge_delivery_put(core *core, uint32_t index, const nidd_delivery *delivery, nidd_delivery_status status)
{
    const nidd_configuration *c = twin_at(core, index)->nidd->configurations;
    while (c != NULL && c->number != delivery->configuration)
        c = c->next;
    dro_builder *out = charge_begin(core, index, CHARGE_DOWNLINK);
    charge_application(core, out, c == NULL ? 0 : c->application);
    charge_put_u32(out, CHARGE_OUTPUT, data_length(delivery->fields, delivery->length));
    dro_field_put_u64(out, CHARGE_REFERENCE, delivery->number);
    dro_field_put_u64(out, CHARGE_SUBMITTED, (uint64_t)delivery->made_ms);
    dro_field_put_text(out, CHARGE_RESULT, nidd_delivery_status_text(status));
    charge_end(core);
}

void charge_mail_put(core *core, uint32_t index, const mail *mail, const char *result)
{
    const twin *twin = twin_at(core, index);
    uint32_t length;
    if (mail->is_control || mail->is_of_group || group_number_is(mail->ticket) || nidd_delivery_find(twin, mail->ticket) != NULL)
        return;
    const ticket *ticket = mail->ticket == 0 ? NULL : ticket_find(twin, mail->ticket);
    mail_bytes(twin, mail, &length);
    dro_builder *out = charge_begin(core, index, CHARGE_DOWNLINK);
    charge_put_u32(out, CHARGE_OUTPUT, length);
    if (ticket != NULL) {
        dro_field_put_u64(out, CHARGE_TICKET, ticket->number);
        dro_field_put_u64(out, CHARGE_SUBMITTED, (uint64_t)ticket->made_ms);
    }
    dro_field_put_text(out, CHARGE_RESULT, result);
    charge_end(core);
}

void charge_exposure_fields(core *core, dro_builder *out, const exposure *of, const char *event, const char *result)
{
    charge_application(core, out, of->application);
    if (event != NULL)
        dro_field_put_text(out, CHARGE_EVENT, event);
    dro_field_put_u64(out, CHARGE_REFERENCE, of->number);
    dro_field_put_u64(out, CHARGE_SUBMITTED, (uint64_t)of->made_ms);
    if (result != NULL)
        dro_field_put_text(out, CHARGE_RESULT, result);
}

void charge_exposure_put(core *core, uint32_t index, enum charge_kind kind, const exposure *of, const char *event, const char *result)
{
    const group *group = of->group == 0 ? NULL : group_at(core, of->group);
    dro_builder *out = charge_begin(core, index, kind);
    if (group != NULL)
        dro_field_put_text(out, CHARGE_EXTERNAL_GROUP, group->id);
    charge_exposure_fields(core, out, of, event, result);
    charge_end(core);
}

void charge_member_put(core *core, uint32_t index, const group_operation *operation, nidd_delivery_status status)
{
    const group *group = group_at(core, operation->group);
    dro_builder *out = charge_begin(core, index, CHARGE_GROUP);
    if (group != NULL)
        dro_field_put_text(out, CHARGE_EXTERNAL_GROUP, group->id);
    charge_application(core, out, operation->application);
    charge_put_u32(out, CHARGE_OUTPUT, data_length(operation->fields, operation->length));
    dro_field_put_u64(out, CHARGE_REFERENCE, group_number(operation->number));
    dro_field_put_u64(out, CHARGE_SUBMITTED, (uint64_t)operation->made_ms);
    dro_field_put_text(out, CHARGE_RESULT, nidd_delivery_status_text(status));
    charge_end(core);
}
