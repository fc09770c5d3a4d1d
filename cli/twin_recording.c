#include "base/base64.h"
#include "twin_recording.h"

#include <ctype.h>
#include <stdlib.h>
#include <yyjson.h>

#include "twin/event.h"
#include "twin/schedule.h"
#include "twin/value.h"
#include "twin_file.h"
#include "twin_lines.h"

enum { STEP_TEXT_MAX = 80 };

static const int64_t START_MS = 1767225600000; /* 2026-01-01T00:00:00Z */
static const uint64_t SEED = 0x64726f6d696f;

/* One run of one file. */
typedef struct run {
    twin_runner *runner;
    const char *path;
    uint32_t step;           /* from 1; 0: before the first */
    int64_t wall_ms;
    twin_turn turn;
    uint8_t payload[EVENT_BYTES_MAX];
    twin_lines expected, actual;
    recording_report *report;
} run;

static bool wrong(const run *run, const char *what, const char *name)
{
    return twin_say("%s: step %u: %s%s%s", run->path, run->step, what, name[0] != '\0' ? ": " : "", name);
}

/* ---- Steps into events ---- */

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    int lower = tolower((unsigned char)character);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Digits in pairs; white space between the bytes is for the reader. */
static bool take_hex(run *run, yyjson_val *json)
{
    const char *text = yyjson_get_str(json);
    uint32_t length = 0;
    if (text == NULL)
        return wrong(run, "a frame is a string of hex digits", "");
    while (*text != '\0') {
        if (isspace((unsigned char)*text)) {
            text++;
            continue;
        }
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return wrong(run, "not a pair of hex digits", text);
        if (length == sizeof run->payload)
            return wrong(run, "the frame is longer than an event may be", "");
        run->payload[length++] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    run->turn.length = length;
    return true;
}

static bool json_value(value *out, yyjson_val *json)
{
    *out = (value){ .kind = VALUE_NONE };
    if (yyjson_is_real(json) || (yyjson_is_uint(json) && yyjson_get_uint(json) > INT64_MAX))
        *out = (value){ .kind = VALUE_NUMBER, .number = yyjson_get_num(json) };
    else if (yyjson_is_int(json))
        *out = (value){ .kind = VALUE_INTEGER, .integer = yyjson_get_sint(json) };
    else if (yyjson_is_bool(json))
        *out = (value){ .kind = VALUE_BOOLEAN, .boolean = yyjson_get_bool(json) };
    else if (yyjson_is_str(json))
        *out = (value){ .kind = VALUE_STRING, .length = (uint32_t)yyjson_get_len(json),
                        .string = yyjson_get_str(json) };
    return out->kind != VALUE_NONE;
}

/* A value as the host would pass it on. */
static bool put_value(const run *run, dro_builder *out, const char *name, const model_schema *schema, yyjson_val *json)
{
    value value;
    uint8_t decoded[VALUE_STRING_MAX];
    if (!json_value(&value, json) || model_check(schema, &value) != DRO_OK)
        return wrong(run, "the model does not allow this value", name);
    if (schema->is_base64) {
        dro_builder bytes = dro_builder_over(decoded, sizeof decoded);
        if (dro_base64_read(&bytes, value.string, value.length) != DRO_OK)
            return wrong(run, "not base64", name);
        value.string = (const char *)decoded;
        value.length = (uint32_t)dro_builder_length(&bytes);
    }
    value_write(out, &value);
    return true;
}

/* Values of secrets or inputs in the model's order; every member of `json` must be one of them. */
static bool take_members(run *run, const model_input *inputs, uint32_t count, yyjson_val *json, bool may_remove)
{
    dro_builder out = dro_builder_over(run->payload, sizeof run->payload);
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        yyjson_val *member = yyjson_obj_get(json, inputs[i].name);
        used += member != NULL;
        if (member == NULL && inputs[i].schema.is_required)
            return wrong(run, "is required", inputs[i].name);
        if (member == NULL)
            value_write(&out, &(value){ .kind = VALUE_NONE });
        else if (yyjson_is_null(member) && may_remove)
            dro_builder_le(&out, EVENT_SECRET_REMOVED, 1);
        else if (!put_value(run, &out, inputs[i].name, &inputs[i].schema, member))
            return false;
    }
    if (used != yyjson_obj_size(json))
        return wrong(run, "a member here is none of the model's", "");
    run->turn.length = (uint32_t)dro_builder_length(&out);
    return out.err == DRO_OK || wrong(run, "does not fit into an event", "");
}

