/* What becomes of turns that may not run, and of twins and images whose turns fail: in one host, with a cell that does as the
 * test says. The fields of a penalty are in conduct_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/conduct.h"
#include "core/core_testbed.h"
#include "core/groups.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/timers.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

#define ID "a@acme.example"
#define IMSI "001010000000001"
enum { FAILURES = 3, FORGET_MS = 10000, FIRST_MS = 1000, LONGEST_MS = 3000, WINDOW_MS = 60000, TRAPS = 100 };

static uint32_t end_to_end;

static void penalize(void)
{
    conduct_options *options = &here.world.core->options.conduct;
    options->penalty_failures = FAILURES;
    options->penalty_forget_ms = FORGET_MS;
    options->penalty_first_ms = FIRST_MS;
    options->penalty_longest_ms = LONGEST_MS;
}

static void quarantine(uint32_t twins, uint32_t percent, uint32_t kills)
{
    for (uint32_t i = 0; i < here.world.core_count; i++) {
        conduct_options *options = &here.world.seats[i].core->options.conduct;
        options->window_ms = WINDOW_MS;
        options->quarantine_twins = twins;
        options->quarantine_percent = percent;
        options->quarantine_kills = kills;
    }
}

static void make_device(const char *id, const char *imsi)
{
    make_twin(id, imsi);
    connect_device(imsi);
}

/* A reading, and how its turn ends. */
static void send(const char *imsi, bool traps)
{
    end_to_end++;
    here.world.options.trap_percent = traps ? TRAPS : 0;
    assert_int_equal(reading(imsi, end_to_end, (uint8_t)end_to_end).result, 2001); /* kept, whatever comes of it */
    here.world.options.trap_percent = 0;
}

static const penalty *penalty_of(const char *id)
{
    const twin *twin = twin_at(here.world.core, twin_find(here.world.core, id, strlen(id)));
    return twin->has_penalty ? twin->extra->penalty : NULL;
}

/* How long altogether; 0: it is not, now. */
static int64_t set_aside_for(const char *id)
{
    int64_t until_ms = penalty_until_ms(here.world.core, twin_at(here.world.core, twin_find(here.world.core, id, strlen(id))));
    return until_ms == 0 ? 0 : until_ms - penalty_of(id)->at_ms;
}

static const char *newest_dead(void)
{
    const core *core = here.world.core;
    return core->dead_letters.list[(core->dead_letters.next + DEAD_LETTERS_MAX - 1) % DEAD_LETTERS_MAX].text;
}

/* A problem of that type, and when to ask again. */
static void is_problem(const heard *heard, uint16_t status, const char *type, uint32_t retry_after_s)
{
    api_reply reply;
    char wanted[64];
    assert_int_equal(status_of(heard), status);
    memcpy(&reply, heard->body, sizeof reply);
    assert_int_equal(reply.retry_after_s, retry_after_s);
    snprintf(wanted, sizeof wanted, "\"type\":\"%s\"", type);
    if (strstr(json_of(heard), wanted) == NULL)
        fail_msg("%s is not in %s", wanted, json_of(heard));
}

static void fail_until_set_aside(void)
{
    make_device(ID, IMSI);
    penalize();
    for (int i = 0; i < FAILURES; i++) {
        assert_int_equal(set_aside_for(ID), 0);
        send(IMSI, true);
    }
    assert_int_equal(set_aside_for(ID), FIRST_MS);
}

/* ---- penalties ---- */

