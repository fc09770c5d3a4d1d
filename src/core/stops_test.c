/* Stops as operators make and end them: what is refused, what outlives a start, what is told. What they do to a whole host is
 * test/flow/test_budgets.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/domains.h"
#include "core/number.h"
#include "core/rotation.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

static const uint8_t other_image[32] = { 1 };

/* A request about what a kind of stop names. */
static uint16_t stop_of(uint16_t operation, uint8_t kind, const void *subject, const char *reason)
{
    request_begin(&request, operation);
    if (kind == STOP_DOMAIN)
        request_text(&request, API_FIELD_DOMAIN, subject);
    else if (kind == STOP_IMAGE)
        request_bytes(&request, API_FIELD_IMAGE, subject, 32);
    else if (kind == STOP_APPLICATION)
        request_text(&request, API_FIELD_APPLICATION, subject);
    if (reason != NULL)
        request_text(&request, API_FIELD_DETAIL, reason);
    return status_of(ask());
}

static uint16_t begin(uint8_t kind, const void *subject, const char *reason)
{
    return stop_of(API_STOP_PUT, kind, subject, reason);
}

static uint16_t end(uint8_t kind, const void *subject)
{
    return stop_of(API_STOP_DELETE, kind, subject, NULL);
}

static const char *list(void)
{
    request_begin(&request, API_STOP_LIST);
    const heard *heard = ask();
    assert_int_equal(status_of(heard), 200);
    return json_of(heard);
}

static void make_application(const char *id)
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, id);
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_READ);
    assert_int_equal(status_of(ask()), 201);
}

static const uint8_t *thermo(void)
{
    return here.world.core->images[0].digest;
}

/* The kinds that gates heard of last. */
static uint32_t kinds_told(void)
{
    stop_news news = { 0 };
    for (uint32_t i = 0; i < here.count; i++)
        if (here.heard[i].header.type == MESSAGE_STOPS)
            memcpy(&news, here.heard[i].body, sizeof news);
    return news.kinds;
}

static void each_kind_begins_is_shown_and_ends(void **state)
{
    (void)state;
    char digest[65], wanted[128];
    make_twin("a@acme.example", NULL);
    make_application("as1");
    assert_int_equal(begin(STOP_CODE, NULL, NULL), 204);
    assert_int_equal(begin(STOP_DOMAIN, "acme.example", "loud \"today\""), 204);
    assert_int_equal(begin(STOP_IMAGE, thermo(), "broken"), 204);
    assert_int_equal(begin(STOP_APPLICATION, "as1", ""), 204);
    assert_int_equal(kinds_told(), 15);
    assert_int_equal(begin(STOP_CODE, NULL, "once more"), 204); /* it is so already: nothing changes */
    for (int i = 0; i < 2; i++) {
        const char *shown = list();
        const char *code = strstr(shown, "{\"stops\":[{\"stop\":\"code\",\"reason\":\"\",\"by\":\"operator\",\"since\":\"");
        const char *domain = strstr(shown, "{\"stop\":\"domain\",\"domain\":\"acme.example\",\"reason\":\"loud \\\"today\\\"\",\"by\":\"operator\"");
        stop_image_subject(thermo(), digest);
        snprintf(wanted, sizeof wanted, "{\"stop\":\"image\",\"image\":\"sha256:%s\",\"reason\":\"broken\"", digest);
        const char *image = strstr(shown, wanted), *application = strstr(shown, "{\"stop\":\"application\",\"application\":\"as1\"");
        assert_true(code != NULL && code < domain && domain < image && image < application); /* oldest first */
        reopen();
    }
    assert_true(here.world.core->stops.has_code);
    assert_true(here.world.core->images[0].is_stopped);
    assert_int_equal(end(STOP_DOMAIN, "acme.example"), 204);
    assert_int_equal(kinds_told(), 1 + 4 + 8);
    assert_int_equal(end(STOP_CODE, NULL), 204);
    assert_int_equal(end(STOP_IMAGE, thermo()), 204);
    assert_int_equal(end(STOP_APPLICATION, "as1"), 204);
    assert_int_equal(kinds_told(), 0);
    assert_string_equal(list(), "{\"stops\":[]}");
    assert_false(here.world.core->stops.has_any);
    assert_int_equal(end(STOP_CODE, NULL), 404);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
}

