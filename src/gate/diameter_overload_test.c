/* Overload told and heard. AVPs are made by the writer, whose bytes others check (write_test.c, test/flow). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gate/diameter_overload.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

enum { SECOND = 1000000000, APPLICATION = DIAMETER_APPLICATION_T6A };
static const int64_t wall_ms = 1795348800000;

static overload here;
static int64_t now_ns;
static uint8_t bytes[4096];
static diameter_message message;

static int setup(void **state)
{
    (void)state;
    here = (overload){ 0 };
    now_ns = 0;
    overload_init(&here, "scef.dromio.test", wall_ms);
    return 0;
}

static void pass_second(uint64_t taken, uint64_t refused)
{
    here.told.taken = taken;
    here.told.refused = refused;
    now_ns += SECOND;
    overload_tick(&here, now_ns, wall_ms + now_ns / 1000000);
}

/* What answers carry now, read again. */
static const diameter_avp *told_report(void)
{
    diameter_fault fault;
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    size_t begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_MO_DATA, .application = APPLICATION });
    dro_builder_bytes(&out, here.told.avps, here.told.length);
    diameter_end(&out, begin);
    assert_true(diameter_read(&message, bytes, dro_builder_length(&out), &fault));
    const diameter_avp *features = diameter_find(&message, AVP_OC_SUPPORTED_FEATURES);
    assert_int_equal(diameter_u64(diameter_find_in(&message, features, AVP_OC_FEATURE_VECTOR)), 1);
    return diameter_find(&message, AVP_OC_OLR);
}

static uint64_t told(diameter_name name)
{
    const diameter_avp *value = diameter_find_in(&message, told_report(), name);
    assert_non_null(value);
    return value->length == 8 ? diameter_u64(value) : diameter_u32(value);
}

static uint32_t told_load(void)
{
    (void)told_report();
    uint32_t load = 0;
    assert_true(overload_load(&message, "scef.dromio.test", &load));
    return load;
}

static void nothing_is_told_without_need(void **state)
{
    (void)state;
    assert_null(told_report());
    pass_second(100000, 0);
    pass_second(100000, 1000); /* one of a hundred */
    assert_null(told_report());
}

static void what_was_refused_is_to_be_left_out(void **state)
{
    (void)state;
    pass_second(400, 600);
    assert_int_equal(told(AVP_OC_REDUCTION_PERCENTAGE), 60);
    assert_int_equal(told(AVP_OC_REPORT_TYPE), 0);
    assert_int_equal(told(AVP_OC_VALIDITY_DURATION), OVERLOAD_VALID_S);
    uint64_t number = told(AVP_OC_SEQUENCE_NUMBER);
    assert_true(number > (uint64_t)wall_ms);
    pass_second(200, 200); /* they send 40 of 100 and half of that is refused */
    assert_int_equal(told(AVP_OC_REDUCTION_PERCENTAGE), 80);
    assert_true(told(AVP_OC_SEQUENCE_NUMBER) > number);
}

static void some_always_may_come(void **state)
{
    (void)state;
    pass_second(0, 1000);
    assert_int_equal(told(AVP_OC_REDUCTION_PERCENTAGE), OVERLOAD_REDUCTION_MAX);
}

static void it_eases_and_ends_with_a_validity_of_nothing(void **state)
{
    (void)state;
    static const uint32_t then[] = { 37, 21, 1, 0 }; /* 63, 79, 99 of a hundred may come */
    pass_second(50, 50);
    uint64_t number = told(AVP_OC_SEQUENCE_NUMBER);
    for (size_t i = 0; i < sizeof then / sizeof then[0]; i++) {
        pass_second(1000, 0);
        assert_int_equal(told(AVP_OC_REDUCTION_PERCENTAGE), then[i]);
    }
    assert_int_equal(told(AVP_OC_VALIDITY_DURATION), 0);
    assert_true(told(AVP_OC_SEQUENCE_NUMBER) > number + 1);
    for (int i = 0; i < OVERLOAD_OVER_S - 1; i++) {
        pass_second(1000, 0);
        assert_non_null(told_report());
    }
    pass_second(1000, 0);
    assert_null(told_report());
}

