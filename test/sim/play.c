#include "play.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "core/host_tables.h"
#include "core/mailbox.h"
#include "core/number.h"
#include "core/state.h"
#include "core/tell.h"
#include "core/twin_table.h"

enum { WINDOW = 3, PERIOD_MIN = 10, PERIOD_MAX = 65535, READING_RANGE = 6000 };

void play_init(play *play, world *world, const play_options *options)
{
    *play = (struct play){ .world = world, .options = *options, .id_next = 1, .end_to_end_next = 1000, .order_next = 1 };
    WORLD_ASSERT(options->devices <= PLAY_DEVICES_MAX);
    for (uint32_t i = 0; i < options->devices; i++) {
        play_device *device = &play->devices[i];
        snprintf(device->id, sizeof device->id, "m%u@acme%u.example", i, i % 3);
        snprintf(device->imsi, sizeof device->imsi, "00101%010u", i);
        device->gate = i % WORLD_GATES;
        device->confirm = -1;
    }
}

/* ---- asking ---- */

static play_open *open_new(play *play, enum play_kind kind, uint32_t device)
{
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++) {
        if (play->open[i].kind != PLAY_FREE)
            continue;
        play->open[i] = (play_open){ .kind = kind, .device = device, .id = play->id_next++, .order = play->order_next++, .is_due = true,
                                     .acked = play->devices[device].acked, .revision = play->devices[device].revision };
        return &play->open[i];
    }
    return NULL;
}

static play_open *open_find(play *play, uint64_t id)
{
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        if (play->open[i].kind != PLAY_FREE && play->open[i].id == id)
            return &play->open[i];
    return NULL;
}

static void send_due(play *play)
{
    for (;;) { /* in the order they were made */
        play_open *next = NULL;
        for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++) {
            play_open *open = &play->open[i];
            if (open->kind != PLAY_FREE && open->is_due && play->world->gates[play->devices[open->device].gate].is_open &&
                (next == NULL || open->order < next->order))
                next = open;
        }
        if (next == NULL || !world_send(play->world, play->devices[next->device].gate, next->type, next->id, next->bytes, next->length))
            return;
        next->is_due = false;
    }
}

static void ask_api(play *play, enum play_kind kind, uint32_t device, world_request *request)
{
    uint8_t key[64] = { 0 };
    if (kind != PLAY_GET && kind != PLAY_DELETE) {
        uint32_t number = ++play->key_next;
        memcpy(key, &number, sizeof number);
        key[32] = 1;
        request_bytes(request, API_FIELD_IDEMPOTENCY, key, sizeof key);
    }
    play_open *open = open_new(play, kind, device);
    if (open == NULL)
        return;
    open->type = MESSAGE_API;
    open->length = dro_builder_length(&request->out);
    WORLD_ASSERT(open->length <= sizeof open->bytes);
    memcpy(open->bytes, request->bytes, open->length);
    play_device *who = &play->devices[device];
    who->is_busy |= kind != PLAY_GET;
    if (kind != PLAY_GET && kind != PLAY_DELETE && kind != PLAY_ACTION)
        who->revision_sent++;
}

static void ask(play *play, enum play_kind kind, uint32_t index)
{
    static world_request request;
    play_device *device = &play->devices[index];
    static const uint16_t operations[] = { [PLAY_CREATE] = API_TWIN_PUT, [PLAY_TAG] = API_TWIN_PUT, [PLAY_DELETE] = API_TWIN_DELETE,
                                           [PLAY_WRITE] = API_PROPERTY_PUT, [PLAY_ACTION] = API_ACTION, [PLAY_GET] = API_TWIN_GET };
    request_begin(&request, operations[kind]);
    request_text(&request, API_FIELD_ID, device->id);
    if (kind == PLAY_CREATE) {
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        request_text(&request, API_FIELD_IMSI, device->imsi);
        device->is_making = true;
    } else if (kind == PLAY_WRITE) {
        value value = { .kind = VALUE_INTEGER };
        bool is_same = device->period > 0 && world_chance(play->world, 20);
        device->period = is_same ? device->period : PERIOD_MIN + (int)world_below(play->world, PERIOD_MAX - PERIOD_MIN);
        value.integer = device->period;
        request_text(&request, API_FIELD_NAME, "period");
        request_value(&request, &value);
    } else if (kind == PLAY_ACTION) {
        static const uint8_t input[] = { 7, 's', 'e', 'c', 'o', 'n', 'd', 's', VALUE_INTEGER, 9, 0, 0, 0, 0, 0, 0, 0 };
        request_text(&request, API_FIELD_NAME, "blink");
        request_bytes(&request, API_FIELD_INPUT, input, sizeof input);
    } else if (kind == PLAY_TAG) {
        request_bytes(&request, API_FIELD_TAG, "\4siteA", 6);
    }
    ask_api(play, kind, index, &request);
}

