#include "temperature.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 2, COLUMN_DATE = 0, COLUMN_TEMP = 1 };

/* Cuts a line into its two columns, ended by NUL. False: not exactly two. */
static bool line_split(char *line, char *columns[COLUMNS])
{
    char *comma = strchr(line, ',');
    if (comma == NULL || strchr(comma + 1, ',') != NULL)
        return false;
    *comma = '\0';
    columns[0] = line;
    columns[1] = comma + 1;
    return true;
}

static bool header_read(char *line, int place[COLUMNS])
{
    static const char *const names[COLUMNS] = { "date", "temp" };
    char *columns[COLUMNS];
    if (!line_split(line, columns))
        return false;
    for (int name = 0; name < COLUMNS; name++) {
        place[name] = strcmp(columns[0], names[name]) == 0 ? 0 : 1;
        if (strcmp(columns[place[name]], names[name]) != 0)
            return false;
    }
    return true;
}

/* Hour of the year; -1: a leap day; -2: no date. */
static int hour_of(const char *date)
{
    static const int days_before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    static const int days_in[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year, month, day, hour, minute;
    if (strlen(date) > 32 || sscanf(date, "%4d/%2d/%2d %2d:%2d", &year, &month, &day, &hour, &minute) != 5)
        return -2;
    if (month == 2 && day == 29)
        return -1;
    if (month < 1 || month > 12 || day < 1 || day > days_in[month - 1] || hour < 0 || hour > 23)
        return -2;
    return (days_before[month - 1] + day - 1) * 24 + hour;
}

static bool row_read(temperature *out, char *line, const int place[COLUMNS])
{
    char *columns[COLUMNS], *end;
    if (!line_split(line, columns))
        return false;
    int hour = hour_of(columns[place[COLUMN_DATE]]);
    const char *text = columns[place[COLUMN_TEMP]];
    double fahrenheit = strtod(text, &end);
    if (hour == -2 || end == text || *end != '\0' || !(fahrenheit > -200 && fahrenheit < 250))
        return false;
    if (hour >= 0)
        out->celsius[hour] = (float)((fahrenheit - 32) / 1.8);
    return true;
}

/* Fills the hours without a measurement from their neighbours, around the year's end too. */
static dro_err fill_gaps(temperature *out)
{
    int first = 0;
    while (first < TEMPERATURE_HOURS && isnan(out->celsius[first]))
        first++;
    if (first == TEMPERATURE_HOURS)
        return DRO_NOT_FOUND;
    for (int known = first, step = 1; known < first + TEMPERATURE_HOURS; known += step) {
        step = 1;
        while (isnan(out->celsius[(known + step) % TEMPERATURE_HOURS]))
            step++;
        float from = out->celsius[known % TEMPERATURE_HOURS];
        float to = out->celsius[(known + step) % TEMPERATURE_HOURS];
        for (int i = 1; i < step; i++)
            out->celsius[(known + i) % TEMPERATURE_HOURS] = from + (to - from) * (float)i / (float)step;
    }
    return DRO_OK;
}

dro_err temperature_read(temperature *out, const char *text, size_t length, unsigned *line)
{
    int place[COLUMNS] = { 0 };
    *line = 0;
    for (int i = 0; i < TEMPERATURE_HOURS; i++)
        out->celsius[i] = NAN;
    for (const char *at = text, *end = text + length; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline != NULL ? newline : end) - at);
        char copy[TEMPERATURE_LINE_MAX];
        ++*line;
        if (size >= sizeof copy || memchr(at, '\0', size) != NULL)
            return DRO_MALFORMED;
        memcpy(copy, at, size);
        copy[size] = '\0';
        if (size > 0 && copy[size - 1] == '\r')
            copy[size - 1] = '\0';
        if (copy[0] != '\0' && !(*line == 1 ? header_read(copy, place) : row_read(out, copy, place)))
            return DRO_MALFORMED;
        if (*line == 1 && copy[0] == '\0')
            return DRO_MALFORMED;
        at += size + (newline != NULL ? 1 : 0);
    }
    return fill_gaps(out);
}

dro_err temperature_load(temperature *out, const char *path, unsigned *line)
{
    *line = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return DRO_IO;
    char *text = malloc(TEMPERATURE_FILE_MAX);
    dro_err err = DRO_NOMEM;
    if (text != NULL) {
        size_t length = fread(text, 1, TEMPERATURE_FILE_MAX, file);
        err = ferror(file)                       ? DRO_IO
              : length == TEMPERATURE_FILE_MAX ? DRO_LIMIT
                                               : temperature_read(out, text, length, line);
    }
    free(text);
    fclose(file);
    return err;
}

double temperature_at(const temperature *from, double hour)
{
    double place = fmod(hour, TEMPERATURE_HOURS);
    if (place < 0)
        place += TEMPERATURE_HOURS;
    int before = (int)place % TEMPERATURE_HOURS;
    int after = (before + 1) % TEMPERATURE_HOURS;
    double share = place - (int)place;
    return (double)from->celsius[before] * (1 - share) + (double)from->celsius[after] * share;
}
