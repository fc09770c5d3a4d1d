#include "gate/target.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool slice_is(slice text, const char *word)
{
    size_t length = strlen(word);
    return text.length == length && memcmp(text.at, word, length) == 0;
}

static bool is_clean(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            return false;
    return dro_utf8_is_valid(bytes, length);
}

int target_decode(const char *raw, size_t length, bool is_form, char *out)
{
    size_t made = 0;
    for (size_t i = 0; i < length; i++) {
        char c = raw[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_of(raw[i + 1]) : -1;
            int low = i + 2 < length ? hex_of(raw[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && is_form) {
            c = ' ';
        }
        out[made++] = c;
    }
    return is_clean(out, made) ? (int)made : -1;
}

/* The path and query of an absolute-form target; a server must understand it. */
static bool skip_authority(slice *text)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i]);
        if (text->length < length || strncasecmp(text->at, schemes[i], length) != 0)
            continue;
        const char *slash = memchr(text->at + length, '/', text->length - length);
        if (slash == NULL)
            return false;
        text->length -= (uint32_t)(slash - text->at);
        text->at = slash;
        return true;
    }
    return false;
}

static int add_segment(target *out, const char *raw, size_t length, char *room, size_t *used)
{
    slice segment = { raw, (uint32_t)length };
    if (out->count == HTTP_SEGMENTS_MAX)
        return 404;
    if (memchr(raw, '%', length) != NULL) {
        int decoded = target_decode(raw, length, false, room + *used);
        if (decoded < 0)
            return 400;
        segment = (slice){ room + *used, (uint32_t)decoded };
        *used += (size_t)decoded;
    } else if (!is_clean(raw, length)) {
        return 400;
    }
    if (slice_is(segment, ".") || slice_is(segment, ".."))
        return 400;
    out->segments[out->count++] = segment;
    return 0;
}

int target_read(target *out, const char *raw, size_t length, char *room)
{
    slice text = { raw, (uint32_t)length };
    out->count = 0;
    if (memchr(raw, '#', length) != NULL)
        return 400;
    if ((length == 0 || raw[0] != '/') && !skip_authority(&text))
        return 400;
    const char *mark = memchr(text.at, '?', text.length);
    out->path = (slice){ text.at, mark != NULL ? (uint32_t)(mark - text.at) : text.length };
    out->query = (slice){ NULL, 0 };
    if (mark != NULL)
        out->query = (slice){ mark + 1, text.length - out->path.length - 1 };
    size_t used = 0;
    const char *end = out->path.at + out->path.length;
    for (const char *at = out->path.at + 1;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        int status = add_segment(out, at, (size_t)((slash != NULL ? slash : end) - at), room, &used);
        if (status != 0 || slash == NULL)
            return status;
        at = slash + 1;
    }
}

static bool decode_part(slice raw, slice *out, char *room, size_t *used)
{
    int length = target_decode(raw.at, raw.length, true, room + *used);
    if (length < 0)
        return false;
    *out = (slice){ room + *used, (uint32_t)length };
    *used += (size_t)length;
    return true;
}

bool target_query_next(slice *query, slice *name, slice *value, char *room, size_t *room_used, int *status)
{
    while (query->length > 0) {
        const char *mark = memchr(query->at, '&', query->length);
        slice pair = { query->at, mark != NULL ? (uint32_t)(mark - query->at) : query->length };
        uint32_t skip = pair.length + (mark != NULL);
        query->at += skip;
        query->length -= skip;
        if (pair.length == 0)
            continue;
        const char *equals = memchr(pair.at, '=', pair.length);
        slice left = { pair.at, equals != NULL ? (uint32_t)(equals - pair.at) : pair.length };
        slice right = { pair.at + left.length, 0 };
        if (equals != NULL)
            right = (slice){ equals + 1, pair.length - left.length - 1 };
        if (decode_part(left, name, room, room_used) && decode_part(right, value, room, room_used))
            return true;
        *status = 400;
        return false;
    }
    return false;
}

