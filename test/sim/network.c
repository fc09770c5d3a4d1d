/* MMEs over Diameter, and the devices behind them: they sleep, read, confirm what they were told, and send again what was
 * not answered, with the same End-to-End id and the T flag. */
#include <stdio.h>
#include <string.h>

#include "simulation.h"
#include "wire/diameter/pdu.h"

enum {
    ANSWER_MS = 6000,          /* a device or an MME waits so long */
    RECONNECT_MS = 800,
    AWAKE_MS = 20000,
    SLEEP_MS = 90000,
    CROWDED_MS = 1500,
    PERIOD_FIRST = 10,         /* the n-th command says PERIOD_FIRST + n, or ACTION_FIRST + n */
    ACTION_FIRST = 1,
    GHOST_MS = 30000,
    TRIES_MAX = 3,             /* over this connection; then the MME takes another */
};
static const char apn[] = "iot.example";

void network_init(simulation *sim)
{
    for (uint32_t i = 0; i < SIM_MMES; i++) {
        mme *mme = &sim->mmes[i];
        mme->link.socket = mme->ghost.socket = -1;
        mme->end_to_end = 1 + (i << 20);
        snprintf(mme->names.host, sizeof mme->names.host, "mme%u.epc.example", i);
        snprintf(mme->names.realm, sizeof mme->names.realm, "epc.example");
        snprintf(mme->names.destination_host, sizeof mme->names.destination_host, "scef.dromio.test");
        snprintf(mme->names.destination_realm, sizeof mme->names.destination_realm, "dromio.test");
        mme->names.session_high = 1;
        mme->names.origin_state = 1;
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        device *device = &sim->devices[i];
        snprintf(device->id, sizeof device->id, "d%u@acme%u.example", i, i % 3);
        snprintf(device->imsi, sizeof device->imsi, "00101%010u", i);
        device->mme = i % SIM_MMES;
        device->customer = i % SIM_CUSTOMERS;
        device->confirm = -1;
        device->wake_ms = sim_now(sim) + sim_below(sim, SLEEP_MS / 4);
    }
}

void network_fini(simulation *sim)
{
    for (uint32_t i = 0; i < SIM_MMES; i++) {
        link_close(&sim->mmes[i].link);
        link_close(&sim->mmes[i].ghost);
    }
}

static void mme_down(simulation *sim, mme *mme)
{
    link_close(&mme->link);
    mme->is_open = false;
    mme->delayed_count = 0;
    mme->next_ms = sim_now(sim) + sim_below(sim, RECONNECT_MS);
}

/* ---- a device asks ---- */

static void device_send(simulation *sim, device *device, bool is_again)
{
    mme *mme = &sim->mmes[device->mme];
    device->again_ms = sim_now(sim) + ANSWER_MS + sim_below(sim, 1000);
    if (!mme->is_open)
        return; /* when it is, once more */
    if (is_again)
        t6a_mark_retransmission(device->request, ++mme->hop_by_hop);
    link_write(&mme->link, device->request, device->length);
    sim_note(sim, "%s asks %d again=%d end_to_end=%u", device->id, device->asks, is_again, device->end_to_end);
}

static void device_ask(simulation *sim, device *device, enum device_asks what, const uint8_t *data, size_t length)
{
    mme *mme = &sim->mmes[device->mme];
    dro_builder out = dro_builder_over(device->request, sizeof device->request);
    t6a_request request = { .command = what == DEVICE_CONNECTS ? COMMAND_CONNECTION_MANAGEMENT : COMMAND_MO_DATA,
                            .imsi = device->imsi, .bearer = 5, .is_reachable = true, .apn = apn, .data = data, .data_length = (uint32_t)length };
    device->end_to_end = mme->end_to_end++;
    t6a_write_request(&out, &mme->names, &request, ++mme->hop_by_hop, device->end_to_end);
    WORLD_ASSERT(out.err == DRO_OK);
    device->length = (uint32_t)dro_builder_length(&out);
    device->asks = what;
    device->tries = 0;
    device_send(sim, device, false);
}

