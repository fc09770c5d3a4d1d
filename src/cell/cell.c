#include "cell/cell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/wipe.h"
#include "cell/cell_private.h"
#include "twin/event.h"

static const double CPU_NANOS_MAX = UINT32_MAX;

static uint64_t monotonic_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void cell_learn_stamps(cell *cell)
{
    enum { ENOUGH_NS = 1000000 };
    uint64_t stamp, ns;
    do { /* making the engine took longer already, as a rule */
        ns = monotonic_ns() - cell->stamp_start_ns;
        stamp = cell_stamp() - cell->stamp_start;
    } while (ns < ENOUGH_NS);
    cell->nanos_per_stamp = (double)ns / (double)(stamp > 0 ? stamp : 1);
}

dro_err cell_new(cell **out, const cell_options *options)
{
    assert(options != NULL && (options->turns == NULL) == (options->results == NULL));
    cell *cell = calloc(1, sizeof *cell);
    if (cell == NULL)
        return DRO_NOMEM;
    cell->options = *options;
    cell->stamp_start_ns = monotonic_ns();
    cell->stamp_start = cell_stamp();
    engine_options engine_options = imports_engine_options(&cell->turn);
    dro_err err = engine_new(&cell->engine, &engine_options);
    cell->images = calloc(options->image_count + 1, sizeof *cell->images);
    cell->carried = malloc(CONTEXT_BYTES_MAX);
    if (err == DRO_OK && (cell->images == NULL || cell->carried == NULL))
        err = DRO_NOMEM;
    for (uint32_t i = 0; err == DRO_OK && i < options->image_count; i++)
        if (options->images[i].length > 0)
            err = image_init(&cell->images[i], cell->engine, options->images[i].artifact, options->images[i].length);
    if (err == DRO_OK && !options->manual_ticks)
        err = ticker_start(&cell->ticker, cell->engine);
    if (err != DRO_OK) {
        cell_free(cell);
        return err;
    }
    cell_learn_stamps(cell);
    *out = cell;
    return DRO_OK;
}

void cell_free(cell *cell)
{
    if (cell == NULL)
        return;
    ticker_stop(&cell->ticker);
    for (uint32_t i = 0; cell->images != NULL && i < cell->options.image_count; i++)
        image_fini(&cell->images[i]);
    engine_free(cell->engine);
    free(cell->images);
    free(cell->carried);
    free(cell);
}

image *cell_image_of(const cell *cell, uint32_t index)
{
    return index < cell->options.image_count && cell->images[index].code != NULL ? &cell->images[index] : NULL;
}

static size_t padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

size_t cell_result_max(const cell *cell, uint32_t image)
{
    const struct image *loaded = cell_image_of(cell, image);
    return sizeof(turn_result) + (loaded != NULL ? padded(context_bound(&loaded->info)) + EFFECTS_BYTES_MAX : 0);
}

enum turn_status cell_status_of(const cell *cell, engine_outcome outcome, const engine_memory *memory)
{
    static const enum turn_status statuses[] = {
        [ENGINE_DONE] = TURN_OK,       [ENGINE_TRAP] = TURN_TRAP,
        [ENGINE_OUT_OF_BOUNDS] = TURN_OUT_OF_BOUNDS, [ENGINE_STACK_OVERFLOW] = TURN_STACK_OVERFLOW,
        [ENGINE_DEADLINE] = TURN_DEADLINE, [ENGINE_FAILED] = TURN_HOST,
    };
    if (outcome == ENGINE_REFUSED)
        return cell->turn.refused_as;
    /* Who asks for more memory than there is and then gives up, gave up for want of memory. */
    bool is_want = memory->was_refused && (outcome == ENGINE_TRAP || outcome == ENGINE_OUT_OF_BOUNDS);
    return is_want ? TURN_MEMORY : statuses[outcome];
}

void cell_deadline_set(cell *cell, uint32_t micros)
{
#ifdef DROMIO_HOSTILE
    micros = 1000000; /* native code is not stopped by it anyway */
#endif
    if (cell->deadline_micros == micros)
        return;
    cell->deadline_micros = micros;
    ticker_deadline_set(&cell->ticker, micros);
}

