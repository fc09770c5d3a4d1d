#include "core/rate.h"

#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

enum {
    SERVING_WINDOW_S = 6 * 60,
    SERVING_LEAST = 10,          /* packets: the least a serving network may say (TS 23.401, 4.7.7.2) */
    ABSENT = -1,
};

static twin_rates *rates_of(const twin *twin)
{
    return twin->extra == NULL ? NULL : twin->extra->rates;
}

/* ---- the limits ---- */

static uint32_t serving_rate(uint32_t told, uint32_t before)
{
    if (told == (uint32_t)ABSENT)
        return before;
    return told != 0 && told < SERVING_LEAST ? SERVING_LEAST : told;
}

/* For its rates, for charging, or to know which connection ends with a configuration. */
static bool is_apn_kept(const core *core, const twin *twin)
{
    bool is_configured = twin->nidd != NULL;
    return core->options.charging.is_on || apn_has_rates(&core->options.apns) || apn_has_networks(&core->options.apns) || (is_configured && apn_has_policy(&core->options.apns));
}

void rates_put(core *core, uint32_t index, const connection_request *request, const char *apn)
{
    enum { ESTABLISH = 0 };
    const twin_rates *old = rates_of(twin_at(core, index));
    bool is_new = request->action == ESTABLISH;
    uint32_t uplink = serving_rate(request->uplink_rate, is_new || old == NULL ? 0 : old->uplink);
    uint32_t downlink = serving_rate(request->downlink_rate, is_new || old == NULL ? 0 : old->downlink);
    size_t length = request->apn_length <= APN_TEXT_MAX ? request->apn_length : 0;
    if (length == 0 && !is_new && old != NULL) {
        apn = old->apn;
        length = strlen(old->apn);
    }
    if (uplink == 0 && downlink == 0 && (length == 0 || !is_apn_kept(core, twin_at(core, index)))) {
        if (old != NULL)
            record_put(core, FIELD_RATES, "", 0);
        return;
    }
    char name[APN_TEXT_MAX];
    memcpy(name, apn, length); /* of the rates that the record is about to change, perhaps */
    dro_builder *part = record_part(core);
    dro_builder_le(part, uplink, 4);
    dro_builder_le(part, downlink, 4);
    dro_builder_bytes(part, name, length);
    record_part_end(core, FIELD_RATES);
}

dro_err rates_apply(core *core, uint32_t index, const dro_field *field)
{
    twin *twin = twin_at(core, index);
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    if (field->length == 0) {
        rates_free(twin);
        return DRO_OK;
    }
    uint32_t uplink = (uint32_t)dro_cursor_le(&in, 4), downlink = (uint32_t)dro_cursor_le(&in, 4);
    size_t length = dro_cursor_left(&in);
    if (in.err != DRO_OK || length > APN_TEXT_MAX)
        return DRO_MALFORMED;
    twin_extra *extra = twin_extra_get(twin);
    if (extra != NULL && extra->rates == NULL)
        extra->rates = calloc(1, sizeof *extra->rates);
    twin_rates *rates = extra == NULL ? NULL : extra->rates;
    if (rates == NULL)
        return DRO_NOMEM;
    rates->uplink = uplink;
    rates->downlink = downlink;
    memcpy(rates->apn, in.at, length);
    rates->apn[length] = '\0';
    const char *domain = twin->domain < core->domain_count ? core->domains[twin->domain].name : NULL;
    rates->rule = domain == NULL ? NULL : apn_rates(&core->options.apns, rates->apn, length, domain, strlen(domain));
    rates->resume_ms = 0; /* a new rate: it is looked at again */
    return DRO_OK;
}

void rates_full(core *core, const twin *twin)
{
    const twin_rates *rates = rates_of(twin);
    if (rates == NULL)
        return;
    dro_builder *part = record_part(core);
    dro_builder_le(part, rates->uplink, 4);
    dro_builder_le(part, rates->downlink, 4);
    dro_builder_text(part, rates->apn);
    record_part_end(core, FIELD_RATES);
}

void rates_free(twin *twin)
{
    if (twin->extra == NULL)
        return;
    free(twin->extra->rates);
    twin->extra->rates = NULL;
}

/* ---- what was counted ---- */

/* 0: one more fits; else when the next does. */
static int64_t window_full_until(rate_window *window, uint32_t packets, int64_t now_ms)
{
    if (window->end_ms <= now_ms)
        *window = (rate_window){ 0 };
    return packets > 0 && window->count >= packets ? window->end_ms : 0;
}

