/* Domains and their keys, for the administrator. Core 0. */
#include <ctype.h>
#include <string.h>

#include "core/backup.h"
#include "core/call.h"
#include "core/domains.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/number.h"
#include "core/render.h"
#include "core/rotation.h"
#include "core/tell.h"

static const char *state_text(const domain *domain)
{
    return domain->is_going ? "deleting" : domain->has_older ? "rotating" : "ready";
}

/* Numbers of keys are shown from 1 on. */
static void domain_json(const core *core, uint32_t number, dro_builder *out)
{
    const domain *domain = &core->domains[number];
    rotation_progress all = rotation_progress_of(core, number);
    dro_builder_text(out, "{\"domain\":");
    json_string(out, domain->name);
    json_put(out, ",\"state\":\"%s\",\"twins\":%llu,\"key\":{\"number\":%u,\"since\":", state_text(domain), (unsigned long long)all.twins,
             domain->generation + 1u);
    if (domain->since_ms > 0)
        json_time(out, domain->since_ms);
    else
        dro_builder_text(out, "null");
    dro_builder_text(out, "}");
    if (domain->has_older)
        json_put(out, ",\"older_key\":{\"number\":%u,\"twins\":%llu,\"history\":\"%s\",\"waits_for\":\"%s\"}", (uint32_t)domain->generation,
                 (unsigned long long)all.left, domain->drops_history ? "drop" : "keep", all.is_sealed ? "history" : "twins");
    dro_builder_text(out, "}");
}

void rotations_put(const core *core, uint32_t most, dro_builder *out)
{
    dro_builder_text(out, "[");
    for (uint32_t i = 0; i < core->rotation.count && i < most; i++) {
        dro_builder_text(out, i > 0 ? "," : "");
        domain_json(core, core->rotation.domains[i], out);
    }
    dro_builder_text(out, "]");
}

/* Names of domains have nothing that a label would have to escape. */
void rotations_metrics(const core *core, dro_builder *out)
{
    static const char *const names[] = { "dromio_rotation_twins", "dromio_rotation_twins_left" };
    static const char *const helps[] = { "Twins of a domain whose key changes, or that is being deleted.", "Those of them that are still under the older key, or not deleted yet." };
    json_put(out, "# HELP dromio_rotations Domains whose key changes, or that are being deleted.\n# TYPE dromio_rotations gauge\ndromio_rotations %u\n", core->rotation.count);
    json_put(out, "# HELP dromio_domain_keys_destroyed_total Keys of domains that were destroyed, of this start.\n# TYPE dromio_domain_keys_destroyed_total counter\n"
             "dromio_domain_keys_destroyed_total %llu\n", (unsigned long long)core->rotation.destroyed);
    for (int left = 0; left < 2; left++) {
        json_put(out, "# HELP %s %s\n# TYPE %s gauge\n", names[left], helps[left], names[left]);
        for (uint32_t i = 0; i < core->rotation.count; i++) {
            rotation_progress all = rotation_progress_of(core, core->rotation.domains[i]);
            json_put(out, "%s{domain=\"%s\"} %llu\n", names[left], core->domains[core->rotation.domains[i]].name, (unsigned long long)(left ? all.left : all.twins));
        }
    }
}

/* The domain of the path, or NONE after a 404. */
static uint32_t call_domain(core *core, const call *call)
{
    uint32_t number = call->domain.at == NULL ? NONE : domain_find(core, call->domain.at, call->domain.length);
    if (number == NONE || !core->domains[number].is_kept) {
        tell_problem(core, call->caller, 404, "about:blank", "no domain is called %.*s", (int)call->domain.length, call->domain.at != NULL ? call->domain.at : "");
        return NONE;
    }
    return number;
}

