#include "cell/test_support.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/cursor.h"

test_bytes test_file(const char *name)
{
    enum { FILE_MAX = 8 * 1024 * 1024 };
    char path[4096];
    const char *directory = getenv("TEST_IMAGES");
    snprintf(path, sizeof path, "%s/%s", directory != NULL ? directory : ".", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be opened", path);
    test_bytes out = { malloc(FILE_MAX), 0 };
    out.length = fread(out.bytes, 1, FILE_MAX, file);
    fclose(file);
    out.bytes = realloc(out.bytes, out.length);
    return out;
}

test_bytes test_section_added(test_bytes wasm, const char *name, const void *content, size_t length)
{
    size_t capacity = wasm.length + strlen(name) + length + 32;
    dro_builder out = dro_builder_over(malloc(capacity), capacity);
    uint8_t head[64];
    dro_builder title = dro_builder_over(head, sizeof head);
    dro_builder_varint(&title, strlen(name));
    dro_builder_text(&title, name);
    dro_builder_bytes(&out, wasm.bytes, wasm.length);
    dro_builder_le(&out, 0, 1);
    dro_builder_varint(&out, dro_builder_length(&title) + length);
    dro_builder_bytes(&out, head, dro_builder_length(&title));
    dro_builder_bytes(&out, content, length);
    assert_int_equal(out.err, DRO_OK);
    free(wasm.bytes);
    return (test_bytes){ out.start, dro_builder_length(&out) };
}

test_bytes test_image(const char *name)
{
    char file[128];
    snprintf(file, sizeof file, "%s.wasm", name);
    test_bytes model = test_file("model.json");
    test_bytes image = test_section_added(test_file(file), "dromio.model", model.bytes, model.length);
    free(model.bytes);
    return image;
}

test_bytes test_artifact(const char *name, const admit_options *options)
{
    test_bytes image = test_image(name);
    admit_result *result = malloc(sizeof *result);
    assert_int_equal(admit_image(image.bytes, image.length, options, result), DRO_OK);
    for (uint32_t i = 0; i < result->reason_count; i++)
        print_message("%s: %s\n", name, result->reasons[i]);
    assert_int_equal(result->reason_count, 0);
    test_bytes artifact = { result->artifact, result->artifact_length };
    result->artifact = NULL;
    admit_result_free(result);
    free(result);
    free(image.bytes);
    return artifact;
}

cell *test_cell(const test_bytes *artifacts, uint32_t count, bool manual_ticks)
{
    cell_image images[8] = { 0 };
    cell *cell = NULL;
    for (uint32_t i = 0; i < count; i++)
        images[i] = (cell_image){ artifacts[i].bytes, artifacts[i].length };
    cell_options options = { .images = images, .image_count = count, .doorbell = -1, .manual_ticks = manual_ticks };
    assert_int_equal(cell_new(&cell, &options), DRO_OK);
    return cell;
}

static const int trap_signals[] = { SIGSEGV, SIGILL, SIGFPE };
static struct sigaction trap_actions[3];

void test_signals_keep(void)
{
    cell *cell = NULL;
    cell_options options = { .doorbell = -1, .manual_ticks = true };
    if (cell_new(&cell, &options) != DRO_OK)
        abort();
    for (int i = 0; i < 3; i++)
        sigaction(trap_signals[i], NULL, &trap_actions[i]);
    cell_free(cell);
}

void test_signals_set(void)
{
    for (int i = 0; i < 3; i++)
        sigaction(trap_signals[i], &trap_actions[i], NULL);
}

static void keep(test_twin *twin, const uint8_t *body)
{
    const uint8_t *context = body + sizeof(turn_result);
    twin->context_length = twin->result.context_length;
    memcpy(twin->context, context, twin->context_length);
    twin->effects_length = twin->result.effects_length;
    memcpy(twin->effects, context + ((twin->context_length + 7) & ~7u), twin->effects_length);
    dro_cursor in = dro_cursor_over(twin->effects, twin->effects_length);
    effect effect;
    while (effect_next(&in, &effect))
        if (effect.kind == EFFECT_PROPERTY && effect.property.property == 1)
            twin->integer = effect.property.value.integer;
    assert_int_equal(in.err, DRO_OK);
}

static enum turn_status turn_within(uint32_t deadline_micros, test_twin *twin, uint32_t event_id, const void *event, uint32_t length)
{
    enum { RESULT_MAX = 80 * 1024 };
    static _Alignas(8) uint8_t request[sizeof(turn_request) + TEST_CONTEXT_MAX + TEST_EVENT_MAX];
    static _Alignas(8) uint8_t result[RESULT_MAX];
    turn_request *head = (turn_request *)request;
    test_signals_set();
    *head = (turn_request){ .twin = 42, .wall_ms = 1700000000000, .seed = 99, .image = twin->image, .event_kind = 3,
                            .event_id = event_id, .deadline_micros = deadline_micros, .context_length = twin->context_length,
                            .event_length = length };
    memcpy(head + 1, twin->context, twin->context_length);
    if (length > 0)
        memcpy((uint8_t *)(head + 1) + ((twin->context_length + 7) & ~7u), event, length);
    size_t most = cell_result_max(twin->cell, twin->image);
    assert_true(most <= sizeof result);
    size_t used = cell_turn(twin->cell, head, result, most);
    twin->result = *(turn_result *)result;
    assert_int_equal(twin->result.twin, 42);
    size_t context = (twin->result.context_length + 7) & ~7u;
    assert_int_equal(used, sizeof(turn_result) + context + twin->result.effects_length);
    twin->effects_length = 0;
    if (twin->result.status == TURN_OK)
        keep(twin, result);
    return twin->result.status;
}

enum turn_status test_turn(test_twin *twin, uint32_t event_id, const void *event, uint32_t length)
{
    return turn_within(TEST_PATIENCE_MICROS, twin, event_id, event, length);
}

enum turn_status test_turn_without_end(test_twin *twin, uint32_t event_id, const void *event, uint32_t length)
{
    return turn_within(TEST_DEADLINE_MICROS, twin, event_id, event, length);
}
