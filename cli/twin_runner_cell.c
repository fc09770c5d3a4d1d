/* Turns as the host runs them: admit looks at the image, a cell runs it. */
#include <stdlib.h>

#include "cell/admit.h"
#include "cell/cell.h"
#include "twin/event.h"
#include "twin_file.h"
#include "twin_runner.h"

enum {
    DEADLINE_MICROS = 1000000, /* of CPU; a test is no place for a tight one */
    TWIN_NUMBER = 1,
};

enum { IMAGES_MAX = 2 };

typedef struct cell_runner {
    twin_runner base;
    admit_result admitted[IMAGES_MAX];
    cell_image images[IMAGES_MAX];
    uint32_t image_count;
    uint32_t image;            /* that runs now; moves on with "move" */
    cell *cell;
    size_t result_capacity;
    turn_result *result;       /* of the last turn: struct, context, effects */
    turn_request *request;     /* struct, context, event */
    uint8_t context[CONTEXT_BYTES_MAX];
    uint32_t context_length;
} cell_runner;

static size_t padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

static bool on_reset(twin_runner *base)
{
    cell_runner *runner = (cell_runner *)base;
    runner->context_length = 0;
    runner->image = 0;
    runner->base.model = &runner->admitted[0].info.model;
    return true;
}

static const char *status_text(uint32_t status)
{
    static const char *const texts[] = {
        [TURN_TRAP] = "trap", [TURN_OUT_OF_BOUNDS] = "out of bounds", [TURN_STACK_OVERFLOW] = "stack overflow",
        [TURN_DEADLINE] = "deadline", [TURN_MEMORY] = "memory", [TURN_BAD_RESULT] = "bad result",
        [TURN_BAD_CONTEXT] = "bad context", [TURN_EFFECTS] = "effects", [TURN_HOST] = "host", [TURN_NO_IMAGE] = "no image",
    };
    if (status == TURN_OK)
        return NULL;
    return status < sizeof texts / sizeof *texts ? texts[status] : "unknown";
}

static void write_request(cell_runner *runner, const twin_turn *turn)
{
    uint8_t *behind = (uint8_t *)(runner->request + 1);
    *runner->request = (turn_request){
        .twin = TWIN_NUMBER, .image = runner->image, .wall_ms = turn->wall_ms, .seed = turn->seed,
        .event_kind = turn->kind, .event_id = turn->id, .deadline_micros = DEADLINE_MICROS,
        .context_length = runner->context_length, .event_length = turn->length,
    };
    memcpy(behind, runner->context, runner->context_length);
    if (turn->length > 0)
        memcpy(behind + padded(runner->context_length), turn->payload, turn->length);
}

static bool on_turn(twin_runner *base, const twin_turn *turn, twin_turn_end *end)
{
    cell_runner *runner = (cell_runner *)base;
    if (turn->length > EVENT_BYTES_MAX)
        return twin_say("an event of %u bytes is too long", turn->length);
    write_request(runner, turn);
    size_t length = cell_turn(runner->cell, runner->request, runner->result, runner->result_capacity);
    const turn_result *result = runner->result;
    const uint8_t *behind = (const uint8_t *)(result + 1);
    if (length < sizeof *result)
        return twin_say("the cell gave no result");
    *end = (twin_turn_end){ .fault = status_text(result->status), .outcome = result->outcome,
                            .context_length = runner->context_length };
    if (end->fault != NULL)
        return true;
    if (result->context_length > sizeof runner->context ||
        sizeof *result + padded(result->context_length) + result->effects_length > length)
        return twin_say("the cell gave a result that is none");
    runner->context_length = result->context_length;
    memcpy(runner->context, behind, result->context_length);
    end->context_length = result->context_length;
    end->effects = behind + padded(result->context_length);
    end->effects_length = result->effects_length;
    return true;
}

static bool on_move(twin_runner *base, const char **fault)
{
    cell_runner *runner = (cell_runner *)base;
    uint8_t state[EVENT_BYTES_MAX];
    size_t length = 0;
    enum turn_status status = cell_export_state(runner->cell, runner->image, runner->context, runner->context_length,
                                                state, sizeof state, &length);
    if (status == TURN_OK) {
        runner->image = (runner->image + 1) % runner->image_count;
        runner->base.model = &runner->admitted[runner->image].info.model;
        status = cell_import_state(runner->cell, runner->image, state, length, runner->context,
                                   sizeof runner->context, &length);
        runner->context_length = status == TURN_OK ? (uint32_t)length : 0;
    }
    *fault = status_text(status);
    return true;
}

static void on_free(twin_runner *base)
{
    cell_runner *runner = (cell_runner *)base;
    cell_free(runner->cell);
    for (uint32_t i = 0; i < IMAGES_MAX; i++)
        admit_result_free(&runner->admitted[i]);
    free(runner->request);
    free(runner->result);
    free(runner);
}

static bool admit(cell_runner *runner, const char *path)
{
    size_t length;
    const admit_options options = { .no_exact_memory = 0 };
    admit_result *admitted = &runner->admitted[runner->image_count];
    uint8_t *wasm = (uint8_t *)twin_file_read(path, ADMIT_WASM_MAX, &length);
    if (wasm == NULL)
        return false;
    dro_err err = admit_image(wasm, length, &options, admitted);
    free(wasm);
    if (err != DRO_OK)
        return twin_say("%s: cannot be looked at: %s", path, dro_err_text(err));
    for (uint32_t i = 0; i < admitted->reason_count; i++)
        twin_say("%s: %s", path, admitted->reasons[i]);
    if (admitted->reason_count > 0)
        return twin_say("%s: rejected, as the host would", path);
    runner->images[runner->image_count++] = (cell_image){ admitted->artifact, admitted->artifact_length };
    return true;
}

static bool start(cell_runner *runner)
{
    const cell_options options = { .images = runner->images, .image_count = runner->image_count, .doorbell = -1 };
    dro_err err = cell_new(&runner->cell, &options);
    if (err != DRO_OK)
        return twin_say("no cell: %s", dro_err_text(err));
    for (uint32_t i = 0; i < runner->image_count; i++)
        if (cell_result_max(runner->cell, i) > runner->result_capacity)
            runner->result_capacity = cell_result_max(runner->cell, i);
    runner->result = malloc(runner->result_capacity);
    runner->request = malloc(sizeof *runner->request + CONTEXT_BYTES_MAX + EVENT_BYTES_MAX);
    return (runner->result != NULL && runner->request != NULL) || twin_say("no memory");
}

twin_runner *twin_runner_cell_new(const char *path, const char *next_path)
{
    cell_runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL) {
        twin_say("no memory");
        return NULL;
    }
    runner->base = (twin_runner){ &runner->admitted[0].info.model, on_reset, on_turn, on_move, on_free };
    if (admit(runner, path) && (next_path == NULL || admit(runner, next_path)) && start(runner))
        return &runner->base;
    on_free(&runner->base);
    return NULL;
}
