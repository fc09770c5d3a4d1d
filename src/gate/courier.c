#include "gate/courier.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/wipe.h"
#include "gate/curl_loop.h"
#include "ring/message.h"
#include "twin/nidd.h"
#include "twin/t8.h"
#include "twin/value.h"

enum { BODY_MAX = 8 * 1024, LINK_TEXT = NIDD_LINK_MAX + 1 };

typedef struct range { uint8_t address[16]; uint8_t bits; bool is_ipv6; } range;

typedef struct errand { /* one notice under way */
    courier *courier;
    CURL *curl;
    struct errand *next;       /* free, or told late */
    uint64_t id;
    uint32_t core, taken;      /* bytes of the answer's body */
    notice_answer answer;
    bool is_address_refused;
    size_t length;
    char link[LINK_TEXT];
    char *results;             /* a body that needs more room; NULL: `body` */
    char body[BODY_MAX];
} errand;

struct courier {
    courier_options options;
    curl_loop curls;
    struct curl_slist *header;
    errand *free, *late;       /* late: answers that found no room in the ring */
    errand **all;
    uint32_t count, under_way;
    range ranges[COURIER_RANGES_MAX];
    uint32_t range_count;
    uint64_t taken, refused, failed;
    courier_socket socket_send;  /* NULL: none */
    void *socket_context;
};

/* ---- addresses ---- */

/* What is not reached from outside (RFC 6890 and its registry); a configured range opens a hole. */
static const struct { const char *text; } special[] = {
    { "0.0.0.0/8" }, { "10.0.0.0/8" }, { "100.64.0.0/10" }, { "127.0.0.0/8" }, { "169.254.0.0/16" }, { "172.16.0.0/12" },
    { "192.0.0.0/24" }, { "192.0.2.0/24" }, { "192.88.99.0/24" }, { "192.168.0.0/16" }, { "198.18.0.0/15" }, { "198.51.100.0/24" },
    { "203.0.113.0/24" }, { "224.0.0.0/3" }, { "::/96" }, { "::ffff:0:0/96" }, { "::ffff:0:0:0/96" }, { "64:ff9b::/96" }, { "64:ff9b:1::/48" },
    { "100::/64" }, { "100:0:0:1::/64" }, { "2001::/23" }, { "2001:db8::/32" }, { "2002::/16" }, { "3fff::/20" }, { "5f00::/16" }, { "fc00::/7" }, { "fe80::/10" }, { "fec0::/10" }, { "ff00::/8" },
};

static bool range_read(const char *text, size_t length, range *out)
{
    char address[64];
    const char *slash = memchr(text, '/', length);
    size_t left = slash == NULL ? length : (size_t)(slash - text);
    if (left >= sizeof address)
        return false;
    memcpy(address, text, left);
    address[left] = '\0';
    *out = (range){ .is_ipv6 = strchr(address, ':') != NULL };
    if (inet_pton(out->is_ipv6 ? AF_INET6 : AF_INET, address, out->address) != 1)
        return false;
    unsigned long most = out->is_ipv6 ? 128 : 32, bits = most;
    if (slash != NULL) {
        char number[4] = { 0 };
        size_t digits = length - left - 1;
        if (digits == 0 || digits > 3 || strspn(slash + 1, "0123456789") < digits)
            return false;
        memcpy(number, slash + 1, digits);
        bits = strtoul(number, NULL, 10);
    }
    out->bits = (uint8_t)bits;
    return bits <= most;
}

/* Each range of a list, until `each` is false. False: the list is malformed. */
static bool ranges_read(const char *text, range *out, uint32_t room, uint32_t *count)
{
    *count = 0;
    for (const char *at = text; *(at += strspn(at, ", \t")) != '\0';) {
        size_t length = strcspn(at, ", \t");
        if (*count == room || !range_read(at, length, &out[*count]))
            return false;
        ++*count;
        at += length;
    }
    return true;
}

bool courier_ranges_are_good(const char *allow)
{
    range ranges[COURIER_RANGES_MAX];
    uint32_t count;
    return ranges_read(allow, ranges, COURIER_RANGES_MAX, &count);
}

