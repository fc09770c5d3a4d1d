/* Pages: memory straight from the system, zeroed, for tables that grow with the number of twins.
 * It takes memory as it is touched. Where it is large it comes in huge pages, if the system has
 * them: a table of gigabytes is otherwise a fault for each 4 KiB while it fills, and a miss of the
 * address cache for each look at a random place. */
#pragma once

#include <stddef.h>

enum { DRO_PAGES_HUGE = 2 * 1024 * 1024 };

void *dro_pages_new(size_t bytes);                   /* NULL: no memory */
void dro_pages_free(void *memory, size_t bytes);     /* NULL is fine */
/* Huge pages from here on; of what is smaller than one, nothing. To be said before it is touched. */
void dro_pages_huge(void *memory, size_t bytes);