void api_domain_list(core *core, const call *call)
{
    enum { ENTRY_MAX = 512 };
    uint32_t limit = call->has_limit && call->limit > 0 && call->limit < LIST_LIMIT_MAX ? (uint32_t)call->limit : LIST_LIMIT_MAX;
    uint32_t number = 1, shown = 0;
    for (uint32_t i = 0; i < call->cursor.length; i++) {
        if (call->cursor.length > 5 || !isdigit((unsigned char)call->cursor.at[i])) {
            tell_problem(core, call->caller, 400, "about:blank", "this cursor is not one of ours");
            return;
        }
        number = (i == 0 ? 0 : number * 10) + (uint32_t)(call->cursor.at[i] - '0');
    }
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES - 64);
    dro_builder_text(&out, "{\"domains\":[");
    for (; number < core->domain_count && shown < limit && dro_builder_length(&out) < SCRATCH_BYTES - ENTRY_MAX - COLUMNS_DOMAIN_MAX; number++) {
        if (core->domains[number].name[0] == '\0')
            continue;
        dro_builder_text(&out, shown++ > 0 ? "," : "");
        domain_json(core, number, &out);
    }
    out.end += 64;
    dro_builder_text(&out, "]");
    if (number < core->domain_count)
        json_put(&out, ",\"cursor\":\"%u\"", number);
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

static void domain_reply(core *core, const call *call, uint16_t status, uint32_t number)
{
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    domain_json(core, number, &out);
    call_reply(core, call, status, UINT64_MAX, NULL, &out);
}

void api_domain_get(core *core, const call *call)
{
    uint32_t number = call_domain(core, call);
    if (number != NONE)
        domain_reply(core, call, 200, number);
}

static void refuse(core *core, const call *call, dro_err err, const char *under_way)
{
    switch (err) {
    case DRO_DENIED: tell_problem(core, call->caller, 409, "domain_is_going", "the domain is being deleted"); break;
    case DRO_EXISTS: tell_problem(core, call->caller, 409, "rotation_under_way", "%s", under_way); break;
    case DRO_LIMIT:
        tell_problem(core, call->caller, 409, "too_many_rotations", "keys of %d domains change or go at the same time at most, and a domain has %d in its life",
                     ROTATIONS_MAX, VAULT_GENERATION_MAX + 1);
        break;
    default: tell_problem(core, call->caller, 503, "about:blank", "it could not be kept: %s", dro_err_text(err));
    }
}

void api_domain_rotate(core *core, const call *call)
{
    uint32_t number = call_domain(core, call);
    if (number == NONE)
        return;
    dro_err err = core->options.no_log ? DRO_UNSUPPORTED : rotation_start(core, number, call->drops_history);
    if (err == DRO_OK)
        domain_reply(core, call, 202, number);
    else
        refuse(core, call, err, "a key of this domain is being replaced: see older_key of GET /v1/domains/{domain}. Once that waits for history only, "
                                "history=drop ends it");
}

void api_domain_delete(core *core, const call *call)
{
    uint32_t number = call_domain(core, call);
    if (number == NONE)
        return;
    uint32_t groups = groups_of_domain(core, number);
    if (groups > 0) {
        tell_problem(core, call->caller, 409, "domain_has_groups", "%u groups are of this domain: delete them first", groups);
        return;
    }
    dro_err err = core->options.no_log ? DRO_UNSUPPORTED : rotation_delete(core, number);
    if (err == DRO_OK)
        domain_reply(core, call, 202, number);
    else
        refuse(core, call, err, "the domain is being deleted already");
}

void api_rekey(core *core, const call *call)
{
    if (core->backup != NULL) {
        tell_problem(core, call->caller, 409, "backup_under_way", "a backup is being taken: it would have keys of two master keys");
        return;
    }
    dro_err err = domains_rekey(core);
    if (err == DRO_UNSUPPORTED)
        tell_problem(core, call->caller, 409, "not_our_key", "the master key is a credential of systemd: make the new one there, and give the one before "
                     "as vault.master_key_before");
    else if (err != DRO_OK)
        tell_problem(core, call->caller, 503, "about:blank", "there is no new master key: %s", dro_err_text(err));
    else
        call_reply(core, call, 204, UINT64_MAX, NULL, NULL);
}