static bool range_has(const range *range, const uint8_t *address, bool is_ipv6)
{
    if (range->is_ipv6 != is_ipv6)
        return false;
    for (int bit = 0; bit < range->bits; bit++)
        if ((range->address[bit / 8] ^ address[bit / 8]) & 0x80 >> bit % 8)
            return false;
    return true;
}

static bool address_is_good(const range *allowed, uint32_t count, const uint8_t *address, bool is_ipv6)
{
    for (uint32_t i = 0; i < count; i++)
        if (range_has(&allowed[i], address, is_ipv6))
            return true;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        range range;
        if (range_read(special[i].text, strlen(special[i].text), &range) && range_has(&range, address, is_ipv6))
            return false;
    }
    return true;
}

static bool may_be_reached(const courier *courier, const struct sockaddr *to)
{
    bool is_ipv6 = to->sa_family == AF_INET6;
    if (!is_ipv6 && to->sa_family != AF_INET)
        return false;
    const uint8_t *address = is_ipv6 ? ((const struct sockaddr_in6 *)(const void *)to)->sin6_addr.s6_addr
                                     : (const uint8_t *)&((const struct sockaddr_in *)(const void *)to)->sin_addr;
    return address_is_good(courier->ranges, courier->range_count, address, is_ipv6);
}

bool courier_may_connect(const struct sockaddr *to, const char *allow)
{
    courier here = { 0 };
    return ranges_read(allow, here.ranges, COURIER_RANGES_MAX, &here.range_count) && may_be_reached(&here, to);
}

