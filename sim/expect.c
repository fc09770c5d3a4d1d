#include "expect.h"

enum { DISTANCE_LATE = 192 }; /* from here on a distance means a frame from before */

bool expect_reading(expect *of, uint8_t sequence)
{
    uint8_t distance = (uint8_t)(sequence - of->last);
    bool was_late = of->was_late;
    of->was_late = false;
    if (of->has_last && distance == 0) {
        of->duplicates++;
        return false;
    }
    if (of->has_last && distance >= DISTANCE_LATE) {
        bool is_restart = was_late && sequence == (uint8_t)(of->late_last + 1);
        if (!is_restart) {
            of->late++;
            of->was_late = true;
            of->late_last = sequence;
            return false;
        }
    } else if (of->has_last) {
        of->lost += distance - 1u;
    }
    of->has_last = true;
    of->last = sequence;
    of->readings++;
    return true;
}