static void ask_network(play *play, enum play_kind kind, uint32_t device, uint16_t type, const void *bytes, size_t length)
{
    play_open *open = open_new(play, kind, device);
    if (open == NULL)
        return;
    open->type = type;
    open->length = length;
    memcpy(open->bytes, bytes, length);
}

static const char node_host[] = "mme1.epc.example", node_realm[] = "epc.example";

static network_user user_of(const play_device *device)
{
    network_user user = { .bearer_length = 1, .bearer = { 5 } };
    snprintf(user.imsi, sizeof user.imsi, "%s", device->imsi);
    return user;
}

static void ask_connection(play *play, uint32_t index)
{
    uint8_t bytes[256];
    connection_request request = { .user = user_of(&play->devices[index]), .is_reachable = world_chance(play->world, 50),
                                   .host_length = sizeof node_host - 1, .realm_length = sizeof node_realm - 1 };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, node_host);
    dro_builder_text(&out, node_realm);
    play->devices[index].is_connecting = true;
    ask_network(play, PLAY_CONNECT, index, MESSAGE_CONNECTION, bytes, dro_builder_length(&out));
}

static void ask_uplink(play *play, uint32_t index, enum play_kind kind, uint32_t end_to_end, const uint8_t *frame, size_t length)
{
    uint8_t bytes[256];
    uplink_request request = { .user = user_of(&play->devices[index]), .end_to_end = end_to_end, .is_retransmission = kind == PLAY_AGAIN,
                               .host_length = sizeof node_host - 1, .realm_length = sizeof node_realm - 1, .data_length = (uint16_t)length };
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_bytes(&out, &request, sizeof request);
    dro_builder_text(&out, node_host);
    dro_builder_text(&out, node_realm);
    dro_builder_bytes(&out, frame, length);
    ask_network(play, kind, index, MESSAGE_UPLINK, bytes, dro_builder_length(&out));
}

static double reading_value(uint32_t index)
{
    return ((int)(index * 7 % READING_RANGE) - 2000) / 100.0;
}