static void ask_reading(simulation *sim, device *device)
{
    uint16_t raw = (uint16_t)(int16_t)((int)(device->sent * 7 % 6000) - 2000);
    uint8_t frame[8] = { 1, (uint8_t)device->sent, (uint8_t)(raw >> 8), (uint8_t)raw, 100, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    device->sent++;
    sim->counts.readings++;
    device_ask(sim, device, DEVICE_READS, frame, sizeof frame);
}

static void ask_confirm(simulation *sim, device *device)
{
    uint8_t frame[3] = { 2, (uint8_t)(device->confirm >> 8), (uint8_t)device->confirm };
    device->confirming = device->confirm;
    device_ask(sim, device, DEVICE_CONFIRMS, frame, sizeof frame);
}

static bool is_awake(const simulation *sim, const device *device)
{
    return sim_now(sim) < device->awake_until_ms;
}

static int device_step(simulation *sim, device *device)
{
    mme *mme = &sim->mmes[device->mme];
    if (!device->is_made || !mme->is_open)
        return 0;
    if (device->asks != DEVICE_IDLE) {
        if (sim_now(sim) < device->again_ms)
            return 0;
        if (device->tries++ >= TRIES_MAX) {
            mme_down(sim, mme);
            device->tries = 0;
            return 1;
        }
        device_send(sim, device, true);
        return 1;
    }
    if (!is_awake(sim, device) && sim_now(sim) < device->wake_ms)
        return 0;
    if (!is_awake(sim, device)) {
        device->awake_until_ms = sim_now(sim) + 500 + sim_below(sim, AWAKE_MS);
        device->wake_ms = device->awake_until_ms + sim_below(sim, SLEEP_MS);
        if (!device->is_connected || sim_chance(sim, 30))
            device_ask(sim, device, DEVICE_CONNECTS, NULL, 0);
        else
            ask_reading(sim, device);
        return 1;
    }
    if (device->confirm >= 0) {
        ask_confirm(sim, device);
        return 1;
    }
    if (!sim->is_calm && sim_chance(sim, 10)) {
        ask_reading(sim, device);
        return 1;
    }
    return 0;
}

/* ---- answers to devices ---- */

static device *device_waiting(simulation *sim, uint32_t mme, uint32_t end_to_end)
{
    for (uint32_t i = 0; i < sim->device_count; i++)
        if (sim->devices[i].mme == mme && sim->devices[i].asks != DEVICE_IDLE && sim->devices[i].end_to_end == end_to_end)
            return &sim->devices[i];
    return NULL;
}

static bool is_old(const simulation *sim, uint32_t mme, uint32_t end_to_end)
{
    return end_to_end < sim->mmes[mme].end_to_end;
}

static void device_answered(simulation *sim, device *device)
{
    uint32_t at = device->old_count++ % SIM_OLD;
    device->old[at].end_to_end = device->end_to_end;
    device->old[at].length = device->length;
    memcpy(device->old[at].bytes, device->request, device->length);
    if (device->asks == DEVICE_CONNECTS)
        device->is_connected = true;
    if (device->asks == DEVICE_READS) {
        device->acked = device->sent;
        sim->counts.answers++;
    }
    if (device->asks == DEVICE_CONFIRMS && device->confirm == device->confirming)
        device->confirm = -1;
    bool was_connecting = device->asks == DEVICE_CONNECTS;
    device->asks = DEVICE_IDLE;
    if (was_connecting && is_awake(sim, device))
        ask_reading(sim, device);
}

static void on_answer(simulation *sim, uint32_t index, const t6a_message *message)
{
    if (message->command == COMMAND_CAPABILITIES_EXCHANGE) {
        SIM_MUST(sim, message->result == 2001 || message->result == 4003); /* 4003: the gate has the old connection still */
        if (message->result == 4003)
            link_close(&sim->mmes[index].link);
        if (message->result == 4003)
            return;
        sim->mmes[index].is_open = true;
        for (uint32_t i = 0; i < sim->device_count; i++) /* what was not answered, over the new connection */
            if (sim->devices[i].mme == index && sim->devices[i].asks != DEVICE_IDLE)
                sim->devices[i].again_ms = sim_now(sim) + sim_below(sim, 50);
        return;
    }
    if (message->command != COMMAND_CONNECTION_MANAGEMENT && message->command != COMMAND_MO_DATA)
        return;
    device *device = device_waiting(sim, index, message->end_to_end);
    sim_note(sim, "mme%u hears %u of %u for %s", index, message->result + message->experimental, message->end_to_end, device != NULL ? device->id : "-");
    SIM_MUST(sim, is_old(sim, index, message->end_to_end));
    bool is_busy = message->result == 3004 || message->result == 3002; /* nothing was kept */
    SIM_MUST(sim, message->result == 2001 || is_busy);
    if (device == NULL)
        return;
    if (is_busy)
        device->again_ms = sim_now(sim) + CROWDED_MS;
    else
        device_answered(sim, device);
}

/* ---- downlinks ---- */

static int command_of(const t6a_message *message, bool *is_action)
{
    const uint8_t *data = message->data.bytes;
    *is_action = message->data.length == 2 && data[0] == 0x82;
    if (*is_action)
        return data[1] - ACTION_FIRST;
    return message->data.length == 3 && data[0] == 0x81 ? (data[1] << 8 | data[2]) - PERIOD_FIRST : -1;
}

static void device_gets(simulation *sim, device *device, const t6a_message *message)
{
    bool is_action;
    int number = command_of(message, &is_action);
    SIM_MUST(sim, number >= 0 && (uint32_t)number < device->command_count);
    command *command = &device->commands[number];
    sim_note(sim, "%s gets command %d again=%d end_to_end=%u", device->id, number, message->is_retransmission, message->end_to_end);
    SIM_MUST(sim, command->is_action == is_action);
    SIM_MUST(sim, (uint32_t)number + 1 >= device->newest_command);        /* in the order of the mailbox */
    SIM_MUST(sim, command->fate < COMMAND_DELIVERED);                     /* that it was delivered had been told, so it was durable */
    sim->counts.repeated += command->received > 0;
    command->received++;
    command->delivered++;
    device->newest_command = (uint32_t)number + 1;
    sim->counts.delivered++;
    if (!is_action)
        device->confirm = device->period = number + PERIOD_FIRST;
}

static device *device_of(simulation *sim, const t6a_message *message)
{
    for (uint32_t i = 0; i < sim->device_count; i++)
        if (message->user_name.length == strlen(sim->devices[i].imsi) &&
            memcmp(message->user_name.bytes, sim->devices[i].imsi, message->user_name.length) == 0)
            return &sim->devices[i];
    return NULL;
}

static void answer_later(simulation *sim, mme *mme, const uint8_t *bytes, size_t length)
{
    if (mme->delayed_count == SIM_DELAYED_MAX)
        return; /* lost */
    delayed *later = &mme->delayed[mme->delayed_count++];
    WORLD_ASSERT(length <= sizeof later->bytes);
    later->due_ms = sim_now(sim) + (sim->is_calm ? 0 : sim_below(sim, 1500));
    later->length = (uint32_t)length;
    memcpy(later->bytes, bytes, length);
}

static void on_downlink(simulation *sim, uint32_t index, const t6a_message *message)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    t6a_delivery delivery = { .result = 2001 };
    device *device = device_of(sim, message);
    SIM_MUST(sim, device != NULL && device->is_made);
    uint32_t fate = sim->is_calm ? 100 : sim_below(sim, 100);
    if (fate < 4)
        return; /* lost on the way to it */
    if (device->mme != index || (!is_awake(sim, device) && !sim->is_calm)) {
        bool says_when = device->wake_ms > sim_now(sim) && fate < 50;
        delivery = (t6a_delivery){ .experimental = 5653, .retransmission_time = says_when ? (uint32_t)(device->wake_ms / 1000 + 1) : 0 };
    } else if (fate < 7) {
        delivery.result = 3004;
    } else {
        device_gets(sim, device, message);
        if (fate < 10)
            return; /* its answer is lost */
    }
    t6a_write_delivery(&out, &sim->mmes[index].names, message, &delivery);
    WORLD_ASSERT(out.err == DRO_OK);
    answer_later(sim, &sim->mmes[index], bytes, dro_builder_length(&out));
}

