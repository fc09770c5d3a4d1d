/* The gate with a scripted core and desk instead of real ones: for tests of HTTP
 * that need no twins. Listens on 127.0.0.1, prints "http PORT" and runs until
 * standard input ends. With one argument: the console's directory.
 *
 * Most operations answer with what they got:
 *   {"operation":N,"application":N,"scopes":N,"fields":[[TAG,"hex"],...]}
 * A twin's id says what else to do: "silent..." is never answered, "missing..."
 * is 404, "busy..." 503, "parts..." comes in three parts, "late..." is answered
 * when the next request for a twin came. Tokens: "admin-token", "reader-token"
 * (acme.example, read), "writer-token" (acme.example, read and write),
 * "images-token", "once-token" (one time), "old-token" (expired), and
 * "gone-token", which the core takes back when twin gone@acme.example is read. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/log.h"
#include "gate/gate.h"
#include "ring/message.h"

enum { RING_BYTES = 1 << 20, REPLY_BYTES = 64 * 1024, STREAMS = 16, MESSAGES_A_TURN = 4096 };

typedef struct room { /* the scripted core and desk are one thread */
    ring_reader from_gate, from_gate_to_desk;
    ring_writer to_gate, desk_to_gate;
    int doorbell;
    uint64_t late_id;
    uint64_t image_bytes;
    SHA256_CTX image_hash;
    uint64_t streams[STREAMS];
    uint64_t events, passed;
} room;

static atomic_bool is_over;

static void *ring_memory(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    if (memory == NULL)
        abort();
    ring_format(memory, RING_BYTES);
    return memory;
}

/* ---- answers ---- */

static void send_reply(ring_writer *to, uint64_t id, api_reply reply, const char *location, const void *body,
                       size_t length)
{
    static uint8_t bytes[sizeof reply + 1024 + REPLY_BYTES];
    reply.location_length = (uint32_t)strlen(location);
    reply.body_length = (uint32_t)length;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &reply, sizeof reply);
    dro_builder_text(&out, location);
    dro_builder_bytes(&out, body, length);
    while (!ring_send(to, MESSAGE_API_REPLY, 0, id, bytes, (uint32_t)dro_builder_length(&out)))
        ring_publish(to); /* the gate empties it */
}

static void send_json(room *home, uint64_t id, uint16_t status, uint64_t etag, const char *location, const char *text)
{
    api_reply reply = { .status = status, .content = CONTENT_JSON, .etag = etag };
    send_reply(&home->to_gate, id, reply, location, text, strlen(text));
}

static void send_problem(room *home, uint64_t id, uint16_t status, uint32_t retry_after_s)
{
    char text[128];
    snprintf(text, sizeof text, "{\"type\":\"about:blank\",\"title\":\"scripted\",\"status\":%u}", status);
    api_reply reply = {
        .status = status, .content = CONTENT_PROBLEM, .etag = UINT64_MAX, .retry_after_s = retry_after_s
    };
    send_reply(&home->to_gate, id, reply, "", text, strlen(text));
}

static void echo(char *text, size_t capacity, const api_request *request, const uint8_t *fields, size_t length)
{
    size_t at = (size_t)snprintf(text, capacity, "{\"operation\":%u,\"application\":%u,\"scopes\":%u,\"fields\":[",
                                 request->operation, request->application, request->scopes);
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    bool is_first = true;
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field)) {
        if (at + 2 * field.length + 64 > capacity)
            break;
        at += (size_t)snprintf(text + at, capacity - at, "%s[%u,\"", is_first ? "" : ",", field.tag);
        for (uint32_t i = 0; i < field.length; i++)
            at += (size_t)snprintf(text + at, capacity - at, "%02x", field.bytes[i]);
        at += (size_t)snprintf(text + at, capacity - at, "\"]");
        is_first = false;
    }
    snprintf(text + at, capacity - at, "]}");
}

static dro_field find_field(const uint8_t *fields, size_t length, uint32_t tag)
{
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    while (in.at < in.end && *in.at != 0 && dro_field_next(&in, &field))
        if (field.tag == tag)
            return field;
    return (dro_field){ 0 };
}

static bool starts_with(const dro_field *field, const char *word)
{
    size_t length = strlen(word);
    return field->length >= length && memcmp(field->bytes, word, length) == 0;
}

