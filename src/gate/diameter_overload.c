#include "gate/diameter_overload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum { LOSS = 1 /* OLR_DEFAULT_ALGO */, HOST_REPORT = 0, REALM_REPORT = 1, HOST_LOAD = 0, PEER_LOAD = 1, ALL = 100 };
#define NS_PER_S ((int64_t)1000000000)

/* ---- told ---- */

void overload_put_features(dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_OC_SUPPORTED_FEATURES);
    diameter_put_u64(out, AVP_OC_FEATURE_VECTOR, LOSS);
    diameter_group_end(out, group);
}

/* While it is over the same number ends what was told before (RFC 7683 5.2.1.5: a validity of 0). */
static void put_report(const overload_told *told, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_OC_OLR);
    diameter_put_u64(out, AVP_OC_SEQUENCE_NUMBER, told->number);
    diameter_put_u32(out, AVP_OC_REPORT_TYPE, HOST_REPORT);
    diameter_put_u32(out, AVP_OC_REDUCTION_PERCENTAGE, told->reduction);
    diameter_put_u32(out, AVP_OC_VALIDITY_DURATION, told->reduction > 0 ? OVERLOAD_VALID_S : 0);
    diameter_group_end(out, group);
}

/* Made here once a second, so that an answer costs a copy. */
static void write_avps(overload *here, bool has_report)
{
    overload_told *told = &here->told;
    dro_builder out = dro_builder_over(told->avps, sizeof told->avps);
    overload_put_features(&out);
    if (has_report)
        put_report(told, &out);
    size_t group = diameter_group_begin(&out, AVP_LOAD);
    diameter_put_u32(&out, AVP_LOAD_TYPE, HOST_LOAD);
    diameter_put_u64(&out, AVP_LOAD_VALUE, told->load);
    diameter_put_text(&out, AVP_SOURCEID, here->identity);
    diameter_group_end(&out, group);
    told->length = out.err == DRO_OK ? (uint32_t)dro_builder_length(&out) : 0;
}

void overload_init(overload *here, const char *identity, int64_t wall_ms)
{
    here->identity = identity;
    here->told.load = OVERLOAD_LOAD_MAX;
    here->told.number = wall_ms > 0 ? (uint64_t)wall_ms : 1; /* above all that was told before a restart */
    write_avps(here, false);
}

bool overload_is_heard(const diameter_message *request)
{
    return diameter_find(request, AVP_OC_SUPPORTED_FEATURES) != NULL; /* the loss algorithm is everybody's */
}

/* What is refused although they send less already is left out too: of what they would send without a report. */
static uint32_t wanted_reduction(const overload_told *told)
{
    uint64_t came = told->taken + told->refused, sent = ALL - told->reduction;
    uint64_t more = sent + sent / OVERLOAD_EASE + 1;
    if (told->refused * OVERLOAD_SLACK <= came)
        return told->refused > 0 ? told->reduction : more < ALL ? (uint32_t)(ALL - more) : 0;
    uint32_t wanted = (uint32_t)(ALL - sent * told->taken / came);
    return wanted < OVERLOAD_REDUCTION_MAX ? wanted : OVERLOAD_REDUCTION_MAX;
}

static void number_anew(overload_told *told, int64_t now_ns, int64_t wall_ms)
{
    told->number = (uint64_t)wall_ms > told->number ? (uint64_t)wall_ms : told->number + 1;
    told->numbered_ns = now_ns;
}

void overload_tick(overload *here, int64_t now_ns, int64_t wall_ms)
{
    overload_told *told = &here->told;
    uint32_t wanted = wanted_reduction(told);
    bool is_aged = told->reduction > 0 && now_ns - told->numbered_ns >= OVERLOAD_AGAIN_S * NS_PER_S;
    if (wanted == 0 && told->reduction > 0)
        told->over_ns = now_ns;
    if (wanted != told->reduction || is_aged)
        number_anew(told, now_ns, wall_ms);
    told->reduction = wanted;
    told->load = OVERLOAD_LOAD_MAX - told->kept_most;
    told->taken = told->refused = told->kept_most = 0;
    bool was_over_now = told->over_ns != 0 && now_ns - told->over_ns < OVERLOAD_OVER_S * NS_PER_S;
    write_avps(here, wanted > 0 || was_over_now);
}

/* ---- heard ---- */

static uint32_t hash_of(const uint8_t *name, uint32_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a, letters without case */
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32u : name[i])) * 16777619u;
    return hash;
}

