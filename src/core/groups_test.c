/* Groups: members, what is done to all of them, and what of it a crash leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/groups.h"
#include "core/limits.h"
#include "core/number.h"
#include "core/twin_table.h"

#define GROUP "all@acme.example"
enum { MANY = 600 };

static const heard *on_group(uint16_t operation, const char *id)
{
    request_begin(&request, operation);
    request_text(&request, API_FIELD_GROUP, GROUP);
    if (id != NULL)
        request_text(&request, API_FIELD_ID, id);
    return ask();
}

static const char *member(int number)
{
    static char id[40];
    snprintf(id, sizeof id, "m%03d@acme.example", number);
    return id;
}

static void make_group(void)
{
    make_twin("first@acme.example", NULL); /* and its domain */
    assert_int_equal(status_of(on_group(API_GROUP_PUT, NULL)), 201);
}

static void join(const char *id)
{
    assert_int_equal(status_of(on_group(API_GROUP_MEMBER_PUT, id)), 201);
}

static const group *the_group(void)
{
    const group *found = group_find(here.world.core, GROUP, strlen(GROUP));
    assert_non_null(found);
    return found;
}

/* Writes `period` on all members; the operation's number. */
static uint32_t write_all(int64_t seconds)
{
    request_begin(&request, API_GROUP_PROPERTY_PUT);
    request_text(&request, API_FIELD_GROUP, GROUP);
    request_text(&request, API_FIELD_NAME, "period");
    request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = seconds });
    assert_true(request_send(&here.world, 0, ++here.id, &request));
    return here.world.core->groups->next;
}

static const group_operation *operation_of(uint32_t number)
{
    const group_operation *found = group_operation_at(here.world.core, group_number(number));
    assert_non_null(found);
    return found;
}

static uint32_t count_of(uint32_t number, group_state state)
{
    return operation_of(number)->counts[state];
}

static void members_keep_their_places_and_a_place_is_taken_again(void **state)
{
    (void)state;
    make_group();
    for (int i = 0; i < 3; i++) {
        make_twin(member(i), NULL);
        join(member(i));
    }
    uint32_t second = the_group()->places[1], third = the_group()->places[2];
    assert_int_equal(status_of(on_group(API_GROUP_MEMBER_DELETE, member(0))), 204);
    assert_int_equal(the_group()->member_count, 2);
    assert_int_equal(group_place(the_group(), 0), 0);
    assert_int_equal(group_place(the_group(), 1), second);
    join("first@acme.example");
    assert_true(group_place(the_group(), 0) != 0);
    assert_int_equal(the_group()->places[2], third);
    assert_int_equal(the_group()->place_count, 3);
    reopen();
    assert_int_equal(the_group()->member_count, 3);
    assert_int_equal(status_of(on_group(API_GROUP_MEMBER_DELETE, member(0))), 404);
}

static void a_twin_that_goes_leaves_and_its_place_is_free(void **state)
{
    (void)state;
    make_group();
    make_twin(member(0), NULL);
    join(member(0));
    on_twin(API_TWIN_DELETE, member(0));
    assert_int_equal(status_of(ask()), 204);
    assert_int_equal(the_group()->member_count, 0);
    assert_int_equal(here.world.core->groups->member_count, 0);
}

static void a_twin_has_so_many_groups_and_no_more(void **state)
{
    (void)state;
    make_twin("a@acme.example", NULL);
    for (int i = 0; i <= TWIN_GROUPS_MAX; i++) {
        char id[40];
        snprintf(id, sizeof id, "g%d@acme.example", i);
        request_begin(&request, API_GROUP_PUT);
        request_text(&request, API_FIELD_GROUP, id);
        assert_int_equal(status_of(ask()), 201);
        on_twin(API_GROUP_MEMBER_PUT, "a@acme.example");
        request_text(&request, API_FIELD_GROUP, id);
        assert_int_equal(status_of(ask()), i < TWIN_GROUPS_MAX ? 201 : 422);
    }
}