static void what_is_not_here_is_not_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint16_t operation = i == 0 ? API_STOP_PUT : API_STOP_DELETE;
        assert_int_equal(stop_of(operation, STOP_DOMAIN, "nobody.example", NULL), 404);
        assert_int_equal(stop_of(operation, STOP_IMAGE, other_image, NULL), 404);
        assert_int_equal(stop_of(operation, STOP_APPLICATION, "nobody", NULL), 404);
    }
    assert_string_equal(list(), "{\"stops\":[]}");
    char longer[STOP_SUBJECT_MAX + 2] = "";
    memset(longer, 'a', sizeof longer - 1);
    assert_int_equal(stop_begin(here.world.core, STOP_DOMAIN, longer, "", false), DRO_NOT_FOUND);
}

static void a_stop_of_a_domain_that_is_gone_can_be_ended(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t domain;
    make_twin("a@other.example", NULL);
    assert_int_equal(domain_get(core, "other.example", 13, &domain), DRO_OK);
    assert_int_equal(begin(STOP_DOMAIN, "other.example", NULL), 204);
    assert_int_equal(rotation_delete(core, domain), DRO_OK);
    for (int i = 0; i < 100 && !core->domains[domain].is_gone; i++) {
        world_advance(&here.world, 50);
        world_settle(&here.world);
    }
    assert_true(core->domains[domain].is_gone);
    assert_int_equal(end(STOP_DOMAIN, "other.example"), 204);
    assert_int_equal(end(STOP_DOMAIN, "other.example"), 404);
    assert_int_equal(begin(STOP_DOMAIN, "other.example", NULL), 404);
}

static void there_are_only_so_many(void **state)
{
    (void)state;
    core *core = here.world.core;
    char name[STOP_SUBJECT_MAX + 1], reason[STOP_REASON_MAX + 1] = "";
    memset(reason, '"', sizeof reason - 1); /* twice as long in JSON */
    for (uint32_t i = 0; i < STOPS_MAX; i++) {
        snprintf(name, sizeof name, "%0200u.example", i);
        assert_int_equal(stop_begin(core, STOP_DOMAIN, name, reason, false), DRO_OK);
    }
    assert_int_equal(begin(STOP_CODE, NULL, NULL), 507);
    request_begin(&request, API_STOP_LIST); /* more than an answer holds: it says so */
    assert_int_equal(status_of(ask()), 500);
    uint8_t bytes[STOPS_SHOWN_MAX * 1024];
    dro_builder out = dro_builder_over(bytes, sizeof bytes - 1);
    stops_put(core, STOPS_SHOWN_MAX, &out);
    assert_int_equal(out.err, DRO_OK);
    bytes[dro_builder_length(&out)] = '\0';
    assert_non_null(strstr((char *)bytes, "031.example\""));
    assert_null(strstr((char *)bytes, "032.example\""));
    for (uint32_t i = 0; i < STOPS_MAX; i++) { /* from the middle, then from both ends */
        snprintf(name, sizeof name, "%0200u.example", (i + STOPS_MAX / 2) % STOPS_MAX);
        assert_int_equal(stop_end(core, STOP_DOMAIN, name), DRO_OK);
    }
    assert_int_equal(core->stops.count, 0);
    assert_int_equal(begin(STOP_CODE, NULL, NULL), 204);
}

static void what_cannot_be_kept_has_not_happened(void **state)
{
    (void)state;
    core *core = here.world.core;
    make_twin("a@acme.example", NULL);
    make_application("as1");
    assert_int_equal(begin(STOP_CODE, NULL, "first"), 204);
    assert_int_equal(begin(STOP_DOMAIN, "acme.example", "second"), 204);
    disk_memory_fill(here.world.log_disk, true);
    assert_int_equal(begin(STOP_APPLICATION, "as1", NULL), 503);
    assert_int_equal(end(STOP_CODE, NULL), 503);
    disk_memory_fill(here.world.log_disk, false);
    assert_int_equal(core->stops.count, 2);
    assert_int_equal(core->stops.list[0].kind, STOP_CODE); /* where it was */
    assert_string_equal(core->stops.list[1].reason, "second");
    assert_true(core->stops.has_code);
    reopen();
    assert_int_equal(here.world.core->stops.count, 2);
    assert_true(here.world.core->stops.has_code);
}

