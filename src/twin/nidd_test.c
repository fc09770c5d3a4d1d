/* The words of NIDD, as TS 29.122 has them: 5.6.2.3.2 to 5.6.2.3.5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "twin/nidd.h"

static void a_configuration_is_in_a_state_of_the_standard(void **state)
{
    (void)state;
    assert_string_equal(nidd_status_text(NIDD_ACTIVE), "ACTIVE");
    assert_string_equal(nidd_status_text(NIDD_TERMINATED), "TERMINATED");
    assert_string_equal(nidd_status_text(NIDD_TERMINATED_UE_NOT_AUTHORIZED), "TERMINATED_UE_NOT_AUTHORIZED");
    assert_string_equal(nidd_status_text(NIDD_RDS_PORT_UNKNOWN), "RDS_PORT_UNKNOWN");
    assert_string_equal(nidd_status_text((nidd_status)77), "TERMINATED"); /* a byte of a log of another version */
}

static void a_delivery_is_in_a_state_of_the_standard(void **state)
{
    (void)state;
    static const struct { nidd_delivery_status status; const char *text; } known[] = {
        { DELIVERY_SUCCESS, "SUCCESS" },
        { DELIVERY_SUCCESS_NEXT_HOP_ACKNOWLEDGED, "SUCCESS_NEXT_HOP_ACKNOWLEDGED" },
        { DELIVERY_SUCCESS_NEXT_HOP_UNACKNOWLEDGED, "SUCCESS_NEXT_HOP_UNACKNOWLEDGED" },
        { DELIVERY_SUCCESS_ACKNOWLEDGED, "SUCCESS_ACKNOWLEDGED" },
        { DELIVERY_SUCCESS_UNACKNOWLEDGED, "SUCCESS_UNACKNOWLEDGED" },
        { DELIVERY_TRIGGERED, "TRIGGERED" },
        { DELIVERY_BUFFERING, "BUFFERING" },
        { DELIVERY_BUFFERING_TEMPORARILY_NOT_REACHABLE, "BUFFERING_TEMPORARILY_NOT_REACHABLE" },
        { DELIVERY_SENDING, "SENDING" },
        { DELIVERY_FAILURE, "FAILURE" },
        { DELIVERY_FAILURE_RDS_DISABLED, "FAILURE_RDS_DISABLED" },
        { DELIVERY_FAILURE_NEXT_HOP, "FAILURE_NEXT_HOP" },
        { DELIVERY_FAILURE_TIMEOUT, "FAILURE_TIMEOUT" },
        { DELIVERY_FAILURE_TEMPORARILY_NOT_REACHABLE, "FAILURE_TEMPORARILY_NOT_REACHABLE" },
    };
    assert_int_equal(sizeof known / sizeof known[0], DELIVERY_STATUSES);
    for (size_t i = 0; i < DELIVERY_STATUSES; i++) {
        assert_string_equal(nidd_delivery_status_text(known[i].status), known[i].text);
        bool waits = strncmp(known[i].text, "SUCCESS", 7) != 0 && strncmp(known[i].text, "FAILURE", 7) != 0;
        assert_int_equal(nidd_delivery_has_ended(known[i].status), !waits);
    }
    assert_string_equal(nidd_delivery_status_text(DELIVERY_STATUSES), "FAILURE");
}

static void a_missing_connection_is_met_as_the_standard_says(void **state)
{
    (void)state;
    assert_string_equal(pdn_establishment_option_text(PDN_WAIT_FOR_UE), "WAIT_FOR_UE");
    assert_string_equal(pdn_establishment_option_text(PDN_INDICATE_ERROR), "INDICATE_ERROR");
    assert_string_equal(pdn_establishment_option_text(PDN_SEND_TRIGGER), "SEND_TRIGGER");
    assert_string_equal(pdn_establishment_option_text(PDN_OPTIONS), "WAIT_FOR_UE"); /* 5.6.2.1.2: the default */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_is_in_a_state_of_the_standard),
        cmocka_unit_test(a_delivery_is_in_a_state_of_the_standard),
        cmocka_unit_test(a_missing_connection_is_met_as_the_standard_says),
    };
    return cmocka_run_group_tests_name("nidd words", tests, NULL, NULL);
}
