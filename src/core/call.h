/* Call: one API request with its fields taken apart. */
#pragma once

#include "core/state.h"

typedef struct text { const char *at; uint32_t length; } text; /* borrowed; at NULL: absent */

enum { IF_MATCH_MAX = 16 }; /* entity tags of one If-Match */

typedef struct call {
    caller caller;
    uint32_t operation, application, scopes;
    text id, domain, name, model, application_id, cursor, tag, token, scs_as, group, peer;
    const uint8_t *image, *idempotency, *resource; /* resource: fields of a T8 object */
    size_t resource_length;
    uint32_t exposure;             /* enum exposure_kind */
    value value;
    bool has_value, if_none_match, is_last, has_limit, with_network, has_shown, drops_history;
    uint64_t if_match[IF_MATCH_MAX]; /* one of them */
    uint32_t if_match_count;
    uint64_t limit, ticket, timeout_ms, new_scopes, configuration, delivery, trace, after, seconds;
    ticket_state wait;
    uint32_t shown;                /* enum group_shown: filter of a list */
    const uint8_t *body;
    uint32_t body_length;
    const uint8_t *fields;         /* all of them, for those that repeat */
    size_t fields_length;
    uint32_t gate;
    const ring_header *header;     /* of the message, to defer it */
    const uint8_t *message;
} call;

DRO_CHECKED dro_err call_read(call *call, uint32_t gate, const ring_header *header, const uint8_t *body);

/* Of fields that were kept: nobody waits for what it is answered. */
DRO_CHECKED dro_err call_of_fields(call *call, const uint8_t *fields, size_t length);

/* The twin of the call if the caller may see it; else NONE after a 404. */
uint32_t call_twin(core *core, const call *call);
/* True: the twin is in a turn; the call waits for its end (or was refused). */
bool call_deferred(core *core, const call *call, uint32_t twin);
/* False after a 412. */
bool call_precondition(core *core, const call *call, const twin *twin);
bool call_nulls(const call *call, const char *member); /* is it there with null? */
void call_reply(core *core, const call *call, uint16_t status, uint64_t etag, const char *location, const dro_builder *body);
/* Answers in the record of the change, so that the key is as durable as what it made. False: answered from the past. */
/* The same for a twin that is still being made only. */
bool call_deferred_new(core *core, const call *call, uint32_t twin);
/* Index of the shown property the call names, or -1 after a 404. */
int call_property(core *core, const call *call, uint32_t twin);
bool call_idempotent(core *core, const call *call);
/* The application whose downlinks the call counts among; NULL: the administrator's count for nobody. */
const application *call_counted(core *core, const call *call);
/* May it not send so many more today? Then a 429 is on its way. */
bool call_quota_is_reached(core *core, const call *call, uint64_t more);
void call_key_reused(core *core, const call *call); /* 422: it came with another body before */

/* charging.c */
void api_charging_get(core *core, const call *call);