/* The one member of an object: name and value. */
static bool take_pair(const run *run, yyjson_val *json, const char **name, yyjson_val **member)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(json);
    yyjson_val *key = yyjson_obj_size(json) == 1 ? yyjson_obj_iter_next(&iter) : NULL;
    if (key == NULL)
        return wrong(run, "write, action and triggered have one member, its name", "");
    *name = yyjson_get_str(key);
    *member = yyjson_obj_iter_get_val(key);
    return true;
}

static bool take_write(run *run, yyjson_val *json)
{
    const model *model = run->runner->model;
    const char *name;
    yyjson_val *member;
    if (!take_pair(run, json, &name, &member))
        return false;
    int index = model_property_find(model, name, strlen(name));
    if (index < 0 || !model->properties[index].is_writable)
        return wrong(run, "no writable property of the model", name);
    dro_builder out = dro_builder_over(run->payload, sizeof run->payload);
    if (!put_value(run, &out, name, &model->properties[index].schema, member))
        return false;
    run->turn.kind = EVENT_PROPERTY_WRITE;
    run->turn.id = (uint32_t)index;
    run->turn.length = (uint32_t)dro_builder_length(&out);
    return true;
}

static bool take_action(run *run, yyjson_val *json)
{
    const model *model = run->runner->model;
    const char *name;
    yyjson_val *input;
    if (!take_pair(run, json, &name, &input))
        return false;
    int index = model_action_find(model, name, strlen(name));
    if (index < 0)
        return wrong(run, "no action of the model", name);
    run->turn.kind = EVENT_ACTION;
    run->turn.id = (uint32_t)index;
    return take_members(run, model->actions[index].inputs, model->actions[index].input_count, input, false);
}

/* {"state": "applied", "periodic": 3600}: what is not there is not known. */
static bool take_schedule(run *run, yyjson_val *json)
{
    static const char *const names[] = { "periodic", "active", "packets", "edrx_ms" };
    static const schedule_state states[] = { SCHEDULE_APPLIED, SCHEDULE_REFUSED, SCHEDULE_HELD, SCHEDULE_CANCELLED, SCHEDULE_NONE };
    const char *state = yyjson_get_str(yyjson_obj_get(json, "state"));
    dro_builder out = dro_builder_over(run->payload, sizeof run->payload);
    run->turn.id = 0;
    for (size_t i = 0; state != NULL && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i] == SCHEDULE_NONE ? "known" : schedule_state_text(states[i])) == 0)
            run->turn.id = states[i];
    if (run->turn.id == 0)
        return wrong(run, "a schedule has a state: applied, refused, held, cancelled or known", "");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        yyjson_val *number = yyjson_obj_get(json, names[i]);
        if (number != NULL && (!yyjson_is_uint(number) || yyjson_get_uint(number) >= SCHEDULE_UNSAID))
            return wrong(run, "a number of a schedule is a whole one", names[i]);
        dro_builder_le(&out, number == NULL ? SCHEDULE_UNSAID : yyjson_get_uint(number), 4);
    }
    run->turn.length = (uint32_t)dro_builder_length(&out);
    return true;
}

/* {"5": "delivered"}: what became of trigger 5. */
static bool take_trigger(run *run, yyjson_val *json)
{
    static const char *const outcomes[] = { "delivered", "expired", "failed", "unconfirmed", "unknown" };
    const char *name;
    yyjson_val *member;
    char *end;
    if (!take_pair(run, json, &name, &member) || !yyjson_is_str(member))
        return wrong(run, "a triggered step is {\"NUMBER\": \"OUTCOME\"}", "");
    unsigned long number = strtoul(name, &end, 10);
    if (*end != '\0' || end == name || number > UINT32_MAX)
        return wrong(run, "a trigger is a number", name);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        if (strcmp(yyjson_get_str(member), outcomes[i]) != 0)
            continue;
        run->turn.id = (uint32_t)number;
        run->payload[0] = (uint8_t)i;
        run->turn.length = 1;
        return true;
    }
    return wrong(run, "an outcome is delivered, expired, failed, unconfirmed or unknown", "");
}

