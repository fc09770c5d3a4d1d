/* Records and the log they are in: what one says, checkpoints, chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/turn.h"
#include "core/twin_table.h"

static void a_full_record_says_all_of_a_twin(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_MSISDN, "4915100");
    request_text(&request, API_FIELD_ALIAS, "alias@acme.example");
    request_bytes(&request, API_FIELD_TAG, "\4sitenorth", 10);
    assert_int_equal(status_of(ask()), 200);
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202);
    answer_downlink(0, 5653);
    assert_int_equal(status_of(blink("a@acme.example")), 202);
    on_twin(API_TWIN_GET, "a@acme.example");
    char *before = strdup(json_of(ask()));
    core *core = here.world.core;
    uint64_t revision = twin_at(core, index)->context_revision;
    for (int i = 0; i < 2; i++) { /* from deltas, from a full record over what is there, from the full one alone */
        record_full(core, index);
        reopen();
        core = here.world.core;
    }
    on_twin(API_TWIN_GET, "a@acme.example");
    assert_string_equal(json_of(ask()), before);
    free(before);
    index = twin_find(core, "alias@acme.example", 18);
    assert_true(index != NONE && index == twin_find_imsi(core, "001010000000001"));
    const twin *twin = twin_at(core, index);
    assert_int_equal(twin->context_revision, revision);
    assert_int_equal(twin->flags & (TWIN_CONNECTED | TWIN_BLOCKED | TWIN_HAS_MSISDN), TWIN_CONNECTED | TWIN_BLOCKED | TWIN_HAS_MSISDN);
    assert_int_equal(twin->extra->mail_count, 2);
    assert_int_equal(twin->extra->ticket_count, 2);
    assert_int_equal(reading("001010000000001", 2, 1).result, 2001); /* the context opens */
}

static void checkpoints_drop_old_segments(void **state)
{
    (void)state;
    make_twin("quiet@acme.example", NULL);
    make_twin("busy@acme.example", "001010000000002");
    connect_device("001010000000002");
    for (uint32_t i = 0; i < 1200; i++) {
        assert_int_equal(reading("001010000000002", i, (uint8_t)i).result, 2001);
        asker_forget();
    }
    core *core = here.world.core;
    assert_true(commit_log_segment_first(core->log) > 1);
    assert_true(commit_log_segment_last(core->log) - commit_log_replay_segment(core->log) <= 4);
    reopen();
    core = here.world.core;
    assert_true(twin_find(core, "quiet@acme.example", 18) != NONE);
    assert_int_equal(reading("001010000000002", 1199, 0).result, 2001); /* known over the checkpoint */
    on_twin(API_PROPERTY_GET, "busy@acme.example");
    request_text(&request, API_FIELD_NAME, "readings");
    assert_non_null(strstr(json_of(ask()), "{\"value\":1200,"));
}

/* A twin made in the slot of one just removed: the log places both records afterwards. */
static void a_reused_slot_has_its_own_chain(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        char id[40];
        snprintf(id, sizeof id, "t%d@acme.example", i);
        uint32_t index = make_twin(id, NULL);
        const twin *twin = twin_at(here.world.core, index);
        core_settle(here.world.core);
        log_place last = twin->last;
        uint64_t number = twin->number;
        record_begin(here.world.core, index, RECORD_GONE);
        record_end(here.world.core);
        twin_forget(here.world.core, index);
        uint32_t next;
        assert_int_equal(twin_new(here.world.core, &next), DRO_OK);
        assert_int_equal(next, index);
        twin_at(here.world.core, next)->number = number + 1;
        core_settle(here.world.core);
        assert_true(twin_at(here.world.core, next)->last == 0 && last != 0);
        twin_free(here.world.core, next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(a_full_record_says_all_of_a_twin),
        CLAIM(checkpoints_drop_old_segments),
        CLAIM(a_reused_slot_has_its_own_chain),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
