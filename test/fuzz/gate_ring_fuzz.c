/* What cores and the desk say to a gate, good or not: it answers who asked, or nobody, and stays whole. Input: steps. A byte
 * below 32 has a client ask something (the row of `requests`) or a peer come; else it is a message: its kind, whom it is for
 * (an id that the gate has told, or another), from which core, u16 length, body. Bit 7 of the kind: its lengths are mended
 * to what is there, as a core's would be. */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/fields.h"
#include "base/log.h"
#include "gate/courier.h"
#include "gate/diameter_gate.h"
#include "gate/http.h"
#include "gate/publisher.h"
#include "gate/websocket.h"
#include "wire/diameter/vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_BYTES = 256 * 1024, CORES = 2, CLIENTS = 6, STEPS_MAX = 48, IDS = 64, BODY_MAX = 16 * 1024, ASKS = 32, LONG_S = 700 };

static const char upgrade[] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
static const struct { const char *line, *more, *body; } requests[] = {
    { "GET /v1/twins/a@acme.example", "", "" },
    { "GET /v1/twins", "", "" },
    { "GET /v1/events", "", "" },
    { "GET /metrics", "", "" },
    { "GET /v1/status", "", "" },
    { "GET /v1/dead-letters", "", "" },
    { "GET /v1/backup", "", "" },
    { "GET /v1/twins/a@acme.example/td", "", "" },
    { "POST /v1/query", "Content-Type: application/json\r\n", "{\"sql\":\"select id from thermo\"}" },
    { "POST /v1/images", "Content-Type: application/wasm\r\n", "\0asm" },
    { "POST /v1/twins:bulk", "Content-Type: application/x-ndjson\r\n", "{\"id\":\"a@acme.example\",\"model\":\"acme/thermo\"}\n{\"id\":\"b@acme.example\"}\n" },
    { "PUT /v1/twins/a@acme.example/properties/period", "Content-Type: application/json\r\n", "1" },
    { "GET /3gpp-nidd/v1/meters/configurations/1/websocket", upgrade, "" },
    { "GET /3gpp-nidd/v1/meters/configurations", "", "" },
    { "GET /3gpp-monitoring-event/v1/meters/subscriptions", "", "" },
    { "POST /oauth2/token", "Content-Type: application/x-www-form-urlencoded\r\n", "grant_type=client_credentials&client_id=meters&client_secret=b" },
    { "GET /v1/groups/g/members", "", "" },
    { "GET /oauth2/jwks", "", "" },
    { "POST /v1/groups/g/members:bulk", "Content-Type: application/x-ndjson\r\n", "{\"id\":\"a@acme.example\"}\n" },
    { "GET /service-apis/v1/allServiceAPIs?api-invoker-id=x", "", "" },
};
enum { REQUESTS = sizeof requests / sizeof requests[0], ASK_PEER = REQUESTS, ASK_TIME = REQUESTS + 1 };

static const uint16_t kinds[] = { MESSAGE_API_REPLY, MESSAGE_NETWORK_ANSWER, MESSAGE_DOWNLINK, MESSAGE_STREAM_EVENT, MESSAGE_CREDENTIAL, MESSAGE_NOTICE,
                                  MESSAGE_SIGNING_KEY, MESSAGE_RELEASE, MESSAGE_REPORT_ANSWER, MESSAGE_INQUIRY, MESSAGE_WEBSOCKET_REPLACED, MESSAGE_CAPIF,
                                  MESSAGE_TRACE, MESSAGE_TRACED, MESSAGE_LEDGER };
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct {
    dro_clock_fake clock;
    loop *home;
    http *http;
    diameter_gate *diameter;
    courier *courier;
    publisher *capif;
    gate_config config;
    void *memory[CORES + 1], *directory_memory;
    directory directory;
    ring_writer to[CORES + 1];      /* the last one is the desk's */
    ring_reader asked[CORES + 1];
    int clients[CLIENTS];
    uint32_t client_count, id_count;
    uint64_t ids[IDS];
} bed;

