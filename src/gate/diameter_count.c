#include "gate/diameter_count.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define REASON_TEXT(name, text) text,
static const char *const reason_texts[] = { DIAMETER_REASONS(REASON_TEXT) };
static const char *const direction_texts[] = { "in", "out" };

static uint32_t command_index(const diameter_command *command)
{
    return command == NULL ? DIAMETER_COMMANDS_MAX - 1 : (uint32_t)(command - diameter_commands);
}

static uint32_t cause_index(uint32_t result, uint32_t experimental)
{
    assert(diameter_cause_count < DIAMETER_CAUSES_MAX && diameter_command_count < DIAMETER_COMMANDS_MAX);
    uint32_t code = result != 0 ? result : experimental;
    uint32_t vendor = result != 0 ? 0 : DIAMETER_VENDOR_3GPP;
    for (uint32_t i = 0; i < diameter_cause_count; i++)
        if (diameter_causes[i].code == code && diameter_causes[i].vendor == vendor)
            return i;
    return DIAMETER_CAUSES_MAX - 1;
}

void diameter_count_request(diameter_counts *counts, int direction, const diameter_command *command)
{
    counts->messages[direction][command_index(command)]++;
}

void diameter_count_answer(diameter_counts *counts, int direction, const diameter_command *command, uint32_t result,
                           uint32_t experimental)
{
    counts->results[direction][command_index(command)][cause_index(result, experimental)]++;
}

void diameter_count_procedure(diameter_procedures *peer, int direction, const diameter_command *command, diameter_counted what)
{
    if (command == NULL || command->application == DIAMETER_APPLICATION_BASE)
        return;
    const diameter_command *request = diameter_command_find(command->code, command->application, true);
    peer->of[command_index(request)][direction][what]++;
}

void diameter_count_timeout(diameter_procedures *peer, uint32_t code, uint32_t application)
{
    peer->timeouts[command_index(diameter_command_find(code, application, true))]++;
}

static void put_line(dro_builder *out, const char *name, const char *labels, uint64_t value)
{
    char line[256];
    snprintf(line, sizeof line, "dromio_diameter_%s{%s} %" PRIu64 "\n", name, labels, value);
    dro_builder_text(out, line);
}

static void put_type(dro_builder *out, const char *name, const char *help)
{
    char line[256];
    snprintf(line, sizeof line, "# HELP dromio_diameter_%s %s\n# TYPE dromio_diameter_%s counter\n", name, help, name);
    dro_builder_text(out, line);
}

static const char *command_text(uint32_t index)
{
    return index < diameter_command_count ? diameter_commands[index].abbreviation : "other";
}

static uint32_t command_application(uint32_t index)
{
    return index < diameter_command_count ? diameter_commands[index].application : 0;
}

static void put_requests(const diameter_counts *counts, dro_builder *out)
{
    char labels[160];
    put_type(out, "requests_total", "Requests by command; in: from peers, out: to peers.");
    for (int direction = 0; direction < 2; direction++)
        for (uint32_t i = 0; i < DIAMETER_COMMANDS_MAX; i++) {
            if (counts->messages[direction][i] == 0)
                continue;
            snprintf(labels, sizeof labels, "direction=\"%s\",command=\"%s\",application=\"%" PRIu32 "\"",
                     direction_texts[direction], command_text(i), command_application(i));
            put_line(out, "requests_total", labels, counts->messages[direction][i]);
        }
}

static void put_answers_of(const diameter_counts *counts, dro_builder *out, int direction, uint32_t command)
{
    char labels[200];
    for (uint32_t i = 0; i < DIAMETER_CAUSES_MAX; i++) {
        uint64_t value = counts->results[direction][command][i];
        bool is_known = i < diameter_cause_count;
        if (value == 0)
            continue;
        snprintf(labels, sizeof labels,
                 "direction=\"%s\",command=\"%s\",application=\"%" PRIu32 "\",result=\"%" PRIu32 "\",cause=\"%s\"",
                 direction_texts[direction], command_text(command), command_application(command),
                 is_known ? diameter_causes[i].code : 0, is_known ? diameter_causes[i].text : "other");
        put_line(out, "answers_total", labels, value);
    }
}

void diameter_counts_text(const diameter_counts *counts, dro_builder *out)
{
    char labels[64];
    put_requests(counts, out);
    put_type(out, "answers_total", "Answers by command and result.");
    for (int direction = 0; direction < 2; direction++)
        for (uint32_t i = 0; i < DIAMETER_COMMANDS_MAX; i++)
            put_answers_of(counts, out, direction, i);
    put_type(out, "bytes_total", "Bytes of Diameter.");
    for (int direction = 0; direction < 2; direction++) {
        snprintf(labels, sizeof labels, "direction=\"%s\"", direction_texts[direction]);
        put_line(out, "bytes_total", labels, counts->bytes[direction]);
    }
    put_type(out, "drops_total", "What was refused, dropped or closed, by reason.");
    for (int i = 0; i < DIAMETER_REASON_COUNT; i++) {
        snprintf(labels, sizeof labels, "reason=\"%s\"", reason_texts[i]);
        put_line(out, "drops_total", labels, counts->reasons[i]);
    }
}

static void put_procedures_of(const diameter_procedures *peer, const char *name, diameter_counted what, const char *metric, dro_builder *out)
{
    char labels[400], line[512];
    for (uint32_t i = 0; i < diameter_command_count; i++)
        for (int direction = 0; direction < 2; direction++) {
            bool is_timeout = what == DIAMETER_COUNTED;
            uint64_t value = is_timeout ? (direction == DIAMETER_OUT ? peer->timeouts[i] : 0) : peer->of[i][direction][what];
            if (value == 0)
                continue;
            snprintf(labels, sizeof labels, "peer=\"%s\",direction=\"%s\",command=\"%s\",application=\"%" PRIu32 "\"", name,
                     direction_texts[direction], command_text(i), command_application(i));
            snprintf(line, sizeof line, "dromio_diameter_%s{%s} %" PRIu64 "\n", metric, labels, value);
            dro_builder_text(out, line);
        }
}

void diameter_procedures_text(const diameter_procedures *peers, const char *const *names, uint32_t count, dro_builder *out)
{
    static const struct { diameter_counted what; const char *name, *help; } metrics[] = {
        { DIAMETER_REQUESTED, "peer_requests_total", "Requests by peer and procedure; in: from the peer, out: to it." },
        { DIAMETER_ANSWERED, "peer_answers_total", "Answers by peer and procedure." },
        { DIAMETER_FAILED, "peer_errors_total", "Of those, the ones with an error." },
        { DIAMETER_COUNTED, "peer_timeouts_total", "Requests to a peer that it did not answer in time." },
    };
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        put_type(out, metrics[m].name, metrics[m].help);
        for (uint32_t i = 0; i < count; i++)
            put_procedures_of(&peers[i], names[i], metrics[m].what, metrics[m].name, out);
    }
}
