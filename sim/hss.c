#include "sim/hss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/diameter/read.h"

enum { HSS_WINDOW = 64, TAG_REVOCATION = 1, TAG_SEGMENT };

struct hss {
    const options *options;
    monte *monte;
    peer *peer;
    char identity[256];
    uint64_t imsi_first;
    int imsi_digits;
    uint64_t seed;
    uint8_t *granted;            /* a bit for each device */
    uint32_t revoke_next;        /* the device looked at next for a revocation */
    int64_t revoke_ns;
    uint32_t member_next;        /* of a list that is being told; 0: none is */
    hss_counts counts;
};

/* ---- who is who ---- */

/* The device that an External Identifier names, by its number in the place of %; -1: none. */
int64_t hss_device_named(const options *o, t6a_text name)
{
    const char *pattern = o->hss_names, *number = strchr(pattern, '%');
    size_t before = (size_t)(number - pattern), behind = strlen(number + 1);
    uint64_t found = 0;
    if (name.length <= before + behind || name.length > before + behind + 9 || memcmp(name.bytes, pattern, before) != 0 ||
        memcmp(name.bytes + name.length - behind, number + 1, behind) != 0)
        return -1;
    for (size_t i = before; i < name.length - behind; i++) {
        if (name.bytes[i] < '0' || name.bytes[i] > '9')
            return -1;
        found = found * 10 + name.bytes[i] - '0';
    }
    return found >= 1 && found <= o->devices ? (int64_t)found - 1 : -1;
}

void hss_name_of(const options *o, uint32_t index, char *out, size_t room)
{
    const char *pattern = o->hss_names, *number = strchr(pattern, '%');
    snprintf(out, room, "%.*s%u%s", (int)(number - pattern), pattern, index + 1, number + 1);
}

static void member_of(const hss *h, uint32_t index, s6t_member *member)
{
    snprintf(member->imsi, sizeof member->imsi, "%0*llu", h->imsi_digits, (unsigned long long)h->imsi_first + index);
    hss_name_of(h->options, index, member->name, sizeof member->name);
}

/* The same devices in each run of the same seed, and at each HSS. */
static bool is_refused(const hss *h, uint32_t index)
{
    dro_random_seeded dice;
    dro_random_seeded_init(&dice, h->seed + index * 0x9e3779b97f4a7c15u);
    return (double)(dro_random_next(&dice) >> 11) / (double)(1ull << 53) < h->options->hss_refuse;
}

/* ---- the group ---- */

/* The next part of its list; true: there are more. */
static bool segment_of(hss *h, s6t_member *members, uint32_t *count)
{
    uint32_t left = h->options->devices - h->member_next;
    *count = left < h->options->hss_segment ? left : h->options->hss_segment;
    for (uint32_t i = 0; i < *count; i++)
        member_of(h, h->member_next + i, &members[i]);
    h->member_next += *count;
    h->counts.segments++;
    if (h->member_next < h->options->devices)
        return true;
    h->member_next = 0;
    return false;
}

static void send_segment(hss *h, int64_t now_ns)
{
    s6t_member members[OPTIONS_SEGMENT_MAX];
    s6t_request request = { .name = h->options->hss_group, .is_group = true, .members = members };
    if (h->member_next == 0 || !peer_has_room(h->peer))
        return;
    request.is_incomplete = segment_of(h, members, &request.member_count);
    peer_send_nidd(h->peer, &request, TAG_SEGMENT, now_ns);
}

static void answer_group(hss *h, const t6a_message *asked)
{
    s6t_member members[OPTIONS_SEGMENT_MAX];
    s6t_answer answer = { .result = DIAMETER_SUCCESS, .members = members };
    h->member_next = 0;
    answer.is_incomplete = segment_of(h, members, &answer.member_count);
    h->counts.authorizations++;
    peer_answer_nidd(h->peer, asked, &answer);
}

/* ---- questions ---- */

static void answer_device(hss *h, const t6a_message *asked)
{
    int64_t index = hss_device_named(h->options, asked->external_identifier);
    s6t_member member = { 0 };
    s6t_answer answer = { .result = DIAMETER_SUCCESS };
    if (index < 0) {
        h->counts.unknown++;
        peer_answer_nidd(h->peer, asked, &(s6t_answer){ .experimental = DIAMETER_ERROR_USER_UNKNOWN });
        return;
    }
    if (is_refused(h, (uint32_t)index)) {
        h->counts.refused++;
        peer_answer_nidd(h->peer, asked, &(s6t_answer){ .experimental = DIAMETER_ERROR_UNAUTHORIZED_SERVICE });
        return;
    }
    member_of(h, (uint32_t)index, &member);
    answer.imsi = member.imsi;
    answer.name = member.name;
    if (h->options->hss_grant_s > 0)
        answer.granted_until = (uint32_t)((double)dro_clock_system()->wall_ms(dro_clock_system()) / 1000 + h->options->hss_grant_s);
    h->granted[index / 8] |= (uint8_t)(1 << index % 8);
    h->counts.authorizations++;
    peer_answer_nidd(h->peer, asked, &answer);
}