static overload_report *find_report(overload *here, bool is_realm, uint32_t application, const uint8_t *name, uint32_t length)
{
    uint32_t hash = here->heard_count == 0 ? 0 : hash_of(name, length);
    for (uint32_t i = 0; i < here->heard_count; i++) {
        overload_report *report = &here->heard[i];
        if (report->hash == hash && report->application == application && report->is_realm == is_realm &&
            strlen(report->name) == length && strncasecmp(report->name, (const char *)name, length) == 0)
            return report;
    }
    return NULL;
}

static overload_report *report_place(overload *here)
{
    overload_report *first = &here->heard[0];
    if (here->heard_count < OVERLOAD_REPORTS_MAX)
        return &here->heard[here->heard_count++];
    for (uint32_t i = 1; i < OVERLOAD_REPORTS_MAX; i++)
        if (here->heard[i].until_ns < first->until_ns)
            first = &here->heard[i];
    return first;
}

typedef struct said { /* an OC-OLR */
    uint64_t number;
    uint32_t type, reduction, valid_s;
} said;

static bool u32_in(const diameter_message *answer, const diameter_avp *group, diameter_name name, uint32_t absent, uint32_t *out)
{
    const diameter_avp *avp = diameter_find_in(answer, group, name);
    *out = avp == NULL ? absent : diameter_u32(avp);
    return avp == NULL || avp->length == 4;
}

static bool read_report(const diameter_message *answer, const diameter_avp *group, said *out)
{
    const diameter_avp *number = diameter_find_in(answer, group, AVP_OC_SEQUENCE_NUMBER);
    bool is_good = number != NULL && number->length == 8;
    out->number = diameter_u64(number);
    is_good &= u32_in(answer, group, AVP_OC_REPORT_TYPE, UINT32_MAX, &out->type);
    is_good &= u32_in(answer, group, AVP_OC_REDUCTION_PERCENTAGE, 0, &out->reduction);
    is_good &= u32_in(answer, group, AVP_OC_VALIDITY_DURATION, OVERLOAD_VALID_S, &out->valid_s);
    if (out->valid_s > OVERLOAD_VALID_MAX_S)
        out->valid_s = OVERLOAD_VALID_S;
    return is_good && out->type <= REALM_REPORT && out->reduction <= ALL;
}

/* With a report its number is over (RFC 7683): a node that begins anew may count from the start. Not at once, what is on
 * its way could be older than the end. */
static bool is_forgotten(const overload_report *report, int64_t now_ns)
{
    return now_ns - report->until_ns >= OVERLOAD_VALID_S * NS_PER_S;
}

/* Of the node or realm that the answer is of. True: it changes what is in force. */
static bool follow(overload *here, const said *said, const diameter_avp *origin, uint32_t application, int64_t now_ns)
{
    bool is_realm = said->type == REALM_REPORT;
    overload_report *report = find_report(here, is_realm, application, origin->data, origin->length);
    if (report != NULL && said->number <= report->number && !is_forgotten(report, now_ns)) {
        here->old++;
        return false;
    }
    if (report == NULL) {
        report = report_place(here);
        *report = (overload_report){ .hash = hash_of(origin->data, origin->length), .application = application, .is_realm = is_realm };
        memcpy(report->name, origin->data, origin->length);
        report->name[origin->length] = '\0';
    }
    here->taken++;
    report->number = said->number;
    report->reduction = (uint8_t)said->reduction;
    report->until_ns = said->reduction == 0 ? now_ns : now_ns + said->valid_s * NS_PER_S;
    return true;
}

/* A vector that names other algorithms only: its reports are not of the loss algorithm. */
static bool is_of_loss(const diameter_message *answer)
{
    const diameter_avp *features = diameter_find(answer, AVP_OC_SUPPORTED_FEATURES);
    const diameter_avp *vector = diameter_find_in(answer, features, AVP_OC_FEATURE_VECTOR);
    return vector == NULL || (diameter_u64(vector) & LOSS) != 0;
}

bool overload_hear(overload *here, const diameter_message *answer, int64_t now_ns)
{
    const diameter_avp *group = diameter_find(answer, AVP_OC_OLR);
    bool is_news = false;
    for (; group != NULL; group = diameter_find_next(answer, group)) {
        said said;
        bool is_good = read_report(answer, group, &said);
        const diameter_avp *origin = diameter_find(answer, is_good && said.type == REALM_REPORT ? AVP_ORIGIN_REALM : AVP_ORIGIN_HOST);
        if (is_good && is_of_loss(answer) && origin != NULL && origin->length > 0 && origin->length <= OVERLOAD_NAME_MAX)
            is_news |= follow(here, &said, origin, answer->header.application, now_ns);
        else
            here->bad++;
    }
    return is_news;
}

