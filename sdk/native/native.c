/* A twin compiled for this machine: the same C source beside this file gives a
 * program that feeds it recorded events, for gdb and the sanitizers.
 *
 *   thermo-native examples/thermo/thermo.tm.json examples/thermo/test/limit.json
 *
 * More than one recording: a process for each, since a native twin is born once.
 * The imports refuse what a cell refuses (src/cell/imports.c). */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "dromio.h"
#include "twin/effect.h"
#include "twin/event.h"
#include "twin/ticket.h"
#include "twin_file.h"
#include "twin_recording.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(bytes, length) ((void)(bytes), (void)(length))
#define ASAN_UNPOISON_MEMORY_REGION(bytes, length) ((void)(bytes), (void)(length))
#endif

/* Optional exports of a twin. */
__attribute__((weak)) int32_t dromio_export_state(void);
__attribute__((weak)) void dromio_import_state(uint32_t length);

static struct native {
    model model;
    const twin_turn *turn;      /* NULL: none runs, nothing may be asked */
    dro_random_seeded random;
    jmp_buf refused;
    const char *fault;
    uint32_t effect_count;
    dro_builder effects;
    uint8_t effect_bytes[EFFECTS_BYTES_MAX];
} native;

/* ---- Imports ---- */

static _Noreturn void refuse(const char *fault)
{
    native.fault = fault;
    longjmp(native.refused, 1);
}

static void need(bool is_allowed)
{
    if (!is_allowed)
        refuse("effects");
}

static void put(const effect *effect)
{
    need(native.turn != NULL && native.effect_count < EFFECTS_MAX);
    effect_write(&native.effects, effect);
    native.effect_count++;
    need(native.effects.err == DRO_OK);
}

static void put_property(uint32_t property, value value, uint32_t quality)
{
    need(property < native.model.property_count && native.model.properties[property].schema.kind == value.kind &&
         quality <= QUALITY_ESTIMATED);
    effect effect = { .kind = EFFECT_PROPERTY };
    effect.property.property = (uint16_t)property;
    effect.property.quality = (enum quality)quality;
    effect.property.value = value;
    put(&effect);
}

static value number(double number)
{
    need(isfinite(number));
    return (value){ .kind = VALUE_NUMBER, .number = number };
}

static value text(const void *bytes, uint32_t length, uint32_t most)
{
    need(length <= most && dro_utf8_is_valid(bytes, length));
    return (value){ .kind = VALUE_STRING, .length = length, .string = bytes };
}

void dromio_property_set_number(uint32_t property, double value, uint32_t quality)
{
    put_property(property, number(value), quality);
}

void dromio_property_set_integer(uint32_t property, int64_t value, uint32_t quality)
{
    put_property(property, (struct value){ .kind = VALUE_INTEGER, .integer = value }, quality);
}

void dromio_property_set_boolean(uint32_t property, uint32_t value, uint32_t quality)
{
    put_property(property, (struct value){ .kind = VALUE_BOOLEAN, .boolean = value != 0 }, quality);
}

void dromio_property_set_string(uint32_t property, const void *bytes, uint32_t length, uint32_t quality)
{
    put_property(property, text(bytes, length, VALUE_STRING_MAX), quality);
}

void dromio_downlink(const void *bytes, uint32_t length, uint32_t merge_key, uint32_t expiry_s)
{
    need(length <= EFFECT_BYTES_MAX);
    effect effect = { .kind = EFFECT_DOWNLINK };
    effect.downlink.merge_key = merge_key;
    effect.downlink.expiry_s = expiry_s;
    effect.downlink.bytes = bytes;
    effect.downlink.length = length;
    put(&effect);
}

void dromio_timer(uint32_t timer, int64_t delay_ms)
{
    effect effect = { .kind = EFFECT_TIMER };
    effect.timer.timer = timer;
    effect.timer.delay_ms = delay_ms;
    put(&effect);
}

static void put_notify(uint32_t event, value value)
{
    need(event < native.model.event_count && native.model.events[event].kind == value.kind);
    effect effect = { .kind = EFFECT_NOTIFY };
    effect.notify.event = (uint16_t)event;
    effect.notify.value = value;
    put(&effect);
}

void dromio_notify(uint32_t event)
{
    put_notify(event, (value){ .kind = VALUE_NONE });
}

void dromio_notify_number(uint32_t event, double value)
{
    put_notify(event, number(value));
}

void dromio_notify_string(uint32_t event, const void *bytes, uint32_t length)
{
    put_notify(event, text(bytes, length, VALUE_STRING_MAX));
}

void dromio_ticket(int64_t ticket, uint32_t state, const void *reason, uint32_t length)
{
    need(state == TICKET_SENT || state == TICKET_REPORTED || state == TICKET_FAILED);
    effect effect = { .kind = EFFECT_TICKET };
    effect.ticket.ticket = (uint64_t)ticket;
    effect.ticket.state = (uint8_t)state;
    effect.ticket.reason = text(reason, length, EFFECT_TEXT_MAX).string;
    effect.ticket.length = length;
    put(&effect);
}

void dromio_contact_at(int64_t wall_ms)
{
    effect effect = { .kind = EFFECT_CONTACT };
    effect.contact.at = wall_ms;
    put(&effect);
}