/* ---- an MME's connection ---- */

static void on_request(simulation *sim, uint32_t index, const t6a_message *message)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (message->command == COMMAND_MT_DATA) {
        on_downlink(sim, index, message);
        return;
    }
    t6a_write_answer(&out, &sim->mmes[index].names, message, 2001); /* watchdog, disconnect */
    link_write(&sim->mmes[index].link, bytes, dro_builder_length(&out));
}

static int messages_in(simulation *sim, uint32_t index)
{
    mme *mme = &sim->mmes[index];
    int count = 0;
    for (; mme->link.socket >= 0 && mme->link.in_length >= 4; count++) {
        t6a_message message;
        uint32_t length = t6a_length(mme->link.in);
        SIM_MUST(sim, length != 0);
        if (length > mme->link.in_length)
            break;
        SIM_MUST(sim, t6a_read(&message, mme->link.in, length) == DRO_OK);
        sim_note(sim, "mme%u <- %u request=%d result=%u %u bytes", index, message.command, message.is_request, message.result, length);
        if (message.is_request)
            on_request(sim, index, &message);
        else
            on_answer(sim, index, &message);
        if (mme->link.socket >= 0)
            link_take(&mme->link, length);
    }
    return count;
}

static void mme_connect(simulation *sim, mme *mme)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    mme->next_ms = sim_now(sim) + RECONNECT_MS;
    if (!link_open(sim, &mme->link, true))
        return;
    mme->next_ms = sim_now(sim) + ANSWER_MS;
    t6a_write_capabilities_request(&out, &mme->names, ++mme->hop_by_hop, mme->end_to_end++);
    link_write(&mme->link, bytes, dro_builder_length(&out));
}

