/* The layout of a data directory: a number in its file DATA_LAYOUT_FILE, "dromio layout 2\n". It is raised when
 * a dromiod from before would misread what lies there, or drop a part of it, and written at every start: so an
 * older one refuses instead of showing a host with less in it, or none. A directory without that file is older
 * than the file.
 *
 *   1  one log beside the host's files
 *   2  logs in generations, one a core; groups, keys of tokens; this file
 *   3  chunks of queues, which full records name
 *   4  what is published at a CAPIF core function; resources of T8 beside non-IP data delivery
 *   5  stops; penalties of twins; domains with two keys, and domains that are gone; notes of the audit log */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATA_LAYOUT_FILE "layout"
enum { DATA_LAYOUT = 5, DATA_LAYOUT_TEXT = 32 };

/* The text with a NUL; its length. */
size_t data_layout_write(uint32_t layout, char out[DATA_LAYOUT_TEXT]);
/* False: nothing that data_layout_write writes. */
bool data_layout_read(const char *text, size_t length, uint32_t *layout);