/* Found by a test of what cannot be kept: the application was there again, its stop was not, and the next change of the tables
 * made that durable. */
static void an_application_that_cannot_be_deleted_stays_stopped(void **state)
{
    (void)state;
    core *core = here.world.core;
    make_application("as1");
    make_application("as2");
    assert_int_equal(begin(STOP_APPLICATION, "as1", "loud"), 204);
    assert_int_equal(begin(STOP_APPLICATION, "as2", "loud too"), 204);
    for (int is_full = 1; is_full >= 0; is_full--) {
        disk_memory_fill(here.world.log_disk, is_full);
        request_begin(&request, API_APPLICATION_DELETE);
        request_text(&request, API_FIELD_APPLICATION, "as1");
        assert_int_equal(status_of(ask()), is_full ? 503 : 204);
        assert_int_equal(core->stops.count, is_full ? 2 : 1);
        const application *application = application_find(core, "as1", 3);
        assert_int_equal(application != NULL, is_full);
        stops_settle(core);
        assert_true(!is_full || application->is_stopped);
    }
    assert_string_equal(core->stops.list[0].subject, "as2");
    assert_int_equal(end(STOP_APPLICATION, "as2"), 204);
    make_application("as3"); /* never stopped */
    for (int is_full = 1; is_full >= 0; is_full--) {
        disk_memory_fill(here.world.log_disk, is_full);
        request_begin(&request, API_APPLICATION_DELETE);
        request_text(&request, API_FIELD_APPLICATION, "as3");
        assert_int_equal(status_of(ask()), is_full ? 503 : 204);
        assert_int_equal(core->stops.count, 0);
    }
}

/* Nothing leaves for a device of a domain that is stopped; once it goes on, what waited does, and timers run again. */
static void a_domain_that_goes_on_sends_what_waited(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    make_twin("quiet@acme.example", NULL);
    connect_device("001010000000001");
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    assert_non_null(downlink_heard());
    answer_downlink(0, 5653); /* the device sleeps: the rest waits for it */
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 202);
    assert_int_equal(begin(STOP_DOMAIN, "acme.example", NULL), 204);
    asker_forget();
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* the device is awake */
    assert_null(downlink_heard());
    assert_int_equal(here.world.core->counters.set_aside, 1);
    assert_int_equal(here.world.core->dead_letters.count, 1);
    assert_true(stop_holds_twin(here.world.core, twin_find(here.world.core, "a@acme.example", 14)));
    assert_int_equal(end(STOP_DOMAIN, "acme.example"), 204);
    assert_false(stop_holds_twin(here.world.core, twin_find(here.world.core, "a@acme.example", 14)));
    assert_int_equal(reading("001010000000001", 2, 1).result, 2001);
    assert_non_null(downlink_heard());
}

static void a_damaged_row_is_refused(void **state)
{
    (void)state;
    core *core = here.world.core;
    static uint8_t row[11 + STOP_SUBJECT_MAX + STOP_REASON_MAX + 1] = { STOP_DOMAIN, [10] = STOP_SUBJECT_MAX };
    memset(row + 11, 'a', sizeof row - 11);
    dro_field field = { HOST_STOP, sizeof row, row };
    assert_int_equal(stop_read(core, &field), DRO_CORRUPT); /* a reason that is too long */
    for (field.length = 0; field.length < 11 + STOP_SUBJECT_MAX; field.length++)
        assert_int_equal(stop_read(core, &field), DRO_CORRUPT);
    row[0] = STOP_KINDS;
    field.length = sizeof row - 1;
    assert_int_equal(stop_read(core, &field), DRO_CORRUPT);
    row[0] = STOP_DOMAIN;
    assert_int_equal(core->stops.count, 0);
    for (int i = 0; i < STOPS_MAX; i++)
        assert_int_equal(stop_read(core, &field), DRO_OK);
    assert_int_equal(strlen(core->stops.list[0].subject), STOP_SUBJECT_MAX);
    assert_int_equal(strlen(core->stops.list[0].reason), STOP_REASON_MAX);
    assert_int_equal(stop_read(core, &field), DRO_LIMIT);
    stops_forget(core);
}