static void window_count(rate_window *window, uint32_t seconds, int64_t now_ms)
{
    if (window->count++ == 0)
        window->end_ms = now_ms + (int64_t)seconds * 1000;
}

static apn_rate rate_up(const twin_rates *rates)
{
    return rates->rule == NULL ? (apn_rate){ 0 } : rates->rule->uplink;
}

static apn_rate rate_down(const twin_rates *rates)
{
    return rates->rule == NULL ? (apn_rate){ 0 } : rates->rule->downlink;
}

bool rate_takes_uplink(core *core, uint32_t index, bool is_exception)
{
    twin_rates *rates = rates_of(twin_at(core, index));
    int64_t now_ms = core->now_ms;
    core->counters.exceptions += is_exception;
    if (rates == NULL)
        return true;
    bool is_over = window_full_until(&rates->serving_up, rates->uplink, now_ms) != 0; /* the serving node's to enforce */
    bool is_over_apn = !is_exception && window_full_until(&rates->apn_up, rate_up(rates).packets, now_ms) != 0;
    core->counters.uplinks_over_rate += is_over || is_over_apn;
    if (is_over_apn && rates->rule->drops) {
        core->counters.uplinks_dropped++;
        return false;
    }
    window_count(&rates->serving_up, SERVING_WINDOW_S, now_ms);
    if (!is_exception && rate_up(rates).packets > 0)
        window_count(&rates->apn_up, rate_up(rates).seconds, now_ms);
    return true;
}

int64_t rate_downlink(core *core, uint32_t index)
{
    twin_rates *rates = rates_of(twin_at(core, index));
    int64_t now_ms = core->now_ms;
    if (rates == NULL)
        return 0;
    int64_t serving_ms = window_full_until(&rates->serving_down, rates->downlink, now_ms);
    int64_t apn_ms = window_full_until(&rates->apn_down, rate_down(rates).packets, now_ms);
    int64_t until_ms = serving_ms > apn_ms ? serving_ms : apn_ms;
    if (until_ms != 0) {
        core->counters.downlinks_held += rates->resume_ms != until_ms;
        rates->resume_ms = until_ms;
        return until_ms;
    }
    rates->resume_ms = 0;
    if (rates->downlink > 0)
        window_count(&rates->serving_down, SERVING_WINDOW_S, now_ms);
    if (rate_down(rates).packets > 0)
        window_count(&rates->apn_down, rate_down(rates).seconds, now_ms);
    return 0;
}

static uint32_t window_left(const rate_window *window, apn_rate rate, int64_t now_ms, int64_t *until_ms)
{
    if (rate.packets == 0)
        return (uint32_t)ABSENT;
    if (window->end_ms <= now_ms)
        return rate.packets;
    *until_ms = window->end_ms > *until_ms ? window->end_ms : *until_ms;
    return rate.packets > window->count ? rate.packets - window->count : 0;
}

rate_status rate_left(const core *core, const twin *twin)
{
    const twin_rates *rates = rates_of(twin);
    rate_status left = { (uint32_t)ABSENT, (uint32_t)ABSENT, 0 };
    if (rates == NULL)
        return left;
    left.uplink = window_left(&rates->apn_up, rate_up(rates), core->now_ms, &left.until_ms);
    left.downlink = window_left(&rates->apn_down, rate_down(rates), core->now_ms, &left.until_ms);
    return left;
}

/* Never more than the rule gives, nor for longer than its unit. */
static void window_go_on(rate_window *window, apn_rate rate, uint32_t left, int64_t until_ms, int64_t now_ms)
{
    int64_t last_ms = now_ms + (int64_t)rate.seconds * 1000;
    if (rate.packets == 0 || left == (uint32_t)ABSENT || left > rate.packets || until_ms <= now_ms)
        return;
    *window = (rate_window){ until_ms < last_ms ? until_ms : last_ms, rate.packets - left };
}

void rate_go_on(core *core, uint32_t index, const rate_status *left)
{
    twin_rates *rates = rates_of(twin_at(core, index));
    if (rates == NULL)
        return;
    window_go_on(&rates->apn_up, rate_up(rates), left->uplink, left->until_ms, core->now_ms);
    window_go_on(&rates->apn_down, rate_down(rates), left->downlink, left->until_ms, core->now_ms);
}

int64_t rate_resume_ms(const twin *twin)
{
    const twin_rates *rates = rates_of(twin);
    return rates == NULL ? 0 : rates->resume_ms;
}