static void a_twin_that_fails_is_set_aside_longer_each_time(void **state)
{
    (void)state;
    static const int64_t lengths[] = { 2 * FIRST_MS, LONGEST_MS, LONGEST_MS };
    char revision[32];
    fail_until_set_aside();
    is_problem(write_period(ID, 600), 503, "penalty", 1);
    send(IMSI, false); /* it would do well */
    assert_non_null(strstr(newest_dead(), "\"reason\":\"penalty\""));
    on_twin(API_TWIN_GET, ID);
    const char *shown = json_of(ask());
    assert_non_null(strstr(shown, "\"penalty\":{\"until\":\"2023-11-14T22:13:2"));
    assert_non_null(strstr(shown, ",\"times\":1,\"reason\":\""));
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        world_advance(&here.world, set_aside_for(ID));
        world_settle(&here.world);
        assert_int_equal(set_aside_for(ID), 0);
        send(IMSI, true); /* one more is enough */
        assert_int_equal(set_aside_for(ID), lengths[i]);
        int64_t until_ms = penalty_of(ID)->until_ms;
        record_full(here.world.core, twin_find(here.world.core, ID, strlen(ID)));
        reopen();
        penalize();
        assert_int_equal(penalty_of(ID)->until_ms, until_ms);
        snprintf(revision, sizeof revision, ",\"times\":%zu,", i + 2);
        on_twin(API_TWIN_GET, ID);
        assert_non_null(strstr(json_of(ask()), revision));
    }
    world_advance(&here.world, LONGEST_MS);
    world_settle(&here.world);
    on_twin(API_TWIN_GET, ID);
    assert_null(strstr(json_of(ask()), "\"penalty\""));
}

static void failures_are_forgotten_one_by_one(void **state)
{
    (void)state;
    make_device(ID, IMSI);
    penalize();
    for (int i = 0; i < 4 * FAILURES; i++) { /* no more often than they are forgotten */
        send(IMSI, true);
        assert_int_equal(penalty_of(ID)->strikes, 1);
        world_advance(&here.world, FORGET_MS);
        world_settle(&here.world);
    }
    send(IMSI, true);
    send(IMSI, false);
    assert_int_equal(penalty_of(ID)->strikes, 1); /* doing well once forgives nothing */
    world_advance(&here.world, FORGET_MS);
    send(IMSI, false);
    assert_null(penalty_of(ID));
    reopen();
    assert_null(penalty_of(ID));
}

static void whoever_did_well_for_long_enough_begins_anew(void **state)
{
    (void)state;
    fail_until_set_aside();
    assert_int_equal(penalty_of(ID)->level, 1);
    world_advance(&here.world, FIRST_MS + FAILURES * FORGET_MS - 500);
    send(IMSI, false);
    assert_int_equal(penalty_of(ID)->level, 1); /* not quite */
    world_advance(&here.world, 500);
    send(IMSI, false);
    assert_null(penalty_of(ID));
    here.world.core->options.conduct.penalty_longest_ms = 1 << 20; /* where the last time was longer than all failures are remembered */
    here.world.core->options.conduct.penalty_first_ms = 1 << 20;
    for (int i = 0; i < FAILURES; i++)
        send(IMSI, true);
    world_advance(&here.world, (2 << 20) - 500);
    send(IMSI, false);
    assert_int_equal(penalty_of(ID)->level, 1);
    world_advance(&here.world, 500);
    send(IMSI, false);
    assert_null(penalty_of(ID));
}

static void a_clock_that_is_set_back_forgives_nothing(void **state)
{
    (void)state;
    fail_until_set_aside();
    int64_t until_ms = penalty_of(ID)->until_ms;
    world_advance(&here.world, FIRST_MS);
    here.world.clock.wall_ms -= 1000 * FORGET_MS;
    world_settle(&here.world);
    assert_true(set_aside_for(ID) > 0); /* its time is the clock's */
    here.world.core->options.conduct.penalty_failures = 1 + FAILURES;
    twin_at(here.world.core, 0)->extra->penalty->until_ms = 0;
    send(IMSI, false);
    assert_int_equal(penalty_of(ID)->strikes, FAILURES - 1);
    assert_int_equal(penalty_of(ID)->level, 1);
    assert_true(penalty_of(ID)->at_ms > here.world.core->now_ms && penalty_of(ID)->at_ms < until_ms);
}

