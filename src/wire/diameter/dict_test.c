/* The dictionary: what its rows say of commands, causes and types (RFC 6733, TS 29.128, TS 29.230). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "wire/diameter/dict.h"

static void a_command_is_known_by_code_application_and_direction(void **state)
{
    (void)state;
    enum { MO_DATA = 8388733 };
    const diameter_command *request = diameter_command_find(MO_DATA, DIAMETER_APPLICATION_T6A, true);
    const diameter_command *answer = diameter_command_find(MO_DATA, DIAMETER_APPLICATION_T6A, false);
    assert_true(request != NULL && answer != NULL && request != answer);
    assert_true(request->is_request && !answer->is_request);
    assert_null(diameter_command_find(MO_DATA, 0, true));
    assert_null(diameter_command_find(1, DIAMETER_APPLICATION_T6A, true));
}

static void a_cause_has_the_name_of_its_vendor(void **state)
{
    (void)state;
    assert_string_equal(diameter_cause_text(2001, 0), "DIAMETER_SUCCESS");                        /* RFC 6733 7.1.2 */
    assert_string_equal(diameter_cause_text(5001, 0), "DIAMETER_AVP_UNSUPPORTED");                 /* 7.1.5 */
    assert_string_equal(diameter_cause_text(5001, DIAMETER_VENDOR_3GPP), "DIAMETER_ERROR_USER_UNKNOWN"); /* TS 29.336 */
    assert_null(diameter_cause_text(2001, DIAMETER_VENDOR_3GPP));
    assert_null(diameter_cause_text(9999, 0));
}

/* A number alone: of two causes with it none is told. */
static void a_number_that_two_causes_have_names_neither(void **state)
{
    (void)state;
    assert_string_equal(diameter_cause_of(3004), "DIAMETER_TOO_BUSY");
    assert_string_equal(diameter_cause_of(5653), "DIAMETER_ERROR_USER_TEMPORARILY_UNREACHABLE"); /* TS 29.128 */
    assert_string_equal(diameter_cause_of(5001), "");
    assert_string_equal(diameter_cause_of(9999), "");
}

static void a_value_has_at_least_the_bytes_of_its_type(void **state)
{
    (void)state;
    static const struct { diameter_type type; uint32_t least; } types[] = { /* RFC 6733 4.2, 4.3 */
        { DIAMETER_OCTET_STRING, 0 }, { DIAMETER_INTEGER32, 4 }, { DIAMETER_UNSIGNED32, 4 }, { DIAMETER_UNSIGNED64, 8 }, { DIAMETER_GROUPED, 0 },
        { DIAMETER_ADDRESS, 6 }, { DIAMETER_TIME, 4 }, { DIAMETER_UTF8_STRING, 0 }, { DIAMETER_IDENTITY, 1 }, { DIAMETER_URI, 0 }, { DIAMETER_ENUMERATED, 4 },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(diameter_type_least(types[i].type), types[i].least);
}

/* Of an AVP without a list every value is known. */
static void values_are_known_where_there_is_a_list(void **state)
{
    (void)state;
    assert_true(diameter_value_is_known(AVP_MONITORING_TYPE, 0)); /* LOSS_OF_CONNECTIVITY, TS 29.336 8.4 */
    assert_false(diameter_value_is_known(AVP_MONITORING_TYPE, 1000));
    assert_true(diameter_value_is_known(AVP_ORIGIN_STATE_ID, 77));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_known_by_code_application_and_direction),
        cmocka_unit_test(a_cause_has_the_name_of_its_vendor),
        cmocka_unit_test(a_number_that_two_causes_have_names_neither),
        cmocka_unit_test(a_value_has_at_least_the_bytes_of_its_type),
        cmocka_unit_test(values_are_known_where_there_is_a_list),
    };
    return cmocka_run_group_tests_name("diameter dict", tests, NULL, NULL);
}
