/* No memory for what a record says: the core ends itself rather than answer for the rest of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include <cmocka.h>

#include "core/apply.h"
#include "core/budget.h"
#include "core/chunks.h"
#include "core/conduct.h"
#include "core/core_testbed.h"
#include "core/host_tables.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/stops.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

static jmp_buf ended;
static bool is_short, may_end, has_ended;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_abort(void) __attribute__((noreturn));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_abort(void) __attribute__((noreturn));

void *__wrap_malloc(size_t size)
{
    return is_short ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_short ? NULL : __real_calloc(count, size);
}

/* Tables of columns that are full. */
static bool has_no_row, has_no_tags;
dro_err __real_columns_row_add(columns *region, uint32_t table, uint64_t number, uint32_t domain, const char *id, size_t length, uint32_t *row);
dro_err __wrap_columns_row_add(columns *region, uint32_t table, uint64_t number, uint32_t domain, const char *id, size_t length, uint32_t *row);
dro_err __real_columns_tags_set(columns *region, uint32_t table, uint32_t row, const void *tags, size_t length);
dro_err __wrap_columns_tags_set(columns *region, uint32_t table, uint32_t row, const void *tags, size_t length);

dro_err __wrap_columns_row_add(columns *region, uint32_t table, uint64_t number, uint32_t domain, const char *id, size_t length, uint32_t *row)
{
    return has_no_row ? DRO_LIMIT : __real_columns_row_add(region, table, number, domain, id, length, row);
}

dro_err __wrap_columns_tags_set(columns *region, uint32_t table, uint32_t row, const void *tags, size_t length)
{
    return has_no_tags ? DRO_LIMIT : __real_columns_tags_set(region, table, row, tags, length);
}

/* It always moves, and of what was there nothing is left. */
void *__wrap_realloc(void *old, size_t size)
{
    size_t length = old == NULL ? 0 : malloc_usable_size(old);
    void *new = is_short ? NULL : __real_malloc(size);
    if (new == NULL || old == NULL)
        return new;
    memcpy(new, old, length < size ? length : size);
    memset(old, 0xa5, length);
    free(old);
    return new;
}

void __wrap_abort(void)
{
    if (!is_short && !may_end)
        __real_abort();
    is_short = may_end = false;
    has_ended = true;
    longjmp(ended, 1);
}

static void a_command_without_memory_for_its_ticket_is_not_answered(void **state)
{
    (void)state;
    has_ended = false;
    make_twin("a@acme.example", "001010000000001");
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    uint32_t index = twin_find(here.world.core, "a@acme.example", 14);
    value value = { .kind = VALUE_INTEGER, .integer = 600 };
    if (setjmp(ended) == 0) {
        is_short = true;
        record_begin(here.world.core, index, RECORD_DELTA);
        (void)ticket_make(here.world.core, index, false, 0, &value, TICKET_PENDING, 0);
        record_end(here.world.core);
        is_short = false;
    }
    assert_true(has_ended);
    world_forget(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK); /* from the log */
    assert_true(twin_find(here.world.core, "a@acme.example", 14) != NONE);
}

/* Its repetition would be done again. */
static void a_request_whose_key_cannot_be_kept_is_not_answered(void **state)
{
    (void)state;
    static const uint8_t key[32] = { 1 }, body[32] = { 2 };
    has_ended = false;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    if (setjmp(ended) == 0) {
        record_begin(here.world.core, index, RECORD_DELTA);
        is_short = true;
        idempotent_put(here.world.core, key, body, 202, "{}", 2);
        is_short = false;
        record_end(here.world.core);
    }
    assert_true(has_ended);
    world_forget(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_null(idempotent_find(here.world.core, key));
}

/* At recovery: the start fails with that, and the next one reads the same log. */
static void a_field_without_memory_for_what_it_says_is_not_applied(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    static const struct { uint8_t tag; uint8_t length; const void *bytes; } fields[] = {
        { FIELD_ALIASES, 2, "x" }, { FIELD_MAIL, 30, zeros }, { FIELD_TICKET, 29, zeros }, { FIELD_TIMER, 12, zeros },
    };
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", NULL);
    for (int has_extra = 0; has_extra < 2; has_extra++) {
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            const dro_field field = { fields[i].tag, fields[i].length, fields[i].bytes };
            is_short = true;
            dro_err err = apply_field(core, index, &field);
            is_short = false;
            assert_int_equal(err, DRO_NOMEM);
        }
        assert_int_equal(twin_at(core, index)->extra != NULL, has_extra);
        if (!has_extra)
            assert_non_null(twin_extra_get(twin_at(core, index)));
    }
}