static void a_command_goes_to_who_is_a_member_when_it_begins(void **state)
{
    (void)state;
    make_group();
    make_twin("late@acme.example", NULL);
    join("first@acme.example");
    uint32_t number = write_all(600);
    world_settle(&here.world);
    join("late@acme.example");
    world_settle(&here.world);
    assert_int_equal(count_of(number, GROUP_STATE_PENDING), 1);
    assert_null(twin_at(here.world.core, twin_find(here.world.core, "late@acme.example", 17))->extra);
    reopen();
    world_settle(&here.world);
    assert_int_equal(count_of(number, GROUP_STATE_PENDING), 1);
    assert_int_equal(count_of(number, GROUP_STATE_WAITING), 0);
}

/* Its key is in a record of no twin. */
static void a_command_with_a_key_is_one_over_a_restart(void **state)
{
    uint8_t key[64] = { 5 };
    (void)state;
    make_group();
    join("first@acme.example");
    for (int round = 0; round < 2; round++) {
        request_begin(&request, API_GROUP_PROPERTY_PUT);
        request_text(&request, API_FIELD_GROUP, GROUP);
        request_text(&request, API_FIELD_NAME, "period");
        request_value(&request, &(value){ .kind = VALUE_INTEGER, .integer = 600 });
        request_bytes(&request, API_FIELD_IDEMPOTENCY, key, sizeof key);
        assert_int_equal(status_of(ask()), 202);
        world_settle(&here.world);
        assert_int_equal(here.world.core->groups->operation_count, 1);
        reopen();
    }
}

static uint32_t begun_of(uint32_t number)
{
    const group_operation *operation = group_operation_at(here.world.core, group_number(number));
    return operation == NULL ? 0 : MANY - operation->counts[GROUP_STATE_WAITING];
}

/* The host is killed when some have begun: after it all have it, each once. */
static void a_round_begins_a_bounded_number_and_a_crash_loses_and_repeats_none(void **state)
{
    (void)state;
    make_group();
    for (int i = 0; i < MANY; i++) {
        make_twin(member(i), NULL);
        join(member(i));
    }
    uint32_t number = write_all(600), begun = 0;
    while (begun == 0 || begun < MANY / 3) {
        world_round(&here.world);
        uint32_t now = begun_of(number);
        assert_true(now - begun <= GROUP_BATCH);
        begun = now;
    }
    assert_true(begun < MANY);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    assert_int_equal(count_of(number, GROUP_STATE_PENDING), MANY);
    for (int i = 0; i < MANY; i++) {
        const twin *twin = twin_at(here.world.core, twin_find(here.world.core, member(i), strlen(member(i))));
        assert_int_equal(twin->extra->ticket_count, 1);
        assert_int_equal(twin->extra->mail_count, 1);
    }
}

static void what_a_model_does_not_take_fails_for_its_members_alone(void **state)
{
    (void)state;
    make_group();
    join("first@acme.example");
    uint32_t number = write_all(5);
    world_settle(&here.world);
    assert_int_equal(count_of(number, GROUP_STATE_RANGE), 1);
    assert_false(operation_of(number)->is_walking);
    assert_null(twin_at(here.world.core, twin_find(here.world.core, "first@acme.example", 18))->extra);
    reopen();
    assert_int_equal(count_of(number, GROUP_STATE_RANGE), 1);
}

static void who_leaves_is_not_counted_any_more(void **state)
{
    (void)state;
    make_group();
    join("first@acme.example");
    uint32_t number = write_all(600);
    world_settle(&here.world);
    assert_int_equal(status_of(on_group(API_GROUP_MEMBER_DELETE, "first@acme.example")), 204);
    for (uint32_t s = 0; s < GROUP_STATES; s++)
        assert_int_equal(count_of(number, (group_state)s), 0);
}

static void a_group_that_goes_lets_its_members_go_and_its_slot_is_taken_again(void **state)
{
    (void)state;
    make_group();
    join("first@acme.example");
    write_all(600);
    world_settle(&here.world);
    uint32_t before = the_group()->number;
    assert_int_equal(status_of(on_group(API_GROUP_DELETE, NULL)), 204);
    world_settle(&here.world);
    assert_int_equal(here.world.core->groups->member_count, 0);
    assert_int_equal(here.world.core->groups->operation_count, 0);
    assert_int_equal(status_of(on_group(API_GROUP_PUT, NULL)), 201);
    assert_true(the_group()->number > before);
    assert_int_equal(the_group()->member_count, 0);
    reopen();
    assert_int_equal(the_group()->member_count, 0);
}

