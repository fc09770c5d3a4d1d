/* Form: an application/x-www-form-urlencoded body (foreign bytes) -> its members, decoded.
 * Strict: UTF-8, no control characters, no member twice (RFC 6749 3.2), bounded. */
#pragma once

#include "gate/target.h"

typedef struct form {
    uint32_t count;
    slice names[FORM_MEMBERS_MAX], values[FORM_MEMBERS_MAX]; /* borrow `room` */
} form;

/* `room` has at least `length` bytes. False: not one, a member is there twice, or there are too many. */
bool form_read(form *out, const char *text, size_t length, char *room);
/* `at` NULL: absent. An empty value is as if it was not there (RFC 6749 3.2). */
slice form_get(const form *form, const char *name);