/* api_twin.c */
void api_twin_put(core *core, const call *call);
void api_twin_get(core *core, const call *call);
void api_twin_delete(core *core, const call *call);
void api_twin_list(core *core, const call *call);
/* api_command.c */
void api_property_put(core *core, const call *call);
void api_action(core *core, const call *call);
void api_ticket_list(core *core, const call *call);
void api_ticket_get(core *core, const call *call);
/* api_nidd.c, api_nidd_delivery.c */
void api_nidd_configuration_list(core *core, const call *call);
void api_nidd_configuration_make(core *core, const call *call);
void api_nidd_configuration_get(core *core, const call *call);
void api_nidd_configuration_patch(core *core, const call *call);
void api_nidd_configuration_delete(core *core, const call *call);
void api_nidd_websocket(core *core, const call *call);
void api_nidd_delivery_list(core *core, const call *call);
void api_nidd_delivery_make(core *core, const call *call);
void api_nidd_delivery_get(core *core, const call *call);
void api_nidd_delivery_change(core *core, const call *call);
void api_nidd_delivery_delete(core *core, const call *call);
/* The twin that an ID or MSISDN in a body names, seen by the application; NONE after a problem. */
uint32_t nidd_twin_named(core *core, const call *call, const uint8_t *fields, size_t length, const application *owner);
/* True after a 403: T8 has no 429 of its own for what is counted over time (TS 29.122 5.6.4.1). */
bool nidd_quota_is_reached(core *core, const call *call, const application *owner, enum application_limit limit, uint64_t more);
uint64_t nidd_number_next(core *core, const twin *twin);
/* api_rds.c */
void api_nidd_port_list(core *core, const call *call);
void api_nidd_port_get(core *core, const call *call);
void api_nidd_port_put(core *core, const call *call);
void api_nidd_port_delete(core *core, const call *call);
/* The application of the path, if the caller is it; else NULL after a problem. */
const application *nidd_owner_find(core *core, const call *call);
/* May it be done to what the owner has in that domain? What it made there before it lost the domain it sees and ends, and does not change. */
bool nidd_is_in_reach(core *core, const call *call, const application *owner, uint32_t domain);
/* The members of a configuration, or of a delivery, among the call's fields. */
void nidd_members_of(const call *call, dro_builder *out, bool with_data);
/* Old members, with those of the patch in their place and without those it sets to null. */
void nidd_patched(const uint8_t *old, size_t length, const call *call, dro_builder *out);
/* As JSON, each with a comma in front. `features`: bits of supportedFeatures that both may have. */
void nidd_members_put(dro_builder *out, const uint8_t *fields, size_t length, uint64_t features);
void nidd_websocket_put(core *core, uint32_t owner, uint64_t configuration, dro_builder *out); /* websockNotifConfig, the same way */
/* The caller is a websocket from now on: what is told of the configuration with these fields goes there. */
void nidd_websocket_begin(core *core, const call *call, const uint8_t *fields, size_t length, uint32_t destination);
/* api_group_nidd.c: the same for configurations of groups */
void api_group_configuration_make(core *core, const call *call);
void api_group_configuration_get(core *core, const call *call);
void api_group_configuration_patch(core *core, const call *call);
void api_group_configuration_delete(core *core, const call *call);
void api_group_websocket(core *core, const call *call);
void api_group_delivery_list(core *core, const call *call);
void api_group_delivery_make(core *core, const call *call);
void api_group_delivery_get(core *core, const call *call);
void api_group_delivery_change(core *core, const call *call);
void api_group_delivery_delete(core *core, const call *call);
/* api_domain.c */
void api_domain_list(core *core, const call *call);
void api_domain_get(core *core, const call *call);
void api_domain_rotate(core *core, const call *call);
void api_domain_delete(core *core, const call *call);
void api_rekey(core *core, const call *call);
/* api_group.c */
struct group *call_group(core *core, const call *call);  /* if the caller may see it; else NULL after a 404 */
bool group_cursor_read(core *core, const call *call, uint32_t *place);
void group_cursor_put(dro_builder *out, uint32_t place);
uint32_t group_page_limit(const call *call);
/* Members from the cursor's place on, as many as are wanted and fit; `put` writes one, or nothing: false. */
void group_page(core *core, const call *call, const struct group *group,
                bool (*put)(struct core *core, const struct call *call, const struct group *group, uint32_t place, dro_builder *out));
void api_group_list(core *core, const call *call);
void api_group_get(core *core, const call *call);
void api_group_put(core *core, const call *call);
void api_group_delete(core *core, const call *call);
void api_group_member_put(core *core, const call *call);
void api_group_member_delete(core *core, const call *call);
void api_group_member_list(core *core, const call *call);
/* api_group_operation.c */
void api_group_property_put(core *core, const call *call);
void api_group_action(core *core, const call *call);
void api_group_ticket_list(core *core, const call *call);
void api_group_ticket_get(core *core, const call *call);
void api_group_ticket_delete(core *core, const call *call);
void api_group_ticket_members(core *core, const call *call);
/* api_image.c */
void api_image_put(core *core, const call *call);
void api_image_list(core *core, const call *call);
void api_image_get(core *core, const call *call);
/* api_host.c */
void api_application_put(core *core, const call *call);
void api_application_list(core *core, const call *call);
void api_application_get(core *core, const call *call);
void api_application_patch(core *core, const call *call);
void api_application_delete(core *core, const call *call);
void api_application_token(core *core, const call *call);
void api_login(core *core, const call *call);
void api_session(core *core, const call *call);
void api_dead_letters(core *core, const call *call);
void api_status(core *core, const call *call);
void api_peers(core *core, const call *call);
void api_metrics(core *core, const call *call);
/* trace.c */
void api_trace_make(core *core, const call *call);
void api_trace_get(core *core, const call *call);
void api_trace_delete(core *core, const call *call);
/* invokers.c */
void api_invoker_make(core *core, const call *call);
void api_invoker_change(core *core, const call *call);
void api_invoker_delete(core *core, const call *call);
void api_invoker_security_get(core *core, const call *call);
void api_invoker_security_put(core *core, const call *call);
void api_invoker_security_delete(core *core, const call *call);
void api_capif_revoke(core *core, const call *call);
/* capif.c */
void api_capif_status(core *core, const call *call);
/* backup.c */
void api_backup(core *core, const call *call);
