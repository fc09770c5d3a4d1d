/* Stops over the API: the administrator's. */
#include <stdio.h>
#include <string.h>

#include "core/call.h"
#include "core/host.h"
#include "core/images.h"
#include "core/number.h"
#include "core/render.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/tell.h"

void api_stop_list(core *core, const call *call)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    dro_builder_text(&out, "{\"stops\":");
    stops_put(core, STOPS_MAX, &out);
    dro_builder_text(&out, "}");
    if (out.err != DRO_OK)
        tell_problem(core, call->caller, 500, "about:blank", "there are too many to show; /v1/status says how many");
    else
        call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static const dro_field *find(const call *call, uint8_t tag, dro_field *room)
{
    dro_cursor in = dro_cursor_over(call->fields, call->fields_length);
    while (dro_field_next(&in, room))
        if (room->tag == tag)
            return room;
    return NULL;
}

/* What the call is about; false after a 404. */
static bool subject_of(core *core, const call *call, uint8_t *kind, char subject[STOP_SUBJECT_MAX + 1])
{
    dro_field room;
    const dro_field *domain = find(call, API_FIELD_DOMAIN, &room);
    subject[0] = '\0';
    *kind = STOP_CODE;
    if (domain != NULL) {
        *kind = STOP_DOMAIN;
        snprintf(subject, STOP_SUBJECT_MAX + 1, "%.*s", (int)domain->length, (const char *)domain->bytes);
        if (domain_find(core, subject, strlen(subject)) == NONE && stop_find(core, STOP_DOMAIN, subject) == NULL) { /* it may be gone since */
            tell_problem(core, call->caller, 404, "about:blank", "no such domain is here");
            return false;
        }
    } else if (call->image != NULL) {
        *kind = STOP_IMAGE;
        if (image_find(core, call->image) == NONE) {
            tell_problem(core, call->caller, 404, "about:blank", "no such image is here");
            return false;
        }
        stop_image_subject(call->image, subject);
    } else if (call->application_id.at != NULL) {
        *kind = STOP_APPLICATION;
        const application *application = application_find(core, call->application_id.at, call->application_id.length);
        if (application == NULL) {
            tell_problem(core, call->caller, 404, "about:blank", "no such application is here");
            return false;
        }
        snprintf(subject, STOP_SUBJECT_MAX + 1, "%s", application->id);
    }
    return true;
}

/* One that is there already stays as it is. */
void api_stop_put(core *core, const call *call)
{
    uint8_t kind;
    char subject[STOP_SUBJECT_MAX + 1], reason[STOP_REASON_MAX + 1] = "";
    dro_field room;
    if (!subject_of(core, call, &kind, subject))
        return;
    const dro_field *detail = find(call, API_FIELD_DETAIL, &room);
    if (detail != NULL)
        snprintf(reason, sizeof reason, "%.*s", (int)detail->length, (const char *)detail->bytes);
    dro_err err = stop_begin(core, kind, subject, reason, false);
    if (err == DRO_LIMIT)
        tell_problem(core, call->caller, 507, "about:blank", "%d stops are there, as many as there can be: end some", STOPS_MAX);
    else if (err != DRO_OK && err != DRO_EXISTS)
        tell_problem(core, call->caller, 503, "about:blank", "the stop could not be kept: %s", dro_err_text(err));
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}

void api_stop_delete(core *core, const call *call)
{
    uint8_t kind;
    char subject[STOP_SUBJECT_MAX + 1];
    if (!subject_of(core, call, &kind, subject))
        return;
    dro_err err = stop_end(core, kind, subject);
    if (err == DRO_NOT_FOUND)
        tell_problem(core, call->caller, 404, "about:blank", "that is not stopped");
    else if (err != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "the change could not be kept: %s", dro_err_text(err));
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}