static void ask_reading(play *play, uint32_t index)
{
    play_device *device = &play->devices[index];
    uint16_t raw = (uint16_t)(int16_t)((int)(device->sent * 7 % READING_RANGE) - 2000);
    uint8_t frame[8] = { 1, (uint8_t)device->sent, (uint8_t)(raw >> 8), (uint8_t)raw, device->lives, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    ask_uplink(play, index, PLAY_UPLINK, play->end_to_end_next++, frame, sizeof frame);
    open_find(play, play->id_next - 1)->is_reading = true;
    device->sent++;
    device->waiting++;
}

static void ask_confirm(play *play, uint32_t index)
{
    play_device *device = &play->devices[index];
    uint8_t frame[3] = { 2, (uint8_t)(device->confirm >> 8), (uint8_t)device->confirm };
    device->confirm = -1;
    ask_uplink(play, index, PLAY_UPLINK, play->end_to_end_next++, frame, sizeof frame);
    device->waiting++;
}

/* The core that has the device's twin, or would have it. */
static const core *core_of(const play *play, const play_device *device)
{
    return play->world->seats[directory_route(&play->world->directory, DIRECTORY_ID, device->id, strlen(device->id))].core;
}

/* ---- turns that failed ---- */

/* Which readings of the device's life are dead letters: by its frame, as the core keeps it. */
static uint32_t trapped_of(const play *play, const play_device *device, bool trapped[PLAY_READINGS_MAX])
{
    const dead_letters *letters = &core_of(play, device)->dead_letters;
    uint32_t count = 0;
    char id[48];
    memset(trapped, 0, PLAY_READINGS_MAX * sizeof trapped[0]);
    snprintf(id, sizeof id, "{\"id\":\"%s\"", device->id);
    WORLD_ASSERT(letters->count < DEAD_LETTERS_MAX && device->sent <= PLAY_READINGS_MAX);
    for (uint32_t i = 0; i < letters->count; i++) {
        const char *text = letters->list[i].text, *frame = strstr(text, "\"frame\":\"");
        unsigned kind, sequence, high, low, life;
        if (strncmp(text, id, strlen(id)) != 0 || frame == NULL ||
            sscanf(frame + 9, "%2x%2x%2x%2x%2x", &kind, &sequence, &high, &low, &life) != 5 || kind != 1 || life != device->lives)
            continue;
        for (uint32_t n = sequence; n < device->sent; n += 256) { /* the raw value repeats after READING_RANGE only */
            uint16_t raw = (uint16_t)(int16_t)((int)(n * 7 % READING_RANGE) - 2000);
            if (raw == (high << 8 | low) && !trapped[n]) {
                trapped[n] = true;
                count++;
            }
        }
    }
    return count;
}

/* The value of the n-th reading that was not lost to a trap. */
static double value_after(const bool trapped[PLAY_READINGS_MAX], uint32_t readings)
{
    uint32_t index = 0;
    for (uint32_t left = readings; index < PLAY_READINGS_MAX; index++)
        if (!trapped[index] && --left == 0)
            break;
    return reading_value(index);
}

/* ---- answers ---- */

static void on_read(play *play, const play_open *open, const api_reply *reply, const char *json)
{
    const play_device *device = &play->devices[open->device];
    if (reply->status == 404) { /* only if it never was, or is being removed */
        WORLD_ASSERT(device->life == PLAY_ABSENT || device->is_busy || open->revision == 0);
        return;
    }
    WORLD_ASSERT(reply->status == 200);
    yyjson_doc *doc = yyjson_read(json, reply->body_length, 0);
    WORLD_ASSERT(doc != NULL);
    yyjson_val *properties = yyjson_obj_get(yyjson_doc_get_root(doc), "properties");
    uint64_t readings = yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(properties, "readings"), "value"));
    yyjson_val *temperature = yyjson_obj_get(yyjson_obj_get(properties, "temperature"), "value");
    static bool trapped[PLAY_READINGS_MAX];
    uint32_t lost = trapped_of(play, device, trapped); /* now; when it was read, perhaps fewer */
    WORLD_ASSERT(readings + lost >= open->acked && readings <= device->sent);
    WORLD_ASSERT(reply->etag >= open->revision && reply->etag <= device->revision_sent);
    if (readings == 0)
        WORLD_ASSERT(yyjson_is_null(temperature));
    else
        WORLD_ASSERT(yyjson_get_num(temperature) == value_after(trapped, (uint32_t)readings));
    yyjson_doc_free(doc);
}

static void on_command(play *play, const play_open *open, const api_reply *reply, const char *json)
{
    play_device *device = &play->devices[open->device];
    WORLD_ASSERT(reply->status == 202 || reply->status == 200);
    yyjson_doc *doc = yyjson_read(json, reply->body_length, 0);
    WORLD_ASSERT(doc != NULL);
    device->ticket = strtoull(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "ticket")), NULL, 10);
    yyjson_doc_free(doc);
}

/* It is gone, and so is all that was asked of it. */
static void device_gone(play *play, uint32_t index)
{
    play_device *device = &play->devices[index];
    device->life = PLAY_ABSENT;
    device->is_busy = device->is_connected = device->is_connecting = device->is_leaving = device->is_wild = false;
    device->sent = device->acked = device->revision = device->revision_sent = device->old_count = device->waiting = 0;
    device->lives = (uint8_t)((device->lives + 1) % 200); /* a humidity that can be */
    device->period = 0;
    device->confirm = -1;
    device->ticket = 0;
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        if (play->open[i].device == index) {
            play->open[i].acked = 0;
            play->open[i].revision = 0;
        }
    for (uint32_t i = 0; i < play->downlink_count; i++) /* still to be answered, but of nobody */
        if (play->downlinks[i].device == index)
            play->downlinks[i].device = NONE;
}