static void metrics_and_images_say_what_is_stopped(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t table = core->images[0].table;
    assert_int_equal(begin(STOP_IMAGE, thermo(), "broken"), 204);
    request_begin(&request, API_METRICS);
    const char *metrics = json_of(ask());
    assert_non_null(strstr(metrics, "dromio_stops{kind=\"code\"} 0\ndromio_stops{kind=\"domain\"} 0\ndromio_stops{kind=\"image\"} 1\n"
                                    "dromio_stops{kind=\"application\"} 0\n"));
    request_begin(&request, API_IMAGE_GET);
    request_bytes(&request, API_FIELD_IMAGE, thermo(), 32);
    assert_non_null(strstr(json_of(ask()), "\"quarantined\":{\"by\":\"operator\",\"reason\":\"broken\""));
    core->images[0].table = NONE; /* a place whose image is not there is left as it is */
    assert_int_equal(end(STOP_IMAGE, thermo()), 404);
    assert_int_equal(begin(STOP_CODE, NULL, NULL), 204);
    assert_true(core->images[0].is_stopped);
    core->images[0].table = table;
    assert_int_equal(end(STOP_IMAGE, thermo()), 204);
    assert_null(stop_of_image(core, 0));
    assert_null(stop_of_image(core, NONE));
}

/* A stop ends while one of its twins is in a turn: that twin's end of turn lets go what waits. */
static void a_twin_in_a_turn_goes_on_once_that_is_over(void **state)
{
    (void)state;
    core *core = here.world.core;
    make_application("as1");
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    assert_int_equal(begin(STOP_APPLICATION, "as1", NULL), 204);
    uint8_t frame[8] = { 1, 1, 8, 0, 100, 0x0d, 0xac };
    assert_true(world_uplink(&here.world, 0, 4000, "001010000000001", &(world_frame){ 1, false, frame, sizeof frame }));
    core_round(core);
    assert_true(twin_at(core, index)->flags & TWIN_RUNNING);
    assert_int_equal(stop_end(core, STOP_APPLICATION, "as1"), DRO_OK);
    assert_true(twin_at(core, index)->flags & TWIN_RUNNING);
    world_settle(&here.world);
    assert_false(twin_at(core, index)->flags & TWIN_RUNNING);
    network_answer answer;
    memcpy(&answer, heard_of(4000)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
}

static void every_core_follows(void **state)
{
    (void)state;
    make_application("as1");
    for (int is_stopped = 1; is_stopped >= 0; is_stopped--) {
        for (uint8_t kind = STOP_IMAGE; kind < STOP_KINDS; kind++) {
            const void *subject = kind == STOP_IMAGE ? (const void *)thermo() : "as1";
            assert_int_equal(is_stopped ? begin(kind, subject, NULL) : end(kind, subject), 204);
        }
        world_settle(&here.world);
        for (uint32_t i = 0; i < here.world.core_count; i++) {
            core *core = here.world.seats[i].core;
            assert_int_equal(core->images[0].is_stopped, is_stopped);
            assert_int_equal(application_find(core, "as1", 3)->is_stopped, is_stopped);
            assert_int_equal(core->stops.has_any, is_stopped);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_kind_begins_is_shown_and_ends),
        CLAIM(what_is_not_here_is_not_stopped),
        CLAIM(a_stop_of_a_domain_that_is_gone_can_be_ended),
        CLAIM(there_are_only_so_many),
        CLAIM(what_cannot_be_kept_has_not_happened),
        CLAIM(an_application_that_cannot_be_deleted_stays_stopped),
        CLAIM(a_domain_that_goes_on_sends_what_waited),
        CLAIM(a_damaged_row_is_refused),
        CLAIM(metrics_and_images_say_what_is_stopped),
        CLAIM(a_twin_in_a_turn_goes_on_once_that_is_over),
        cmocka_unit_test_setup_teardown(every_core_follows, asker_begin_with_cores, asker_end),
    };
    return cmocka_run_group_tests_name("stops", tests, NULL, NULL);
}
