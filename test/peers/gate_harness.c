/* The Diameter side of the gate with a scripted core instead of a real one: for
 * tests that need no twins. Listens on 127.0.0.1, prints one JSON line for each
 * message to the core, and obeys lines on standard input:
 *
 *   answer RESULT EXPERIMENTAL     what following requests are answered
 *   hold | release                 keep requests unanswered, answer what was kept
 *   downlink ID IMSI HOST REALM HEX WAIT RETRANSMIT
 *   authorize ID HSS IDENTIFIER    asks an HSS about a device, for the APN iot
 *   known REFERENCE                the one that reports are known by
 *   trigger ID KIND HOST IDENTIFIER  asks it about a trigger: enum inquiry_kind
 *   metrics                        prints the metrics, then "end"
 *   stop                           disconnects and exits
 *
 * usage: gate_harness [--peer IDENTITY,ADDRESS,APPLICATIONS]... [--any] [--port N] */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fields.h"
#include "gate/diameter.h"
#include "twin/t8_monitoring.h"
#include "twin/trigger.h"

enum { RING_BYTES = 1 << 20, HELD_MAX = 4096, PEERS_MAX = 16, LINE_MAX_BYTES = 8192, METRICS_BYTES = 65536, TURN_MS = 50 };

static uint64_t held[HELD_MAX];
static uint32_t held_count;
static bool is_holding, is_stopping;
static uint32_t known_reference;
static network_answer answer = { .result = 2001 };
static loop *home;
static diameter_gate *gate;
static ring_writer to_core;
static ring_reader core;
static gate_peer_config peers[PEERS_MAX];

static void *ring_memory(void)
{
    void *memory = aligned_alloc(64, (ring_bytes(RING_BYTES) + 63) & ~(size_t)63);
    if (memory == NULL)
        abort();
    ring_format(memory, RING_BYTES);
    return memory;
}

static void print_hex(const char *name, const uint8_t *bytes, size_t length)
{
    printf(",\"%s\":\"", name);
    for (size_t i = 0; i < length; i++)
        printf("%02x", bytes[i]);
    printf("\"");
}

static void answer_or_hold(uint64_t id)
{
    if (!is_holding)
        diameter_gate_on_answer(gate, id, &answer, sizeof answer);
    else if (held_count < HELD_MAX)
        held[held_count++] = id;
}

static void print_user(const char *type, const network_user *user)
{
    printf("{\"type\":\"%s\",\"imsi\":\"%s\"", type, user->imsi);
    print_hex("bearer", user->bearer, user->bearer_length);
}

static void on_uplink(uint64_t id, const uint8_t *body)
{
    uplink_request uplink;
    memcpy(&uplink, body, sizeof uplink);
    const char *host = (const char *)body + sizeof uplink;
    print_user("uplink", &uplink.user);
    printf(",\"host\":\"%.*s\",\"realm\":\"%.*s\",\"end_to_end\":%u,\"retransmission\":%u,\"exception\":%u", uplink.host_length,
           host, uplink.realm_length, host + uplink.host_length, uplink.end_to_end, uplink.is_retransmission,
           uplink.is_exception);
    print_hex("data", (const uint8_t *)host + uplink.host_length + uplink.realm_length, uplink.data_length);
    printf("}\n");
    answer_or_hold(id);
}

static void on_connection(uint64_t id, const uint8_t *body)
{
    connection_request request;
    memcpy(&request, body, sizeof request);
    const char *host = (const char *)body + sizeof request;
    print_user("connection", &request.user);
    printf(",\"host\":\"%.*s\",\"action\":%u,\"reachable\":%u,\"until\":%u,\"uplink_rate\":%u,\"downlink_rate\":%u,\"rat\":%u,"
           "\"apn\":\"%.*s\"}\n", request.host_length, host, request.action, request.is_reachable, request.available_until,
           request.uplink_rate, request.downlink_rate, request.rat_type, request.apn_length,
           host + request.host_length + request.realm_length);
    answer_or_hold(id);
}

static void on_downlink_answer(uint64_t id, const uint8_t *body)
{
    downlink_answer told;
    memcpy(&told, body, sizeof told);
    printf("{\"type\":\"downlink\",\"id\":%" PRIu64 ",\"outcome\":%u,\"result\":%u,\"experimental\":%u,\"retransmission\":%u,"
           "\"flags\":%u}\n", id, told.outcome, told.result, told.experimental, told.retransmission_time, told.flags);
}