/* After the last answer to a twin that was removed in the middle of everything. */
static void on_wild(play *play, const play_open *open)
{
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        if (&play->open[i] != open && play->open[i].kind != PLAY_FREE && play->open[i].device == open->device)
            return;
    device_gone(play, open->device);
    play->wild++;
}

static void on_reply(play *play, play_open *open, const api_reply *reply, const char *json)
{
    play_device *device = &play->devices[open->device];
    WORLD_ASSERT(!play->is_mute || open->kind == PLAY_GET || reply->status == 404);
    if (open->kind != PLAY_GET)
        device->is_busy = false;
    switch (open->kind) {
    case PLAY_CREATE:
        WORLD_ASSERT(reply->status == 201 || reply->status == 200);
        device->life = PLAY_LIVE;
        device->is_making = false;
        break;
    case PLAY_DELETE:
        WORLD_ASSERT(reply->status == 204 || reply->status == 404);
        device_gone(play, open->device);
        return;
    case PLAY_TAG: WORLD_ASSERT(reply->status == 200); break;
    case PLAY_GET: on_read(play, open, reply, json); return;
    default: on_command(play, open, reply, json); break;
    }
    if (open->kind != PLAY_ACTION)
        device->revision++;
}

static void on_network(play *play, play_open *open, const network_answer *answer)
{
    play_device *device = &play->devices[open->device];
    WORLD_ASSERT(answer->result == 2001 && (!play->is_mute || open->kind == PLAY_AGAIN)); /* that one was acknowledged before */
    if (open->kind == PLAY_CONNECT) {
        device->is_connected = true;
        device->is_connecting = false;
    }
    if (open->kind != PLAY_UPLINK)
        return;
    WORLD_ASSERT(open->order > device->answered || play->is_lossy); /* in the order they were sent */
    device->answered = open->order;
    device->waiting--;
    device->acked += open->is_reading;
    uplink_request request;
    memcpy(&request, open->bytes, sizeof request);
    device->old[device->old_count++ % 8] = request.end_to_end;
}

static void on_downlink(play *play, uint32_t gate, uint64_t id, const uint8_t *body)
{
    downlink_request request;
    memcpy(&request, body, sizeof request);
    uint32_t index = (uint32_t)strtoul(request.user.imsi + 5, NULL, 10);
    const uint8_t *data = body + sizeof request + request.host_length + request.realm_length;
    WORLD_ASSERT(index < play->options.devices && play->downlink_count < PLAY_DOWNLINKS_MAX);
    WORLD_ASSERT(request.data_length == 2 || request.data_length == 3);
    int64_t sent_ms = ((int64_t)request.wait_until - DOWNLINK_WAIT_S) * 1000; /* by the core; it may have waited for its round */
    for (uint32_t i = 0; i < play->downlink_count;) {
        bool is_its = play->downlinks[i].device == index;
        if (is_its && sent_ms - play->downlinks[i].sent_ms >= (DOWNLINK_LOST_S - 1) * 1000ll) {
            play->downlinks[i] = play->downlinks[--play->downlink_count]; /* no gate answers that late */
            continue;
        }
        WORLD_ASSERT(!is_its); /* one at a time */
        i++;
    }
    play_downlink *downlink = &play->downlinks[play->downlink_count++];
    *downlink = (play_downlink){ .id = id, .gate = gate, .device = index, .length = request.data_length, .sent_ms = sent_ms };
    memcpy(downlink->bytes, data, request.data_length);
}

/* Refused because the disk is broken, so perhaps there is no image to make twins of. */
static bool is_refusal(const play *play, const ring_header *header, const uint8_t *body)
{
    api_reply reply;
    network_answer answer;
    memcpy(&reply, body, sizeof reply < header->length - sizeof *header ? sizeof reply : header->length - sizeof *header);
    memcpy(&answer, body, sizeof answer);
    return play->is_broken && (header->type == MESSAGE_API_REPLY ? reply.status == 503 || reply.status == 422 : answer.result == 3004);
}

