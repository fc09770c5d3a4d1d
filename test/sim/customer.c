/* Applications over HTTP: they make twins, read them, command them and look what became of it. One request at a time each; what is not
 * answered is asked again with the same Idempotency-Key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yyjson.h>

#include "simulation.h"

enum {
    PERIOD_FIRST = 10, ACTION_FIRST = 1, /* as network.c */
    GIVE_UP_MS = 40000, /* longer than the gate waits */
    PAUSE_MS = 3000,
    BUSY_MS = 500,
};

/* ---- HTTP ---- */

static const char *field_of(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':')
            return line + 3 + length;
    return NULL;
}

bool http_answer_read(pipe_end *link, http_answer *out)
{
    link->in[link->in_length] = '\0';
    char *text = (char *)link->in, *end = strstr(text, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *length = field_of(text, "Content-Length");
    *out = (http_answer){ .status = atoi(text + 9), .body = end + 4, .body_length = length != NULL && length < end ? strtoul(length, NULL, 10) : 0 };
    out->length = (size_t)(out->body - text) + out->body_length;
    return out->length <= link->in_length;
}

/* ---- asking ---- */

static void request_write(simulation *sim, customer *customer, const char *method, const char *path, const char *body, bool has_key)
{
    char key[64] = "";
    if (has_key)
        snprintf(key, sizeof key, "Idempotency-Key: \"c%u-%u\"\r\n", (unsigned)(customer - sim->customers), ++customer->keys);
    int length = snprintf(customer->request, sizeof customer->request,
                          "%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n%s%sContent-Length: %zu\r\n\r\n%s", method, path, sim_token(), key,
                          body[0] != '\0' ? "Content-Type: application/json\r\n" : "", strlen(body), body);
    WORLD_ASSERT(length > 0 && (size_t)length < sizeof customer->request);
    customer->length = (uint32_t)length;
}

static void ask_make(simulation *sim, customer *customer, const device *device)
{
    char path[128], body[256];
    snprintf(path, sizeof path, "/v1/twins/%s", device->id);
    snprintf(body, sizeof body, "{\"model\":\"acme/thermo\",\"imsi\":\"%s\"}", device->imsi);
    request_write(sim, customer, "PUT", path, body, true);
    customer->asks = ASKS_MAKE;
}

static void ask_twin(simulation *sim, customer *customer, const device *device)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/twins/%s", device->id);
    request_write(sim, customer, "GET", path, "", false);
    customer->asks = ASKS_TWIN;
    customer->acked = device->acked > device->readings_seen ? device->acked : device->readings_seen;
}

static void ask_command(simulation *sim, customer *customer, device *device)
{
    char path[128], body[64];
    uint32_t number = device->command_count++;
    command *command = &device->commands[number];
    *command = (struct command){ .is_action = sim_chance(sim, 300) };
    snprintf(path, sizeof path, "/v1/twins/%s/%s", device->id, command->is_action ? "actions/blink" : "properties/period");
    if (command->is_action)
        snprintf(body, sizeof body, "{\"seconds\":%u}", ACTION_FIRST + number);
    else
        snprintf(body, sizeof body, "{\"value\":%u}", PERIOD_FIRST + number);
    request_write(sim, customer, command->is_action ? "POST" : "PUT", path, body, true);
    customer->asks = ASKS_COMMAND;
    customer->command = number;
    sim->counts.commands++;
}

static void ask_ticket(simulation *sim, customer *customer, const device *device, uint32_t number)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/twins/%s/tickets/%llu", device->id, (unsigned long long)device->commands[number].ticket);
    request_write(sim, customer, "GET", path, "", false);
    customer->asks = ASKS_TICKET;
    customer->command = number;
}

static int command_open(const device *device, uint32_t from)
{
    for (uint32_t i = 0; i < device->command_count; i++) {
        uint32_t at = (from + i) % device->command_count;
        if (device->commands[at].ticket != 0 && device->commands[at].fate < COMMAND_REPORTED &&
            !(device->commands[at].is_action && device->commands[at].fate == COMMAND_DELIVERED))
            return (int)at;
    }
    return -1;
}

/* What this application wants to know or do next; false: nothing now. */
static bool ask_something(simulation *sim, customer *customer)
{
    uint32_t own = (uint32_t)(customer - sim->customers);
    device *device = &sim->devices[sim_below(sim, sim->device_count)];
    if (device->customer != own)
        return false;
    customer->device = (uint32_t)(device - sim->devices);
    if (!device->is_made) {
        ask_make(sim, customer, device);
        return true;
    }
    uint32_t what = sim_below(sim, 100);
    int open = device->command_count > 0 ? command_open(device, sim_below(sim, device->command_count)) : -1;
    if (what < 30 && device->command_count < SIM_COMMANDS_MAX && !sim->is_calm)
        ask_command(sim, customer, device);
    else if (what < 65 && open >= 0)
        ask_ticket(sim, customer, device, (uint32_t)open);
    else
        ask_twin(sim, customer, device);
    return true;
}