/* In libc's place: a notice may name anybody, but from here nobody is looked up or called. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    (void)name, (void)service, (void)hints, (void)list;
    return EAI_NONAME;
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length)
{
    (void)descriptor, (void)address, (void)length;
    errno = ENETUNREACH;
    return -1;
}

static void on_aef(void *context, const char *aef)
{
    (void)context;
    http_set_aef(bed.http, aef);
}

static void put_token(void)
{
    struct {
        credential row;
        uint8_t domain[2 + 12];
    } message = { .row = { .scopes = SCOPE_ADMIN } };
    SHA256((const uint8_t *)"a", 1, message.row.token);
    message.domain[0] = API_FIELD_DOMAIN;
    message.domain[1] = 12;
    memcpy(message.domain + 2, "acme.example", 12);
    http_on_message(bed.http, 0, MESSAGE_CREDENTIAL, 0, &message, sizeof message.row + sizeof message.domain);
}

static void begin(void)
{
    static const tls_pem no_files[CAPIF_FILES];
    if (bed.memory[0] == NULL) {
        dro_log_setup("fuzz", DRO_LOG_NOTHING);
        dro_clock_fake_init(&bed.clock, 1795348800000);
        bed.directory_memory = mmap(NULL, directory_bytes(CORES), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bed.directory_memory == MAP_FAILED || directory_format(bed.directory_memory, CORES) != DRO_OK ||
            directory_open(&bed.directory, bed.directory_memory, CORES) != DRO_OK)
            abort();
    }
    for (int i = 0; i <= CORES; i++) {
        if (bed.memory[i] == NULL)
            bed.memory[i] = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
        assert(bed.memory[i] != NULL);
        ring_format(bed.memory[i], RING_BYTES);
        ring_writer_open(&bed.to[i], bed.memory[i], RING_BYTES, -1);
        ring_reader_open(&bed.asked[i], bed.memory[i], RING_BYTES);
    }
    bed.home = loop_new(&bed.clock.clock);
    bed.config = (gate_config){ .core_count = CORES, .to_core = bed.to, .directory = &bed.directory, .to_desk = &bed.to[CORES], .version = "1", .http_listener = eventfd(0, EFD_NONBLOCK),
                                .diameter_listener = -1, .identity = "scef.dromio.test", .realm = "dromio.test", .accept_any_peer = true,
                                .t8_root = "http://scef.dromio.test", .clock = &bed.clock.clock };
    publisher_options capif = { .config = &bed.config, .files = no_files, .to_core = bed.to, .on_aef = on_aef };
    courier_options courier = { .root = "http://scef.dromio.test", .to_core = bed.to };
    if (bed.home == NULL || http_new(&bed.http, &bed.config, bed.home, NULL, NULL) != DRO_OK || courier_new(&bed.courier, bed.home, &courier) != DRO_OK ||
        publisher_new(&bed.capif, bed.home, &capif) != DRO_OK || diameter_gate_new(&bed.diameter, &bed.config, bed.home) != DRO_OK)
        abort();
    courier_sockets(bed.courier, websocket_notice, bed.http);
    bed.client_count = bed.id_count = 0;
    put_token();
}

/* What the gate says to cores and desk; its ids may come back. */
static void hear(int from)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    ring_publish(&bed.to[from]);
    while ((body = ring_next(&bed.asked[from], &header, &err)) != NULL) {
        bed.ids[bed.id_count++ % IDS] = header.id;
        if (header.type == MESSAGE_API) {
            api_request request;
            dro_field field;
            assert(header.length - sizeof header >= sizeof request);
            dro_cursor in = dro_cursor_over(body + sizeof request, header.length - sizeof header - sizeof request);
            while (dro_field_next(&in, &field))
                continue;
            assert(in.err == DRO_OK);
        }
        ring_done(&bed.asked[from], &header);
    }
    assert(err == DRO_OK);
    ring_release(&bed.asked[from]);
}