void play_message(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length)
{
    play *play = context;
    if (header->type == MESSAGE_DOWNLINK)
        on_downlink(play, gate, header->id, body);
    if (header->type != MESSAGE_API_REPLY && header->type != MESSAGE_NETWORK_ANSWER)
        return;
    play_open *open = open_find(play, header->id);
    if (open == NULL)
        return; /* of the image, or of a request that was sent twice */
    play->answers++;
    if (is_refusal(play, header, body)) {
        play->refused++;
        open->is_due = true;
        return;
    }
    if (play->devices[open->device].is_wild) {
        on_wild(play, open);
    } else if (header->type == MESSAGE_NETWORK_ANSWER) {
        network_answer answer;
        WORLD_ASSERT(length >= sizeof answer);
        memcpy(&answer, body, sizeof answer);
        on_network(play, open, &answer);
    } else {
        api_reply reply;
        memcpy(&reply, body, sizeof reply);
        WORLD_ASSERT(length >= sizeof reply + reply.location_length + reply.body_length);
        on_reply(play, open, &reply, (const char *)body + sizeof reply + reply.location_length);
    }
    open->kind = PLAY_FREE;
}

/* ---- the network's side of downlinks ---- */

static void downlink_end(play *play, uint32_t at, bool is_good)
{
    world *world = play->world;
    play_downlink downlink = play->downlinks[at];
    downlink_answer answer = { .outcome = DOWNLINK_ANSWERED };
    play->downlinks[at] = play->downlinks[--play->downlink_count];
    if (world->clock.wall_ms - downlink.sent_ms >= (DOWNLINK_LOST_S - 1) * 1000ll)
        return; /* no gate answers that late; the core has taken it back */
    uint32_t fate = is_good ? 0 : world_below(world, 10);
    if (fate <= 4) {
        answer.result = 2001;
        if (downlink.length == 3 && downlink.device != NONE)
            play->devices[downlink.device].confirm = downlink.bytes[1] << 8 | downlink.bytes[2];
    } else if (fate <= 6) {
        answer.experimental = 5653;
        answer.retransmission_time = fate == 5 ? 0 : (uint32_t)(world->clock.wall_ms / 1000 + 30);
    } else if (fate == 7) {
        answer.result = 3004;
    } else {
        answer.outcome = fate == 8 ? DOWNLINK_NO_PEER : DOWNLINK_NO_ANSWER;
    }
    if (!world_downlink_answer(world, downlink.gate, downlink.id, &answer))
        play->downlinks[play->downlink_count++] = downlink; /* the ring is full */
}

static void downlinks_of_gate_lost(play *play, uint32_t gate)
{
    for (uint32_t i = 0; i < play->downlink_count;)
        if (play->downlinks[i].gate == gate)
            play->downlinks[i] = play->downlinks[--play->downlink_count];
        else
            i++;
}

/* ---- tickets ---- */

static bool is_legal(ticket_state from, ticket_state to)
{
    if (from == to || (from == TICKET_SENT && to == TICKET_PENDING))
        return true;
    return from < TICKET_REPORTED && to > from;
}

static void check_tickets(play *play, const core *core)
{
    for (uint32_t i = 0; i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        for (const ticket *t = twin->number != 0 && twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next) {
            uint32_t at = (uint32_t)(t->number * 0x9e3779b97f4a7c15u >> 50) % PLAY_TICKETS;
            if (play->tickets[at].number == t->number) {
                WORLD_ASSERT(is_legal((ticket_state)play->tickets[at].state, t->state));
                play->reported += t->state == TICKET_REPORTED && play->tickets[at].state != TICKET_REPORTED;
            }
            play->tickets[at].number = t->number;
            play->tickets[at].state = (uint8_t)t->state;
        }
    }
}

/* ---- one step ---- */