bool courier_may_reach(const char *address, const char *allow)
{
    range wanted, ranges[COURIER_RANGES_MAX];
    uint32_t count;
    return range_read(address, strlen(address), &wanted) && ranges_read(allow, ranges, COURIER_RANGES_MAX, &count) &&
           address_is_good(ranges, count, wanted.address, wanted.is_ipv6);
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    errand *sent = context;
    if (purpose != CURLSOCKTYPE_IPCXN || !may_be_reached(sent->courier, &address->addr)) {
        sent->is_address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

/* ---- bodies ---- */

static void member(dro_builder *out, const char *name, const char *text, size_t length)
{
    dro_builder_text(out, "\"");
    dro_builder_text(out, name);
    dro_builder_text(out, "\":");
    json_text(out, text, length);
}

static void link_member(const courier *courier, dro_builder *out, const char *name, const dro_field *path)
{
    char link[LINK_TEXT];
    int length = snprintf(link, sizeof link, "%s%.*s", courier->options.root, (int)path->length, (const char *)path->bytes);
    member(out, name, link, length > 0 && (size_t)length < sizeof link ? (size_t)length : 0);
}

typedef struct parts { dro_field link, path, id, msisdn, data, status, time, results, reliable, port, resource, exposure; } parts;

static dro_err parts_read(dro_cursor *in, parts *out)
{
    dro_field field;
    while (dro_cursor_left(in) > 0 && *in->at != 0 && dro_field_next(in, &field)) /* tag 0 is the ring's padding */
        switch (field.tag) {
        case API_FIELD_DESTINATION: out->link = field; break;
        case API_FIELD_NAME: out->path = field; break;
        case API_FIELD_ID: out->id = field; break;
        case API_FIELD_MSISDN: out->msisdn = field; break;
        case API_FIELD_DATA: out->data = field; break;
        case API_FIELD_STATUS: out->status = field; break;
        case API_FIELD_TIME: out->time = field; break;
        case API_FIELD_RESULTS: out->results = field; break;
        case API_FIELD_RELIABLE: out->reliable = field; break;
        case API_FIELD_RDS_PORT: out->port = field; break;
        case API_FIELD_RESOURCE: out->resource = field; break;
        case API_FIELD_EXPOSURE: out->exposure = field; break;
        default: break;
        }
    return in->err != DRO_OK ? in->err : out->link.bytes == NULL || out->path.bytes == NULL ? DRO_MALFORMED : DRO_OK;
}

static void identity_member(dro_builder *out, const parts *parts)
{
    const dro_field *name = parts->id.bytes != NULL ? &parts->id : &parts->msisdn;
    if (name->bytes == NULL)
        return;
    dro_builder_text(out, ",");
    member(out, name == &parts->id ? "externalId" : "msisdn", (const char *)name->bytes, name->length);
}

static uint8_t status_of(const parts *parts)
{
    return parts->status.length == 1 ? parts->status.bytes[0] : 0;
}

static void time_member(dro_builder *out, const dro_field *time)
{
    char when[DRO_TIME_TEXT];
    int64_t ms;
    if (time->length != sizeof ms)
        return;
    memcpy(&ms, time->bytes, sizeof ms);
    dro_time_text(ms, when);
    dro_builder_text(out, ",");
    member(out, "requestedRetransmissionTime", when, strlen(when));
}

/* GmdResult (TS 29.122, 5.6.2.1.11) one after the other: each begins with its ID. */
static void results_write(const dro_field *results, dro_builder *out)
{
    dro_cursor in = dro_cursor_over(results->bytes, results->length);
    dro_field field;
    bool is_first = true;
    while (dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_ID) {
            dro_builder_text(out, is_first ? "{" : "},{");
            member(out, "externalId", (const char *)field.bytes, field.length);
            is_first = false;
        } else if (field.tag == API_FIELD_STATUS && field.length == 1) {
            const char *text = nidd_delivery_status_text((nidd_delivery_status)field.bytes[0]);
            dro_builder_text(out, ",");
            member(out, "deliveryStatus", text, strlen(text));
        } else if (field.tag == API_FIELD_TIME) {
            time_member(out, &field);
        }
    }
    dro_builder_text(out, is_first ? "" : "}");
}

/* What came of the reliable data service with an uplink. */
static void reliable_members(dro_builder *out, const parts *parts)
{
    char port[64];
    if (parts->reliable.length == 1)
        dro_builder_text(out, parts->reliable.bytes[0] != 0 ? ",\"reliableDataService\":true" : ",\"reliableDataService\":false");
    if (parts->port.length != 2)
        return;
    snprintf(port, sizeof port, ",\"rdsPort\":{\"portUE\":%u,\"portSCEF\":%u}", parts->port.bytes[0], parts->port.bytes[1]);
    dro_builder_text(out, port);
}

static void formats_write(dro_builder *out, const char *name, uint8_t formats, bool is_list)
{
    static const char *const texts[] = { "CBOR", "JSON", "XML" };
    const char *comma = "";
    if (formats == 0)
        return;
    dro_builder_text(out, ",\"");
    dro_builder_text(out, name);
    dro_builder_text(out, is_list ? "\":[" : "\":");
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if ((formats & 1u << i) == 0)
            continue;
        dro_builder_text(out, comma);
        dro_builder_text(out, "\"");
        dro_builder_text(out, texts[i]);
        dro_builder_text(out, "\"");
        comma = ",";
    }
    dro_builder_text(out, is_list ? "]" : "");
}

/* ManagePort (TS 29.122, 5.6.2.1.13) one after the other. */
static void ports_write(const courier *courier, const parts *parts, dro_builder *out)
{
    enum { HEAD = 5, OF_DEVICE = 2 /* RDS_PORT_OF_DEVICE */ };
    dro_cursor in = dro_cursor_over(parts->results.bytes, parts->results.length);
    dro_field field;
    const char *before = ",\"managedPorts\":[";
    while (dro_field_next(&in, &field)) {
        char path[48];
        if (field.tag != API_FIELD_RDS_MANAGED || field.length < HEAD)
            continue;
        dro_builder_text(out, before);
        dro_builder_text(out, "{\"self\":\"");
        dro_builder_text(out, courier->options.root != NULL ? courier->options.root : "");
        dro_builder_bytes(out, parts->path.bytes, parts->path.length);
        snprintf(path, sizeof path, "/rds-ports/ue%u-ef%u\",", field.bytes[0], field.bytes[1]);
        dro_builder_text(out, path);
        member(out, "appId", (const char *)field.bytes + HEAD, field.length - HEAD);
        dro_builder_text(out, field.bytes[2] & OF_DEVICE ? ",\"manageEntity\":\"UE\"" : ",\"manageEntity\":\"AS\"");
        formats_write(out, "supportedFormats", field.bytes[3], true);
        formats_write(out, "configuredFormat", field.bytes[4], false);
        dro_builder_text(out, "}");
        before = ",";
    }
    dro_builder_text(out, before[1] == '\0' ? "]" : "");
}

