/* Fields of records as a log may have them that another version wrote, or whose checksums somebody made to fit: each is applied
 * whole or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/apply.h"
#include "core/core_testbed.h"
#include "core/names.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/event.h"

#define ID "a@acme.example"
#define IMSI "001010000000001"

static uint8_t bytes[4096];
static dro_builder part;

static dro_builder *field_begin(void)
{
    part = dro_builder_over(bytes, sizeof bytes);
    return &part;
}

static dro_err apply_to(uint32_t index, uint8_t tag, const void *at, size_t length)
{
    return apply_field(here.world.core, index, &(dro_field){ tag, (uint32_t)length, at });
}

static dro_err apply(uint32_t index, uint8_t tag)
{
    return apply_to(index, tag, bytes, dro_builder_length(&part));
}

static void put_mail(uint64_t number, size_t length)
{
    field_begin();
    dro_builder_le(&part, number, 8);
    dro_builder_le(&part, 0, 8);
    dro_builder_le(&part, 0, 4);
    dro_builder_le(&part, (uint64_t)here.world.core->now_ms + 60000, 8);
    memset(dro_builder_room(&part, length), 'x', length);
}

static void put_ticket(uint64_t number, uint8_t is_action, uint8_t property, uint8_t state, uint8_t reason)
{
    static const value value = { .kind = VALUE_STRING, .string = "abc", .length = 3 };
    field_begin();
    dro_builder_le(&part, number, 8);
    dro_builder_le(&part, is_action, 1);
    dro_builder_le(&part, property, 1);
    dro_builder_le(&part, state, 1);
    dro_builder_le(&part, 1000, 8);
    dro_builder_le(&part, 900, 8);
    dro_builder_le(&part, reason, 1);
    memset(dro_builder_room(&part, reason), 'r', reason);
    value_write(&part, &value);
}

static void put_timer(uint32_t number, int64_t due_ms)
{
    field_begin();
    dro_builder_le(&part, number, 4);
    dro_builder_le(&part, (uint64_t)due_ms, 8);
}

/* A record of the log may be cut anywhere and its sum made to fit. */
static void each_shorter_field_is_refused(void **state)
{
    (void)state;
    uint32_t index = make_twin(ID, IMSI);
    const twin *twin = twin_at(here.world.core, index);
    static const struct { uint8_t tag; uint8_t least; } fields[] = {
        { FIELD_PROPERTY, 12 }, { FIELD_REVISION, 8 }, { FIELD_CONTACT, 30 }, { FIELD_IDENTITY, 8 }, { FIELD_MAIL, 28 }, { FIELD_MAIL_RAW, 24 }, { FIELD_MAIL_GONE, 8 },
        { FIELD_TICKET, 29 }, { FIELD_TICKET_GONE, 8 }, { FIELD_TIMER, 12 }, { FIELD_DUPLICATE, 10 }, { FIELD_STATE, 1 }, { FIELD_CHUNKS, 36 },
    };
    static const uint8_t zeros[64];
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (size_t length = 0; length < fields[i].least; length++)
            assert_int_not_equal(apply_to(index, fields[i].tag, zeros, length), DRO_OK);
    for (size_t length = 1; length < 4; length++)
        assert_int_equal(apply_to(index, FIELD_CONNECTION, zeros, length), DRO_MALFORMED);
    apply_reset(here.world.core, index);
    assert_true(twin->number != 0);
}