static void a_report_that_stays_gets_a_new_number_before_it_expires(void **state)
{
    (void)state;
    pass_second(50, 50);
    uint64_t number = told(AVP_OC_SEQUENCE_NUMBER);
    for (int i = 0; i < OVERLOAD_AGAIN_S - 1; i++)
        pass_second(1000, 1); /* a few are refused: it neither grows nor eases */
    assert_int_equal(told(AVP_OC_SEQUENCE_NUMBER), number);
    pass_second(1000, 1);
    assert_int_equal(told(AVP_OC_REDUCTION_PERCENTAGE), 50);
    assert_true(told(AVP_OC_SEQUENCE_NUMBER) > number);
}

static void load_is_what_is_kept(void **state)
{
    (void)state;
    assert_int_equal(told_load(), OVERLOAD_LOAD_MAX);
    overload_note(&here, 1536, 6144);
    overload_note(&here, 100, 6144);
    pass_second(1, 0);
    assert_int_equal(told_load(), OVERLOAD_LOAD_MAX - OVERLOAD_LOAD_MAX / 4);
    overload_note(&here, 7000, 6144);
    pass_second(1, 0);
    assert_int_equal(told_load(), 0);
}

/* ---- heard ---- */

typedef struct olr {
    const char *host;
    uint64_t number, vector;
    uint32_t type, reduction, valid_s;
} olr;
#define ABSENT UINT32_MAX

static void put_olr(const olr *said, dro_builder *out)
{
    size_t group = diameter_group_begin(out, AVP_OC_OLR);
    diameter_put_u64(out, AVP_OC_SEQUENCE_NUMBER, said->number);
    diameter_put_u32(out, AVP_OC_REPORT_TYPE, said->type);
    if (said->reduction != ABSENT)
        diameter_put_u32(out, AVP_OC_REDUCTION_PERCENTAGE, said->reduction);
    if (said->valid_s != ABSENT)
        diameter_put_u32(out, AVP_OC_VALIDITY_DURATION, said->valid_s);
    diameter_group_end(out, group);
}

static dro_builder answer_begin(const char *host, size_t *begin)
{
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    *begin = diameter_begin(&out, &(diameter_header){ .code = COMMAND_MT_DATA, .application = APPLICATION });
    diameter_put_text(&out, AVP_ORIGIN_HOST, host);
    diameter_put_text(&out, AVP_ORIGIN_REALM, "epc.test");
    return out;
}

static void answer_end(dro_builder *out, size_t begin)
{
    diameter_fault fault;
    diameter_end(out, begin);
    assert_true(diameter_read(&message, bytes, dro_builder_length(out), &fault));
}

static bool hear(olr said)
{
    size_t begin;
    dro_builder out = answer_begin(said.host == NULL ? "mme1.epc.test" : said.host, &begin);
    if (said.vector != 0) {
        size_t group = diameter_group_begin(&out, AVP_OC_SUPPORTED_FEATURES);
        diameter_put_u64(&out, AVP_OC_FEATURE_VECTOR, said.vector);
        diameter_group_end(&out, group);
    }
    put_olr(&said, &out);
    answer_end(&out, begin);
    return overload_hear(&here, &message, now_ns);
}

static overload_way way_to(const char *host)
{
    return (overload_way){ .host = (const uint8_t *)host, .host_length = (uint32_t)strlen(host), .application = APPLICATION, .priority = PRIORITY_USUAL };
}

/* Of a hundred requests. */
static uint32_t abated(overload_way way)
{
    uint32_t count = 0;
    for (int i = 0; i < 100; i++)
        count += overload_abates(&here, &way, now_ns);
    return count;
}

static void the_percentage_of_that_host_stays_back(void **state)
{
    (void)state;
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
    assert_true(hear((olr){ .number = 7, .reduction = 30, .valid_s = 60 }));
    assert_int_equal(abated(way_to("MME1.epc.test")), 30);
    assert_int_equal(abated(way_to("mme2.epc.test")), 0);
    overload_way other = way_to("mme1.epc.test");
    other.application = DIAMETER_APPLICATION_S6T;
    assert_int_equal(abated(other), 0);
    assert_int_equal(overload_reduction(&here, "mme1.epc.test", now_ns), 30);
}