static void a_twin_that_finds_no_row_stays_what_it_was(void **state)
{
    (void)state;
    core *core = here.world.core;
    on_twin(API_TWIN_PUT, "a@acme.example");
    request_text(&request, API_FIELD_IMSI, "001010000000001");
    request_bytes(&request, API_FIELD_TAG, "\4sitenorth", 10);
    assert_int_equal(status_of(ask()), 201);
    uint32_t index = twin_find(core, "a@acme.example", 14), row = twin_at(core, index)->row;
    uint64_t twins = core->images[0].twins;
    uint8_t bytes[8 + 14] = { 1, 0, 0, 0, 0, 0, 0, 0 }; /* domain 1, image 0 */
    memcpy(bytes + 8, "a@acme.example", 14);
    const dro_field identity = { FIELD_IDENTITY, sizeof bytes, bytes };
    for (int i = 0; i < 2; i++) {
        has_no_row = i == 0;
        has_no_tags = i == 1;
        assert_int_equal(apply_field(core, index, &identity), DRO_LIMIT);
        has_no_row = has_no_tags = false;
        assert_int_equal(twin_at(core, index)->image, NONE);
        assert_int_equal(twin_at(core, index)->row, row);
        assert_int_equal(core->images[0].twins, twins);
    }
    uint32_t other;
    bytes[8] = 'b';
    assert_int_equal(twin_new(core, &other), DRO_OK);
    twin_at(core, other)->number = 12345;
    has_no_row = true;
    assert_int_equal(apply_field(core, other, &identity), DRO_LIMIT);
    has_no_row = false;
    assert_int_equal(twin_find(core, "b@acme.example", 14), NONE);
    twin_free(core, other);
}