static void numbers_that_name_nothing_are_refused(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin(ID, IMSI);
    value value = { .kind = VALUE_INTEGER, .integer = 5 };
    for (uint32_t property = twin_model(core, twin_at(core, index))->property_count; property < 70000; property += 7777) {
        field_begin();
        dro_builder_le(&part, property, 2);
        dro_builder_le(&part, 0, 2); /* quality, source */
        dro_builder_le(&part, 0, 8);
        value_write(&part, &value);
        assert_int_equal(apply(index, FIELD_PROPERTY), DRO_MALFORMED);
    }
    put_ticket(1, 0, 200, TICKET_PENDING, 3);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_MALFORMED);
    put_ticket(1, 1, 1, TICKET_PENDING, 3); /* thermo has one action */
    assert_int_equal(apply(index, FIELD_TICKET), DRO_MALFORMED);
    put_ticket(1, 0, 0, TICKET_EXPIRED + 1, 3);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_MALFORMED);
    put_ticket(1, 0, 0, TICKET_EXPIRED, 255);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_MALFORMED);
    put_ticket(1, 0, 0, TICKET_EXPIRED, 3);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_OK);
    assert_string_equal(newest(index)->reason, "rrr");
    assert_memory_equal(newest(index)->value.string, "abc", 3);
    static const struct { uint16_t host, realm; uint8_t bearer; } connections[] = { { 200, 0, 1 }, { 0, 200, 1 }, { 0, 0, BEARER_BYTES_MAX + 1 } };
    connect_device(IMSI); /* two names are known */
    assert_true(core->host_count >= 2 && core->host_count < 200);
    for (size_t i = 0; i < 3; i++) {
        field_begin();
        dro_builder_le(&part, connections[i].host, 2);
        dro_builder_le(&part, connections[i].realm, 2);
        memset(dro_builder_room(&part, connections[i].bearer), 5, connections[i].bearer);
        assert_int_equal(apply(index, FIELD_CONNECTION), DRO_MALFORMED);
    }
    field_begin();
    dro_builder_le(&part, core->host_count, 2);
    dro_builder_le(&part, 0, 8);
    assert_int_equal(apply(index, FIELD_DUPLICATE), DRO_MALFORMED);
    put_mail(1, EVENT_BYTES_MAX + 1);
    assert_int_equal(apply(index, FIELD_MAIL), DRO_MALFORMED);
    assert_int_equal(apply_to(index, FIELD_IMSI, "00101000000000a", 15), DRO_MALFORMED);
    assert_int_equal(apply_to(index, FIELD_IMSI, "0010100000000001", 16), DRO_MALFORMED);
    assert_int_equal(twin_find_imsi(core, IMSI), index); /* as it was */
}

static void a_twin_without_identity_takes_little(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index;
    value value = { .kind = VALUE_INTEGER, .integer = 5 };
    make_twin(ID, NULL); /* there is a domain */
    assert_int_equal(twin_new(core, &index), DRO_OK);
    twin_at(core, index)->number = 12345;
    assert_int_equal(apply_to(index, FIELD_MAIL_GONE, "\0\0\0\0\0\0\0", 8), DRO_OK); /* it has none */
    assert_int_equal(apply_to(index, FIELD_TICKET_GONE, "\0\0\0\0\0\0\0", 8), DRO_OK);
    assert_null(twin_at(core, index)->extra);
    field_begin();
    dro_builder_le(&part, 0, 2 + 2);
    dro_builder_le(&part, 0, 8);
    value_write(&part, &value);
    assert_int_equal(apply(index, FIELD_PROPERTY), DRO_MALFORMED);
    assert_int_equal(apply_to(index, FIELD_TAGS, "", 0), DRO_MALFORMED);
    put_ticket(1, 0, 0, TICKET_PENDING, 0);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_MALFORMED);
    static const uint8_t zeros[32];
    assert_int_equal(apply_to(index, FIELD_CONTACT, zeros, 30), DRO_OK); /* shown once it says who it is */
    assert_int_equal(apply_to(index, FIELD_REVISION, zeros, 8), DRO_OK);
    static const struct { uint32_t domain, image; } wrong[] = { { 2, 0 }, { 1, 1 }, { UINT32_MAX, NONE } };
    for (size_t i = 0; i < 3; i++) {
        field_begin();
        dro_builder_le(&part, wrong[i].domain, 4);
        dro_builder_le(&part, wrong[i].image, 4);
        dro_builder_text(&part, "b@acme.example");
        assert_int_equal(apply(index, FIELD_IDENTITY), DRO_MALFORMED);
    }
    field_begin();
    dro_builder_le(&part, 1, 4);
    dro_builder_le(&part, 0, 4);
    dro_builder_text(&part, "b@acme.example");
    uint32_t table = core->images[0].table;
    core->images[0].table = NONE;
    assert_int_equal(apply(index, FIELD_IDENTITY), DRO_MALFORMED);
    core->images[0].table = table;
    assert_int_equal(twin_at(core, index)->row, NONE);
    apply_reset(core, index);
    twin_free(core, index);
}