static void an_hss_says_who_is_a_member_in_segments(void **state)
{
    (void)state;
    group *made;
    make_twin("a@acme.example", "001010000000001");
    make_twin("b@acme.example", "001010000000002");
    core *core = here.world.core;
    assert_int_equal(group_add(core, GROUP, strlen(GROUP), domain_find(core, "acme.example", 12), GROUP_HSS, &made), DRO_OK);
    const group_identity first[] = { { DIRECTORY_IMSI, "001010000000001", 15 }, { DIRECTORY_IMSI, "001010000000009", 15 } };
    const group_identity second[] = { { DIRECTORY_ID, "b@acme.example", 14 }, { DIRECTORY_ID, "a@acme.example", 14 } };
    assert_int_equal(group_members_told(core, GROUP, strlen(GROUP), first, 2, false), DRO_OK);
    assert_int_equal(made->member_count, 1);
    assert_int_equal(group_unknown(core, made), 0); /* the list has not ended */
    assert_int_equal(group_members_told(core, GROUP, strlen(GROUP), second, 2, true), DRO_OK);
    assert_int_equal(group_unknown(core, made), 1); /* the first was named twice */
    assert_int_equal(made->member_count, 2);
    reopen();
    made = group_find(here.world.core, GROUP, strlen(GROUP));
    core = here.world.core;
    assert_int_equal(group_members_told(core, GROUP, strlen(GROUP), second, 1, false), DRO_OK);
    assert_int_equal(group_members_told(core, GROUP, strlen(GROUP), NULL, 0, true), DRO_OK);
    assert_int_equal(group_unknown(core, made), 0);
    assert_int_equal(made->member_count, 1); /* the other one was not named again */
    assert_int_equal(group_members_told(core, GROUP, strlen(GROUP), first, 2, true), DRO_OK);
    assert_int_equal(group_unknown(core, made), 1);
    assert_int_equal(status_of(on_group(API_GROUP_GET, NULL)), 200);
    reopen();
    core = here.world.core;
    assert_int_equal(group_unknown(core, group_find(core, GROUP, strlen(GROUP))), 1); /* as before the restart */
    assert_int_equal(group_members_told(core, "no@acme.example", 15, second, 1, true), DRO_NOT_FOUND);
}

/* ---- T8 ---- */

/* As a gate tells of an open connection to the node that the devices are on. */
static void node_is_there(bool is_open)
{
    uint8_t bytes[sizeof(peer_state) + 64];
    const twin *twin = twin_at(here.world.core, twin_find(here.world.core, "first@acme.example", 18));
    const char *host = here.world.core->hosts[twin->connection.host].name;
    peer_state told = { .is_open = is_open, .applications = PEER_T6A, .host_length = (uint16_t)strlen(host) };
    memcpy(bytes, &told, sizeof told);
    memcpy(bytes + sizeof told, host, strlen(host));
    assert_true(world_send(&here.world, 0, MESSAGE_PEER, 0, bytes, sizeof told + strlen(host)));
    world_settle(&here.world);
}

/* An application, the group with one connected member, and its configuration: the number of that. */
static uint64_t configure(void)
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_NIDD);
    assert_int_equal(status_of(ask()), 201);
    make_twin("first@acme.example", "001010000000001");
    assert_int_equal(status_of(on_group(API_GROUP_PUT, NULL)), 201);
    join("first@acme.example");
    connect_device("001010000000001");
    request_begin(&request, API_NIDD_CONFIGURATION_MAKE);
    request_text(&request, API_FIELD_SCS_AS, "as1");
    request_text(&request, API_FIELD_GROUP, GROUP);
    request_text(&request, API_FIELD_DESTINATION, "http://as.example/notify");
    assert_int_equal(status_of(ask()), 201);
    return group_number(here.world.core->groups->next - 1);
}

static const heard *on_delivery(uint16_t operation, uint64_t configuration, uint64_t delivery, const char *data)
{
    request_begin(&request, operation);
    request_text(&request, API_FIELD_SCS_AS, "as1");
    request_u64(&request, API_FIELD_CONFIGURATION, configuration);
    if (delivery != 0)
        request_u64(&request, API_FIELD_DELIVERY, delivery);
    if (data != NULL) {
        request_text(&request, API_FIELD_GROUP, GROUP);
        request_bytes(&request, API_FIELD_DATA, data, strlen(data));
    }
    return ask();
}