static void send_credential(room *home, const char *token_text, credential row, const char *domain)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    SHA256((const uint8_t *)token_text, strlen(token_text), row.token);
    dro_builder_bytes(&out, &row, sizeof row);
    if (domain[0] != '\0')
        dro_field_put_text(&out, API_FIELD_DOMAIN, domain);
    if (!ring_send(&home->to_gate, MESSAGE_CREDENTIAL, 0, 0, bytes, (uint32_t)dro_builder_length(&out)))
        abort();
}

static void on_image(room *home, uint64_t id, const uint8_t *fields, size_t length)
{
    dro_field body = find_field(fields, length, API_FIELD_BODY), last = find_field(fields, length, API_FIELD_LAST);
    if (home->image_bytes == 0)
        SHA256_Init(&home->image_hash);
    home->image_bytes += body.length;
    SHA256_Update(&home->image_hash, body.bytes, body.length);
    if (last.tag == 0)
        return;
    uint8_t hash[32];
    char text[256], *at = text;
    SHA256_Final(hash, &home->image_hash);
    at += sprintf(at, "{\"image\":\"sha256:");
    for (int i = 0; i < 32; i++)
        at += sprintf(at, "%02x", hash[i]);
    sprintf(at, "\",\"bytes\":%" PRIu64 "}", home->image_bytes);
    home->image_bytes = 0;
    send_json(home, id, 201, UINT64_MAX, "/v1/images/x", text);
}

static const char thing_model[] =
    "{\"@context\":[\"https://www.w3.org/2022/wot/td/v1.1\"],\"@type\":\"tm:ThingModel\",\"title\":\"Thermo\","
    "\"dromio:model\":\"acme/thermo\",\"version\":{\"model\":\"1.0.0\"},"
    "\"dromio:secrets\":{\"key\":{\"type\":\"string\"}},"
    "\"properties\":{\"temperature\":{\"type\":\"number\",\"unit\":\"Cel\",\"readOnly\":true,\"dromio:source\":"
    "\"device\"},"
    "\"period\":{\"type\":\"integer\",\"minimum\":10},\"hidden\":{\"type\":\"number\",\"dromio:private\":true}},"
    "\"actions\":{\"blink\":{\"input\":{\"type\":\"object\"}}},\"events\":{\"too_hot\":{\"data\":{\"type\":\"number\"}}"
    "}}";

static void send_parts(room *home, uint64_t id)
{
    for (int i = 0; i < 3; i++) {
        const char *const parts[] = { "{\"parts\":[1", ",2", ",3]}" };
        api_reply reply = { .status = 200, .content = CONTENT_JSON, .etag = UINT64_MAX, .more = i < 2 };
        send_reply(&home->to_gate, id, reply, "", parts[i], strlen(parts[i]));
    }
}

static bool on_script(room *home, uint64_t id, const dro_field *twin)
{
    if (home->late_id != 0 && twin->length > 0 && !starts_with(twin, "late")) {
        send_json(home, home->late_id, 200, UINT64_MAX, "", "{\"late\":true}");
        home->late_id = 0;
    }
    if (starts_with(twin, "missing"))
        send_problem(home, id, 404, 0);
    else if (starts_with(twin, "busy"))
        send_problem(home, id, 503, 7);
    else if (starts_with(twin, "parts"))
        send_parts(home, id);
    else if (starts_with(twin, "late"))
        home->late_id = id;
    else
        return starts_with(twin, "silent");
    return true;
}

static void on_api(room *home, uint64_t id, const uint8_t *body, size_t length)
{
    static char text[2 * REPLY_BYTES];
    api_request request;
    memcpy(&request, body, sizeof request);
    const uint8_t *fields = body + sizeof request;
    size_t fields_length = length - sizeof request;
    dro_field twin = find_field(fields, fields_length, API_FIELD_ID),
              name = find_field(fields, fields_length, API_FIELD_NAME);
    if (request.operation == API_IMAGE_PUT) {
        on_image(home, id, fields, fields_length);
        return;
    }
    if (on_script(home, id, &twin))
        return;
    if (starts_with(&twin, "gone@"))
        send_credential(home, "gone-token", (credential){ .is_gone = 1 }, "");
    switch (request.operation) {
    case API_BARRIER:
        send_reply(&home->to_gate, id, (api_reply){ .status = 204, .etag = UINT64_MAX }, "", "", 0);
        return;
    case API_TWIN_DELETE:
        send_reply(&home->to_gate, id, (api_reply){ .status = 204, .etag = UINT64_MAX }, "", "", 0);
        return;
    case API_METRICS: {
        static const char metrics[] = "# TYPE scripted_core gauge\nscripted_core 1\n";
        api_reply reply = { .status = 200, .content = CONTENT_TEXT, .etag = UINT64_MAX };
        send_reply(&home->to_gate, id, reply, "", metrics, sizeof metrics - 1);
        return;
    }
    case API_THING_DESCRIPTION: {
        char whose[256] = { 0 };
        memcpy(whose, twin.bytes, twin.length < 255 ? twin.length : 255);
        api_reply reply = { .status = 200, .content = CONTENT_THING_MODEL, .etag = UINT64_MAX };
        send_reply(&home->to_gate, id, reply, whose, thing_model, sizeof thing_model - 1);
        return;
    }
    case API_PROPERTY_GET:
        if (starts_with(&name, "temperature")) {
            send_json(home, id, 200, UINT64_MAX, "",
                      "{\"value\":21.4,\"unit\":\"Cel\",\"time\":\"2026-11-22T12:00:00.000Z\",\"quality\":\"good\","
                      "\"source\":\"device\"}");
            return;
        }
        break;
    default: break;
    }
    echo(text, REPLY_BYTES, &request, fields, fields_length);
    bool is_made = request.operation == API_TWIN_PUT;
    send_json(home, id, is_made ? 201 : 200, 7, is_made ? "/v1/twins/made" : "", text);
}