/* What timelines, streams and the host's tables alone read. */
static void fields_of_others_change_nothing(void **state)
{
    (void)state;
    static const uint8_t tags[] = { FIELD_EVENT, FIELD_NOTIFY, FIELD_LOG, FIELD_DEAD, FIELD_IDEMPOTENT, FIELD_TRAP, FIELD_GROUP_TOLD, FIELD_CHUNK, FIELD_USAGE, FIELD_PASSED, FIELD_EXPOSURE_NEWS,
                                    FIELD_EXPOSURE_NEWS_GONE, FIELD_CHARGE, FIELD_CHARGED, FIELD_AUDIT, FIELD_AUDITED, FIELD_AUDIT_HEAD, FIELD_OF_DOMAIN, FIELD_CONNECTION_REFUSED, FIELD_FAREWELL,
                                    FIELD_FAREWELL_GONE, FIELD_CHUNKS_SPENT, 253 /* of a version to come */ };
    uint32_t index = make_twin(ID, IMSI);
    const twin before = *twin_at(here.world.core, index);
    for (size_t i = 0; i < sizeof tags; i++) {
        assert_int_equal(apply_to(index, tags[i], "anything", 8), DRO_OK);
        assert_memory_equal(twin_at(here.world.core, index), &before, sizeof before);
    }
}

static void aliases_are_a_list_of_texts(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin(ID, NULL);
    assert_int_equal(apply_to(index, FIELD_ALIASES, "x@acme.example\0y@acme.example", 30), DRO_OK);
    assert_int_equal(twin_find(core, "y@acme.example", 14), index);
    assert_int_equal(apply_to(index, FIELD_ALIASES, "z@acme.example", 14), DRO_MALFORMED); /* without its end */
    assert_int_equal(twin_find(core, "y@acme.example", 14), NONE);
    char many[TWIN_ALIASES_MAX + 1][2];
    for (int i = 0; i <= TWIN_ALIASES_MAX; i++)
        memcpy(many[i], (char[2]){ (char)('a' + i) }, 2);
    assert_int_equal(apply_to(index, FIELD_ALIASES, many, sizeof many), DRO_OK);
    assert_int_equal(twin_at(core, index)->extra->alias_count, TWIN_ALIASES_MAX); /* as many as there can be */
    assert_int_equal(apply_to(index, FIELD_ALIASES, "", 0), DRO_OK);
    assert_int_equal(twin_at(core, index)->extra->alias_count, 0);
    assert_int_equal(twin_find(core, "a", 1), NONE);
}

static void what_is_gone_already_can_go_again(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin(ID, NULL);
    put_mail(7, 3);
    assert_int_equal(apply(index, FIELD_MAIL), DRO_OK);
    put_ticket(9, 0, 0, TICKET_PENDING, 0);
    assert_int_equal(apply(index, FIELD_TICKET), DRO_OK);
    put_timer(3, core->now_ms + 60000);
    assert_int_equal(apply(index, FIELD_TIMER), DRO_OK);
    const twin_extra *extra = twin_at(core, index)->extra;
    for (uint64_t number = 9; number >= 7; number -= 2)
        for (int twice = 0; twice < 2; twice++) {
            assert_int_equal(apply_to(index, number == 7 ? FIELD_MAIL_GONE : FIELD_TICKET_GONE, &number, 8), DRO_OK);
            assert_int_equal(apply_to(index, number == 7 ? FIELD_TICKET_GONE : FIELD_MAIL_GONE, &number, 8), DRO_OK);
        }
    assert_int_equal(extra->mail_count + extra->ticket_count, 0);
    put_timer(4, -1); /* another one */
    assert_int_equal(apply(index, FIELD_TIMER), DRO_OK);
    assert_int_equal(extra->timer_count, 1);
    put_timer(3, core->now_ms + 90000);
    assert_int_equal(apply(index, FIELD_TIMER), DRO_OK);
    assert_int_equal(extra->timer_count, 1);
    put_timer(3, -1);
    assert_int_equal(apply(index, FIELD_TIMER), DRO_OK);
    assert_int_equal(extra->timer_count, 0);
}

