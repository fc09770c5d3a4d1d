/* The desk's loop: questions from gates, answers to them, a part at a time. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "desk/confine.h"
#include "desk/query.h"
#include "ring/message.h"

enum {
    PART_BYTES_MAX = 48 * 1024,
    RING_FULL_MS = 1, /* a gate that has not read yet has no bell to ring us with */
};

typedef struct desk_gate {
    ring_reader *in;
    ring_writer *out;
    answer answer;
    uint64_t id;
    size_t sent;
    bool is_answering; /* `answer` from `sent` on is still to be sent; nothing is read until then */
} desk_gate;

struct desk_room {
    desk *desk;
    uint32_t gate_count;
    desk_gate *gates;
    uint8_t *question; /* [RING_MESSAGE_MAX]: a copy the gate can no longer change */
};

static void answer_question(desk_room *room, desk_gate *gate, const uint8_t *body, size_t length)
{
    query_request request = { 0 };
    bool is_whole = length >= sizeof request;
    if (is_whole) {
        memcpy(room->question, body, length);
        memcpy(&request, room->question, sizeof request);
        is_whole = request.domains_length <= length - sizeof request &&
                   request.sql_length <= length - sizeof request - request.domains_length;
    }
    if (!is_whole) {
        answer_refusal(&gate->answer, 500, "internal", "the question is malformed", "", ANSWER_NO_POSITION);
        return;
    }
    const char *domains = (const char *)room->question + sizeof request;
    const char *sql = domains + request.domains_length;
    if (request.domains_length > 0 && domains[request.domains_length - 1] != '\0')
        request.domains_length = 0; /* the last text must end */
    query asked = { .domains = domains,
                    .domains_length = request.domains_length,
                    .sql = sql,
                    .length = request.sql_length,
                    .all_domains = request.all_domains != 0 };
    desk_answer(room->desk, &asked, &gate->answer);
}

/* Sends as many parts as the gate's ring takes. */
static bool send_parts(desk_gate *gate)
{
    uint32_t most = ring_body_max(gate->out) - (uint32_t)sizeof(api_reply);
    bool was_sent = false;
    most = most < PART_BYTES_MAX ? most : PART_BYTES_MAX;
    while (gate->is_answering) {
        size_t left = gate->answer.length - gate->sent;
        uint32_t length = left < most ? (uint32_t)left : most;
        uint8_t *body = ring_reserve(gate->out, (uint32_t)sizeof(api_reply) + length);
        if (body == NULL)
            break;
        api_reply reply = { .status = (uint16_t)gate->answer.status,
                            .content = gate->answer.status == 200 ? CONTENT_JSON : CONTENT_PROBLEM,
                            .more = length < left,
                            .retry_after_s = gate->answer.status == 503,
                            .etag = UINT64_MAX,
                            .body_length = length };
        memcpy(body, &reply, sizeof reply);
        memcpy(body + sizeof reply, gate->answer.bytes + gate->sent, length);
        ring_commit(gate->out, MESSAGE_API_REPLY, 0, gate->id, (uint32_t)sizeof reply + length);
        gate->sent += length;
        gate->is_answering = reply.more;
        was_sent = true;
    }
    if (was_sent)
        ring_publish(gate->out);
    return was_sent;
}

/* Questions to a desk that died are not asked again: the last one may be why. */
static void refuse_stale(desk_gate *gate, uint32_t stale)
{
    ring_header header;
    dro_err err;
    while (gate->in->head != stale && ring_next(gate->in, &header, &err) != NULL) {
        if (header.type == MESSAGE_QUERY) {
            answer_refusal(&gate->answer, 503, "unavailable", "not now", "the desk had to start anew; ask again", ANSWER_NO_POSITION);
            gate->id = header.id;
            gate->sent = 0;
            gate->is_answering = true;
            send_parts(gate);
            gate->is_answering = false;
        }
        ring_done(gate->in, &header);
    }
    ring_release(gate->in);
}