bool domain_read(slice text, char *out)
{
    return external_domain_read(text.at, text.length, out);
}

bool identifier_read(slice text, char out[IDENTIFIER_MAX + 1])
{
    return external_identifier_read(text.at, text.length, out);
}

slice identifier_domain(const char *identifier)
{
    const char *at = strrchr(identifier, '@');
    assert(at != NULL); /* it is one that identifier_read gave */
    return (slice){ at + 1, (uint32_t)strlen(at + 1) };
}

bool number_read(slice text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > 19) /* 19 digits always fit */
        return false;
    for (uint32_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
    }
    *out = value;
    return true;
}

bool duration_read(slice text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 } };
    uint32_t digits = 0;
    while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    slice unit = { text.at + digits, text.length - digits };
    uint64_t count = 0;
    if (digits > 9 || !number_read((slice){ text.at, digits }, &count))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (slice_is(unit, units[i].unit)) {
            *ms = count * units[i].ms;
            return *ms <= INT32_MAX;
        }
    }
    return false;
}

bool digest_read(slice text, uint8_t out[32])
{
    if (text.length != 7 + 64 || memcmp(text.at, "sha256:", 7) != 0)
        return false;
    for (uint32_t i = 0; i < 32; i++) {
        int high = hex_of(text.at[7 + 2 * i]);
        int low = hex_of(text.at[8 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* So many digits as a number, or -1. */
static int digits_read(slice text, uint32_t at, uint32_t count)
{
    int number = 0;
    for (uint32_t i = 0; i < count; i++) {
        char c = at + i < text.length ? text.at[at + i] : '\0';
        if (c < '0' || c > '9')
            return -1;
        number = number * 10 + c - '0';
    }
    return number;
}

/* "Z" or "+01:30" at `at`, the end of the text -> minutes east. */
static bool offset_read(slice text, uint32_t at, int *minutes)
{
    *minutes = 0;
    if (at + 1 == text.length && (text.at[at] == 'Z' || text.at[at] == 'z'))
        return true;
    if (at + 6 != text.length || (text.at[at] != '+' && text.at[at] != '-') || text.at[at + 3] != ':')
        return false;
    int hour = digits_read(text, at + 1, 2), minute = digits_read(text, at + 4, 2);
    *minutes = (text.at[at] == '-' ? -1 : 1) * (hour * 60 + minute);
    return hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_to(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1; /* years begin with March: the leap day is their last */
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static const int64_t TIME_LAST_MS = 253402300799999; /* 9999-12-31T23:59:59.999Z: an hour, or a leap second, more cannot be written */

bool time_read(slice text, int64_t *ms)
{
    static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = digits_read(text, 0, 4), month = digits_read(text, 5, 2), day = digits_read(text, 8, 2);
    int hour = digits_read(text, 11, 2), minute = digits_read(text, 14, 2), second = digits_read(text, 17, 2);
    if (text.length < 20 || text.at[4] != '-' || text.at[7] != '-' || (text.at[10] != 'T' && text.at[10] != 't') ||
        text.at[13] != ':' || text.at[16] != ':' || year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || day > lengths[month - 1])
        return false;
    if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
        return false;
    uint32_t at = 19;
    int milliseconds = 0, offset;
    if (text.at[at] == '.') {
        uint32_t begin = ++at;
        for (int weight = 100; at < text.length && text.at[at] >= '0' && text.at[at] <= '9'; at++, weight /= 10)
            milliseconds += (text.at[at] - '0') * weight;
        if (at == begin)
            return false;
    }
    if (at >= text.length || !offset_read(text, at, &offset))
        return false;
    *ms = ((days_to(year, month, day) * 24 + hour) * 60 + minute - offset) * 60000 + second * 1000 + milliseconds;
    return *ms >= 0 && *ms <= TIME_LAST_MS;
}