/* A twin without code that is given an image keeps all it had, over a start too. */
static void a_plain_twin_that_gets_an_image_keeps_its_tags(void **state)
{
    (void)state;
    on_twin(API_TWIN_PUT, ID);
    request_text(&request, API_FIELD_IMSI, IMSI);
    request_bytes(&request, API_FIELD_TAG, "\4sitenorth", 10);
    assert_int_equal(status_of(ask()), 201);
    on_twin(API_TWIN_PUT, "b@acme.example"); /* and one without tags */
    request_text(&request, API_FIELD_IMSI, "001010000000002");
    assert_int_equal(status_of(ask()), 201);
    connect_device(IMSI);
    assert_int_equal(reading(IMSI, 1, 0).result, 2001);
    record_full(here.world.core, twin_find(here.world.core, ID, strlen(ID))); /* replayed over what is there already */
    reopen();
    uint64_t twins = here.world.core->images[0].twins;
    for (int i = 0; i < 2; i++) {
        on_twin(API_TWIN_PUT, i == 0 ? ID : "b@acme.example");
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        assert_int_equal(status_of(ask()), 200);
    }
    for (int i = 0; i < 2; i++) {
        core *core = here.world.core;
        uint32_t index = twin_find(core, ID, strlen(ID));
        assert_int_equal(core->images[0].twins, twins + 2);
        assert_int_equal(twin_at(core, index)->image, 0);
        assert_true(twin_at(core, index)->last_contact_ms > 0);
        on_twin(API_TWIN_GET, ID);
        assert_non_null(strstr(json_of(ask()), "\"tags\":{\"site\":\"north\"}"));
        assert_int_equal(status_of(write_period(ID, 600)), 202);
        reopen();
    }
}

/* ---- several cores ---- */

static uint16_t put_numbers(const char *id, const char *imsi, const char *msisdn)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    request_text(&request, API_FIELD_IMSI, imsi);
    request_text(&request, API_FIELD_MSISDN, msisdn);
    return status_of(ask());
}

/* Numbers are unique among all cores: one that a twin gives up is another's to have. */
static void a_number_that_was_given_up_is_free_on_every_core(void **state)
{
    (void)state;
    char id[32];
    assert_int_equal(put_numbers(ID, IMSI, "4915100"), 201);
    for (int i = 0; i < 6; i++) { /* on whichever core */
        snprintf(id, sizeof id, "d%d@acme.example", i);
        assert_int_equal(put_numbers(id, IMSI, "4915200"), 409);
        assert_int_equal(put_numbers(id, "001010000000009", "4915100"), 409);
    }
    assert_int_equal(put_numbers(ID, "001010000000002", "4915300"), 200);
    world_settle(&here.world);
    assert_int_equal(put_numbers("d0@acme.example", IMSI, "4915100"), 201);
    assert_int_equal(put_numbers("d1@acme.example", "001010000000002", "4915400"), 409);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(each_shorter_field_is_refused),
        CLAIM(numbers_that_name_nothing_are_refused),
        CLAIM(a_twin_without_identity_takes_little),
        CLAIM(fields_of_others_change_nothing),
        CLAIM(aliases_are_a_list_of_texts),
        CLAIM(what_is_gone_already_can_go_again),
        CLAIM(a_plain_twin_that_gets_an_image_keeps_its_tags),
        cmocka_unit_test_setup_teardown(a_number_that_was_given_up_is_free_on_every_core, asker_begin_with_cores, asker_end),
    };
    return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}