/* ---- events ---- */

static void send_event(room *home, uint64_t stream, uint64_t number)
{
    char id[32], data[64];
    uint8_t bytes[256];
    snprintf(id, sizeof id, "e%" PRIu64, number);
    snprintf(data, sizeof data, "{\"number\":%" PRIu64 "}", number);
    static const char type[] = "dromio.property.changed.v1";
    stream_event head = { (uint32_t)strlen(id), sizeof type - 1, (uint32_t)strlen(data), 0 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &head, sizeof head);
    dro_builder_text(&out, id);
    dro_builder_text(&out, type);
    dro_builder_text(&out, data);
    if (!ring_send(&home->to_gate, MESSAGE_STREAM_EVENT, 0, stream, bytes, (uint32_t)dro_builder_length(&out)))
        home->events--; /* full: this one again, later */
}

static void on_subscribe(room *home, uint64_t id, const uint8_t *body, size_t length)
{
    static char text[REPLY_BYTES];
    dro_field twin = find_field(body + sizeof(api_request), length - sizeof(api_request), API_FIELD_ID);
    (void)text;
    if (starts_with(&twin, "missing")) {
        send_problem(home, id, 404, 0);
        return;
    }
    send_reply(&home->to_gate, id, (api_reply){ .status = 200, .etag = UINT64_MAX }, "", "", 0);
    for (int i = 0; i < STREAMS; i++) {
        if (home->streams[i] == 0) {
            home->streams[i] = id;
            break;
        }
    }
    for (int i = 0; i < 3; i++)
        send_event(home, id, ++home->events);
    printf("subscribed\n");
    fflush(stdout);
}

static void on_unsubscribe(room *home, uint64_t id)
{
    for (int i = 0; i < STREAMS; i++)
        if (home->streams[i] == id)
            home->streams[i] = 0;
    printf("unsubscribed\n");
    fflush(stdout);
}

/* A stream gets all the credit it has: the tests of slow readers need much. */
static bool send_events(room *home)
{
    bool was_any = false;
    for (int i = 0; i < STREAMS; i++) {
        if (home->streams[i] == 0)
            continue;
        for (int n = 0; n < 64 && home->events - home->passed < STREAM_CREDIT; n++, was_any = true)
            send_event(home, home->streams[i], ++home->events);
    }
    return was_any;
}

/* ---- the thread ---- */

static void on_desk(room *home, uint64_t id, const uint8_t *body)
{
    char text[1024];
    query_request query;
    memcpy(&query, body, sizeof query);
    snprintf(text, sizeof text, "{\"all\":%u,\"domain\":\"%.*s\",\"sql_bytes\":%u,\"sql\":\"%.*s\"}", query.all_domains,
             (int)query.domains_length, (const char *)body + sizeof query, query.sql_length,
             (int)(query.sql_length < 200 ? query.sql_length : 200),
             (const char *)body + sizeof query + query.domains_length);
    api_reply reply = { .status = 200, .content = CONTENT_JSON, .etag = UINT64_MAX };
    send_reply(&home->desk_to_gate, id, reply, "", text, strlen(text));
}

