#include "twin/access.h"

#include <string.h>
#include <strings.h>

const scope_word scope_words[SCOPES_MAX] = {
    { "read", SCOPE_READ }, { "write", SCOPE_WRITE }, { "images", SCOPE_IMAGES }, { "nidd", SCOPE_NIDD },
    { "monitoring", SCOPE_MONITORING }, { "trigger", SCOPE_TRIGGER }, { "parameters", SCOPE_PARAMETERS },
    { "provision", SCOPE_PROVISION }, { "capif", SCOPE_CAPIF },
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

static const struct { const char *name; uint32_t bit; } apis[] = {
    { "3gpp-nidd", SCOPE_NIDD },
    { "3gpp-monitoring-event", SCOPE_MONITORING },
    { "3gpp-device-triggering", SCOPE_TRIGGER },
    { "3gpp-cp-parameter-provisioning", SCOPE_PARAMETERS },
    { "3gpp-network-parameter-configuration", SCOPE_PARAMETERS },
    { "3gpp-ecr-control", SCOPE_PARAMETERS },
    { "3gpp-nidd-configuration-trigger", SCOPE_NIDD }, /* a name that scopes may have; the API itself is a NEF's */
};
enum { APIS = sizeof apis / sizeof *apis, APIS_HERE = APIS - 1 };

uint32_t scope_of_api(const char *name, size_t length)
{
    for (size_t i = 0; i < APIS; i++)
        if (strlen(apis[i].name) == length && memcmp(name, apis[i].name, length) == 0)
            return apis[i].bit;
    return 0;
}

const char *service_api_name(uint32_t index)
{
    return index < APIS_HERE ? apis[index].name : NULL;
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
