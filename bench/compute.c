/* What a twin's code costs beside the same source compiled natively: kernels.c runs in a
 * cell as the host has it (admitted, deadline, one turn), in an image that says that it
 * computes and in one that does not, and in this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compute/kernels.h"
#include "bench/benches.h"
#include "bench/trial.h"
#include "cell/admit.h"
#include "cell/cell.h"
#include "twin/effect.h"
#include "twin/event.h"

enum {
    DEADLINE_MICROS = 1000000,
    RESULT_MAX = 128 * 1024,
    IMAGE_MAX = 1024 * 1024,
    PASSES = 100,      /* all sides in turn, so that a neighbour on the machine meets all */
    PASSES_LONG = 1000,
    UPLINK_BYTES = 5,
};
/* So many runs take about half a millisecond natively. */
static const struct { const char *name; uint32_t times; } kernels[KERNELS] = {
    [KERNEL_FIR] = { "fir", 40 }, [KERNEL_FFT] = { "fft", 120 }, [KERNEL_KECCAK] = { "keccak", 1000 },
};

enum side { MARKED, UNMARKED, NATIVE, SIDES };
static const char *const images[] = { [MARKED] = "bench/compute.wasm", [UNMARKED] = "bench/compute-unmarked.wasm" };

typedef struct engine_room { /* a cell with the one image */
    admit_result admitted;
    cell_image image;
    cell *cell;
    uint8_t context[CONTEXT_BYTES_MAX];
    uint32_t context_length;
} engine_room;

static bool room_open(engine_room *room, const char *path)
{
    size_t length;
    void *bytes = bench_read_file(path, IMAGE_MAX, &length);
    if (bytes == NULL)
        return false;
    dro_err err = admit_image(bytes, length, &(admit_options){ 0 }, &room->admitted);
    free(bytes);
    if (err != DRO_OK || room->admitted.reason_count > 0)
        return bench_fail("%s: %s", path, err != DRO_OK ? dro_err_text(err) : room->admitted.reasons[0]);
    room->image = (cell_image){ room->admitted.artifact, room->admitted.artifact_length };
    cell_options options = { .images = &room->image, .image_count = 1, .doorbell = -1 };
    err = cell_new(&room->cell, &options);
    return err == DRO_OK || bench_fail("no cell: %s", dro_err_text(err));
}

static bool read_checksum(const uint8_t *effects, uint32_t length, uint64_t *out)
{
    dro_cursor in = dro_cursor_over(effects, length);
    effect effect;
    if (!effect_next(&in, &effect) || effect.kind != EFFECT_PROPERTY)
        return bench_fail("the twin gave no checksum");
    *out = (uint64_t)effect.property.value.integer;
    return true;
}

/* One turn; its nanoseconds as the cell counts them. -1: it failed. */
static double turn_ns(engine_room *room, uint32_t kernel, uint32_t times, uint64_t *checksum)
{
    static _Alignas(8) uint8_t request[sizeof(turn_request) + CONTEXT_BYTES_MAX + 8 + UPLINK_BYTES], result[RESULT_MAX];
    turn_request *head = (turn_request *)request;
    const turn_result *told = (const turn_result *)result;
    uint32_t padded = (room->context_length + 7) & ~7u;
    *head = (turn_request){ .twin = 1, .wall_ms = 1700000000000, .seed = 1, .event_kind = EVENT_UPLINK,
                            .deadline_micros = DEADLINE_MICROS, .context_length = room->context_length,
                            .event_length = UPLINK_BYTES };
    const uint8_t uplink[UPLINK_BYTES] = { (uint8_t)kernel, (uint8_t)(times >> 24), (uint8_t)(times >> 16),
                                           (uint8_t)(times >> 8), (uint8_t)times };
    memcpy(head + 1, room->context, room->context_length);
    memcpy((uint8_t *)(head + 1) + padded, uplink, sizeof uplink);
    if (cell_result_max(room->cell, 0) > sizeof result)
        return bench_fail("a result may be too long"), -1;
    cell_turn(room->cell, head, result, sizeof result);
    if (told->status != TURN_OK)
        return bench_fail("a turn ended with status %u", told->status), -1;
    room->context_length = told->context_length;
    memcpy(room->context, told + 1, told->context_length);
    const uint8_t *effects = (const uint8_t *)(told + 1) + ((told->context_length + 7) & ~7u);
    return read_checksum(effects, told->effects_length, checksum) ? (double)told->cpu_nanos : -1;
}