/* The newest message of the type, or NULL. */
static const heard *newest_of(uint16_t type)
{
    for (uint32_t i = here.count; i-- > 0;)
        if (here.heard[i].header.type == type)
            return &here.heard[i];
    return NULL;
}

static bool says(const heard *heard, const char *text)
{
    size_t length = heard->header.length - sizeof heard->header, wanted = strlen(text);
    for (size_t at = 0; at + wanted <= length; at++)
        if (memcmp(heard->body + at, text, wanted) == 0)
            return true;
    return false;
}

static void notice_is_taken(const heard *notice)
{
    notice_answer taken = { .outcome = NOTICE_TAKEN, .status = 204 };
    assert_true(world_send(&here.world, 0, MESSAGE_NOTICE_ANSWER, notice->header.id, &taken, sizeof taken));
    world_settle(&here.world);
}

static void a_downlink_waits_for_its_node_and_its_result_is_told_once(void **state)
{
    (void)state;
    uint64_t configuration = configure();
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_MAKE, configuration, 0, "to all")), 201);
    uint32_t number = here.world.core->groups->next - 1;
    assert_null(newest_of(MESSAGE_DOWNLINK)); /* nobody has the node: that is not sleep */
    assert_int_equal(count_of(number, GROUP_STATE_WAITING), 1);
    node_is_there(true);
    world_advance(&here.world, GROUP_AGAIN_MS);
    world_settle(&here.world);
    assert_true(says(newest_of(MESSAGE_DOWNLINK), "to all"));
    assert_int_equal(count_of(number, GROUP_STATE_SENT), 1);
    answer_downlink(2001, 0);
    assert_int_equal(count_of(number, GROUP_STATE_DELIVERED), 1);
    assert_int_equal(here.world.core->groups->sent, 0);
    const heard *told = newest_of(MESSAGE_NOTICE);
    assert_true(says(told, "first@acme.example") && says(told, "/3gpp-nidd/v1/as1/configurations/0008"));
    notice_is_taken(told);
    assert_true(operation_of(number)->is_all_told);
    reopen();
    asker_forget();
    world_settle(&here.world);
    assert_true(operation_of(number)->is_all_told);
    assert_null(newest_of(MESSAGE_NOTICE));
    assert_null(newest_of(MESSAGE_DOWNLINK));
}

static void what_bounces_off_a_busy_node_is_sent_again(void **state)
{
    (void)state;
    uint64_t configuration = configure();
    node_is_there(true);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_MAKE, configuration, 0, "to all")), 201);
    uint32_t number = here.world.core->groups->next - 1;
    const heard *sent = newest_of(MESSAGE_DOWNLINK);
    downlink_answer bounced = { .outcome = DOWNLINK_NO_PEER };
    assert_true(world_downlink_answer(&here.world, 0, sent->header.id, &bounced));
    asker_forget();
    world_settle(&here.world);
    assert_int_equal(count_of(number, GROUP_STATE_PENDING), 1);
    world_advance(&here.world, GROUP_AGAIN_MS);
    world_settle(&here.world);
    assert_non_null(newest_of(MESSAGE_DOWNLINK));
    assert_int_equal(count_of(number, GROUP_STATE_SENT), 1);
}

static void a_downlink_that_waits_is_replaced_and_taken_back(void **state)
{
    (void)state;
    uint64_t configuration = configure();
    node_is_there(true);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_MAKE, configuration, 0, "one")), 201);
    uint32_t number = here.world.core->groups->next - 1, index = twin_find(here.world.core, "first@acme.example", 18);
    answer_downlink(0, 5653); /* asleep */
    assert_int_equal(count_of(number, GROUP_STATE_UNREACHABLE), 1);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_PUT, configuration, group_number(number), "another")), 200);
    assert_int_equal(twin_at(here.world.core, index)->extra->mail_count, 1);
    asker_forget();
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* a contact */
    assert_true(says(newest_of(MESSAGE_DOWNLINK), "another"));
    assert_true(says(newest_of(MESSAGE_NOTICE), "first@acme.example")); /* its uplink */
    answer_downlink(0, 5653);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_DELETE, configuration, group_number(number), NULL)), 204);
    world_settle(&here.world);
    assert_true(twin_at(here.world.core, index)->extra == NULL || twin_at(here.world.core, index)->extra->mail_count == 0);
    assert_int_equal(here.world.core->groups->operation_count, 0);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_GET, configuration, group_number(number), NULL)), 404);
}