/* Exactly one of the words of a step. */
static bool take_step(run *run, yyjson_val *json)
{
    static const struct { const char *word; event_kind kind; } words[] = {
        { "created", EVENT_CREATED }, { "configured", EVENT_CONFIGURED }, { "uplink", EVENT_UPLINK },
        { "write", EVENT_PROPERTY_WRITE }, { "action", EVENT_ACTION }, { "timer", EVENT_TIMER },
        { "reachable", EVENT_REACHABILITY }, { "downlink", EVENT_DOWNLINK }, { "triggered", EVENT_TRIGGER_OUTCOME },
        { "schedule", EVENT_SCHEDULE },
    };
    const model *model = run->runner->model;
    yyjson_val *found = NULL;
    run->turn = (twin_turn){ .payload = run->payload };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        yyjson_val *member = yyjson_obj_get(json, words[i].word);
        if (member != NULL && found != NULL)
            return wrong(run, "two events in one step", words[i].word);
        if (member != NULL) {
            found = member;
            run->turn.kind = words[i].kind;
        }
    }
    if (found == NULL)
        return wrong(run, "no event; a step has one of created, configured, uplink, write, action, timer, reachable, "
                          "downlink, triggered, schedule, move", "");
    switch (run->turn.kind) {
    case EVENT_CREATED: return take_members(run, model->secrets, model->secret_count, found, false);
    case EVENT_CONFIGURED: return take_members(run, model->secrets, model->secret_count, found, true);
    case EVENT_UPLINK:
    case EVENT_DOWNLINK: return take_hex(run, found);
    case EVENT_PROPERTY_WRITE: return take_write(run, found);
    case EVENT_ACTION: return take_action(run, found);
    case EVENT_TRIGGER_OUTCOME: return take_trigger(run, found);
    case EVENT_SCHEDULE: return take_schedule(run, found);
    case EVENT_REACHABILITY: run->turn.id = yyjson_is_true(found) ? 1 : 0; return true;
    default:
        if (!yyjson_is_uint(found) || yyjson_get_uint(found) > UINT32_MAX)
            return wrong(run, "a timer is a number", "");
        run->turn.id = (uint32_t)yyjson_get_uint(found);
        return true;
    }
}

/* ---- Turns and what they bring ---- */

static bool run_turn(run *run)
{
    twin_turn_end end;
    run->turn.wall_ms = run->wall_ms;
    run->turn.seed = SEED + run->step;
    if (!run->runner->turn(run->runner, &run->turn, &end))
        return wrong(run, "the turn could not be run", "");
    twin_lines_of(&run->actual, run->runner->model, &end);
    if (end.context_length > run->report->context_most)
        run->report->context_most = end.context_length;
    return true;
}

static bool run_move(run *run)
{
    twin_turn_end end = { .effects = run->payload, .context_length = -1 };
    run->turn.kind = 0;
    if (run->runner->move == NULL || !run->runner->move(run->runner, &end.fault))
        return wrong(run, "the state cannot be moved here", "");
    twin_lines_of(&run->actual, run->runner->model, &end);
    return true;
}

static bool take_expected(run *run, yyjson_val *expect)
{
    yyjson_val *line;
    size_t i, count;
    run->expected.count = 0;
    run->expected.used = 0;
    run->expected.is_full = false;
    if (!yyjson_is_arr(expect))
        return wrong(run, "expect is not an array of lines", "");
    yyjson_arr_foreach(expect, i, count, line) {
        if (!yyjson_is_str(line))
            return wrong(run, "an expected line is not a string", "");
        twin_lines_add(&run->expected, yyjson_get_str(line), yyjson_get_len(line));
    }
    return !run->expected.is_full || wrong(run, "more lines are expected than a turn can bring", "");
}

static void print_step(const run *run, yyjson_val *json, FILE *out)
{
    yyjson_val *say = yyjson_obj_get(json, "say");
    const char *what = run->turn.kind == 0 ? "move" : event_kind_text((event_kind)run->turn.kind);
    fprintf(out, "%s: step %u, %s", run->path, run->step, what);
    for (uint32_t i = 0; run->turn.kind == EVENT_UPLINK && i < run->turn.length && i < STEP_TEXT_MAX / 2; i++)
        fprintf(out, "%s%02x", i == 0 ? " " : "", run->payload[i]);
    fprintf(out, "%s%s\n", say != NULL ? ": " : "", yyjson_is_str(say) ? yyjson_get_str(say) : "");
}

static bool run_step(run *run, yyjson_val *json, bool is_record, FILE *out)
{
    yyjson_val *expect = yyjson_obj_get(json, "expect"), *after = yyjson_obj_get(json, "after_s");
    if (!yyjson_is_obj(json))
        return wrong(run, "is not an object", "");
    if (after != NULL && (!yyjson_is_uint(after) || yyjson_get_uint(after) > INT32_MAX))
        return wrong(run, "after_s is not a number of seconds", "");
    run->wall_ms += 1000 * (int64_t)yyjson_get_uint(after);
    bool is_move = yyjson_is_true(yyjson_obj_get(json, "move"));
    if (is_move ? !run_move(run) : !take_step(run, json) || !run_turn(run))
        return false;
    run->report->steps++;
    if (expect == NULL || is_record)
        return true;
    if (!take_expected(run, expect))
        return false;
    if (twin_lines_equal(&run->expected, &run->actual))
        return true;
    run->report->failed++;
    print_step(run, json, out);
    twin_lines_print_difference(out, &run->expected, &run->actual);
    return true;
}

