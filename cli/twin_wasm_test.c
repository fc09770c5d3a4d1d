#include "twin_wasm.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* (module (import "dromio" "now" (func (result i64))) (import "env" "f" (func)) (memory 2 3)
 *   (global i32 (i32.const 6352)) (export "__heap_base" (global 0)) (export "memory" (memory 0)))
 * as wat2wasm of wabt 1.0.32 writes it, and a section dromio.model with {} behind. */
static const uint8_t image[] = {
    0x00, 'a', 's', 'm', 0x01, 0x00, 0x00, 0x00,
    0x01, 0x08, 0x02, 0x60, 0x00, 0x01, 0x7e, 0x60, 0x00, 0x00,
    0x02, 0x16, 0x02, 0x06, 'd', 'r', 'o', 'm', 'i', 'o', 0x03, 'n', 'o', 'w', 0x00, 0x00,
    0x03, 'e', 'n', 'v', 0x01, 'f', 0x00, 0x01,
    0x05, 0x04, 0x01, 0x01, 0x02, 0x03,
    0x06, 0x07, 0x01, 0x7f, 0x00, 0x41, 0xd0, 0x31, 0x0b,
    0x07, 0x18, 0x02, 0x0b, '_', '_', 'h', 'e', 'a', 'p', '_', 'b', 'a', 's', 'e', 0x03, 0x00,
    0x06, 'm', 'e', 'm', 'o', 'r', 'y', 0x02, 0x00,
    0x00, 0x0f, 0x0c, 'd', 'r', 'o', 'm', 'i', 'o', '.', 'm', 'o', 'd', 'e', 'l', '{', '}',
};

static void an_image_is_read_as_it_says(void **state)
{
    (void)state;
    twin_wasm wasm;
    assert_int_equal(twin_wasm_read(&wasm, image, sizeof image), DRO_OK);
    assert_int_equal(wasm.import_count, 2);
    assert_string_equal(wasm.imports[0].text, "now");
    assert_string_equal(wasm.imports[1].text, "env.f");
    assert_true(wasm.has_foreign_import);
    assert_int_equal(wasm.pages, 2);
    assert_int_equal(wasm.heap_base, 6352);
    assert_true(wasm.has_model);
    assert_true(twin_wasm_exports(&wasm, "memory"));
    assert_false(twin_wasm_exports(&wasm, "dromio_event"));
}

static void the_model_inside_is_found(void **state)
{
    (void)state;
    size_t length = 0;
    const char *model = twin_wasm_model(image, sizeof image, &length);
    assert_non_null(model);
    assert_int_equal(length, 2);
    assert_memory_equal(model, "{}", 2);
    assert_null(twin_wasm_model(image, sizeof image - 17, &length));
}

static void the_model_is_written_as_a_custom_section(void **state)
{
    (void)state;
    uint8_t bytes[32];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    twin_wasm_write_model(&out, "{}", 2);
    assert_int_equal(dro_builder_length(&out), 17);
    assert_memory_equal(bytes, image + sizeof image - 17, 17);
}

static void every_shorter_image_ends_at_a_section_or_is_refused(void **state)
{
    (void)state;
    static const size_t ends[] = { 8, 18, 42, 48, 57, 83 };
    for (size_t length = 0; length < sizeof image; length++) {
        twin_wasm wasm;
        bool is_end = false;
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            is_end = is_end || ends[i] == length;
        assert_int_equal(twin_wasm_read(&wasm, image, length) == DRO_OK, is_end);
    }
}

static void what_is_no_image_is_refused(void **state)
{
    (void)state;
    twin_wasm wasm;
    static const uint8_t version_2[] = { 0, 'a', 's', 'm', 2, 0, 0, 0 };
    static const uint8_t endless_name[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 2, 3, 1, 0xff, 0x01 };
    static const uint8_t far_size[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };
    static const uint8_t unknown_external[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 2, 4, 1, 0, 0, 9 };
    assert_int_equal(twin_wasm_read(&wasm, version_2, sizeof version_2), DRO_MALFORMED);
    assert_int_equal(twin_wasm_read(&wasm, endless_name, sizeof endless_name), DRO_TRUNCATED);
    assert_int_equal(twin_wasm_read(&wasm, far_size, sizeof far_size), DRO_MALFORMED);
    assert_int_equal(twin_wasm_read(&wasm, unknown_external, sizeof unknown_external), DRO_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_read_as_it_says),
        cmocka_unit_test(the_model_inside_is_found),
        cmocka_unit_test(the_model_is_written_as_a_custom_section),
        cmocka_unit_test(every_shorter_image_ends_at_a_section_or_is_refused),
        cmocka_unit_test(what_is_no_image_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