static void print_fields(const uint8_t *fields, size_t length)
{
    static const struct { uint32_t tag; const char *name; } names[] = {
        { API_FIELD_IMSI, "imsi" }, { API_FIELD_MSISDN, "msisdn" }, { API_FIELD_ID, "id" }, { API_FIELD_APN_VALIDITY, "validity" },
        { API_FIELD_GRANTED, "granted" }, { API_FIELD_TRIGGER_WORD, "word" }, { API_FIELD_SERVING_NODES, "nodes" },
    };
    dro_cursor in = dro_cursor_over(fields, length);
    dro_field field;
    printf(",\"fields\":[");
    for (bool is_first = true; dro_field_next(&in, &field) && field.tag != 0; is_first = false) {
        const char *name = "?";
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            name = names[i].tag == field.tag ? names[i].name : name;
        printf("%s{\"name\":\"%s\"", is_first ? "" : ",", name);
        print_hex("hex", field.bytes, field.length);
        printf("}");
    }
    printf("]}\n");
}

static void on_inquiry(uint64_t id, const uint8_t *body, size_t length)
{
    inquiry_answer told;
    memcpy(&told, body, sizeof told);
    printf("{\"type\":\"inquiry\",\"id\":%" PRIu64 ",\"outcome\":%u,\"verdict\":%u,\"code\":%u,\"end_to_end\":%u", id, told.outcome,
           told.verdict, told.code, told.end_to_end);
    print_fields(body + sizeof told, length - sizeof told);
}

static void print_json(const t8_object *object, const uint8_t *fields, size_t length)
{
    static uint8_t text[LINE_MAX_BYTES];
    dro_builder out = dro_builder_over(text, sizeof text);
    t8_members_json(&out, object, fields, length, UINT64_MAX, "");
    printf("{%.*s}", (int)dro_builder_length(&out), (const char *)text);
}

/* One TOLD field: what, and the report as T8 shows it. */
static void print_told(const uint8_t *fields, size_t length)
{
    dro_field field;
    dro_cursor in = dro_cursor_over(fields, length);
    printf("{\"what\":\"report\"");
    for (in = dro_cursor_over(fields, length); dro_field_next(&in, &field);) {
        uint32_t number = 0;
        memcpy(&number, field.bytes, field.length < sizeof number ? field.length : sizeof number);
        if (field.tag == TOLD_FIELD_KIND)
            printf(",\"kind\":%u", number);
        else if (field.tag == TOLD_FIELD_VERDICT)
            printf(",\"verdict\":%u", number);
        else if (field.tag == TOLD_FIELD_REPORT) {
            printf(",\"report\":");
            print_json(&t8_monitoring_report, field.bytes, field.length);
        }
    }
    printf("}");
}

static void on_report(uint64_t id, const uint8_t *body, size_t length)
{
    network_report head;
    dro_field field;
    memcpy(&head, body, sizeof head);
    dro_cursor in = dro_cursor_over(body + sizeof head, length - sizeof head);
    printf("{\"type\":\"report\",\"number\":%" PRIu64 ",\"reference\":%u,\"place\":%u,\"kinds\":%u,\"told\":[", head.number, head.reference,
           head.place, head.kinds);
    for (bool is_first = true; dro_field_next(&in, &field);)
        if (field.tag == API_FIELD_TOLD) {
            printf("%s", is_first ? "" : ",");
            print_told(field.bytes, field.length);
            is_first = false;
        }
    printf("]");
    print_fields(body + sizeof head, length - sizeof head);
    report_answer told = { head.reference == known_reference ? VERDICT_DONE : VERDICT_NOT_THERE, head.place };
    diameter_gate_on_report_answer(gate, id, &told, sizeof told);
}

static void on_update(uint64_t id, const uint8_t *body, size_t length)
{
    printf("{\"type\":\"update\"");
    print_fields(body + sizeof(authorization_update), length - sizeof(authorization_update));
    answer_or_hold(id);
}

static void on_outcome(uint64_t id, const uint8_t *body, size_t length)
{
    trigger_outcome told;
    memcpy(&told, body, sizeof told);
    const uint8_t *host = body + sizeof told, *fields = host + told.host_length + told.realm_length;
    printf("{\"type\":\"outcome\",\"reference\":%u,\"result\":\"%s\",\"end_to_end\":%u,\"retransmission\":%u,\"host\":\"%.*s\"", told.reference,
           trigger_result_text(told.result), told.end_to_end, told.is_retransmission, told.host_length, (const char *)host);
    print_fields(fields, length - (size_t)(fields - body));
    answer_or_hold(id);
}