static void the_administrator_releases_a_twin(void **state)
{
    (void)state;
    fail_until_set_aside();
    on_twin(API_PENALTY_DELETE, ID);
    assert_int_equal(status_of(ask()), 204);
    assert_null(penalty_of(ID));
    assert_int_equal(status_of(write_period(ID, 600)), 202);
    on_twin(API_PENALTY_DELETE, ID);
    assert_int_equal(status_of(ask()), 404);
    on_twin(API_PENALTY_DELETE, "nobody@acme.example");
    assert_int_equal(status_of(ask()), 404);
    reopen();
    assert_null(penalty_of(ID));
    penalize();
    send(IMSI, true);
    end_to_end++; /* in a turn: it waits for the end of that */
    uint8_t frame[8] = { 1, (uint8_t)end_to_end, 8, 0, 100, 0x0d, 0xac };
    assert_true(world_uplink(&here.world, 0, 4000, IMSI, &(world_frame){ end_to_end, false, frame, sizeof frame }));
    core_round(here.world.core);
    on_twin(API_PENALTY_DELETE, ID);
    assert_true(request_send(&here.world, 0, 4001, &request));
    core_round(here.world.core);
    assert_null(heard_of(4001));
    world_settle(&here.world);
    assert_int_equal(status_of(heard_of(4001)), 204);
}

static void penalties_go_with_the_switch(void **state)
{
    (void)state;
    fail_until_set_aside();
    world_advance(&here.world, FIRST_MS);
    world_settle(&here.world);
    here.world.core->options.conduct.penalty_failures = 0;
    send(IMSI, true);
    assert_int_equal(penalty_of(ID)->level, 1); /* as it was */
    send(IMSI, false);
    assert_null(penalty_of(ID));
}

static uint32_t begin_timer(int64_t ms)
{
    core *core = here.world.core;
    uint32_t index = twin_find(core, ID, strlen(ID));
    record_begin(core, index, RECORD_DELTA);
    dro_builder *part = record_part(core);
    dro_builder_le(part, 1, 4);
    dro_builder_le(part, (uint64_t)(core->now_ms + ms), 8);
    record_part_end(core, FIELD_TIMER);
    record_end(core);
    assert_int_equal(timers_update(core, index), DRO_OK);
    return index;
}

/* A timer that is due waits for the end of the penalty, and is not lost. */
static void a_timer_waits_for_the_end_of_a_penalty(void **state)
{
    (void)state;
    fail_until_set_aside();
    core *core = here.world.core;
    uint32_t index = begin_timer(10);
    world_advance(&here.world, FIRST_MS / 2);
    world_settle(&here.world);
    assert_int_equal(twin_at(core, index)->extra->timer_count, 1);
    uint64_t turns = core->counters.turns;
    world_advance(&here.world, FIRST_MS);
    world_settle(&here.world);
    assert_int_equal(twin_at(core, index)->extra->timer_count, 0);
    assert_int_equal(core->counters.turns, turns + 1);
}

/* It is not even tried: each try would be work for what was stopped. */
static void a_timer_waits_for_the_end_of_a_stop(void **state)
{
    (void)state;
    core *core = here.world.core;
    make_device(ID, IMSI);
    uint32_t index = begin_timer(10);
    assert_int_equal(stop_begin(core, STOP_CODE, "", "", false), DRO_OK);
    world_advance(&here.world, 60000);
    world_settle(&here.world);
    assert_int_equal(twin_at(core, index)->extra->timer_count, 1);
    assert_int_equal(core->counters.set_aside, 0);
    uint64_t turns = core->counters.turns;
    assert_int_equal(stop_end(core, STOP_CODE, ""), DRO_OK);
    world_settle(&here.world);
    assert_int_equal(core->counters.turns, turns + 1);
}

/* ---- images ---- */

static const char *reason_of_quarantine(void)
{
    const stop *stop = stop_of_image(here.world.core, 0);
    return stop == NULL ? "" : stop->reason;
}

static void devices(uint32_t count, char imsis[][16])
{
    char id[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(id, sizeof id, "t%u@acme.example", i);
        snprintf(imsis[i], 16, "00101000000%04u", i);
        make_device(id, imsis[i]);
    }
}

