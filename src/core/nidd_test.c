/* What the core keeps of non-IP data delivery when its log is read again. Procedures with an application are
 * test/flow/test_nidd.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/nidd.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"

static const char id[] = "a@acme.example";

/* A twin that has an application's configuration, a notice that waits, and nothing of what a busy twin has. */
static uint32_t quiet_twin(void)
{
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_NIDD);
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = make_twin(id, "001010000000001");
    request_begin(&request, API_NIDD_CONFIGURATION_MAKE);
    request_text(&request, API_FIELD_SCS_AS, "as1");
    request_text(&request, API_FIELD_ID, id);
    request_text(&request, API_FIELD_DESTINATION, "http://as.example/notify");
    request_bytes(&request, API_FIELD_TEST, "\1", 1);
    assert_int_equal(status_of(ask()), 201);
    assert_null(twin_at(here.world.core, index)->extra);
    return index;
}

static void assert_one_of_each(void)
{
    const core *core = here.world.core;
    uint32_t index = twin_find(core, id, sizeof id - 1);
    const nidd *nidd = twin_at(core, index)->nidd;
    assert_non_null(nidd);
    assert_int_equal(nidd->configuration_count, 1);
    assert_int_equal(nidd->notice_count, 1);
    assert_int_equal(core->nidd.configuration_count, 1);
    assert_int_equal(core->nidd.notice_count, 1);
    assert_null(nidd->configurations->next);
    assert_null(nidd->notices->next);
}

/* Of two full records in the log the second replaces the first, also where the twin has no extra part. */
static void full_records_do_not_add_up(void **state)
{
    (void)state;
    uint32_t index = quiet_twin();
    for (int i = 0; i < 2; i++) {
        record_full(here.world.core, index);
        core_settle(here.world.core);
    }
    assert_one_of_each();
    reopen();
    assert_one_of_each();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(full_records_do_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