/* A notification of T8 beside NIDD: its link, then what its table says. */
static void exposure_write(const courier *courier, const parts *parts, dro_builder *out)
{
    uint8_t kind = parts->exposure.length == 1 ? parts->exposure.bytes[0] : EXPOSURE_KINDS;
    const t8_api *api = kind < EXPOSURE_KINDS ? t8_apis[kind] : NULL;
    if (api == NULL || api->notice == NULL)
        return;
    link_member(courier, out, api->word, &parts->path);
    t8_members_json(out, api->notice, parts->resource.bytes, parts->resource.length, api->features, ",");
}

static void body_write(const courier *courier, uint8_t kind, const parts *parts, dro_builder *out)
{
    const char *text;
    dro_builder_text(out, "{");
    switch (kind) {
    case NOTICE_UPLINK:
        link_member(courier, out, "niddConfiguration", &parts->path);
        identity_member(out, parts);
        dro_builder_text(out, ",\"data\":\"");
        dro_base64_put(out, parts->data.bytes, parts->data.length);
        dro_builder_text(out, "\"");
        reliable_members(out, parts);
        break;
    case NOTICE_CONFIGURATION:
        link_member(courier, out, "niddConfiguration", &parts->path);
        identity_member(out, parts);
        text = nidd_status_text((nidd_status)status_of(parts));
        dro_builder_text(out, ",");
        member(out, "status", text, strlen(text));
        break;
    case NOTICE_DELIVERY:
        link_member(courier, out, "niddDownlinkDataTransfer", &parts->path);
        text = nidd_delivery_status_text((nidd_delivery_status)status_of(parts));
        dro_builder_text(out, ",");
        member(out, "deliveryStatus", text, strlen(text));
        time_member(out, &parts->time);
        break;
    case NOTICE_GROUP:
        link_member(courier, out, "niddDownlinkDataTransfer", &parts->path);
        dro_builder_text(out, ",\"gmdResults\":[");
        results_write(&parts->results, out);
        dro_builder_text(out, "]");
        break;
    case NOTICE_PORTS:
        link_member(courier, out, "niddConfiguration", &parts->path);
        identity_member(out, parts);
        ports_write(courier, parts, out);
        break;
    case NOTICE_EXPOSURE: exposure_write(courier, parts, out); break;
    default: link_member(courier, out, "subscription", &parts->path); break; /* TestNotification */
    }
    dro_builder_text(out, "}");
}

/* ---- errands ---- */

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    errand *sent = context;
    (void)bytes;
    sent->taken += (uint32_t)(size * count);
    return sent->taken > COURIER_ANSWER_BYTES_MAX ? 0 : size * count;
}

static bool curl_prepare(courier *courier, errand *made)
{
    CURL *curl = made->curl = curl_easy_init();
    return curl != NULL && curl_easy_setopt(curl, CURLOPT_PRIVATE, made) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, courier->header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)COURIER_CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)COURIER_ANSWER_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, made) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, made) == CURLE_OK;
}

static errand *errand_take(courier *courier)
{
    errand *taken = courier->free;
    if (taken != NULL) {
        courier->free = taken->next;
        return taken;
    }
    if (courier->count == COURIER_NOTICES_MAX)
        return NULL;
    taken = malloc(sizeof *taken);
    if (taken == NULL)
        return NULL;
    taken->courier = courier;
    taken->results = NULL;
    if (!curl_prepare(courier, taken)) {
        curl_easy_cleanup(taken->curl);
        free(taken);
        return NULL;
    }
    courier->all[courier->count++] = taken;
    return taken;
}

static bool answer_send(courier *courier, uint32_t core, uint64_t id, const notice_answer *answer)
{
    return ring_send(&courier->options.to_core[core], MESSAGE_NOTICE_ANSWER, 0, id, answer, sizeof *answer);
}

