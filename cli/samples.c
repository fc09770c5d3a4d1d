#include "samples.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool push(samples *out, const sample *sample)
{
    if (out->count == out->capacity) {
        size_t more = out->capacity == 0 ? 256 : out->capacity * 2;
        struct sample *list = more > SAMPLES_MAX ? NULL : realloc(out->list, more * sizeof *list);
        if (list == NULL)
            return false;
        out->list = list;
        out->capacity = more;
    }
    out->list[out->count++] = *sample;
    return true;
}

/* The closing brace of labels that begin at `at`; braces and quotes may stand in quotes. NULL: none. */
static char *labels_end(char *at)
{
    bool is_quoted = false;
    for (; *at != '\0'; at++) {
        if (is_quoted && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            is_quoted = !is_quoted;
        else if (*at == '}' && !is_quoted)
            return at;
    }
    return NULL;
}

/* name{labels} value [time] */
static bool take_line(samples *out, char *line)
{
    sample sample = { .name = line, .labels = "" };
    char *at = line + strcspn(line, "{ \t");
    if (*line == '#' || at == line || *at == '\0')
        return true;
    char *value = at + 1;
    if (*at == '{') {
        char *end = labels_end(at + 1);
        if (end == NULL)
            return true;
        *end = '\0';
        sample.labels = at + 1;
        value = end + 1;
    }
    *at = '\0';
    char *rest;
    sample.value = strtod(value, &rest);
    return rest == value || push(out, &sample);
}

bool samples_read(samples *out, const char *text, size_t length)
{
    *out = (samples){ .text = malloc(length + 1) };
    if (out->text == NULL)
        return false;
    memcpy(out->text, text, length);
    out->text[length] = '\0';
    for (char *line = out->text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        if (!take_line(out, line)) {
            samples_fini(out);
            return false;
        }
    }
    return true;
}

void samples_fini(samples *samples)
{
    free(samples->list);
    free(samples->text);
    *samples = (struct samples){ 0 };
}

const sample *samples_next(const samples *samples, const char *name, const sample *from)
{
    for (size_t i = from == NULL ? 0 : (size_t)(from - samples->list) + 1; i < samples->count; i++)
        if (strcmp(samples->list[i].name, name) == 0)
            return &samples->list[i];
    return NULL;
}

double samples_sum(const samples *samples, const char *name, const char *label)
{
    double sum = 0;
    for (const sample *at = NULL; (at = samples_next(samples, name, at)) != NULL;)
        if (label == NULL || strstr(at->labels, label) != NULL)
            sum += at->value;
    return sum;
}

/* What bucket `at` (of all up to its bound) took in since; one that went back began anew. */
static double grown(const samples *before, const sample *at)
{
    for (const sample *old = NULL; (old = samples_next(before, at->name, old)) != NULL;)
        if (strcmp(old->labels, at->labels) == 0)
            return at->value >= old->value ? at->value - old->value : at->value;
    return at->value;
}

static double bound_of(const sample *at)
{
    char text[32];
    sample_label(at, "le", text, sizeof text);
    return strtod(text, NULL); /* "+Inf" too */
}

double samples_quantile(const samples *before, const samples *now, const char *name, double share, double *count)
{
    char bucket[96];
    double below = 0, from = 0;
    snprintf(bucket, sizeof bucket, "%s_bucket", name);
    *count = 0;
    for (const sample *at = NULL; (at = samples_next(now, bucket, at)) != NULL;) /* the last is all of them */
        *count = grown(before, at);
    if (*count <= 0)
        return -1;
    for (const sample *at = NULL; (at = samples_next(now, bucket, at)) != NULL;) {
        double up_to = grown(before, at), bound = bound_of(at);
        if (up_to >= share * *count && up_to > below)
            return isinf(bound) ? from : from + (bound - from) * (share * *count - below) / (up_to - below);
        below = up_to;
        from = bound;
    }
    return from;
}

void sample_label(const sample *sample, const char *label, char *out, size_t size)
{
    size_t length = strlen(label);
    out[0] = '\0';
    for (const char *at = sample->labels; (at = strstr(at, label)) != NULL; at += length) {
        bool is_begin = at == sample->labels || at[-1] == ',';
        if (!is_begin || at[length] != '=' || at[length + 1] != '"')
            continue;
        const char *value = at + length + 2;
        snprintf(out, size, "%.*s", (int)strcspn(value, "\""), value);
        return;
    }
}