static void an_image_of_which_many_twins_fail_is_quarantined(void **state)
{
    (void)state;
    char imsis[3][16];
    devices(3, imsis);
    quarantine(3, 50, 0);
    for (int i = 0; i < 4; i++) /* the same one over and over is not many */
        send(imsis[0], true);
    send(imsis[1], true);
    assert_string_equal(reason_of_quarantine(), "");
    world_advance(&here.world, WINDOW_MS); /* nor are those of two windows */
    send(imsis[2], true);
    assert_string_equal(reason_of_quarantine(), "");
    send(imsis[0], true);
    send(imsis[1], true);
    assert_string_equal(reason_of_quarantine(), "turns of 3 twins failed, 3 of 3");
    assert_true(stop_of_image(here.world.core, 0)->is_automatic);
    request_begin(&request, API_STOP_LIST);
    assert_non_null(strstr(json_of(ask()), "\"by\":\"host\""));
    is_problem(write_period("t0@acme.example", 600), 503, "quarantined", STOP_RETRY_S);
    send(imsis[0], false);
    assert_non_null(strstr(newest_dead(), "\"reason\":\"quarantined\""));
    on_twin(API_TWIN_PUT, "new@acme.example");
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    is_problem(ask(), 409, "quarantined", 0);
    request_begin(&request, API_STOP_DELETE);
    request_bytes(&request, API_FIELD_IMAGE, here.world.core->images[0].digest, 32);
    assert_int_equal(status_of(ask()), 204);
    assert_int_equal(status_of(write_period("t0@acme.example", 600)), 202);
}

static void what_failed_before_an_image_was_let_go_on_is_not_held_against_it(void **state)
{
    (void)state;
    char imsis[5][16];
    devices(5, imsis);
    quarantine(2, 50, 0);
    send(imsis[0], true);
    send(imsis[1], true);
    assert_string_equal(reason_of_quarantine(), "turns of 2 twins failed, 2 of 2");
    assert_int_equal(stop_end(here.world.core, STOP_IMAGE, here.world.core->stops.list[0].subject), DRO_OK);
    send(imsis[2], true);
    assert_string_equal(reason_of_quarantine(), "");
    send(imsis[4], false);
    send(imsis[3], true);
    assert_string_equal(reason_of_quarantine(), "turns of 2 twins failed, 2 of 3");
    assert_int_equal(stop_end(here.world.core, STOP_IMAGE, here.world.core->stops.list[0].subject), DRO_OK);
    world_advance(&here.world, WINDOW_MS); /* nothing is forgiven in advance */
    send(imsis[0], true);
    send(imsis[1], true);
    assert_string_equal(reason_of_quarantine(), "turns of 2 twins failed, 2 of 2");
}

static void an_image_whose_turns_mostly_go_well_is_not_quarantined(void **state)
{
    (void)state;
    char imsis[3][16];
    devices(3, imsis);
    quarantine(3, 50, 0);
    send(imsis[0], true);
    for (int i = 0; i < 5; i++)
        send(imsis[0], false);
    send(imsis[1], true);
    send(imsis[2], true); /* three of eight */
    assert_string_equal(reason_of_quarantine(), "");
    quarantine(0, 0, 0);
    here.world.core->conduct_is_worse = true;
    conduct_step(here.world.core); /* switched off */
    assert_string_equal(reason_of_quarantine(), "");
    here.world.core->options.conduct.window_ms = 0;
    uint32_t failures = here.world.core->conduct[0].failures;
    send(imsis[0], true);
    assert_int_equal(here.world.core->conduct[0].failures, failures); /* not even counted */
}

