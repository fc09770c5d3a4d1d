#include "desk/range.h"

#include <math.h>

static const int64_t EXACT_MAX = INT64_C(1) << 53; /* up to here every integer is a double of its own */

static bool number_range(range *out, unsigned char op, double bound)
{
    out->number.low = -INFINITY;
    out->number.high = INFINITY;
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: out->number.low = out->number.high = bound; return true;
    case SQLITE_INDEX_CONSTRAINT_LT: out->number.high = nextafter(bound, -INFINITY); return true;
    case SQLITE_INDEX_CONSTRAINT_LE: out->number.high = bound; return true;
    case SQLITE_INDEX_CONSTRAINT_GT: out->number.low = nextafter(bound, INFINITY); return true;
    case SQLITE_INDEX_CONSTRAINT_GE: out->number.low = bound; return true;
    default: return false;
    }
}

static bool integer_range(range *out, unsigned char op, int64_t bound)
{
    out->integer.low = INT64_MIN;
    out->integer.high = INT64_MAX;
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: out->integer.low = out->integer.high = bound; return true;
    case SQLITE_INDEX_CONSTRAINT_LT:
        out->is_empty = bound == INT64_MIN;
        out->integer.high = out->is_empty ? bound : bound - 1;
        return true;
    case SQLITE_INDEX_CONSTRAINT_LE: out->integer.high = bound; return true;
    case SQLITE_INDEX_CONSTRAINT_GT:
        out->is_empty = bound == INT64_MAX;
        out->integer.low = out->is_empty ? bound : bound + 1;
        return true;
    case SQLITE_INDEX_CONSTRAINT_GE: out->integer.low = bound; return true;
    default: return false;
    }
}

/* Against 3.5 whole numbers are compared like this: < 3.5 is <= 3, >= 3.5 is >= 4. */
static bool fraction_range(range *out, unsigned char op, double bound)
{
    if (!(bound > -0x1p62 && bound < 0x1p62))
        return false;
    double below = floor(bound);
    if (below == bound)
        return integer_range(out, op, (int64_t)bound);
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: out->is_empty = true; return true;
    case SQLITE_INDEX_CONSTRAINT_LT:
    case SQLITE_INDEX_CONSTRAINT_LE: return integer_range(out, SQLITE_INDEX_CONSTRAINT_LE, (int64_t)below);
    case SQLITE_INDEX_CONSTRAINT_GT:
    case SQLITE_INDEX_CONSTRAINT_GE: return integer_range(out, SQLITE_INDEX_CONSTRAINT_GE, (int64_t)below + 1);
    default: return false;
    }
}

bound bound_of(sqlite3_value *value)
{
    bound out = { .type = sqlite3_value_type(value) };
    if (out.type == SQLITE_INTEGER)
        out.integer = sqlite3_value_int64(value);
    else if (out.type == SQLITE_FLOAT)
        out.number = sqlite3_value_double(value);
    else if (out.type == SQLITE_TEXT) {
        out.text = (const char *)sqlite3_value_text(value);
        out.length = out.text == NULL ? 0 : (size_t)sqlite3_value_bytes(value);
    }
    return out;
}

bool range_make(range *out, value_kind kind, unsigned char op, const bound *against)
{
    bool is_whole = kind == VALUE_INTEGER || kind == VALUE_BOOLEAN;
    *out = (range){ .is_empty = against->type == SQLITE_NULL };
    if (against->type == SQLITE_NULL)
        return true; /* a comparison with NULL is never true */
    if (against->type == SQLITE_INTEGER) {
        int64_t integer = against->integer;
        if (is_whole)
            return integer_range(out, op, integer);
        return kind == VALUE_NUMBER && integer >= -EXACT_MAX && integer <= EXACT_MAX &&
               number_range(out, op, (double)integer);
    }
    if (against->type != SQLITE_FLOAT)
        return false;
    if (is_whole)
        return fraction_range(out, op, against->number);
    return kind == VALUE_NUMBER && number_range(out, op, against->number);
}

/* No branch depends on a value, so the loops run at the speed of the copy. */
#define KEEP(type, low, high)                                                   \
    for (uint32_t i = first; i < count; i++) {                                  \
        uint16_t at = rows[i];                                                  \
        type one = ((const type *)values)[at];                                  \
        rows[kept] = at;                                                        \
        kept += (one >= (low)) & (one <= (high)) & (states[at] != 0);           \
    }

void range_keep(const range *range, value_kind kind, const void *values, const uint16_t *states, columns_batch *batch,
                uint32_t first)
{
    uint16_t *rows = batch->rows;
    uint32_t kept = first, count = range->is_empty ? first : batch->row_count;
    if (kind == VALUE_NUMBER) {
        KEEP(double, range->number.low, range->number.high)
    } else if (kind == VALUE_INTEGER) {
        KEEP(int64_t, range->integer.low, range->integer.high)
    } else {
        KEEP(uint8_t, range->integer.low, range->integer.high)
    }
    batch->row_count = kept;
}