static void turn(void)
{
    char waste[65536];
    loop_turn(bed.home, 0);
    http_turn(bed.http);
    courier_flush(bed.courier);
    publisher_flush(bed.capif);
    diameter_gate_flush(bed.diameter);
    for (int i = 0; i <= CORES; i++)
        hear(i);
    for (uint32_t i = 0; i < bed.client_count; i++)
        while (recv(bed.clients[i], waste, sizeof waste, MSG_DONTWAIT) > 0)
            continue;
}

static int client_new(int *theirs)
{
    int pair[2];
    if (bed.client_count == CLIENTS || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    *theirs = pair[0];
    return bed.clients[bed.client_count++] = pair[1];
}

static void ask(uint32_t what)
{
    char text[1024];
    int theirs, client = client_new(&theirs);
    if (client < 0)
        return;
    size_t length = what < REQUESTS ? strlen(requests[what].body) : 0;
    if (what < REQUESTS && length == 0 && requests[what].line[1] == 'O')
        length = 4; /* the image begins with NUL */
    if (what == ASK_PEER) {
        diameter_peer *peer = gate_peer_new(bed.diameter, theirs, PEER_WAIT_CER);
        if (peer == NULL || !peer_watch(peer, EPOLLIN) || send(client, vector_cer, sizeof vector_cer, MSG_NOSIGNAL) < 0)
            abort();
        return;
    }
    connection_open(bed.http, theirs);
    int head = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: %zu\r\n%s\r\n", requests[what].line, length, requests[what].more);
    memcpy(text + head, requests[what].body, length);
    if (send(client, text, (size_t)head + length, MSG_NOSIGNAL) < 0)
        abort();
}

/* Lengths that a core's message would have. */
static void mend(uint16_t type, uint8_t *body, size_t length)
{
    if (type == MESSAGE_API_REPLY && length >= sizeof(api_reply)) {
        api_reply reply;
        memcpy(&reply, body, sizeof reply);
        reply.status = (uint16_t)(200 + reply.status % 400);
        reply.location_length = reply.location_length % 32;
        if (reply.location_length > length - sizeof reply)
            reply.location_length = 0;
        reply.body_length = (uint32_t)(length - sizeof reply - reply.location_length);
        memcpy(body, &reply, sizeof reply);
    } else if (type == MESSAGE_STREAM_EVENT && length >= sizeof(stream_event)) {
        stream_event event;
        memcpy(&event, body, sizeof event);
        size_t room = length - sizeof event;
        event.event_id_length = (uint32_t)(room == 0 ? 0 : event.event_id_length % room);
        event.type_length = (uint32_t)(room == event.event_id_length ? 0 : event.type_length % (room - event.event_id_length));
        event.data_length = (uint32_t)(room - event.event_id_length - event.type_length);
        memcpy(body, &event, sizeof event);
    } else if ((type == MESSAGE_DOWNLINK || type == MESSAGE_RELEASE) && length >= sizeof(downlink_request)) {
        downlink_request request;
        memcpy(&request, body, sizeof request);
        size_t room = length - sizeof request;
        memcpy(request.user.imsi, "001010000000001", sizeof request.user.imsi);
        request.host_length = (uint16_t)(room < 16 ? 0 : 16);
        request.realm_length = (uint16_t)(room < 27 ? 0 : 11);
        request.via_length = 0;
        request.data_length = (uint16_t)(room - request.host_length - request.realm_length);
        memcpy(body, &request, sizeof request);
    } else if (type == MESSAGE_INQUIRY && length >= sizeof(inquiry_request)) {
        inquiry_request request;
        memcpy(&request, body, sizeof request);
        request.host_length = (uint16_t)(length - sizeof request < 16 ? 0 : 16);
        request.realm_length = 0;
        memcpy(body, &request, sizeof request);
    }
}

static void deliver(uint16_t type, uint32_t from, uint64_t id, const uint8_t *body, uint32_t length)
{
    if (from >= CORES) {
        http_on_message(bed.http, HTTP_DESK, type, id, body, length);
        return;
    }
    switch (type) { /* as gate.c has it */
    case MESSAGE_NETWORK_ANSWER: diameter_gate_on_answer(bed.diameter, id, body, length); break;
    case MESSAGE_DOWNLINK: diameter_gate_on_downlink(bed.diameter, from, id, body, length); break;
    case MESSAGE_RELEASE: diameter_gate_on_release(bed.diameter, body, length); break;
    case MESSAGE_REPORT_ANSWER: diameter_gate_on_report_answer(bed.diameter, id, body, length); break;
    case MESSAGE_INQUIRY: diameter_gate_on_inquiry(bed.diameter, from, id, body, length); break;
    case MESSAGE_WEBSOCKET_REPLACED: websocket_replaced(bed.http, id); break;
    case MESSAGE_TRACE: diameter_gate_on_trace(bed.diameter, id, body, length); break;
    case MESSAGE_TRACED: diameter_gate_on_traced(bed.diameter, body, length); break;
    case MESSAGE_CAPIF: publisher_on_state(bed.capif, body, length); break;
    case MESSAGE_NOTICE: courier_on_notice(bed.courier, from, id, body, length); break;
    default: http_on_message(bed.http, from, type, id, body, length); break;
    }
}

/* A message of the input, in memory of exactly its length. */
static void message(uint8_t kind, dro_cursor *in)
{
    uint8_t whom = (uint8_t)dro_cursor_le(in, 1), from = (uint8_t)dro_cursor_le(in, 1);
    size_t length = dro_cursor_le(in, 2);
    if (length > dro_cursor_left(in))
        length = dro_cursor_left(in);
    const uint8_t *bytes = dro_cursor_bytes(in, length);
    if (bytes == NULL || length > BODY_MAX)
        return;
    uint16_t type = kinds[(kind & 127u) % KINDS];
    uint64_t id = bed.id_count > 0 && whom < IDS ? bed.ids[(bed.id_count - 1 - whom % bed.id_count) % IDS] : whom;
    size_t whole = (length + 7) & ~(size_t)7; /* a ring pads */
    uint8_t *body = aligned_alloc(8, whole + 8), *exact = body + 8;
    assert(body != NULL);
    memset(body, 0, whole + 8);
    memcpy(exact, bytes, length);
    if ((kind & 128) != 0)
        mend(type, exact, length);
    deliver(type, from % (CORES + 1u), id, exact, (uint32_t)length);
    free(body);
}

static void end(void)
{
    for (uint32_t i = 0; i < bed.client_count; i++)
        close(bed.clients[i]);
    bed.client_count = 0;
    for (int i = 0; i < 3; i++)
        turn();
    dro_clock_fake_advance(&bed.clock, LONG_S * 1000000000ll);
    for (int i = 0; i < 4; i++)
        turn();
    assert(bed.http->connection_count == 0 && bed.http->under_way == 0 && block_pool_bytes(&bed.http->blocks) == 0);
    assert(bed.http->bulk_count == 0 && bed.http->stream_count == 0 && bed.http->query_count == 0 && bed.http->upload_count == 0);
    int listener = bed.config.http_listener;
    http_free(bed.http);
    diameter_gate_free(bed.diameter);
    courier_free(bed.courier);
    publisher_free(bed.capif);
    loop_free(bed.home);
    close(listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dro_cursor in = dro_cursor_over(data, size);
    begin();
    for (uint32_t step = 0; step < STEPS_MAX && dro_cursor_left(&in) > 0; step++) {
        uint8_t what = (uint8_t)dro_cursor_le(&in, 1);
        if (what < ASKS && what <= ASK_PEER)
            ask(what);
        else if (what == ASK_TIME)
            dro_clock_fake_advance(&bed.clock, 10000000000ll);
        else
            message(what, &in);
        turn();
    }
    end();
    return 0;
}