static int delayed_out(simulation *sim, mme *mme)
{
    int count = 0;
    for (uint32_t i = 0; i < mme->delayed_count;) {
        if (mme->delayed[i].due_ms > sim_now(sim)) {
            i++;
            continue;
        }
        link_write(&mme->link, mme->delayed[i].bytes, mme->delayed[i].length);
        mme->delayed[i] = mme->delayed[--mme->delayed_count];
        count++;
    }
    return count;
}

/* What an old connection still had to say, and then its end. */
static int ghost_step(simulation *sim, mme *mme)
{
    if (mme->ghost.socket < 0 || sim_now(sim) < mme->ghost_ms)
        return 0;
    if (mme->ghost.out_length > 0 && sim_now(sim) < mme->ghost_ms + GHOST_MS)
        return link_step(sim, &mme->ghost);
    link_close(&mme->ghost);
    return 1;
}

static int mme_step(simulation *sim, uint32_t index)
{
    mme *mme = &sim->mmes[index];
    bool was_up = mme->link.socket >= 0;
    int work = link_step(sim, &mme->link) + ghost_step(sim, mme);
    work += messages_in(sim, index);
    if (mme->link.socket < 0 && was_up)
        mme_down(sim, mme);
    if (mme->link.socket < 0 && sim_now(sim) >= mme->next_ms)
        mme_connect(sim, mme);
    else if (mme->link.socket >= 0 && !mme->is_open && sim_now(sim) >= mme->next_ms)
        mme_down(sim, mme);
    if (mme->is_open)
        work += delayed_out(sim, mme);
    return work;
}

/* A request that was answered long ago comes once more: it is told the same and has no turn. */
static void repeat_old(simulation *sim)
{
    device *device = &sim->devices[sim_below(sim, sim->device_count)];
    mme *mme = &sim->mmes[device->mme];
    if (!device->is_made || !mme->is_open || device->old_count < SIM_OLD)
        return;
    uint32_t at = sim_below(sim, SIM_OLD);
    t6a_mark_retransmission(device->old[at].bytes, ++mme->hop_by_hop);
    link_write(&mme->link, device->old[at].bytes, device->old[at].length);
}

int network_step(simulation *sim)
{
    int work = 0;
    for (uint32_t i = 0; i < SIM_MMES; i++)
        work += mme_step(sim, i);
    for (uint32_t i = 0; i < sim->device_count; i++)
        work += device_step(sim, &sim->devices[i]);
    if (!sim->is_calm && sim_chance(sim, 3))
        repeat_old(sim);
    return work;
}

static void sooner(int64_t *due, int64_t at)
{
    if (at < *due)
        *due = at;
}

int64_t network_due(const simulation *sim)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < SIM_MMES; i++) {
        const mme *mme = &sim->mmes[i];
        if (!mme->is_open)
            sooner(&due, mme->next_ms);
        if (mme->link.out_length > 0)
            sooner(&due, mme->link.held_until_ms);
        if (mme->ghost.socket >= 0)
            sooner(&due, mme->ghost_ms);
        for (uint32_t k = 0; k < mme->delayed_count; k++)
            sooner(&due, mme->delayed[k].due_ms);
    }
    for (uint32_t i = 0; i < sim->device_count; i++)
        if (sim->devices[i].is_made && sim->mmes[sim->devices[i].mme].is_open)
            sooner(&due, sim->devices[i].asks != DEVICE_IDLE ? sim->devices[i].again_ms : sim->devices[i].wake_ms);
    return due;
}

void network_lose(simulation *sim)
{
    mme *mme = &sim->mmes[sim_below(sim, SIM_MMES)];
    if (mme->link.socket < 0)
        return;
    sim_note(sim, "%s loses its connection", mme->names.host);
    if (mme->ghost.socket < 0 && sim_chance(sim, 400)) { /* nobody there has noticed */
        link_move(sim, &mme->ghost, &mme->link);
        mme->ghost_ms = sim_now(sim) + sim_below(sim, GHOST_MS);
    }
    mme_down(sim, mme);
}