/* One question of one gate at a time, so that none waits for all of another's. */
static dro_err serve(desk_room *room, desk_gate *gate, bool *did_work)
{
    ring_header header;
    dro_err err;
    if (gate->is_answering && send_parts(gate))
        *did_work = true;
    if (gate->is_answering)
        return DRO_OK;
    const uint8_t *body = ring_next(gate->in, &header, &err);
    if (body == NULL)
        return err;
    *did_work = true;
    if (header.type == MESSAGE_QUERY) {
        answer_question(room, gate, body, header.length - sizeof header);
        gate->id = header.id;
        gate->sent = 0;
        gate->is_answering = true;
    }
    ring_done(gate->in, &header);
    ring_release(gate->in);
    send_parts(gate);
    return DRO_OK;
}

/* False: told to stop. */
static bool wait_for_work(const desk_room *room, const desk_config *config, int stop)
{
    struct pollfd watched[2] = { { .fd = config->doorbell, .events = POLLIN }, { .fd = stop, .events = POLLIN } };
    bool is_waiting_for_room = false, has_work = false;
    for (uint32_t i = 0; i < room->gate_count; i++) {
        if (room->gates[i].is_answering)
            is_waiting_for_room = true;
        else
            has_work = ring_prepare_sleep(room->gates[i].in) || has_work;
    }
    int ready = poll(watched, 2, has_work ? 0 : is_waiting_for_room ? RING_FULL_MS : -1);
    for (uint32_t i = 0; i < room->gate_count; i++)
        ring_awake(room->gates[i].in);
    uint64_t rung;
    if (ready > 0 && (watched[0].revents & POLLIN) && read(config->doorbell, &rung, sizeof rung) < 0 && errno != EAGAIN)
        dro_warn("doorbell: %s", strerror(errno));
    return ready <= 0 || watched[1].revents == 0;
}

dro_err desk_room_round(desk_room *room, bool *did_work)
{
    *did_work = false;
    for (uint32_t i = 0; i < room->gate_count; i++) {
        dro_err err = serve(room, &room->gates[i], did_work);
        if (err == DRO_OK)
            continue;
        dro_error("the ring from gate %u is broken", i);
        return err;
    }
    return DRO_OK;
}

static int loop(desk_room *room, const desk_config *config, int stop)
{
    do {
        bool did_work;
        do {
            if (desk_room_round(room, &did_work) != DRO_OK)
                return 1;
            struct pollfd told = { .fd = stop, .events = POLLIN };
            if (did_work && poll(&told, 1, 0) > 0)
                return 0;
        } while (did_work);
    } while (wait_for_work(room, config, stop));
    return 0;
}

static void gates_begin(desk_room *room, const desk_config *config)
{
    for (uint32_t i = 0; i < room->gate_count; i++) {
        room->gates[i].in = &config->from_gate[i];
        room->gates[i].out = &config->to_gate[i];
        if (config->stale != NULL)
            refuse_stale(&room->gates[i], config->stale[i]);
    }
}

desk_room *desk_room_new(const desk_config *config)
{
    desk_room *room = calloc(1, sizeof *room);
    if (room == NULL)
        return NULL;
    room->gates = calloc(config->gate_count + 1, sizeof *room->gates);
    room->question = malloc(RING_MESSAGE_MAX);
    dro_err err = DRO_NOMEM;
    if (room->gates != NULL && room->question != NULL) {
        room->gate_count = config->gate_count;
        gates_begin(room, config);
        err = desk_new(&room->desk, config->columns, config->core_count, config->columns_bytes, config->clock);
    }
    if (err == DRO_OK)
        return room;
    dro_error("the columns cannot be read: %s", dro_err_text(err));
    desk_room_free(room);
    return NULL;
}

void desk_room_free(desk_room *room)
{
    if (room == NULL)
        return;
    for (uint32_t i = 0; i < room->gate_count; i++)
        answer_fini(&room->gates[i].answer);
    desk_free(room->desk);
    free(room->question);
    free(room->gates);
    free(room);
}

int desk_run(const desk_config *config, int stop)
{
    desk_room *room = desk_room_new(config);
    if (room == NULL)
        return 1;
    if (!confine_desk())
        dro_warn("the kernel has no seccomp: the desk runs without its filter");
    int result = loop(room, config, stop);
    desk_room_free(room);
    return result;
}
