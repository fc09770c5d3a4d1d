#include "schedule.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct schedule {
    uint32_t count, size;
    int64_t *due;    /* [count] by index */
    uint32_t *place; /* [count] by index: 1 + place in heap, 0: not in it */
    uint32_t *heap;  /* [size] indexes */
};

schedule *schedule_new(uint32_t count)
{
    schedule *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->count = count;
    made->due = calloc(count + 1u, sizeof *made->due);
    made->place = calloc(count + 1u, sizeof *made->place);
    made->heap = calloc(count + 1u, sizeof *made->heap);
    if (made->due == NULL || made->place == NULL || made->heap == NULL) {
        schedule_free(made);
        return NULL;
    }
    return made;
}

void schedule_free(schedule *s)
{
    if (s == NULL)
        return;
    free(s->due);
    free(s->place);
    free(s->heap);
    free(s);
}

static bool is_before(const schedule *s, uint32_t a, uint32_t b)
{
    return s->due[a] != s->due[b] ? s->due[a] < s->due[b] : a < b;
}

static void put_at(schedule *s, uint32_t at, uint32_t index)
{
    s->heap[at] = index;
    s->place[index] = at + 1;
}

static uint32_t sift_up(schedule *s, uint32_t at, uint32_t index)
{
    while (at > 0 && is_before(s, index, s->heap[(at - 1) / 2])) {
        put_at(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put_at(s, at, index);
    return at;
}

static void sift_down(schedule *s, uint32_t at, uint32_t index)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < s->size && is_before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (child >= s->size || !is_before(s, s->heap[child], index))
            break;
        put_at(s, at, s->heap[child]);
        at = child;
    }
    put_at(s, at, index);
}

static void take_out(schedule *s, uint32_t index)
{
    uint32_t at = s->place[index] - 1;
    uint32_t last = s->heap[--s->size];
    s->place[index] = 0;
    if (last != index)
        sift_down(s, sift_up(s, at, last), last);
}

void schedule_set(schedule *s, uint32_t index, int64_t due)
{
    assert(index < s->count);
    if (s->place[index] != 0)
        take_out(s, index);
    s->due[index] = due;
    if (due != SCHEDULE_NEVER)
        sift_up(s, s->size++, index);
}

int64_t schedule_next(const schedule *s)
{
    return s->size == 0 ? SCHEDULE_NEVER : s->due[s->heap[0]];
}

int64_t schedule_take(schedule *s, int64_t now)
{
    if (s->size == 0 || s->due[s->heap[0]] > now)
        return -1;
    uint32_t index = s->heap[0];
    take_out(s, index);
    return index;
}