static void what_waits_of_a_group_that_went_before_a_crash_is_not_counted_after_it(void **state)
{
    (void)state;
    uint64_t configuration = configure();
    node_is_there(true);
    assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_MAKE, configuration, 0, "one")), 201);
    answer_downlink(0, 5653); /* asleep */
    assert_int_equal(here.world.core->mail_count, 1);
    core *core = here.world.core;
    group_remove(core, group_find(core, GROUP, strlen(GROUP)));
    assert_int_equal(groups_keep(core), DRO_OK); /* the tables are on the disk, no member's record is yet */
    reopen();
    uint32_t index = twin_find(here.world.core, "first@acme.example", 18);
    assert_int_equal(here.world.core->mail_count, 0);
    assert_int_equal(queue_mail_count(twin_at(here.world.core, index)), 0);
    asker_forget();
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001); /* a contact */
    assert_null(newest_of(MESSAGE_DOWNLINK));
    reopen();
    assert_int_equal(here.world.core->mail_count, 0);
}

static void what_is_out_of_a_group_that_goes_does_not_come_back(void **state)
{
    static const downlink_answer answers[] = { { .outcome = DOWNLINK_LOST, .end_to_end = 7 },
                                               { .outcome = DOWNLINK_ANSWERED, .experimental = 5653 } };
    uint64_t configuration = configure();
    (void)state;
    node_is_there(true);
    for (uint32_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        asker_forget();
        assert_int_equal(reading("001010000000001", i + 1, (uint8_t)i).result, 2001); /* a contact */
        assert_int_equal(status_of(on_delivery(API_NIDD_DELIVERY_MAKE, configuration, 0, "one")), 201);
        uint64_t id = downlink_heard()->header.id;
        group_operation_remove(here.world.core, group_operation_at(here.world.core, group_number(here.world.core->groups->next - 1)));
        world_settle(&here.world);
        asker_forget();
        assert_true(world_downlink_answer(&here.world, 0, id, &answers[i]));
        world_settle(&here.world);
        assert_null(downlink_heard());
        assert_int_equal(here.world.core->mail_count, 0);
    }
}

static void each_state_has_a_row_and_only_those_that_end_are_final(void **state)
{
    (void)state;
    for (uint32_t s = GROUP_STATE_WAITING; s < GROUP_STATES; s++) {
        const group_state_row *row = group_state_of((uint8_t)s);
        assert_int_equal(row->is_final, nidd_delivery_has_ended((nidd_delivery_status)row->delivery) != 0);
        assert_int_equal(row->is_final, row->shown >= GROUP_SHOWN_DELIVERED);
        assert_true(row->shown != GROUP_SHOWN_FAILED || row->reason != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(members_keep_their_places_and_a_place_is_taken_again),
        CLAIM(a_twin_that_goes_leaves_and_its_place_is_free),
        CLAIM(a_twin_has_so_many_groups_and_no_more),
        CLAIM(a_command_goes_to_who_is_a_member_when_it_begins),
        CLAIM(a_command_with_a_key_is_one_over_a_restart),
        CLAIM(a_round_begins_a_bounded_number_and_a_crash_loses_and_repeats_none),
        CLAIM(what_a_model_does_not_take_fails_for_its_members_alone),
        CLAIM(who_leaves_is_not_counted_any_more),
        CLAIM(a_group_that_goes_lets_its_members_go_and_its_slot_is_taken_again),
        CLAIM(an_hss_says_who_is_a_member_in_segments),
        CLAIM(a_downlink_waits_for_its_node_and_its_result_is_told_once),
        CLAIM(what_bounces_off_a_busy_node_is_sent_again),
        CLAIM(a_downlink_that_waits_is_replaced_and_taken_back),
        CLAIM(what_waits_of_a_group_that_went_before_a_crash_is_not_counted_after_it),
        CLAIM(what_is_out_of_a_group_that_goes_does_not_come_back),
        CLAIM(each_state_has_a_row_and_only_those_that_end_are_final),
    };
    return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
