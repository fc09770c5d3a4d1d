/* Pages: memory straight from the system, zeroed, for tables that grow with the number of twins.
 * It takes memory as it is touched. Where it is large it comes in huge pages, if the system has
 * them: a table of gigabytes is otherwise a fault for each 4 KiB while it fills, and a miss of the
 * address cache for each look at a random place. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { DRO_PAGES_HUGE = 2 * 1024 * 1024 };

void *dro_pages_new(size_t bytes);                   /* NULL: no memory */
void dro_pages_free(void *memory, size_t bytes);     /* NULL is fine */
/* Huge pages from here on; of what is smaller than one, nothing. To be said before it is touched. */
void dro_pages_huge(void *memory, size_t bytes);

/* Memory that is filled at once, at a start, is a fault for each of its pages, and the fault is mostly
 * the zeroing. Between these two a thread takes what it is told of. One at a time in a process; without
 * one, whoever touches a page takes it. False: no thread. */
bool dro_pages_helper_start(void);
void dro_pages_helper_stop(void);                    /* what it did not come to is let be */
/* This will be touched, from its beginning. It may be freed by dro_pages_free at any time. */
void dro_pages_soon(void *memory, size_t bytes);