static double native_ns(uint32_t kernel, uint32_t times, uint64_t *checksum)
{
    int64_t begin = bench_now_ns();
    *checksum = kernels_run(kernel, times);
    return (double)(bench_now_ns() - begin);
}

typedef struct pace { /* nanoseconds of one run of a kernel: the fastest pass of each side */
    double of[SIDES];
} pace;

static bool measure(engine_room rooms[2], uint32_t kernel, int passes, pace *out)
{
    uint32_t times = kernels[kernel].times;
    *out = (pace){ { 1e18, 1e18, 1e18 } };
    for (int i = 0; i < passes && !bench_is_interrupted(); i++) {
        uint64_t checksums[SIDES] = { 0 };
        for (enum side side = MARKED; side < SIDES; side++) {
            double took = side == NATIVE ? native_ns(kernel, times, &checksums[side])
                                         : turn_ns(&rooms[side], kernel, times, &checksums[side]);
            if (took < 0)
                return false;
            out->of[side] = took / times < out->of[side] ? took / times : out->of[side];
        }
        if (checksums[MARKED] != checksums[NATIVE] || checksums[UNMARKED] != checksums[NATIVE])
            return bench_fail("%s: a twin computed something else than the same source natively", kernels[kernel].name);
    }
    return !bench_is_interrupted();
}

static double ratio(const pace *pace, enum side side)
{
    return pace->of[NATIVE] / pace->of[side];
}

static void set_kernel(bench_result *r, const char *kernel, const pace *took)
{
    static const char *const rates[] = { "per_second", "unmarked_per_second", "native_per_second" };
    static const char *const ratios[] = { "ratio", "unmarked_ratio" };
    char name[64];
    for (enum side side = MARKED; side < SIDES; side++)
        bench_set_number(r, trial_name(name, kernel, rates[side]), (double)(uint64_t)(1e9 / took->of[side]));
    for (enum side side = MARKED; side < NATIVE; side++)
        bench_set_number(r, trial_name(name, kernel, ratios[side]), ratio(took, side));
}

static bool measure_all(const bench_options *o, engine_room rooms[2], bench_result *r)
{
    pace worst = { { 0 } };
    uint32_t worst_kernel = 0;
    int passes = o->is_quick ? PASSES : PASSES_LONG;
    for (uint32_t kernel = 0; kernel < KERNELS; kernel++) {
        pace took;
        if (!measure(rooms, kernel, passes, &took))
            return false;
        set_kernel(r, kernels[kernel].name, &took);
        if (kernel == 0 || ratio(&took, MARKED) < ratio(&worst, MARKED)) {
            worst = took;
            worst_kernel = kernel;
        }
    }
    r->per_second = 1e9 / worst.of[MARKED];
    trial_set_peer(r, "the same source compiled natively", 1e9 / worst.of[NATIVE], -1);
    bench_set_text(r, "kernel", kernels[worst_kernel].name);
    bench_set_text(r, "kernels", "FIR of 64 taps over 1,024 samples, FFT of 1,024 points, Keccak-f[1600]; the figures are of the slowest beside native");
    bench_set_text(r, "unmarked", "the same twin in an image without dromio_compute");
    bench_set_text(r, "native", "clang -O2");
    bench_set_number(r, "passes", passes);
    return true;
}

bool bench_compute(const bench_options *o, bench_result *r)
{
    static engine_room rooms[2];
    char path[4200];
    bool is_fine = true;
    memset(rooms, 0, sizeof rooms);
    for (enum side side = MARKED; side < NATIVE && is_fine; side++) {
        bench_beside(path, sizeof path, images[side]);
        is_fine = room_open(&rooms[side], path);
    }
    is_fine = is_fine && measure_all(o, rooms, r);
    for (enum side side = MARKED; side < NATIVE; side++) {
        cell_free(rooms[side].cell);
        admit_result_free(&rooms[side].admitted);
    }
    return is_fine;
}