bool overload_load(const diameter_message *answer, const char *identity, uint32_t *load)
{
    const diameter_avp *group = diameter_find(answer, AVP_LOAD);
    bool is_there = false;
    for (; group != NULL; group = diameter_find_next(answer, group)) {
        const diameter_avp *value = diameter_find_in(answer, group, AVP_LOAD_VALUE), *source = diameter_find_in(answer, group, AVP_SOURCEID);
        uint32_t type;
        bool is_good = u32_in(answer, group, AVP_LOAD_TYPE, UINT32_MAX, &type) && type <= PEER_LOAD && value != NULL && value->length == 8 &&
                       diameter_u64(value) <= OVERLOAD_LOAD_MAX && diameter_is_identity(source, identity);
        if (!is_good || (is_there && diameter_u64(value) >= *load))
            continue;
        *load = (uint32_t)diameter_u64(value);
        is_there = true;
    }
    return is_there;
}

uint32_t overload_reduction(const overload *here, const char *identity, int64_t now_ns)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < here->heard_count; i++) {
        const overload_report *report = &here->heard[i];
        if (!report->is_realm && report->until_ns > now_ns && report->reduction > most && strcasecmp(report->name, identity) == 0)
            most = report->reduction;
    }
    return most;
}

/* Every reduction/100th one, not by chance: a part of few requests is met as well. Who goes before the others makes one of
 * them stay back later. */
static bool is_left_out(overload_report *report, uint32_t priority)
{
    if (report->reduction == ALL)
        return true;
    report->debt = (uint16_t)(report->debt + report->reduction);
    if (report->debt < ALL || (priority < PRIORITY_USUAL && report->debt < ALL * OVERLOAD_DEBT_MAX))
        return false;
    report->debt = (uint16_t)(report->debt - ALL);
    return true;
}

bool overload_abates(overload *here, const overload_way *way, int64_t now_ns)
{
    if (here->heard_count == 0)
        return false;
    overload_report *host = way->host == NULL ? NULL : find_report(here, false, way->application, way->host, way->host_length);
    overload_report *realm = way->realm == NULL ? NULL : find_report(here, true, way->application, way->realm, way->realm_length);
    uint32_t of_host = host != NULL && host->until_ns > now_ns ? host->reduction : 0;
    uint32_t of_realm = realm != NULL && realm->until_ns > now_ns ? realm->reduction : 0;
    if (of_host == 0 && of_realm == 0)
        return false;
    overload_report *report = of_realm > of_host ? realm : host;
    assert(report != NULL); /* one of them asks for less */
    return is_left_out(report, way->priority);
}

/* ---- priority ---- */

const diameter_avp *overload_priority_avp(const diameter_message *request)
{
    const diameter_avp *avp = diameter_find(request, AVP_DRMP);
    return avp != NULL && avp->length == 4 && diameter_u32(avp) <= PRIORITY_LAST ? avp : NULL;
}

uint32_t overload_priority(const diameter_message *request)
{
    const diameter_avp *avp = overload_priority_avp(request);
    return avp == NULL ? PRIORITY_USUAL : diameter_u32(avp);
}

/* ---- metrics ---- */

void overload_text(const overload *here, dro_builder *out)
{
    char text[900];
    snprintf(text, sizeof text,
             "# HELP dromio_diameter_overload_percent Of their requests, what peers are asked to leave out.\n# TYPE dromio_diameter_overload_percent gauge\n"
             "dromio_diameter_overload_percent %" PRIu32 "\n"
             "# HELP dromio_diameter_load_value Load as peers are told it: 65535 nothing to do, 0 all there is.\n# TYPE dromio_diameter_load_value gauge\n"
             "dromio_diameter_load_value %" PRIu32 "\n"
             "# HELP dromio_diameter_overload_reports_total Overload reports of peers.\n# TYPE dromio_diameter_overload_reports_total counter\n"
             "dromio_diameter_overload_reports_total{result=\"taken\"} %" PRIu64 "\ndromio_diameter_overload_reports_total{result=\"old\"} %" PRIu64 "\n"
             "dromio_diameter_overload_reports_total{result=\"bad\"} %" PRIu64 "\n",
             here->told.reduction, here->told.load, here->taken, here->old, here->bad);
    dro_builder_text(out, text);
}