static void on_peer(const uint8_t *body)
{
    peer_state state;
    memcpy(&state, body, sizeof state);
    printf("{\"type\":\"peer\",\"host\":\"%.*s\",\"open\":%u,\"applications\":%u}\n", state.host_length,
           (const char *)body + sizeof state, state.is_open, state.applications);
}

static void serve_core(void)
{
    ring_header header;
    dro_err err;
    const uint8_t *body;
    while ((body = ring_next(&core, &header, &err)) != NULL) {
        if (header.type == MESSAGE_UPLINK)
            on_uplink(header.id, body);
        else if (header.type == MESSAGE_CONNECTION)
            on_connection(header.id, body);
        else if (header.type == MESSAGE_DOWNLINK_ANSWER)
            on_downlink_answer(header.id, body);
        else if (header.type == MESSAGE_PEER)
            on_peer(body);
        else if (header.type == MESSAGE_INQUIRY_ANSWER)
            on_inquiry(header.id, body, header.length - sizeof header);
        else if (header.type == MESSAGE_NETWORK_REPORT)
            on_report(header.id, body, header.length - sizeof header);
        else if (header.type == MESSAGE_AUTHORIZATION_UPDATE)
            on_update(header.id, body, header.length - sizeof header);
        else if (header.type == MESSAGE_TRIGGER_OUTCOME)
            on_outcome(header.id, body, header.length - sizeof header);
        ring_done(&core, &header);
    }
    ring_release(&core);
    fflush(stdout);
}

static size_t from_hex(const char *text, uint8_t *out, size_t most)
{
    size_t length = 0;
    unsigned byte;
    for (; length < most && sscanf(text, "%2x", &byte) == 1; text += 2)
        out[length++] = (uint8_t)byte;
    return length;
}

static void send_downlink(const char *line)
{
    static uint8_t body[sizeof(downlink_request) + LINE_MAX_BYTES];
    char imsi[16], host[256], realm[256], hex[4096];
    downlink_request request = { .user = { .bearer_length = 1, .bearer = { 5 } } };
    uint64_t id;
    if (sscanf(line, "downlink %" SCNu64 " %15s %255s %255s %4095s %u %u", &id, imsi, host, realm, hex, &request.wait_until,
               &request.retransmit_until) != 7)
        return;
    snprintf(request.user.imsi, sizeof request.user.imsi, "%s", imsi);
    request.host_length = (uint16_t)strlen(host);
    request.realm_length = (uint16_t)strlen(realm);
    uint8_t *at = body + sizeof request;
    memcpy(at, host, request.host_length);
    memcpy(at + request.host_length, realm, request.realm_length);
    request.data_length = (uint16_t)from_hex(hex, at + request.host_length + request.realm_length, sizeof hex / 2);
    memcpy(body, &request, sizeof request);
    uint32_t length = (uint32_t)(sizeof request + request.host_length + request.realm_length + request.data_length);
    diameter_gate_on_downlink(gate, 0, id, body, length);
}

static void send_authorization(const char *line)
{
    static uint8_t body[2048];
    char host[256], identifier[256];
    uint64_t id;
    if (sscanf(line, "authorize %" SCNu64 " %255s %255s", &id, host, identifier) != 3)
        return;
    inquiry_request request = { .kind = INQUIRY_NIDD, .host_length = (uint16_t)strlen(host) };
    dro_builder out = dro_builder_over(body, sizeof body);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, host);
    dro_field_put_text(&out, API_FIELD_ID, identifier);
    dro_field_put_text(&out, API_FIELD_APN, "iot");
    diameter_gate_on_inquiry(gate, 0, id, body, (uint32_t)dro_builder_length(&out));
}

static void send_trigger(const char *line)
{
    static uint8_t body[2048];
    char host[256], identifier[256];
    unsigned kind;
    uint64_t id;
    if (sscanf(line, "trigger %" SCNu64 " %u %255s %255s", &id, &kind, host, identifier) != 4)
        return;
    trigger_request trigger = { .reference = 0x12300007, .validity_s = 3600, .port = 4711, .has_priority = 1 };
    inquiry_request request = { .kind = (uint8_t)kind, .host_length = (uint16_t)strlen(host) };
    dro_builder out = dro_builder_over(body, sizeof body);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, host);
    dro_field_put_text(&out, API_FIELD_ID, identifier);
    dro_field_put_text(&out, API_FIELD_SENDER, "491701234");
    dro_field_put_text(&out, API_FIELD_PAYLOAD, "wake up");
    dro_field_put(&out, API_FIELD_TRIGGER, &trigger, sizeof trigger);
    diameter_gate_on_inquiry(gate, 0, id, body, (uint32_t)dro_builder_length(&out));
}