/* What was applied last cannot be kept: it is not there after the core began anew. */
static void a_full_round_on_a_full_disk_ends_the_core(void **state)
{
    (void)state;
    enum { RECORDS = 3000 };
    static const uint8_t line[10000];
    uint32_t index = make_twin("a@acme.example", NULL);
    static uint64_t revision; /* kept over the jump */
    revision = 1000;
    has_ended = false;
    world_settle(&here.world);
    disk_memory_fill(here.world.log_disk, true);
    if (setjmp(ended) == 0) {
        may_end = true;
        for (int i = 0; i < RECORDS; i++, revision++) { /* far more than a round and what is on its way */
            record_begin(here.world.core, index, RECORD_DELTA);
            record_put(here.world.core, FIELD_LOG, line, sizeof line);
            record_put(here.world.core, FIELD_REVISION, &revision, 8);
            record_end(here.world.core);
        }
        may_end = false;
    }
    assert_true(has_ended);
    disk_memory_fill(here.world.log_disk, false);
    world_forget(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_true(index != NONE && twin_at(here.world.core, index)->revision < revision); /* as many as found room */
}

/* It would go on where others are set aside. */
static void a_penalty_without_memory_ends_the_core(void **state)
{
    (void)state;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    for (int has_extra = 0; has_extra < 2; has_extra++) {
        core *core = here.world.core;
        turn turn = { .twin = index, .image = 0, .operation = TURN_UPLINK };
        has_ended = false;
        core->options.conduct.penalty_failures = 3;
        core->options.conduct.penalty_forget_ms = 1000;
        if (has_extra)
            assert_int_equal(status_of(blink("a@acme.example")), 202); /* mail and a ticket */
        assert_int_equal(twin_at(core, index)->extra != NULL, has_extra);
        if (setjmp(ended) == 0) {
            record_begin(core, index, RECORD_DELTA);
            is_short = true;
            conduct_failed(core, &turn, TURN_TRAP);
            is_short = false;
            record_end(core);
        }
        assert_true(has_ended);
        world_forget(&here.world);
        assert_int_equal(world_open(&here.world), DRO_OK);
        world_settle(&here.world);
        index = twin_find(here.world.core, "a@acme.example", 14);
        assert_false(twin_at(here.world.core, index)->has_penalty);
    }
}

/* What only counts does without, and counts again once there is memory. */
static void failures_and_budgets_without_memory_are_not_counted(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    turn made = { .twin = index, .image = 0, .operation = TURN_CREATE }, turn = { .twin = index, .image = 0, .operation = TURN_UPLINK };
    core->options.conduct.window_ms = 60000;
    core->options.budgets[BUDGET_OF_TWIN].of[BUDGET_CPU] = 1;
    budgets_init(core);
    for (int has_memory = 0; has_memory < 2; has_memory++) {
        is_short = !has_memory;
        conduct_failed(core, &made, TURN_HOST);
        budget_charge(core, &turn, 2000000, 0, 100);
        is_short = false;
        assert_int_equal(core->conduct[0].failures, has_memory);
        assert_int_equal(twin_at(core, index)->has_budget, has_memory);
        assert_int_equal(budget_lets_begin(core, &turn), !has_memory);
    }
}

static void a_stop_without_memory_is_refused(void **state)
{
    (void)state;
    core *core = here.world.core;
    is_short = true;
    dro_err err = stop_begin(core, STOP_CODE, "", "", false);
    is_short = false;
    assert_int_equal(err, DRO_NOMEM);
    assert_null(stop_find(core, STOP_CODE, ""));
    assert_int_equal(stop_begin(core, STOP_CODE, "", "", false), DRO_OK);
}

/* Found by the path analysers: at the 256th chunk the list grew before it was refused, and the queue kept the memory of before. */
static void a_list_of_chunks_that_is_full_stays_where_it_is(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin("a@acme.example", NULL);
    uint64_t place = (uint64_t)commit_log_segment_last(core->log) << 32 | 4096;
    static uint8_t bytes[36 + 16 * (UINT8_MAX + 1)]; /* totals; place u64, id u32, bytes u32 of each */
    dro_builder out = dro_builder_over(bytes + 36, sizeof bytes - 36);
    for (uint32_t i = 0; i <= UINT8_MAX; i++) {
        dro_builder_le(&out, place, 8);
        dro_builder_le(&out, i + 1, 4);
        dro_builder_le(&out, 1000 + i, 4);
    }
    assert_int_equal(apply_field(core, index, &(dro_field){ FIELD_CHUNKS, sizeof bytes, bytes }), DRO_MALFORMED);
    const twin_queue *queue = &twin_at(core, index)->extra->queue;
    assert_int_equal(queue->chunk_count, UINT8_MAX);
    for (uint32_t i = 0; i < UINT8_MAX; i++) {
        assert_int_equal(queue->chunks[i].id, i + 1);
        assert_int_equal(queue->chunks[i].bytes, 1000 + i);
    }
    chunks_forget(core, index);
}

/* Found by a fuzz target: such a queue was away with nothing to read it from, and reading it looked before the first of its chunks. */
static void a_queue_without_chunks_is_not_away(void **state)
{
    (void)state;
    core *core = here.world.core;
    uint32_t index = make_twin("none@acme.example", NULL);
    static const uint8_t totals[36];
    for (uint32_t length = 0; length <= sizeof totals; length++) { /* whole, or cut off */
        assert_int_equal(apply_field(core, index, &(dro_field){ FIELD_CHUNKS, length, totals }), DRO_MALFORMED);
        assert_false(queue_is_away(twin_at(core, index)));
    }
    assert_true(twin_at(core, index)->extra == NULL || twin_at(core, index)->extra->queue.chunks == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { CLAIM(a_command_without_memory_for_its_ticket_is_not_answered),
                                        CLAIM(a_request_whose_key_cannot_be_kept_is_not_answered),
                                        CLAIM(a_field_without_memory_for_what_it_says_is_not_applied),
                                        CLAIM(a_twin_that_finds_no_row_stays_what_it_was),
                                        CLAIM(a_full_round_on_a_full_disk_ends_the_core),
                                        CLAIM(a_penalty_without_memory_ends_the_core),
                                        CLAIM(failures_and_budgets_without_memory_are_not_counted),
                                        CLAIM(a_stop_without_memory_is_refused),
                                        CLAIM(a_list_of_chunks_that_is_full_stays_where_it_is),
                                        CLAIM(a_queue_without_chunks_is_not_away) };
    return cmocka_run_group_tests_name("record_memory", tests, NULL, NULL);
}
