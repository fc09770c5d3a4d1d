/* Access: the words for what an application may do, and for how much of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/message.h"

enum { SCOPES_MAX = 9 };

typedef struct scope_word { const char *word; uint32_t bit; } scope_word;
extern const scope_word scope_words[SCOPES_MAX]; /* all that an application may have, in the order they are shown */
uint32_t scope_bit(const char *text, size_t length); /* 0: none is called that */
/* That an API of TS 29.122 or 29.522 takes, by its name in paths; 0: none is called that. */
uint32_t scope_of_api(const char *name, size_t length);
const char *service_api_name(uint32_t index); /* of those that are here; NULL: there are no more */

/* By enum application_limit. */
extern const char *const limit_words[APPLICATION_LIMITS];

/* Names the host gives to those who are no application; another one would be taken for them. */
bool subject_is_reserved(const char *text, size_t length);