static void print_metrics(void)
{
    static char text[METRICS_BYTES];
    dro_builder out = dro_builder_over(text, sizeof text);
    diameter_gate_metrics(gate, &out);
    printf("%.*send\n", (int)dro_builder_length(&out), text);
}

static void on_line(const char *line)
{
    if (strncmp(line, "answer ", 7) == 0)
        (void)!sscanf(line, "answer %u %u", &answer.result, &answer.experimental);
    else if (strncmp(line, "hold", 4) == 0)
        is_holding = true;
    else if (strncmp(line, "release", 7) == 0) {
        is_holding = false;
        for (uint32_t i = 0; i < held_count; i++)
            diameter_gate_on_answer(gate, held[i], &answer, sizeof answer);
        held_count = 0;
    } else if (strncmp(line, "downlink ", 9) == 0)
        send_downlink(line);
    else if (strncmp(line, "authorize ", 10) == 0)
        send_authorization(line);
    else if (strncmp(line, "known ", 6) == 0)
        (void)!sscanf(line, "known %u", &known_reference);
    else if (strncmp(line, "trigger ", 8) == 0)
        send_trigger(line);
    else if (strncmp(line, "metrics", 7) == 0)
        print_metrics();
    else if (strncmp(line, "stop", 4) == 0)
        is_stopping = true;
}

static void on_input(loop_watch *watch, uint32_t events)
{
    static char line[LINE_MAX_BYTES];
    static size_t length;
    (void)events;
    ssize_t got = read(watch->descriptor, line + length, sizeof line - 1 - length);
    if (got <= 0) {
        is_stopping = true;
        loop_remove(home, watch);
        return;
    }
    length += (size_t)got;
    line[length] = '\0';
    for (char *end; (end = strchr(line, '\n')) != NULL;) {
        *end = '\0';
        on_line(line);
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length + 1);
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int on = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, (struct sockaddr *)&address, size) != 0 || listen(descriptor, 128) != 0)
        abort();
    getsockname(descriptor, (struct sockaddr *)&address, &size);
    printf("{\"type\":\"listening\",\"port\":%u}\n", ntohs(address.sin_port));
    fflush(stdout);
    return descriptor;
}

static uint16_t read_arguments(int argc, char **argv, gate_config *config)
{
    uint16_t port = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--any") == 0)
            config->accept_any_peer = true;
        else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc)
            port = (uint16_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--peer") == 0 && i + 1 < argc && config->peer_count < PEERS_MAX) {
            gate_peer_config *peer = &peers[config->peer_count++];
            char *end, *comma = strchr(argv[++i], ',');
            if (comma == NULL || (end = strchr(comma + 1, ',')) == NULL)
                abort();
            snprintf(peer->identity, sizeof peer->identity, "%.*s", (int)(comma - argv[i]), argv[i]);
            snprintf(peer->address, sizeof peer->address, "%.*s", (int)(end - comma - 1), comma + 1);
            peer->applications = (uint32_t)atoi(end + 1);
        }
    }
    return port;
}

int main(int argc, char **argv)
{
    void *up = ring_memory();
    int bell = eventfd(0, EFD_NONBLOCK);
    gate_config config = { .core_count = 1, .to_core = &to_core, .doorbell = bell, .identity = "scef.dromio.test",
                           .realm = "dromio.test", .peers = peers, .clock = dro_clock_system() };
    ring_writer_open(&to_core, up, RING_BYTES, -1);
    ring_reader_open(&core, up, RING_BYTES);
    uint16_t port = read_arguments(argc, argv, &config);
    config.diameter_listener = listen_on(port);
    home = loop_new(config.clock);
    loop_watch input = { on_input, STDIN_FILENO };
    if (home == NULL || diameter_gate_new(&gate, &config, home) != DRO_OK || loop_add(home, &input, EPOLLIN) != DRO_OK)
        abort();
    for (int turns_left = 100; turns_left > 0;) {
        loop_turn(home, TURN_MS);
        ring_publish(&to_core);
        serve_core();
        diameter_gate_flush(gate);
        if (is_stopping && (diameter_gate_stop(gate) || --turns_left == 0))
            break;
        diameter_gate_flush(gate);
    }
    diameter_gate_free(gate);
    loop_remove(home, &input);
    loop_free(home);
    close(config.diameter_listener);
    close(bell);
    free(up);
    return 0;
}