static void errand_end(courier *courier, errand *ended)
{
    dro_wipe(ended->results != NULL ? ended->results : ended->body, ended->length);
    free(ended->results);
    ended->results = NULL;
    courier->under_way--;
    errand **list = answer_send(courier, ended->core, ended->id, &ended->answer) ? &courier->free : &courier->late;
    ended->next = *list;
    *list = ended;
}

bool courier_flush(courier *courier)
{
    while (courier->late != NULL && answer_send(courier, courier->late->core, courier->late->id, &courier->late->answer)) {
        errand *told = courier->late;
        courier->late = told->next;
        told->next = courier->free;
        courier->free = told;
    }
    return courier->late != NULL;
}

static uint32_t outcome_of(const errand *ended, CURLcode code, long status)
{
    if (code != CURLE_OK)
        return ended->is_address_refused || code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ? NOTICE_REFUSED
                                                                                                              : NOTICE_FAILED;
    if (status >= 200 && status < 300)
        return NOTICE_TAKEN;
    return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429 ? NOTICE_REFUSED : NOTICE_FAILED;
}

static void on_done(void *context, CURL *curl, CURLcode code)
{
    courier *courier = context;
    errand *ended;
    long status = 0;
    if (curl_easy_getinfo(curl, CURLINFO_PRIVATE, &ended) != CURLE_OK)
        return;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    ended->answer = (notice_answer){ outcome_of(ended, code, status), (uint32_t)status };
    courier->taken += ended->answer.outcome == NOTICE_TAKEN;
    courier->refused += ended->answer.outcome == NOTICE_REFUSED;
    courier->failed += ended->answer.outcome == NOTICE_FAILED;
    if (ended->answer.outcome != NOTICE_TAKEN)
        dro_debug("notice outcome=%u status=%ld reason=\"%s\"", ended->answer.outcome, status, curl_easy_strerror(code));
    errand_end(courier, ended);
}

static void refuse(courier *courier, uint32_t core, uint64_t id, uint32_t outcome)
{
    notice_answer answer = { .outcome = outcome };
    if (!answer_send(courier, core, id, &answer))
        dro_warn("notice_answer_lost"); /* the core hears of it when this gate is gone, at the latest */
}

void courier_sockets(courier *courier, courier_socket send, void *context)
{
    courier->socket_send = send;
    courier->socket_context = context;
}

/* "websocket:" and 16 hexadecimal digits, as the core writes it. */
static bool is_socket(const dro_field *link, uint64_t *socket)
{
    char text[NIDD_WEBSOCKET_TEXT + 1];
    if (link->length != NIDD_WEBSOCKET_TEXT || memcmp(link->bytes, NIDD_WEBSOCKET, sizeof NIDD_WEBSOCKET - 1) != 0)
        return false;
    memcpy(text, link->bytes, link->length);
    text[link->length] = '\0';
    *socket = strtoull(text + sizeof NIDD_WEBSOCKET - 1, NULL, 16);
    return true;
}

static void notice_to_socket(courier *courier, uint64_t socket, uint32_t core, uint64_t id, uint8_t kind, const parts *parts)
{
    static char body[COURIER_BODY_MAX];
    dro_builder out = dro_builder_over(body, sizeof body);
    body_write(courier, kind, parts, &out);
    bool is_sent = out.err == DRO_OK && courier->socket_send != NULL &&
                   courier->socket_send(courier->socket_context, socket, core, id, body, dro_builder_length(&out));
    if (!is_sent)
        refuse(courier, core, id, out.err == DRO_OK ? NOTICE_FAILED : NOTICE_REFUSED);
    dro_wipe(body, dro_builder_length(&out));
}