static void only_a_newer_number_changes_it(void **state)
{
    (void)state;
    assert_true(hear((olr){ .number = 7, .reduction = 30, .valid_s = 60 }));
    assert_false(hear((olr){ .number = 7, .reduction = 90, .valid_s = 60 }));
    assert_false(hear((olr){ .number = 6, .reduction = 90, .valid_s = 60 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 30);
    assert_true(hear((olr){ .number = 8, .reduction = 90, .valid_s = 60 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 90);
    assert_int_equal(here.old, 2);
}

/* Or nobody would hear a node that began anew and counts from the start. */
static void a_number_is_over_with_its_report(void **state)
{
    (void)state;
    assert_true(hear((olr){ .number = UINT64_MAX, .reduction = 30, .valid_s = 60 }));
    now_ns += 60ll * SECOND;
    assert_false(hear((olr){ .number = 1, .reduction = 90, .valid_s = 60 }));
    now_ns += (int64_t)OVERLOAD_VALID_S * SECOND;
    assert_true(hear((olr){ .number = 1, .reduction = 90, .valid_s = 60 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 90);
    assert_false(hear((olr){ .number = 1, .reduction = 50, .valid_s = 60 }));
}

static void it_ends_by_its_time_by_no_validity_and_by_no_reduction(void **state)
{
    (void)state;
    uint32_t number = 1;
    assert_true(hear((olr){ .number = number++, .reduction = 100, .valid_s = 10 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 100);
    now_ns += 10ll * SECOND;
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
    assert_true(hear((olr){ .number = number++, .reduction = 100, .valid_s = 10 }));
    assert_true(hear((olr){ .number = number++, .reduction = 100, .valid_s = 0 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
    assert_true(hear((olr){ .number = number++, .reduction = 100, .valid_s = 10 }));
    assert_true(hear((olr){ .number = number++, .reduction = 0, .valid_s = 10 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
}

static void what_is_left_out_has_a_default(void **state)
{
    (void)state;
    assert_true(hear((olr){ .number = 1, .reduction = 50, .valid_s = ABSENT }));
    assert_int_equal(here.heard[0].until_ns, (int64_t)OVERLOAD_VALID_S * SECOND);
    assert_true(hear((olr){ .number = 2, .reduction = 50, .valid_s = OVERLOAD_VALID_MAX_S + 1 }));
    assert_int_equal(here.heard[0].until_ns, (int64_t)OVERLOAD_VALID_S * SECOND);
    assert_true(hear((olr){ .number = 3, .reduction = ABSENT, .valid_s = 60 }));
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
}

static void what_cannot_be_is_ignored(void **state)
{
    (void)state;
    static const olr wrong[] = {
        { .number = 1, .reduction = 101, .valid_s = 60 },
        { .number = 1, .reduction = 50, .valid_s = 60, .type = 2 },
        { .number = 1, .reduction = 50, .valid_s = 60, .vector = 2 }, /* another algorithm */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(hear(wrong[i]));
    assert_int_equal(here.bad, sizeof wrong / sizeof wrong[0]);
    assert_int_equal(here.heard_count, 0);
    static const diameter_name four[] = { AVP_OC_SEQUENCE_NUMBER, AVP_OC_REPORT_TYPE, AVP_OC_REDUCTION_PERCENTAGE, AVP_OC_VALIDITY_DURATION };
    for (size_t i = 0; i < sizeof four / sizeof four[0]; i++) { /* each with a value of a wrong width */
        size_t begin;
        dro_builder out = answer_begin("mme1.epc.test", &begin);
        size_t group = diameter_group_begin(&out, AVP_OC_OLR);
        for (size_t j = 0; j < sizeof four / sizeof four[0]; j++)
            diameter_put(&out, four[j], "\0\0\0\0\0\0\0\1", i == j ? 3 : four[j] == AVP_OC_SEQUENCE_NUMBER ? 8 : 4);
        diameter_group_end(&out, group);
        answer_end(&out, begin);
        assert_false(overload_hear(&here, &message, now_ns));
    }
    assert_int_equal(here.heard_count, 0);
}

static void a_realms_report_is_for_what_goes_to_any_host_of_it(void **state)
{
    (void)state;
    overload_way any = { .realm = (const uint8_t *)"epc.test", .realm_length = 8, .application = APPLICATION, .priority = PRIORITY_USUAL };
    assert_true(hear((olr){ .number = 1, .type = 1, .reduction = 40, .valid_s = 60 }));
    assert_int_equal(abated(any), 40);
    assert_int_equal(abated(way_to("mme1.epc.test")), 0);
    assert_true(hear((olr){ .number = 1, .type = 0, .reduction = 70, .valid_s = 60 })); /* beside it, with numbers of its own */
    any.host = (const uint8_t *)"mme1.epc.test";
    any.host_length = 13;
    assert_int_equal(abated(any), 70); /* not both */
}

static void a_higher_priority_goes_first_and_others_stay_for_it(void **state)
{
    (void)state;
    uint32_t usual = 0, high = 0;
    overload_way first = way_to("mme1.epc.test"), other = first;
    first.priority = PRIORITY_USUAL - 1;
    assert_true(hear((olr){ .number = 1, .reduction = 50, .valid_s = 60 }));
    for (int i = 0; i < 50; i++) {
        high += overload_abates(&here, &first, now_ns);
        usual += overload_abates(&here, &other, now_ns);
    }
    assert_int_equal(high, 0);
    assert_int_equal(usual, 50);
    assert_in_range(abated(first), 50 - OVERLOAD_DEBT_MAX, 50); /* alone they are not spared for ever */
    assert_true(hear((olr){ .number = 2, .reduction = 100, .valid_s = 60 }));
    assert_int_equal(abated(first), 100);
}

static void what_is_heard_is_bounded(void **state)
{
    (void)state;
    char host[32];
    for (uint32_t i = 0; i < OVERLOAD_REPORTS_MAX + 10; i++) {
        snprintf(host, sizeof host, "mme%u.epc.test", i);
        assert_true(hear((olr){ .host = host, .number = 1, .reduction = 100, .valid_s = 60 + i }));
    }
    assert_int_equal(here.heard_count, OVERLOAD_REPORTS_MAX);
    assert_int_equal(abated(way_to("mme9.epc.test")), 0); /* those that end first made room */
    assert_int_equal(abated(way_to("mme10.epc.test")), 100);
    assert_int_equal(abated(way_to(host)), 100);
}

static void put_load(dro_builder *out, const char *source, uint32_t type, uint64_t value)
{
    size_t group = diameter_group_begin(out, AVP_LOAD);
    diameter_put_u32(out, AVP_LOAD_TYPE, type);
    diameter_put_u64(out, AVP_LOAD_VALUE, value);
    diameter_put_text(out, AVP_SOURCEID, source);
    diameter_group_end(out, group);
}

static void load_is_of_the_node_it_names(void **state)
{
    (void)state;
    size_t begin;
    uint32_t load = 1;
    dro_builder out = answer_begin("hss1.epc.test", &begin);
    put_load(&out, "hss9.epc.test", 0, 5);
    put_load(&out, "HSS1.epc.test", 0, 40000);
    put_load(&out, "hss1.epc.test", 1, 30000);
    put_load(&out, "hss1.epc.test", 1, 50000);
    put_load(&out, "hss1.epc.test", 2, 3);     /* no such type */
    put_load(&out, "hss1.epc.test", 0, 65536); /* no such value */
    answer_end(&out, begin);
    assert_true(overload_load(&message, "hss1.epc.test", &load));
    assert_int_equal(load, 30000);
    assert_false(overload_load(&message, "hss2.epc.test", &load));
}

static void a_priority_that_is_none_is_the_usual_one(void **state)
{
    (void)state;
    static const struct { uint8_t bytes[4]; uint32_t length, priority; } values[] = {
        { { 0, 0, 0, 0 }, 4, 0 }, { { 0, 0, 0, 15 }, 4, 15 }, { { 0, 0, 0, 16 }, 4, PRIORITY_USUAL }, { { 0, 0, 0, 3 }, 3, PRIORITY_USUAL },
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        size_t begin;
        dro_builder out = answer_begin("mme1.epc.test", &begin);
        diameter_put(&out, AVP_DRMP, values[i].bytes, values[i].length);
        answer_end(&out, begin);
        assert_int_equal(overload_priority(&message), values[i].priority);
    }
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_told_without_need),
        TEST(what_was_refused_is_to_be_left_out),
        TEST(some_always_may_come),
        TEST(it_eases_and_ends_with_a_validity_of_nothing),
        TEST(a_report_that_stays_gets_a_new_number_before_it_expires),
        TEST(load_is_what_is_kept),
        TEST(the_percentage_of_that_host_stays_back),
        TEST(only_a_newer_number_changes_it),
        TEST(a_number_is_over_with_its_report),
        TEST(it_ends_by_its_time_by_no_validity_and_by_no_reduction),
        TEST(what_is_left_out_has_a_default),
        TEST(what_cannot_be_is_ignored),
        TEST(a_realms_report_is_for_what_goes_to_any_host_of_it),
        TEST(a_higher_priority_goes_first_and_others_stay_for_it),
        TEST(what_is_heard_is_bounded),
        TEST(load_is_of_the_node_it_names),
        TEST(a_priority_that_is_none_is_the_usual_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