static void lose_something(play *play)
{
    world *world = play->world;
    if (world_chance(world, 50)) {
        world_cell_lose(world);
        return;
    }
    uint32_t gate = world_below(world, WORLD_GATES);
    world_gate_lose(world, gate);
    downlinks_of_gate_lost(play, gate);
    world_gate_open(world, gate);
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        if (play->open[i].kind != PLAY_FREE && play->devices[play->open[i].device].gate == gate)
            play->open[i].is_due = true;
}

static void deed(play *play, uint32_t index)
{
    world *world = play->world;
    play_device *device = &play->devices[index];
    uint32_t what = world_below(world, 100), window = play->options.window > 0 ? play->options.window : WINDOW;
    if (what < 5)
        ask(play, PLAY_GET, index);
    else if (device->life == PLAY_ABSENT && !device->is_busy)
        ask(play, PLAY_CREATE, index);
    else if (device->life == PLAY_ABSENT || device->is_leaving)
        return;
    else if (!device->is_connected && !device->is_connecting)
        ask_connection(play, index);
    else if (device->confirm >= 0 && device->is_connected && device->waiting < window && what < 40)
        ask_confirm(play, index);
    else if (device->is_connected && device->waiting < window && what < 60)
        ask_reading(play, index);
    else if (device->old_count >= 8 && what < 65)
        ask_uplink(play, index, PLAY_AGAIN, device->old[world_below(world, 8)], (const uint8_t *)"\1again!!", 8);
    else if (!device->is_busy && what < 80)
        ask(play, PLAY_WRITE, index);
    else if (!device->is_busy && what < 85)
        ask(play, PLAY_ACTION, index);
    else if (!device->is_busy && what < 90)
        ask(play, PLAY_TAG, index);
    else if (device->is_connected && !device->is_connecting && what < 93)
        ask_connection(play, index);
    else if (what == 98 && play->options.is_wild && device->old_count > 10) {
        device->is_leaving = device->is_wild = true;
        ask(play, PLAY_DELETE, index);
    } else if (what == 99 && device->waiting == 0 && !device->is_busy && !device->is_connecting && device->old_count > 30) {
        for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
            if (play->open[i].kind != PLAY_FREE && play->open[i].device == index)
                return;
        device->is_leaving = true;
        ask(play, PLAY_DELETE, index);
    }
}

static bool is_any_busy(const play *play)
{
    for (uint32_t i = 0; i < play->options.devices; i++)
        if (play->devices[i].is_busy)
            return true;
    return false;
}

static void time_goes(play *play)
{
    world *world = play->world;
    uint32_t much = world_below(world, 1000);
    if (play->options.is_still || much > 10)
        world_advance(world, world_below(world, 200));
    else if (much > 1)
        world_advance(world, world_below(world, 3600 * 1000));
    else if (!is_any_busy(play)) /* nobody repeats a command with its key after that long */
        world_advance(world, 8ll * 24 * 3600 * 1000);
}

static void checks(play *play)
{
    if (play->world->core == NULL)
        return;
    world_check(play->world);
    for (uint32_t i = 0; i < play->world->core_count; i++)
        check_tickets(play, play->world->seats[i].core);
}

void play_step(play *play)
{
    world *world = play->world;
    play->step++;
    deed(play, world_below(world, play->options.devices));
    if (play->downlink_count > 0 && world_chance(world, 30))
        downlink_end(play, world_below(world, play->downlink_count), false);
    if (world_chance(world, play->options.lose_percent))
        lose_something(play);
    send_due(play);
    time_goes(play);
    for (uint32_t rounds = world_below(world, 4); rounds > 0; rounds--) {
        world_round(world);
        checks(play);
    }
}

/* ---- after a crash ---- */

static void nothing_is_sent(const core *core)
{
    for (uint32_t i = 0; i < core->twin_high; i++) {
        const twin *twin = twin_at(core, i);
        for (const ticket *t = twin->number != 0 && twin->extra != NULL ? twin->extra->tickets : NULL; t != NULL; t = t->next)
            WORLD_ASSERT(t->state != TICKET_SENT);
    }
}