static void on_message(room *home, const ring_header *header, const uint8_t *body)
{
    size_t length = header->length - sizeof *header;
    switch (header->type) {
    case MESSAGE_API: on_api(home, header->id, body, length); break;
    case MESSAGE_SUBSCRIBE: on_subscribe(home, header->id, body, length); break;
    case MESSAGE_UNSUBSCRIBE: on_unsubscribe(home, header->id); break;
    case MESSAGE_CREDIT: {
        uint64_t passed;
        memcpy(&passed, body, sizeof passed);
        home->passed += passed;
        break;
    }
    case MESSAGE_QUERY: on_desk(home, header->id, body); break;
    default: break;
    }
}

static bool drain(room *home, ring_reader *reader)
{
    ring_header header;
    dro_err err;
    int count = 0;
    const uint8_t *body;
    while (count < MESSAGES_A_TURN && (body = ring_next(reader, &header, &err)) != NULL) {
        on_message(home, &header, body);
        ring_done(reader, &header);
        count++;
    }
    ring_release(reader);
    return count > 0;
}

static void send_credentials(room *home)
{
    send_credential(home, "admin-token", (credential){ .scopes = SCOPE_ADMIN }, "");
    send_credential(home, "reader-token", (credential){ .number = 1, .scopes = SCOPE_READ }, "acme.example");
    send_credential(home, "writer-token", (credential){ .number = 2, .scopes = SCOPE_READ | SCOPE_WRITE },
                    "acme.example");
    send_credential(home, "images-token", (credential){ .number = 3, .scopes = SCOPE_IMAGES }, "acme.example");
    send_credential(home, "once-token", (credential){ .number = 4, .scopes = SCOPE_ADMIN, .is_one_time = 1 }, "");
    send_credential(home, "old-token", (credential){ .number = 5, .scopes = SCOPE_ADMIN, .expires_ms = 1000 }, "");
    send_credential(home, "gone-token", (credential){ .number = 6, .scopes = SCOPE_READ }, "acme.example");
    ring_publish(&home->to_gate);
}

static void *work(void *context)
{
    room *home = context;
    send_credentials(home);
    while (!atomic_load(&is_over)) {
        bool was_any = drain(home, &home->from_gate);
        was_any |= drain(home, &home->from_gate_to_desk);
        was_any |= send_events(home);
        ring_publish(&home->to_gate);
        ring_publish(&home->desk_to_gate);
        bool is_there = ring_prepare_sleep(&home->from_gate);
        is_there |= ring_prepare_sleep(&home->from_gate_to_desk);
        uint64_t rung;
        ssize_t ignored = was_any || is_there ? 0 : read(home->doorbell, &rung, sizeof rung);
        (void)ignored;
        ring_awake(&home->from_gate);
        ring_awake(&home->from_gate_to_desk);
    }
    return NULL;
}

/* ---- start ---- */

static int listen_somewhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(descriptor, 1024) != 0)
        abort();
    return descriptor;
}

static int port_of(int descriptor)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &length) != 0)
        abort();
    return ntohs(address.sin_port);
}

static void pair(ring_writer *writer, ring_reader *reader, int doorbell)
{
    void *memory = ring_memory();
    ring_writer_open(writer, memory, RING_BYTES, doorbell);
    ring_reader_open(reader, memory, RING_BYTES);
}

int main(int argc, char **argv)
{
    static room home;
    ring_writer to_core, to_desk;
    ring_reader from_core, from_desk;
    int gate_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    home.doorbell = eventfd(0, EFD_CLOEXEC);
    pair(&to_core, &home.from_gate, home.doorbell);
    pair(&to_desk, &home.from_gate_to_desk, home.doorbell);
    pair(&home.to_gate, &from_core, gate_bell);
    pair(&home.desk_to_gate, &from_desk, gate_bell);
    gate_config config = { .core_count = 1,
                           .to_core = &to_core,
                           .from_core = &from_core,
                           .to_desk = &to_desk,
                           .from_desk = &from_desk,
                           .doorbell = gate_bell,
                           .http_listener = listen_somewhere(),
                           .diameter_listener = listen_somewhere(),
                           .identity = "scef.dromio.test",
                           .realm = "dromio.test",
                           .console_directory = argc > 1 ? argv[1] : NULL,
                           .version = "test",
                           .health = "\"sandbox\":\"none\"",
                           .clock = dro_clock_system() };
    dro_log_setup("gate 0", DRO_LOG_INFO);
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &home) != 0)
        return 1;
    printf("http %d\n", port_of(config.http_listener));
    fflush(stdout);
    int status = gate_run(&config, STDIN_FILENO); /* its end makes it readable */
    atomic_store(&is_over, true);
    eventfd_write(home.doorbell, 1);
    pthread_join(thread, NULL);
    return status;
}