/* In the cell's place: the turn that waits in its ring ends as that, each time it is tried. */
static void end_turn_as(uint32_t status)
{
    core *core = here.world.core;
    for (int i = 0; i < TURN_TRIES_MAX; i++) {
        ring_header header;
        turn_request turn;
        dro_err err = DRO_OK;
        core_round(core);
        const uint8_t *body = ring_next(&here.world.room->turns, &header, &err);
        if (body == NULL) /* it is over */
            break;
        memcpy(&turn, body, sizeof turn);
        turn_result result = { .twin = turn.twin, .status = status };
        ring_done(&here.world.room->turns, &header);
        ring_release(&here.world.room->turns);
        assert_true(ring_send(&here.world.room->results, MESSAGE_TURN_RESULT, 0, header.id, &result, sizeof result));
        ring_publish(&here.world.room->results);
    }
    world_settle(&here.world);
}

static void kill_cells(const char *imsi)
{
    uint8_t frame[8] = { 1, (uint8_t)++end_to_end, 8, 0, 100, 0x0d, 0xac };
    assert_true(world_uplink(&here.world, 0, ++here.id, imsi, &(world_frame){ end_to_end, false, frame, sizeof frame }));
    end_turn_as(TURN_HOST);
}

static void an_image_that_kills_cells_is_quarantined_sooner(void **state)
{
    (void)state;
    char imsis[3][16];
    devices(3, imsis);
    quarantine(3, 50, 2);
    kill_cells(imsis[0]);
    kill_cells(imsis[0]); /* one twin, however often */
    assert_string_equal(reason_of_quarantine(), "");
    kill_cells(imsis[1]);
    assert_string_equal(reason_of_quarantine(), "turns of 2 twins killed their cells");
}

/* A twin that is being made is none yet, but it may have killed its cell. */
static void who_kills_a_cell_while_it_is_made_counts(void **state)
{
    (void)state;
    char id[32];
    penalize();
    quarantine(1, 1, 3);
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t status = i < 2 ? TURN_TRAP : TURN_HOST;
        assert_string_equal(reason_of_quarantine(), "");
        snprintf(id, sizeof id, "t%u@acme.example", i);
        on_twin(API_TWIN_PUT, id);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        assert_true(request_send(&here.world, 0, ++here.id, &request));
        end_turn_as(status);
        assert_int_equal(status_of(heard_of(here.id)), 422);
        assert_int_equal(twin_find(here.world.core, id, strlen(id)), NONE);
        if (i == 1)
            quarantine(0, 0, 3); /* by kills alone */
    }
    assert_string_equal(reason_of_quarantine(), "turns of 3 twins killed their cells");
    assert_int_equal(here.world.core->counters.penalties, 0);
}

static void an_image_is_judged_by_its_own_turns(void **state)
{
    (void)state;
    char imsis[2][16];
    core *core = here.world.core;
    world_push_image(&here.world, THERMO_MOVED);
    assert_int_equal(core->image_count, 2);
    devices(2, imsis); /* of the newer one, or the older */
    quarantine(2, 50, 0);
    send(imsis[0], true);
    send(imsis[1], true);
    uint32_t bad = twin_at(core, twin_find(core, "t0@acme.example", 15))->image;
    assert_true(core->images[bad].is_stopped);
    assert_false(core->images[1 - bad].is_stopped);
    core->conduct_is_worse = true;
    uint32_t table = core->images[1 - bad].table;
    core->images[1 - bad].table = NONE; /* and one whose place is empty, or that is stopped already, is not judged at all */
    core->conduct[1 - bad] = core->conduct[bad];
    conduct_step(core);
    core->conduct[1 - bad] = (image_conduct){ 0 };
    core->images[1 - bad].table = table;
    assert_int_equal(core->stops.count, 1);
}

static void a_quarantine_that_cannot_be_kept_comes_with_the_next_failure(void **state)
{
    (void)state;
    char imsis[3][16];
    devices(3, imsis);
    quarantine(2, 50, 0);
    send(imsis[0], true);
    disk_memory_fill(here.world.log_disk, true);
    send(imsis[1], true);
    disk_memory_fill(here.world.log_disk, false);
    assert_string_equal(reason_of_quarantine(), "");
    send(imsis[2], true);
    assert_string_equal(reason_of_quarantine(), "turns of 3 twins failed, 3 of 3");
}

