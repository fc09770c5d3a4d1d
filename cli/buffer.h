/* Buffer: bytes that grow up to a limit. It remembers its first failure (no
 * memory, or the limit) and then takes nothing, so a writer asks once at the
 * end. Always NUL-terminated when it holds anything; the NUL is not counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *bytes; /* NULL until the first byte */
    size_t length;
    size_t capacity;
    size_t limit; /* bytes it may hold; 0: BUFFER_LIMIT_DEFAULT */
    bool is_full; /* something did not fit */
};

enum { BUFFER_LIMIT_DEFAULT = 64 * 1024 * 1024 };

void buffer_fini(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* empty again, keeps its memory */
void buffer_put(struct buffer *buffer, const void *bytes, size_t length);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *buffer_string(const struct buffer *buffer); /* never NULL */