void courier_on_notice(courier *courier, uint32_t core, uint64_t id, const void *body, uint32_t length)
{
    dro_cursor in = dro_cursor_over(body, length);
    notice_request request = { 0 };
    parts parts = { 0 };
    const uint8_t *head = dro_cursor_bytes(&in, sizeof request);
    if (head != NULL)
        memcpy(&request, head, sizeof request);
    bool is_good = head != NULL && parts_read(&in, &parts) == DRO_OK && parts.link.length < LINK_TEXT;
    uint64_t socket;
    if (is_good && is_socket(&parts.link, &socket)) {
        notice_to_socket(courier, socket, core, id, request.kind, &parts);
        return;
    }
    errand *sent = is_good ? errand_take(courier) : NULL;
    if (sent == NULL) {
        refuse(courier, core, id, parts.link.bytes != NULL ? NOTICE_FAILED : NOTICE_REFUSED);
        return;
    }
    sent->results = request.kind == NOTICE_GROUP || (request.kind == NOTICE_EXPOSURE && length > BODY_MAX / 4) ? malloc(COURIER_BODY_MAX) : NULL;
    char *text = sent->results != NULL ? sent->results : sent->body;
    dro_builder out = dro_builder_over(text, sent->results != NULL ? COURIER_BODY_MAX : sizeof sent->body);
    body_write(courier, request.kind, &parts, &out);
    sent->id = id;
    sent->core = core;
    sent->taken = 0;
    sent->is_address_refused = false;
    sent->length = dro_builder_length(&out);
    memcpy(sent->link, parts.link.bytes, parts.link.length);
    sent->link[parts.link.length] = '\0';
    courier->under_way++;
    if (out.err == DRO_OK && curl_easy_setopt(sent->curl, CURLOPT_URL, sent->link) == CURLE_OK &&
        curl_easy_setopt(sent->curl, CURLOPT_POSTFIELDS, text) == CURLE_OK &&
        curl_easy_setopt(sent->curl, CURLOPT_POSTFIELDSIZE, (long)sent->length) == CURLE_OK &&
        curl_multi_add_handle(courier->curls.multi, sent->curl) == CURLM_OK)
        return;
    sent->answer = (notice_answer){ .outcome = NOTICE_REFUSED };
    errand_end(courier, sent);
}

/* ---- life ---- */

dro_err courier_new(courier **out, loop *loop, const courier_options *options)
{
    courier *made = calloc(1, sizeof *made);
    *out = made;
    if (made == NULL || curl_loop_init(&made->curls, loop, on_done, made) != DRO_OK)
        return DRO_NOMEM;
    made->options = *options;
    if (options->root == NULL)
        made->options.root = "";
    made->all = calloc(COURIER_NOTICES_MAX, sizeof(errand *));
    made->header = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = made->header == NULL ? NULL : curl_slist_append(made->header, "Expect:");
    if (!ranges_read(options->allow != NULL ? options->allow : "", made->ranges, COURIER_RANGES_MAX, &made->range_count))
        return DRO_MALFORMED;
    CURLM *multi = made->curls.multi;
    bool is_good = made->all != NULL && more != NULL &&
                   curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)COURIER_CONNECTIONS_MAX) == CURLM_OK &&
                   curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)COURIER_CONNECTIONS_MAX) == CURLM_OK &&
                   curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)COURIER_CONNECTIONS_EACH) == CURLM_OK;
    return is_good ? DRO_OK : DRO_NOMEM;
}

void courier_free(courier *courier)
{
    if (courier == NULL)
        return;
    for (uint32_t i = 0; i < courier->count; i++) {
        curl_multi_remove_handle(courier->curls.multi, courier->all[i]->curl);
        curl_easy_cleanup(courier->all[i]->curl);
        dro_wipe(courier->all[i]->body, sizeof courier->all[i]->body);
        free(courier->all[i]->results);
        free(courier->all[i]);
    }
    curl_loop_fini(&courier->curls);
    curl_slist_free_all(courier->header);
    free(courier->all);
    free(courier);
}

void courier_metrics(const courier *courier, dro_builder *out)
{
    char text[512];
    int length = snprintf(text, sizeof text,
                          "# TYPE dromio_gate_notices_total counter\n"
                          "dromio_gate_notices_total{outcome=\"taken\"} %llu\n"
                          "dromio_gate_notices_total{outcome=\"refused\"} %llu\n"
                          "dromio_gate_notices_total{outcome=\"failed\"} %llu\n"
                          "# TYPE dromio_gate_notices_under_way gauge\n"
                          "dromio_gate_notices_under_way %u\n",
                          (unsigned long long)courier->taken, (unsigned long long)courier->refused,
                          (unsigned long long)courier->failed, courier->under_way);
    dro_builder_bytes(out, text, (size_t)length);
}
