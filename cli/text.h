/* Text from elsewhere, made fit for a terminal: valid UTF-8 without control
 * characters, so that no answer can move the cursor, set a title, or turn the
 * direction of what stands beside it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* One character: its length in bytes (1 for an invalid byte) and code point
 * (UINT32_MAX for an invalid byte). `length` > 0. */
size_t text_decode(const char *text, size_t length, uint32_t *code);

/* Appends `text`; control and direction characters and invalid bytes become \n, \t, \xNN or \uNNNN. */
void text_escape(struct buffer *out, const char *text, size_t length);

/* Appends JSON whose strings may hold such characters; they become \uNNNN, so it stays the same JSON. */
void text_escape_json(struct buffer *out, const char *json, size_t length);

/* Columns it takes on a terminal. */
size_t text_width(const char *text, size_t length);

/* Appends `text` for a path or query of a URL: all but unreserved characters and @ as %NN. */
void text_escape_url(struct buffer *out, const char *text, size_t length);