void dromio_schedule(uint32_t maximum_latency_s, uint32_t maximum_response_s, uint32_t packets)
{
    effect effect = { .kind = EFFECT_SCHEDULE };
    effect.schedule = (schedule_wish){ maximum_latency_s, maximum_response_s, packets };
    need(schedule_wish_fault(&effect.schedule) == NULL);
    put(&effect);
}

void dromio_trigger(uint32_t trigger, uint32_t port, const void *bytes, uint32_t length, uint32_t validity_s)
{
    need(length <= EFFECT_TRIGGER_MAX && port <= UINT16_MAX);
    effect effect = { .kind = EFFECT_TRIGGER };
    effect.trigger.trigger = trigger;
    effect.trigger.port = (uint16_t)port;
    effect.trigger.validity_s = validity_s;
    effect.trigger.bytes = bytes;
    effect.trigger.length = length;
    put(&effect);
}

void dromio_log(uint32_t level, const void *bytes, uint32_t length)
{
    need(level <= DROMIO_LOG_ERROR);
    effect effect = { .kind = EFFECT_LOG };
    effect.log.level = (uint8_t)level;
    effect.log.text = text(bytes, length, EFFECT_TEXT_MAX).string;
    effect.log.length = length;
    put(&effect);
}

int64_t dromio_now(void)
{
    need(native.turn != NULL);
    return native.turn->wall_ms;
}

int64_t dromio_random(void)
{
    need(native.turn != NULL);
    return (int64_t)dro_random_next(&native.random);
}

/* ---- The runner ---- */

static bool on_reset(twin_runner *runner)
{
    static bool was_born;
    (void)runner;
    if (was_born)
        return twin_say("a native twin is born once in a process");
    was_born = true;
    return true;
}

/* What lies behind the payload is out of bounds for the twin. */
static void fence_payload(uint32_t length)
{
    ASAN_POISON_MEMORY_REGION(dromio_payload + length, sizeof dromio_payload - length);
}

static void unfence_payload(void)
{
    ASAN_UNPOISON_MEMORY_REGION(dromio_payload, sizeof dromio_payload);
}

static bool on_turn(twin_runner *runner, const twin_turn *turn, twin_turn_end *end)
{
    (void)runner;
    native.fault = NULL;
    native.turn = turn;
    native.effect_count = 0;
    native.effects = dro_builder_over(native.effect_bytes, sizeof native.effect_bytes);
    dro_random_seeded_init(&native.random, turn->seed);
    memcpy(dromio_event_buffer(), turn->payload, turn->length);
    fence_payload(turn->length);
    volatile int32_t outcome = 0;
    if (setjmp(native.refused) == 0)
        outcome = dromio_event(turn->kind, turn->id, turn->length);
    unfence_payload();
    native.turn = NULL;
    if (native.fault == NULL && (outcome < EVENT_HANDLED || outcome > EVENT_SWALLOWED))
        native.fault = "bad result";
    *end = (twin_turn_end){ .fault = native.fault, .outcome = (uint32_t)outcome, .effects = native.effect_bytes,
                            .effects_length = (uint32_t)dro_builder_length(&native.effects), .context_length = -1 };
    return true;
}

/* Into itself: what one build says, the same build must understand. */
static bool on_move(twin_runner *runner, const char **fault)
{
    (void)runner;
    *fault = NULL;
    if (dromio_export_state == NULL || dromio_import_state == NULL)
        return twin_say("this twin has no dromio_export_state and dromio_import_state");
    int32_t length = dromio_export_state();
    if (length < 0 || (size_t)length > sizeof dromio_payload) {
        *fault = "bad result";
        return true;
    }
    fence_payload((uint32_t)length);
    dromio_import_state((uint32_t)length);
    unfence_payload();
    return true;
}

static void on_free(twin_runner *runner)
{
    (void)runner;
}

static void tell_reason(void *path, const char *reason)
{
    twin_say("%s: %s", (const char *)path, reason);
}

static bool read_model(char *path)
{
    size_t length;
    char *json = twin_file_read(path, MODEL_JSON_MAX, &length);
    dro_err err = json == NULL ? DRO_IO : model_parse(&native.model, json, length, tell_reason, path);
    free(json);
    return err == DRO_OK;
}

static bool run(const char *path)
{
    twin_runner runner = { &native.model, on_reset, on_turn, on_move, on_free };
    recording_report report;
    bool is_passed = recording_run(&runner, path, false, stdout, &report) && report.failed == 0;
    printf("%s %s: %u steps\n", is_passed ? "ok   " : "FAIL ", path, report.steps);
    fflush(stdout);
    return is_passed;
}

static bool run_in_child(const char *path)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return twin_say("no process");
    if (child == 0)
        _exit(run(path) ? 0 : 1);
    if (waitpid(child, &status, 0) != child)
        return twin_say("no process");
    if (WIFSIGNALED(status))
        return twin_say("%s: ended by signal %d", path, WTERMSIG(status));
    return WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    bool is_passed = true;
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL.tm.json RECORDING...\n", argv[0]);
        return 2;
    }
    if (!read_model(argv[1]))
        return 1;
    if (argc == 3)
        return run(argv[2]) ? 0 : 1;
    for (int i = 2; i < argc; i++)
        is_passed = run_in_child(argv[i]) && is_passed;
    return is_passed ? 0 : 1;
}