/* ---- what is answered ---- */

static uint64_t number_of(yyjson_val *twin, const char *property)
{
    yyjson_val *properties = yyjson_obj_get(twin, "properties");
    return yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(properties, property), "value"));
}

static double reading_value(uint64_t index)
{
    return ((int)(index * 7 % 6000) - 2000) / 100.0;
}

static void on_twin(simulation *sim, const customer *customer, device *device, yyjson_val *twin)
{
    uint64_t readings = number_of(twin, "readings"), letters = sim_letters(sim, device);
    yyjson_val *temperature = yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(twin, "properties"), "temperature"), "value");
    sim_note(sim, "%s shows %llu readings of %u sent, %u answered", device->id, (unsigned long long)readings, device->sent, device->acked);
    SIM_MUST(sim, readings + letters >= customer->acked);      /* what was answered is seen */
    SIM_MUST(sim, readings >= device->readings_seen);          /* and stays so */
    SIM_MUST(sim, readings <= device->sent);                   /* and nothing was applied twice */
    SIM_MUST(sim, number_of(twin, "duplicates") == 0 && number_of(twin, "late") == 0 && number_of(twin, "rejected") == 0);
    if (readings == 0)
        SIM_MUST(sim, yyjson_is_null(temperature));
    else if (letters == 0)
        SIM_MUST(sim, yyjson_get_num(temperature) == reading_value(readings - 1));
    if (!customer->is_doubtful)
        device->readings_seen = (uint32_t)readings;
    if (sim->is_calm)
        device->period_shown = number_of(twin, "period");
}

static enum command_fate fate_of(const char *state)
{
    static const char *const names[] = { [COMMAND_PENDING] = "pending", [COMMAND_SENT] = "sent", [COMMAND_DELIVERED] = "delivered",
                                         [COMMAND_REPORTED] = "reported" };
    for (enum command_fate i = COMMAND_PENDING; i <= COMMAND_REPORTED; i++)
        if (strcmp(state, names[i]) == 0)
            return i;
    return COMMAND_ENDED; /* failed, superseded, expired */
}

static void on_ticket_state(simulation *sim, device *device, uint32_t number, const char *state, bool is_doubtful)
{
    command *command = &device->commands[number];
    enum command_fate fate = fate_of(state);
    sim_note(sim, "%s command %u is %s", device->id, number, state);
    bool is_back = command->fate == COMMAND_SENT && fate == COMMAND_PENDING;
    SIM_MUST(sim, fate >= command->fate || is_back);
    SIM_MUST(sim, strcmp(state, "delivered") != 0 || command->delivered > 0); /* the device did say so */
    SIM_MUST(sim, strcmp(state, "reported") != 0 || command->received > 0);
    SIM_MUST(sim, command->fate != COMMAND_ENDED || fate == COMMAND_ENDED);
    if (!is_doubtful)
        command->fate = (uint8_t)fate;
}

static void on_command(simulation *sim, device *device, uint32_t number, yyjson_val *ticket)
{
    const char *text = yyjson_get_str(yyjson_obj_get(ticket, "ticket"));
    SIM_MUST(sim, text != NULL);
    uint64_t id = strtoull(text, NULL, 10);
    for (uint32_t i = 0; i < device->command_count; i++)
        SIM_MUST(sim, i == number || device->commands[i].ticket != id); /* its own */
    device->commands[number].ticket = id;
    on_ticket_state(sim, device, number, yyjson_get_str(yyjson_obj_get(ticket, "state")), false);
}

static void judge(simulation *sim, customer *customer, int status, yyjson_val *root)
{
    device *device = &sim->devices[customer->device];
    switch (customer->asks) {
    case ASKS_IMAGE:
        SIM_MUST(sim, status == 201 || status == 200);
        sim->is_image_kept = true;
        break;
    case ASKS_MAKE:
        SIM_MUST(sim, status == 201 || status == 200);
        device->is_made = true;
        break;
    case ASKS_TWIN:
        SIM_MUST(sim, status == 200);
        on_twin(sim, customer, device, root);
        break;
    case ASKS_COMMAND:
        SIM_MUST(sim, status == 202 || status == 200);
        on_command(sim, device, customer->command, root);
        break;
    case ASKS_TICKET:
        SIM_MUST(sim, status == 200);
        on_ticket_state(sim, device, customer->command, yyjson_get_str(yyjson_obj_get(root, "state")), customer->is_doubtful);
        break;
    default: break;
    }
}

