#include "gate/join.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { DIGITS_MAX = 13 /* of 2^64 in base 36 */ };

/* ---- numbers ---- */

static size_t number_write(char out[DIGITS_MAX], uint64_t number)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    while ((number /= 36) > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

/* Takes digits and the dot behind them, if there is one, off the text. */
static bool number_take(slice *text, uint64_t *number, bool *has_dot)
{
    uint32_t at = 0;
    *number = 0;
    for (; at < text->length && digit_of(text->at[at]) >= 0; at++)
        if (__builtin_mul_overflow(*number, 36, number) || __builtin_add_overflow(*number, (uint64_t)digit_of(text->at[at]), number))
            return false;
    *has_dot = at < text->length && text->at[at] == '.';
    bool is_good = at > 0 && (at == text->length || *has_dot);
    text->at += at + *has_dot;
    text->length -= at + *has_dot;
    return is_good;
}

static void number_put(dro_builder *out, uint64_t number)
{
    char digits[DIGITS_MAX];
    dro_builder_bytes(out, digits, number_write(digits, number));
}

/* ---- pages ---- */

static slice text_of(yyjson_val *value)
{
    return yyjson_is_str(value) ? (slice){ yyjson_get_str(value), (uint32_t)yyjson_get_len(value) } : (slice){ 0 };
}

/* The core writes pages in one way only: the items are taken out as they are. */
static bool page_cut(const char *list, body_text json, slice cursor, body_text *items)
{
    char head[32];
    static const char middle[] = "],\"cursor\":\"", end[] = "\"}", short_end[] = "]}";
    const char *text = json.bytes;
    size_t head_length = (size_t)snprintf(head, sizeof head, "{\"%s\":[", list);
    size_t tail_length = cursor.length > 0 ? sizeof middle - 1 + cursor.length + sizeof end - 1 : sizeof short_end - 1;
    if (json.length < head_length + tail_length || memcmp(text, head, head_length) != 0)
        return false;
    const char *tail = text + json.length - tail_length;
    *items = (body_text){ text + head_length, json.length - head_length - tail_length };
    if (cursor.length == 0)
        return memcmp(tail, short_end, tail_length) == 0;
    return memcmp(tail, middle, sizeof middle - 1) == 0 && memcmp(tail + sizeof middle - 1, cursor.at, cursor.length) == 0;
}

bool join_page_read(const char *list, body_text json, join_page *out)
{
    yyjson_doc *doc = yyjson_read(json.bytes, json.length, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *twins = yyjson_obj_get(yyjson_doc_get_root(doc), list);
    slice cursor = text_of(yyjson_obj_get(yyjson_doc_get_root(doc), "cursor"));
    bool is_good = yyjson_is_arr(twins) && page_cut(list, json, cursor, &out->items);
    out->count = (uint32_t)yyjson_arr_size(twins);
    out->cursor = (slice){ 0 };
    if (is_good && cursor.length > 0) /* the same text in what was given: that of the document goes now */
        out->cursor = (slice){ (const char *)json.bytes + json.length - 2 - cursor.length, cursor.length };
    yyjson_doc_free(doc);
    return is_good;
}

void join_cursor_write(dro_builder *out, uint32_t cores, uint32_t core, slice cursor)
{
    number_put(out, cores);
    dro_builder_text(out, ".");
    number_put(out, core);
    dro_builder_text(out, ".");
    dro_builder_bytes(out, cursor.at, cursor.length);
}

bool join_cursor_read(slice text, uint32_t cores, uint32_t *core, slice *cursor)
{
    uint64_t of, number;
    bool has_dot;
    if (!number_take(&text, &of, &has_dot) || !has_dot || of != cores || !number_take(&text, &number, &has_dot) || !has_dot ||
        number >= cores)
        return false;
    *core = (uint32_t)number;
    *cursor = text;
    return true;
}

/* ---- dead letters ---- */

typedef struct letters {
    yyjson_doc *doc;
    yyjson_arr_iter rest;
    yyjson_val *first; /* not taken yet; NULL: none is left */
} letters;

static bool letters_open(letters *list, body_text json)
{
    list->doc = yyjson_read(json.bytes, json.length, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *array = yyjson_obj_get(yyjson_doc_get_root(list->doc), "dead_letters");
    bool is_good = yyjson_arr_iter_init(array, &list->rest);
    list->first = is_good ? yyjson_arr_iter_next(&list->rest) : NULL;
    return is_good;
}

/* Times are texts of one form: their order is that of their bytes. */
static bool is_newer(yyjson_val *a, yyjson_val *b)
{
    const char *of_a = yyjson_get_str(yyjson_obj_get(a, "time")), *of_b = yyjson_get_str(yyjson_obj_get(b, "time"));
    return strcmp(of_a != NULL ? of_a : "", of_b != NULL ? of_b : "") > 0;
}

static letters *letters_newest(letters *lists, uint32_t count)
{
    letters *newest = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (lists[i].first != NULL && (newest == NULL || is_newer(lists[i].first, newest->first)))
            newest = &lists[i];
    return newest;
}

/* False: no room for another. */
static bool letter_put(dro_builder *out, yyjson_val *letter, bool is_first)
{
    enum { BEHIND = 8 };
    size_t length;
    char *text = yyjson_val_write(letter, YYJSON_WRITE_NOFLAG, &length);
    bool fits = text != NULL && length + BEHIND <= (size_t)(out->end - out->at);
    if (fits) {
        dro_builder_text(out, is_first ? "" : ",");
        dro_builder_bytes(out, text, length);
    }
    free(text);
    return fits;
}

bool join_letters(const body_text *parts, uint32_t count, uint32_t limit, dro_builder *out)
{
    letters lists[GATE_CORES_MAX] = { 0 };
    bool is_good = true;
    assert(count <= GATE_CORES_MAX);
    for (uint32_t i = 0; i < count; i++)
        is_good = letters_open(&lists[i], parts[i]) && is_good;
    dro_builder_text(out, "{\"dead_letters\":[");
    letters *newest;
    for (uint32_t shown = 0; is_good && shown < limit && (newest = letters_newest(lists, count)) != NULL; shown++) {
        if (!letter_put(out, newest->first, shown == 0))
            break;
        newest->first = yyjson_arr_iter_next(&newest->rest);
    }
    dro_builder_text(out, "]}");
    for (uint32_t i = 0; i < count; i++)
        yyjson_doc_free(lists[i].doc);
    return is_good && out->err == DRO_OK;
}

/* ---- status ---- */

static bool member_sum(yyjson_mut_doc *to, const body_text *parts, uint32_t count, const char *name)
{
    uint64_t sum = 0;
    bool is_good = true;
    for (uint32_t i = 0; i < count && is_good; i++) {
        yyjson_doc *doc = yyjson_read(parts[i].bytes, parts[i].length, YYJSON_READ_NOFLAG);
        yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), name);
        is_good = yyjson_is_uint(value);
        sum += yyjson_get_uint(value);
        yyjson_doc_free(doc);
    }
    if (is_good) /* so the first has it, of which `to` is a copy */
        yyjson_mut_set_uint(yyjson_mut_obj_get(yyjson_mut_doc_get_root(to), name), sum);
    return is_good;
}

bool join_status(const body_text *parts, uint32_t count, dro_builder *out)
{
    yyjson_doc *first = yyjson_read(parts[0].bytes, parts[0].length, YYJSON_READ_NOFLAG);
    yyjson_mut_doc *sum = first != NULL ? yyjson_doc_mut_copy(first, NULL) : NULL;
    size_t length = 0;
    char *text = NULL;
    if (sum != NULL && member_sum(sum, parts, count, "twins") && member_sum(sum, parts, count, "dead_letters"))
        text = yyjson_mut_write(sum, YYJSON_WRITE_NOFLAG, &length);
    dro_builder_bytes(out, text, length);
    bool is_good = text != NULL && out->err == DRO_OK;
    free(text);
    yyjson_mut_doc_free(sum);
    yyjson_doc_free(first);
    return is_good;
}

/* ---- events ---- */

size_t join_positions_write(char out[JOIN_POSITIONS_TEXT], const uint64_t *positions, uint32_t cores)
{
    size_t length = 0;
    for (uint32_t i = 0; i < cores; i++) {
        if (i > 0)
            out[length++] = '.';
        length += number_write(out + length, positions[i]);
    }
    return length;
}

bool join_positions_read(slice text, uint64_t *positions, uint32_t cores)
{
    bool has_dot = true;
    for (uint32_t i = 0; i < cores; i++)
        if (!has_dot || !number_take(&text, &positions[i], &has_dot))
            return false;
    return !has_dot; /* nothing can stand behind a last number */
}