static void configure(hss *h, peer *from, const t6a_message *request, bool is_group)
{
    int64_t index = is_group ? 0 : hss_device_named(h->options, request->external_identifier);
    uint32_t device = (uint32_t)index;
    bool is_ecr = diameter_find(request->whole, AVP_ENHANCED_COVERAGE_RESTRICTION) != NULL ||
                  (diameter_u32(diameter_find(request->whole, AVP_CIR_FLAGS)) & VALUE_CIR_FLAGS_ENHANCED_COVERAGE_QUERY) != 0;
    if (index < 0) {
        h->counts.unknown++;
        peer_answer_custom(from, request, 0, DIAMETER_ERROR_USER_UNKNOWN, &(t6a_custom){ 0 });
    } else if (is_ecr) {
        monte_coverage(h->monte, from, request, is_group ? NULL : &device);
    } else {
        monte_configure(h->monte, from, request, is_group ? NULL : &device);
    }
}

static void on_request(void *owner, peer *from, const t6a_message *request)
{
    hss *h = owner;
    t6a_text name = request->external_identifier;
    bool is_nidd = request->command == COMMAND_NIDD_INFORMATION && request->application == DIAMETER_APPLICATION_S6T;
    bool is_configuration = request->command == COMMAND_CONFIGURATION_INFORMATION && request->application == DIAMETER_APPLICATION_S6T;
    bool is_group = request->identifier_type == 1 && name.length == strlen(h->options->hss_group) &&
                    memcmp(name.bytes, h->options->hss_group, name.length) == 0;
    if (is_configuration)
        configure(h, from, request, is_group);
    else if (!is_nidd)
        peer_answer(from, request, DIAMETER_COMMAND_UNSUPPORTED);
    else if (is_group)
        answer_group(h, request);
    else
        answer_device(h, request);
}

static void on_answer(void *owner, peer *from, uint32_t slot, uint64_t tag, int64_t micros, const t6a_message *answer)
{
    hss *h = owner;
    (void)from;
    (void)slot;
    (void)micros;
    h->counts.revocations_taken += tag == TAG_REVOCATION && answer->result == DIAMETER_SUCCESS;
}

static void on_open(void *owner, peer *from)
{
    (void)owner;
    (void)from;
}

/* ---- revoking ---- */

static bool is_granted(const hss *h, uint32_t index)
{
    return (h->granted[index / 8] >> index % 8 & 1) != 0;
}

static void revoke_one(hss *h, int64_t now_ns)
{
    s6t_member member = { 0 };
    uint32_t looked = 0;
    while (looked < h->options->devices && !is_granted(h, h->revoke_next)) {
        h->revoke_next = (h->revoke_next + 1) % h->options->devices;
        looked++;
    }
    if (looked == h->options->devices || !peer_has_room(h->peer))
        return;
    h->granted[h->revoke_next / 8] &= (uint8_t)~(1 << h->revoke_next % 8);
    member_of(h, h->revoke_next, &member);
    h->counts.revocations++;
    peer_send_nidd(h->peer, &(s6t_request){ .name = member.name, .is_revoked = true }, TAG_REVOCATION, now_ns);
}

void hss_tick(hss *h, int64_t now_ns)
{
    int64_t every_ns = (int64_t)(h->options->hss_revoke_s * 1e9);
    peer_tick(h->peer, now_ns);
    if (h->revoke_ns == 0)
        h->revoke_ns = now_ns + every_ns;
    if (every_ns > 0 && now_ns >= h->revoke_ns) {
        h->revoke_ns = now_ns + every_ns;
        revoke_one(h, now_ns);
    }
    if (peer_outstanding(h->peer) == 0) /* one segment after the other */
        send_segment(h, now_ns);
}

/* ---- life ---- */

/* "hss.epc.test" is the first; the second is "hss2.epc.test". */
static void name_itself(hss *h, uint32_t index)
{
    const char *identity = h->options->hss_identity;
    int label = (int)strcspn(identity, ".");
    if (index == 0)
        snprintf(h->identity, sizeof h->identity, "%s", identity);
    else
        snprintf(h->identity, sizeof h->identity, "%.*s%u%s", label, identity, index + 1, identity + label);
}

hss *hss_new(const options *o, tls_context *tls, monte *monte, uint32_t index, int epoll)
{
    hss *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->options = o;
    made->monte = monte;
    made->seed = o->seed;
    made->imsi_first = strtoull(o->imsi_first, NULL, 10);
    made->imsi_digits = (int)strlen(o->imsi_first);
    made->granted = calloc(o->devices / 8 + 1, 1);
    name_itself(made, index);
    peer_config config = { .connect = o->hss_connect, .identity = made->identity, .realm = o->hss_realm, .tls = tls, .tls_name = o->tls_name,
                           .application = DIAMETER_APPLICATION_S6T, .window = HSS_WINDOW, .seed = o->seed + OPTIONS_MMES_MAX + index,
                           .epoll = epoll, .owner = made, .on_open = on_open, .on_answer = on_answer, .on_request = on_request };
    made->peer = made->granted == NULL ? NULL : peer_new(&config);
    if (made->peer == NULL) {
        hss_free(made);
        return NULL;
    }
    return made;
}

void hss_free(hss *h)
{
    if (h == NULL)
        return;
    peer_free(h->peer);
    free(h->granted);
    free(h);
}

peer *hss_peer(hss *h)
{
    return h->peer;
}

const hss_counts *hss_count(const hss *h)
{
    return &h->counts;
}