/* Writes what came into the copy that goes back to the file. Steps without "expect" stay so. */
static void record_step(yyjson_mut_doc *document, yyjson_mut_val *step, const twin_lines *lines)
{
    yyjson_mut_val *expect = yyjson_mut_arr(document);
    if (yyjson_mut_obj_get(step, "expect") == NULL)
        return;
    for (uint32_t i = 0; i < lines->count; i++)
        yyjson_mut_arr_add_strcpy(document, expect, lines->lines[i]);
    yyjson_mut_obj_put(step, yyjson_mut_str(document, "expect"), expect);
}

static bool run_created(run *run)
{
    const model *model = run->runner->model;
    run->step = 0;
    run->turn = (twin_turn){ .payload = run->payload, .kind = EVENT_CREATED };
    return take_members(run, model->secrets, model->secret_count, NULL, false) && run_turn(run);
}

static bool run_steps(run *run, yyjson_val *steps, yyjson_mut_doc *copy, FILE *out)
{
    yyjson_val *json;
    size_t i, count;
    yyjson_mut_val *copies = copy == NULL ? NULL : yyjson_mut_obj_get(yyjson_mut_doc_get_root(copy), "steps");
    if (yyjson_obj_get(yyjson_arr_get_first(steps), "created") == NULL && !run_created(run))
        return false;
    yyjson_arr_foreach(steps, i, count, json) {
        run->step = (uint32_t)i + 1;
        if (!run_step(run, json, copy != NULL, out))
            return false;
        if (copy != NULL)
            record_step(copy, yyjson_mut_arr_get(copies, i), &run->actual);
    }
    return true;
}

static bool check_context(const run *run, yyjson_val *root, FILE *out)
{
    yyjson_val *most = yyjson_obj_get(root, "context_max");
    if (most == NULL || run->report->context_most <= (int64_t)yyjson_get_uint(most))
        return true;
    fprintf(out, "%s: the context grew to %lld bytes, context_max is %llu\n", run->path,
            (long long)run->report->context_most, (unsigned long long)yyjson_get_uint(most));
    run->report->failed++;
    return true;
}

static bool write_copy(const char *path, yyjson_mut_doc *copy)
{
    size_t length;
    char *text = yyjson_mut_write(copy, YYJSON_WRITE_PRETTY_TWO_SPACES, &length);
    if (text == NULL)
        return twin_say("%s: no memory", path);
    text[length] = '\n'; /* in place of the NUL */
    bool is_written = twin_file_write(path, text, length + 1);
    free(text);
    return is_written;
}

bool recording_run(twin_runner *runner, const char *path, bool is_record, FILE *out, recording_report *report)
{
    size_t length;
    yyjson_read_err error;
    run *run = calloc(1, sizeof *run);
    char *text = twin_file_read(path, RECORDING_BYTES_MAX, &length);
    yyjson_doc *document = text == NULL ? NULL : yyjson_read_opts(text, length, YYJSON_READ_NOFLAG, NULL, &error);
    yyjson_val *root = yyjson_doc_get_root(document), *steps = yyjson_obj_get(root, "steps");
    yyjson_mut_doc *copy = is_record && document != NULL ? yyjson_doc_mut_copy(document, NULL) : NULL;
    bool is_good = run != NULL && text != NULL;
    *report = (recording_report){ .context_most = -1 };
    if (is_good && document == NULL)
        is_good = twin_say("%s: is not JSON: %s at byte %zu", path, error.msg, error.pos);
    else if (is_good && (!yyjson_is_arr(steps) || yyjson_arr_size(steps) > RECORDING_STEPS_MAX))
        is_good = twin_say("%s: has no array \"steps\" of at most %d", path, RECORDING_STEPS_MAX);
    if (is_good) {
        *run = (struct run){ .runner = runner, .path = path, .wall_ms = START_MS, .report = report };
        is_good = runner->reset(runner) && run_steps(run, steps, copy, out) && check_context(run, root, out);
    }
    if (is_good && copy != NULL)
        is_good = write_copy(path, copy);
    yyjson_mut_doc_free(copy);
    yyjson_doc_free(document);
    free(text);
    free(run);
    return is_good;
}
