#include "twin/access.h"

#include <string.h>
#include <strings.h>

const scope_word scope_words[SCOPES_MAX] = {
    { "read", SCOPE_READ }, { "write", SCOPE_WRITE }, { "images", SCOPE_IMAGES }, { "nidd", SCOPE_NIDD },
    { "monitoring", SCOPE_MONITORING }, { "trigger", SCOPE_TRIGGER }, { "parameters", SCOPE_PARAMETERS },
    { "provision", SCOPE_PROVISION },
};

const char *const limit_words[APPLICATION_LIMITS] = {
    [LIMIT_REQUESTS] = "requests_per_second", [LIMIT_BURST] = "burst", [LIMIT_DOWNLINKS] = "downlinks_per_day",
    [LIMIT_CONFIGURATIONS] = "configurations", [LIMIT_SUBSCRIPTIONS] = "subscriptions",
};

uint32_t scope_bit(const char *text, size_t length)
{
    for (size_t i = 0; i < SCOPES_MAX; i++)
        if (strlen(scope_words[i].word) == length && memcmp(text, scope_words[i].word, length) == 0)
            return scope_words[i].bit;
    return 0;
}

/* "." and ".." too: a path with them is another path (RFC 3986 5.2.4). */
bool subject_is_reserved(const char *text, size_t length)
{
    static const char *const reserved[] = { "admin", "administrator", "console", "login", "dromio", ".", ".." };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strlen(reserved[i]) == length && strncasecmp(text, reserved[i], length) == 0)
            return true;
    return false;
}
