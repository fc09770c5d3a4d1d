/* Somebody who follows all events, and goes on where it was after every loss of its connection: no event is missing, none comes twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "simulation.h"

enum { AGAIN_MS = 700, CONNECT_MS = 20000 };

void follower_init(simulation *sim)
{
    sim->follower.link.socket = -1;
    sim->follower.may_miss = true;
}

void follower_fini(simulation *sim)
{
    link_close(&sim->follower.link);
}

static void follower_down(simulation *sim, follower *follower)
{
    link_close(&follower->link);
    follower->is_open = false;
    follower->next_ms = sim_now(sim) + sim_below(sim, AGAIN_MS);
}

static void follower_connect(simulation *sim, follower *follower)
{
    char request[1024], resume[300] = "";
    follower->next_ms = sim_now(sim) + AGAIN_MS;
    if (!link_open(sim, &follower->link, false))
        return;
    if (follower->last_id[0] != '\0')
        snprintf(resume, sizeof resume, "Last-Event-ID: %s\r\n", follower->last_id);
    else
        follower->may_miss = true; /* from now on */
    int length = snprintf(request, sizeof request, "GET /v1/events HTTP/1.0\r\nHost: h\r\nAuthorization: Bearer %s\r\n%s\r\n", sim_token(), resume);
    link_write(&follower->link, request, (size_t)length);
    follower->next_ms = sim_now(sim) + CONNECT_MS;
    sim_note(sim, "follower asks gate %u for what is behind %s", follower->link.gate, follower->last_id);
}

static device *device_named(simulation *sim, const char *id)
{
    for (uint32_t i = 0; id != NULL && i < sim->device_count; i++)
        if (strcmp(sim->devices[i].id, id) == 0)
            return &sim->devices[i];
    return NULL;
}

static void on_change(simulation *sim, yyjson_val *root)
{
    yyjson_val *data = yyjson_obj_get(root, "data");
    device *device = device_named(sim, yyjson_get_str(yyjson_obj_get(root, "subject")));
    const char *property = yyjson_get_str(yyjson_obj_get(data, "property"));
    uint64_t value = yyjson_get_uint(yyjson_obj_get(data, "value"));
    SIM_MUST(sim, device != NULL && property != NULL);
    if (strcmp(property, "temperature") == 0) /* each reading has another one, and it comes before its number */
        device->is_temperature_seen = true;
    if (strcmp(property, "readings") != 0)
        return;
    sim_note(sim, "follower hears %s readings %llu", device->id, (unsigned long long)value);
    SIM_MUST(sim, value <= device->sent);
    SIM_MUST(sim, value > device->event_seen);                                    /* none twice, none late */
    SIM_MUST(sim, value == device->event_seen + 1 || !device->is_event_known);    /* none is missing */
    SIM_MUST(sim, device->is_temperature_seen || !device->is_event_known);
    device->is_temperature_seen = false;
    device->event_seen = value;
    device->is_event_known = true;
    sim->follower.events++;
    sim->counts.events++;
}

static void may_have_missed(simulation *sim)
{
    for (uint32_t i = 0; i < sim->device_count; i++)
        sim->devices[i].is_event_known = false;
}

/* Lines of one event; ended by a NUL. */
static void on_event(simulation *sim, char *text)
{
    follower *follower = &sim->follower;
    char *id = strstr(text, "id: "), *type = strstr(text, "event: "), *data = strstr(text, "data: ");
    if (type == NULL || data == NULL)
        return; /* a comment */
    if (id != NULL && id < type)
        snprintf(follower->last_id, sizeof follower->last_id, "%.*s", (int)strcspn(id + 4, "\n"), id + 4);
    if (strncmp(type + 7, "dromio.gap.v1", 13) == 0) {
        sim_note(sim, "follower hears of a gap");
        SIM_MUST(sim, follower->may_miss || follower->has_gaps);
        follower->gaps++;
        may_have_missed(sim);
        return;
    }
    if (strncmp(type + 7, "dromio.property.changed.v1", 26) != 0)
        return;
    yyjson_doc *doc = yyjson_read(data + 6, strlen(data + 6), 0);
    SIM_MUST(sim, doc != NULL);
    on_change(sim, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
}

static int head_in(simulation *sim, follower *follower)
{
    char *text = (char *)follower->link.in, *end = strstr(text, "\r\n\r\n");
    if (end == NULL)
        return 0;
    int status = atoi(text + 9);
    sim_note(sim, "follower <- %d", status);
    if (status == 503 || status == 504) {
        follower_down(sim, follower);
        return 1;
    }
    SIM_MUST(sim, status == 200);
    SIM_MUST(sim, strstr(text, "chunked") == NULL || strstr(text, "chunked") > end);
    if (follower->last_id[0] == '\0')
        may_have_missed(sim);
    follower->is_open = true;
    link_take(&follower->link, (size_t)(end + 4 - text));
    return 1;
}

static int events_in(simulation *sim, follower *follower)
{
    int count = 0;
    char *end;
    follower->link.in[follower->link.in_length] = '\0';
    while ((end = strstr((char *)follower->link.in, "\n\n")) != NULL) {
        *end = '\0';
        on_event(sim, (char *)follower->link.in);
        link_take(&follower->link, (size_t)(end + 2 - (char *)follower->link.in));
        follower->link.in[follower->link.in_length] = '\0';
        count++;
    }
    return count;
}

int follower_step(simulation *sim)
{
    follower *follower = &sim->follower;
    bool was_up = follower->link.socket >= 0;
    int work = link_step(sim, &follower->link);
    follower->link.in[follower->link.in_length] = '\0';
    if (was_up && !follower->is_open)
        work += head_in(sim, follower);
    if (follower->is_open)
        work += events_in(sim, follower);
    if (was_up && follower->link.socket < 0)
        follower_down(sim, follower);
    if (!follower->is_open && sim_now(sim) >= follower->next_ms) {
        link_close(&follower->link);
        follower_connect(sim, follower);
    }
    return work;
}

int64_t follower_due(const simulation *sim)
{
    return sim->follower.is_open ? INT64_MAX : sim->follower.next_ms;
}