void play_recovered(play *play)
{
    play->downlink_count = 0;
    memset(play->tickets, 0, sizeof play->tickets);
    for (uint32_t i = 0; i < play->world->core_count; i++)
        nothing_is_sent(play->world->seats[i].core);
    for (uint32_t i = 0; i < play->options.devices; i++) {
        const play_device *device = &play->devices[i];
        const core *core = core_of(play, device);
        uint32_t index = twin_find(core, device->id, strlen(device->id));
        if (device->is_wild)
            continue;
        if (device->life == PLAY_ABSENT) {
            WORLD_ASSERT(index == NONE || device->is_busy);
            continue;
        }
        WORLD_ASSERT(index != NONE || device->is_busy); /* or just being removed */
        if (index == NONE)
            continue;
        WORLD_ASSERT(!device->is_connected || (twin_at(core, index)->flags & TWIN_CONNECTED) != 0);
        WORLD_ASSERT(twin_at(core, index)->revision >= device->revision && twin_at(core, index)->revision <= device->revision_sent);
        WORLD_ASSERT(device->ticket == 0 || ticket_find(twin_at(core, index), device->ticket) != NULL);
    }
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        play->open[i].is_due = play->open[i].kind != PLAY_FREE;
    checks(play);
}

/* ---- the end ---- */

static void run_out(play *play)
{
    enum { ROUNDS_MAX = 20000 };
    for (uint32_t quiet = 0, rounds = 0; quiet < 20; rounds++) {
        WORLD_ASSERT(rounds < ROUNDS_MAX);
        send_due(play);
        bool is_busy = play->downlink_count > 0;
        while (play->downlink_count > 0)
            downlink_end(play, 0, true);
        for (uint32_t i = 0; i < play->options.devices; i++)
            if (play->devices[i].confirm >= 0 && play->devices[i].is_connected && !play->devices[i].is_leaving) {
                ask_confirm(play, i);
                is_busy = true;
            }
        quiet = world_round(play->world) > 0 || is_busy ? 0 : quiet + 1;
        checks(play);
    }
}

static void check_end(play *play, uint32_t i)
{
    const play_device *device = &play->devices[i];
    const core *core = core_of(play, device);
    uint32_t index = twin_find(core, device->id, strlen(device->id));
    WORLD_ASSERT((index == NONE) == (device->life == PLAY_ABSENT));
    if (index == NONE)
        return;
    const twin *twin = twin_at(core, index);
    WORLD_ASSERT(device->acked == device->sent && device->waiting == 0);
    WORLD_ASSERT(twin->revision == device->revision && device->revision == device->revision_sent);
    int property = model_property_find(twin_model(core, twin), "readings", 8);
    cell_value readings;
    columns_value_get(core->columns, twin->table, twin->row, (uint32_t)property, &readings);
    static bool trapped[PLAY_READINGS_MAX];
    uint32_t lost = trapped_of(play, device, trapped);
    WORLD_ASSERT(readings.value.integer == device->sent - lost); /* each once, or its dead letter */
    play->trapped += lost;
    property = model_property_find(twin_model(core, twin), "rejected", 8);
    cell_value rejected;
    columns_value_get(core->columns, twin->table, twin->row, (uint32_t)property, &rejected);
    WORLD_ASSERT(rejected.value.integer == 0); /* and no duplicate had a turn */
    if (!device->is_connected)
        return;
    WORLD_ASSERT(twin->extra == NULL || twin->extra->mail_count == 0);
    property = model_property_find(twin_model(core, twin), "period", 6);
    const ticket *newest = ticket_newest(twin, (uint8_t)property);
    if (newest == NULL || newest->state != TICKET_REPORTED)
        return;
    cell_value period;
    columns_value_get(core->columns, twin->table, twin->row, (uint32_t)property, &period);
    WORLD_ASSERT(period.value.integer == device->period && newest->value.integer == device->period);
}

void play_finish(play *play)
{
    run_out(play);
    for (uint32_t i = 0; i < play->options.devices; i++)
        if (play->devices[i].life == PLAY_LIVE && play->devices[i].is_connected)
            ask_reading(play, i); /* a contact: what waits leaves */
    run_out(play);
    for (uint32_t i = 0; i < PLAY_OPEN_MAX; i++)
        WORLD_ASSERT(play->open[i].kind == PLAY_FREE);
    for (uint32_t i = 0; i < play->options.devices; i++)
        check_end(play, i);
}