/* ---- turns that were under way ---- */

static void send_without_its_end(uint64_t id)
{
    assert_true(request_send(&here.world, 0, id, &request));
    core_round(here.world.core);
    assert_int_equal(here.world.core->turn_count, 1);
}

static void a_twin_is_not_made_by_a_turn_that_was_stopped_meanwhile(void **state)
{
    (void)state;
    core *core = here.world.core;
    char digest[65];
    stop_image_subject(core->images[0].digest, digest);
    for (int i = 0; i < 2; i++) {
        on_twin(API_TWIN_PUT, ID);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        send_without_its_end(4000);
        assert_int_equal(stop_begin(core, i == 0 ? STOP_CODE : STOP_IMAGE, i == 0 ? "" : digest, "loud", false), DRO_OK);
        world_settle(&here.world);
        if (i == 0)
            is_problem(heard_of(4000), 503, "stopped", STOP_RETRY_S);
        else
            is_problem(heard_of(4000), 409, "quarantined", 0);
        assert_int_equal(twin_find(core, ID, strlen(ID)), NONE);
        assert_int_equal(stop_end(core, i == 0 ? STOP_CODE : STOP_IMAGE, i == 0 ? "" : digest), DRO_OK);
        asker_forget();
    }
    make_twin(ID, IMSI);
    on_twin(API_TWIN_PUT, ID);
    static const uint8_t secret[] = { 11, 'c', 'a', 'l', 'i', 'b', 'r', 'a', 't', 'i', 'o', 'n', VALUE_NUMBER, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f };
    request_bytes(&request, API_FIELD_SECRET, secret, sizeof secret); /* 1.0 */
    assert_true(request_send(&here.world, 0, 4001, &request));
    core_round(core);
    assert_int_equal(stop_begin(core, STOP_IMAGE, digest, "loud", false), DRO_OK);
    world_settle(&here.world);
    is_problem(heard_of(4001), 409, "quarantined", 0);
    is_problem(blink(ID), 503, "quarantined", STOP_RETRY_S);
}

static void what_somebody_asked_for_is_refused_and_what_came_by_itself_is_buried(void **state)
{
    (void)state;
    make_device(ID, IMSI);
    assert_int_equal(stop_begin(here.world.core, STOP_CODE, "", "", false), DRO_OK);
    uint64_t dead = here.world.core->counters.dead_letters;
    const heard *refused = write_period(ID, 600);
    is_problem(refused, 503, "stopped", STOP_RETRY_S);
    assert_non_null(strstr(json_of(refused), "all guest code"));
    is_problem(blink(ID), 503, "stopped", STOP_RETRY_S);
    assert_int_equal(here.world.core->counters.dead_letters, dead);
    send(IMSI, false);
    assert_int_equal(here.world.core->counters.dead_letters, dead + 1);
    assert_non_null(strstr(newest_dead(), "\"reason\":\"stopped\""));
    assert_int_equal(stop_end(here.world.core, STOP_CODE, ""), DRO_OK);
    assert_int_equal(stop_begin(here.world.core, STOP_DOMAIN, "acme.example", "", false), DRO_OK);
    refused = blink(ID);
    is_problem(refused, 503, "stopped", STOP_RETRY_S);
    assert_non_null(strstr(json_of(refused), "the domain"));
}