static void on_answer(simulation *sim, customer *customer, const http_answer *answer)
{
    customer->is_doubtful = sim->is_disk_full || customer->full_disks != sim->counts.full_disks;
    bool is_busy = answer->status == 503 || answer->status == 504;
    sim_note(sim, "c%u <- %d to %d of d%u %llx", (unsigned)(customer - sim->customers), answer->status, customer->asks, customer->device,
             (unsigned long long)sim_digest(answer->body, answer->body_length));
    customer->is_sent = false;
    customer->next_ms = sim_now(sim) + (is_busy ? BUSY_MS : sim_below(sim, sim->is_calm ? 100 : PAUSE_MS));
    if (is_busy)
        return; /* the same again */
    yyjson_doc *doc = yyjson_read(answer->body, answer->body_length, 0);
    SIM_MUST(sim, doc != NULL);
    if (answer->status >= 400)
        sim_note(sim, "%.*s", (int)answer->body_length, answer->body);
    judge(sim, customer, answer->status, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    customer->asks = ASKS_NOTHING;
}

/* ---- one of them ---- */

static void customer_send(simulation *sim, customer *customer)
{
    if (customer->link.socket < 0 && !link_open(sim, &customer->link, false)) {
        customer->next_ms = sim_now(sim) + BUSY_MS;
        return;
    }
    size_t length = customer->length;
    if (customer->asks == ASKS_IMAGE) {
        size_t image_length;
        const uint8_t *image = sim_image(&image_length);
        char head[256];
        int head_length = snprintf(head, sizeof head, "POST /v1/images HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: application/wasm\r\nContent-Length: %zu\r\n\r\n",
                                   sim_token(), image_length);
        link_write(&customer->link, head, (size_t)head_length);
        link_write(&customer->link, image, image_length);
    } else {
        link_write(&customer->link, customer->request, length);
    }
    customer->is_sent = true;
    customer->full_disks = sim->is_disk_full ? UINT64_MAX : sim->counts.full_disks;
    customer->give_up_ms = sim_now(sim) + GIVE_UP_MS;
    sim_note(sim, "c%u -> gate %u asks %d of d%u", (unsigned)(customer - sim->customers), customer->link.gate, customer->asks, customer->device);
}

static void customer_begin(simulation *sim, customer *customer)
{
    if (customer->asks == ASKS_NOTHING && !sim->is_image_kept && customer == sim->customers)
        customer->asks = ASKS_IMAGE;
    else if (customer->asks == ASKS_NOTHING && (!sim->is_image_kept || !ask_something(sim, customer)))
        return;
    customer_send(sim, customer);
}

static int customer_step(simulation *sim, customer *customer)
{
    http_answer answer;
    int work = link_step(sim, &customer->link);
    while (customer->is_sent && http_answer_read(&customer->link, &answer)) {
        on_answer(sim, customer, &answer);
        link_take(&customer->link, answer.length);
        work++;
    }
    if (customer->is_sent && (customer->link.socket < 0 || sim_now(sim) >= customer->give_up_ms)) {
        link_close(&customer->link);
        customer->is_sent = false;
        customer->next_ms = sim_now(sim) + sim_below(sim, BUSY_MS);
        work++;
    }
    if (!customer->is_sent && sim_now(sim) >= customer->next_ms)
        customer_begin(sim, customer);
    return work;
}

void customers_init(simulation *sim)
{
    for (uint32_t i = 0; i < SIM_CUSTOMERS; i++)
        sim->customers[i].link.socket = -1;
}

void customers_fini(simulation *sim)
{
    for (uint32_t i = 0; i < SIM_CUSTOMERS; i++)
        link_close(&sim->customers[i].link);
}

int customers_step(simulation *sim)
{
    int work = 0;
    for (uint32_t i = 0; i < SIM_CUSTOMERS; i++)
        work += customer_step(sim, &sim->customers[i]);
    return work;
}

int64_t customers_due(const simulation *sim)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < SIM_CUSTOMERS; i++) {
        const customer *customer = &sim->customers[i];
        int64_t at = customer->is_sent ? customer->give_up_ms : customer->next_ms;
        if (customer->is_sent && customer->link.out_length > 0 && customer->link.held_until_ms < at)
            at = customer->link.held_until_ms;
        due = at < due ? at : due;
    }
    return due;
}

void customer_lose(simulation *sim)
{
    customer *customer = &sim->customers[sim_below(sim, SIM_CUSTOMERS)];
    link_close(&customer->link);
}

bool customers_are_done(const simulation *sim)
{
    for (uint32_t i = 0; i < SIM_CUSTOMERS; i++)
        if (sim->customers[i].asks == ASKS_COMMAND)
            return false;
    for (uint32_t i = 0; i < sim->device_count; i++) {
        const device *device = &sim->devices[i];
        if (!device->is_made || (device->command_count > 0 && command_open(device, 0) >= 0))
            return false;
        if (device->readings_seen + sim_letters((simulation *)sim, device) != device->sent)
            return false;
    }
    return true;
}