/* One event in a slot that holds the context. */
static enum turn_status handle_event(cell *cell, image *image, engine_instance *instance, const turn_request *request,
                                     const uint8_t *event, uint32_t *outcome)
{
    const engine_memory *memory = engine_instance_memory(instance);
    engine_value values[3] = { { .i32 = (int32_t)request->event_kind }, { .i32 = (int32_t)request->event_id },
                               { .i32 = (int32_t)request->event_length } };
    if (request->event_length > 0)
        memcpy(memory->bytes + image->info.event_buffer, event, request->event_length);
    turn_begin(&cell->turn, &image->info, memory, request->wall_ms, request->seed);
    uint64_t tables = image->info.table_count > 0 ? engine_tables_digest(instance) : 0;
    cell_deadline_set(cell, request->deadline_micros);
    enum turn_status status = cell_status_of(cell, engine_call(instance, ENTRY_EVENT, values, 3), memory);
    *outcome = (uint32_t)values[0].i32;
    if (status == TURN_OK && *outcome > EVENT_SWALLOWED)
        status = TURN_BAD_RESULT;
    /* Tables begin anew at each turn: what was left in one would be lost silently. */
    if (status == TURN_OK && image->info.table_count > 0 && engine_tables_digest(instance) != tables)
        status = TURN_BAD_RESULT;
    return status;
}

/* Takes context and effects out. False: does not fit in what is left of the result. */
static enum turn_status collect(cell *cell, image *image, engine_instance *instance, turn_result *result,
                                size_t capacity, bool *is_sound)
{
    uint8_t *at = (uint8_t *)(result + 1);
    size_t effects = dro_builder_length(&cell->turn.effects), context = 0;
    size_t room = capacity - sizeof *result;
    if (effects > room) {
        *is_sound = image_reset(image, instance);
        return TURN_MEMORY;
    }
    dro_err err = image_collect(image, instance, at, (room - effects) & ~(size_t)7, &context);
    *is_sound = err != DRO_CORRUPT;
    if (err != DRO_OK) {
        dro_wipe(at, room); /* nobody is told how far it got */
        return err == DRO_LIMIT ? TURN_MEMORY : TURN_HOST;
    }
    memset(at + context, 0, padded(context) - context);
    memcpy(at + padded(context), cell->turn.effects.start, effects);
    result->context_length = (uint32_t)context;
    result->effects_length = (uint32_t)effects;
    return TURN_OK;
}

static void run_turn(cell *cell, image *image, const turn_request *request, const uint8_t *context, const uint8_t *event,
                     turn_result *result, size_t capacity)
{
    engine_instance *instance = image_take(image);
    bool is_sound = true;
    result->status = TURN_HOST;
    if (instance == NULL)
        return;
    if (request->event_length > EVENT_BYTES_MAX) {
        result->status = TURN_BAD_CONTEXT;
    } else if (image_apply(image, instance, context, request->context_length) != DRO_OK) {
        result->status = TURN_BAD_CONTEXT;
        is_sound = image_reset(image, instance);
    } else {
        result->status = handle_event(cell, image, instance, request, event, &result->outcome);
        if (result->status == TURN_OK)
            result->status = collect(cell, image, instance, result, capacity, &is_sound);
        else
            is_sound = image_reset(image, instance);
        turn_end(&cell->turn);
    }
    image_give(image, instance, is_sound);
}

/* CPU time. Only where turns wait for it in the midst of their work, and would be charged what others had, is it worth a system call. */
static double own_nanos(const cell *cell)
{
    struct timespec now = { 0 };
    if (cell->ticker.is_running && clock_gettime(cell->ticker.clock, &now) != 0)
        return 0;
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

size_t cell_turn(cell *cell, const turn_request *request, void *out, size_t capacity)
{
    const uint8_t *context = (const uint8_t *)(request + 1);
    return cell_turn_of(cell, request, context, context + padded(request->context_length), out, capacity);
}

size_t cell_turn_of(cell *cell, const turn_request *request, const uint8_t *context, const uint8_t *event, void *out, size_t capacity)
{
    assert(capacity >= sizeof(turn_result) && ((uintptr_t)out & 7) == 0);
    turn_result *result = out;
    image *image = cell_image_of(cell, request->image);
    uint64_t start = cell_stamp();
    double own = cell->options.gives_way ? own_nanos(cell) : 0;
    *result = (turn_result){ .twin = request->twin, .status = TURN_NO_IMAGE };
    if (image != NULL)
        run_turn(cell, image, request, context, event, result, capacity);
    double nanos = cell->options.gives_way ? own_nanos(cell) - own : (double)(cell_stamp() - start) * cell->nanos_per_stamp;
    if (!cell->options.manual_ticks) /* a simulation's results may not depend on the machine */
        result->cpu_nanos = nanos < CPU_NANOS_MAX ? (uint32_t)nanos : UINT32_MAX;
    if (result->status != TURN_OK) {
        result->outcome = 0;
        result->context_length = 0;
        result->effects_length = 0;
    }
    return sizeof *result + padded(result->context_length) + result->effects_length;
}