/* A twin without code: only what would leave for its device is held. */
static void of_a_twin_without_code_a_stopped_domain_holds_downlinks_alone(void **state)
{
    (void)state;
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_NIDD);
    assert_int_equal(status_of(ask()), 201);
    on_twin(API_TWIN_PUT, ID);
    request_text(&request, API_FIELD_IMSI, IMSI);
    assert_int_equal(status_of(ask()), 201);
    connect_device(IMSI);
    uint32_t index = twin_find(here.world.core, ID, strlen(ID));
    assert_int_equal(twin_at(here.world.core, index)->image, NONE);
    request_begin(&request, API_NIDD_CONFIGURATION_MAKE);
    request_text(&request, API_FIELD_SCS_AS, "as1");
    request_text(&request, API_FIELD_ID, ID);
    request_text(&request, API_FIELD_DESTINATION, "http://as.example/notify");
    assert_int_equal(status_of(ask()), 201);
    uint64_t configuration = twin_at(here.world.core, index)->nidd->configurations->number;
    static const uint8_t kinds[] = { STOP_CODE, STOP_DOMAIN };
    for (size_t i = 0; i < sizeof kinds; i++) {
        assert_int_equal(stop_begin(here.world.core, kinds[i], kinds[i] == STOP_CODE ? "" : "acme.example", "", false), DRO_OK);
        send(IMSI, false);
        assert_int_equal(here.world.core->counters.dead_letters, 0);
        request_begin(&request, API_NIDD_DELIVERY_MAKE);
        request_text(&request, API_FIELD_SCS_AS, "as1");
        request_text(&request, API_FIELD_ID, ID);
        request_u64(&request, API_FIELD_CONFIGURATION, configuration);
        request_bytes(&request, API_FIELD_DATA, "x", 1);
        const heard *heard = ask();
        if (kinds[i] == STOP_DOMAIN)
            is_problem(heard, 503, "stopped", STOP_RETRY_S);
        else
            assert_non_null(downlink_heard());
        asker_forget();
    }
}

/* A stop of something else holds nobody. */
static void who_is_not_stopped_goes_on(void **state)
{
    (void)state;
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_READ);
    assert_int_equal(status_of(ask()), 201);
    make_device(ID, IMSI);
    make_twin("b@other.example", NULL);
    assert_int_equal(stop_begin(here.world.core, STOP_APPLICATION, "as1", "", false), DRO_OK);
    assert_int_equal(stop_begin(here.world.core, STOP_DOMAIN, "other.example", "", false), DRO_OK);
    send(IMSI, false);
    assert_int_equal(status_of(write_period(ID, 600)), 202);
    assert_int_equal(here.world.core->counters.set_aside, 0);
    is_problem(write_period("b@other.example", 600), 503, "stopped", STOP_RETRY_S);
}

/* Nobody waits for the answer of a group's command to one member: it is the member's result. */
static void a_groups_command_to_one_who_may_not_run_fails_for_that_member(void **state)
{
    (void)state;
    make_twin(ID, IMSI);
    request_begin(&request, API_GROUP_PUT);
    request_text(&request, API_FIELD_GROUP, "g@acme.example");
    assert_int_equal(status_of(ask()), 201);
    on_twin(API_GROUP_MEMBER_PUT, ID);
    request_text(&request, API_FIELD_GROUP, "g@acme.example");
    assert_int_equal(status_of(ask()), 201);
    assert_int_equal(stop_begin(here.world.core, STOP_CODE, "", "", false), DRO_OK);
    request_begin(&request, API_GROUP_PROPERTY_PUT);
    request_text(&request, API_FIELD_GROUP, "g@acme.example");
    request_text(&request, API_FIELD_NAME, "period");
    request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
    assert_int_equal(status_of(ask()), 202);
    const group_operation *operation = group_operation_at(here.world.core, group_number(here.world.core->groups->next - 1));
    assert_non_null(operation);
    assert_int_equal(operation->counts[GROUP_STATE_FAILED], 1);
    assert_non_null(strstr(newest_dead(), "\"reason\":\"stopped\""));
}

static void the_longest_penalty_stays_the_longest(void **state)
{
    (void)state;
    fail_until_set_aside();
    twin_at(here.world.core, twin_find(here.world.core, ID, strlen(ID)))->extra->penalty->level = PENALTY_LEVEL_MAX;
    world_advance(&here.world, FIRST_MS);
    world_settle(&here.world);
    send(IMSI, true);
    assert_int_equal(penalty_of(ID)->level, PENALTY_LEVEL_MAX);
    assert_int_equal(set_aside_for(ID), LONGEST_MS);
}

/* ---- several cores ---- */

enum { CORES = 3 };

/* A device whose twin is on that core. */
static void make_device_on(uint32_t core, const char *imsi)
{
    char id[32];
    for (unsigned i = 0;; i++) {
        snprintf(id, sizeof id, "d%u@acme.example", i);
        if (directory_core(&here.world.directory, directory_partition(&here.world.directory, DIRECTORY_ID, id, strlen(id))) == core)
            break;
    }
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_IMSI, imsi);
    assert_int_equal(status_of(ask()), 201);
    connect_device(imsi);
}

static void failures_of_all_cores_count_together(void **state)
{
    (void)state;
    static const char *const imsis[CORES] = { "001010000000001", "001010000000002", "001010000000003" };
    int bells[CORES];
    uint64_t rung = 0;
    for (uint32_t i = 0; i < CORES; i++) {
        make_device_on(i, imsis[i]);
        bells[i] = eventfd(0, EFD_NONBLOCK);
    }
    quarantine(CORES, 50, 0);
    send(imsis[1], true);
    world_advance(&here.world, WINDOW_MS); /* of a window that is over */
    send(imsis[0], true);
    send(imsis[2], true);
    assert_string_equal(reason_of_quarantine(), "");
    here.world.seats[1].core->options.bells = bells;
    send(imsis[1], true);
    here.world.seats[1].core->options.bells = NULL;
    assert_int_equal(read(bells[0], &rung, sizeof rung), sizeof rung); /* core 0 may sleep: it is woken */
    assert_string_equal(reason_of_quarantine(), "turns of 3 twins failed, 3 of 3");
    for (uint32_t i = 0; i < CORES; i++) {
        assert_true(here.world.seats[i].core->images[0].is_stopped); /* all follow */
        close(bells[i]);
    }
    assert_int_equal(stop_end(here.world.core, STOP_IMAGE, here.world.core->stops.list[0].subject), DRO_OK);
    world_settle(&here.world);
    for (uint32_t i = 0; i < CORES; i++)
        assert_false(here.world.seats[i].core->images[0].is_stopped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_twin_that_fails_is_set_aside_longer_each_time),
        CLAIM(failures_are_forgotten_one_by_one),
        CLAIM(whoever_did_well_for_long_enough_begins_anew),
        CLAIM(a_clock_that_is_set_back_forgives_nothing),
        CLAIM(the_administrator_releases_a_twin),
        CLAIM(penalties_go_with_the_switch),
        CLAIM(a_timer_waits_for_the_end_of_a_penalty),
        CLAIM(a_timer_waits_for_the_end_of_a_stop),
        CLAIM(an_image_of_which_many_twins_fail_is_quarantined),
        CLAIM(what_failed_before_an_image_was_let_go_on_is_not_held_against_it),
        CLAIM(an_image_whose_turns_mostly_go_well_is_not_quarantined),
        CLAIM(an_image_that_kills_cells_is_quarantined_sooner),
        CLAIM(who_kills_a_cell_while_it_is_made_counts),
        CLAIM(an_image_is_judged_by_its_own_turns),
        CLAIM(a_quarantine_that_cannot_be_kept_comes_with_the_next_failure),
        CLAIM(a_twin_is_not_made_by_a_turn_that_was_stopped_meanwhile),
        CLAIM(what_somebody_asked_for_is_refused_and_what_came_by_itself_is_buried),
        CLAIM(of_a_twin_without_code_a_stopped_domain_holds_downlinks_alone),
        CLAIM(who_is_not_stopped_goes_on),
        CLAIM(a_groups_command_to_one_who_may_not_run_fails_for_that_member),
        CLAIM(the_longest_penalty_stays_the_longest),
        cmocka_unit_test_setup_teardown(failures_of_all_cores_count_together, asker_begin_with_cores, asker_end),
    };
    return cmocka_run_group_tests_name("set aside", tests, NULL, NULL);
}
