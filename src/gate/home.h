/* Home: the core a message is for. A request that names a twin goes to the core of that
 * twin, what is of the whole host to core 0 (the table is in ring/message.h). With one
 * core nothing is looked up. */
#pragma once

#include <string.h>

#include "base/fields.h"
#include "gate/gate.h"
#include "ring/message.h"

static inline uint32_t home_of(const gate_config *config, directory_kind kind, const char *text, size_t length)
{
    return config->core_count == 1 ? 0 : directory_route(config->directory, kind, text, length);
}

static inline uint32_t home_of_imsi(const gate_config *config, const network_user *user)
{
    return config->core_count == 1 ? 0 : home_of(config, DIRECTORY_IMSI, user->imsi, strnlen(user->imsi, IMSI_DIGITS_MAX));
}

/* Of a configuration: a group's, which every core has. */
static inline bool number_is_of_group(uint64_t configuration)
{
    return configuration >> 51 == 1;
}

/* An api_request with its fields, which the gate itself wrote: by the first that names a twin. */
static inline uint32_t home_of_request(const gate_config *config, const void *request, size_t length)
{
    dro_cursor in = dro_cursor_over(request, length);
    dro_field field;
    if (config->core_count == 1)
        return 0;
    dro_cursor_bytes(&in, sizeof(api_request));
    while (dro_field_next(&in, &field)) {
        uint64_t number;
        switch (field.tag) {
        case API_FIELD_ID: return home_of(config, DIRECTORY_ID, (const char *)field.bytes, field.length);
        case API_FIELD_MSISDN: return home_of(config, DIRECTORY_MSISDN, (const char *)field.bytes, field.length);
        case API_FIELD_CONFIGURATION: /* its twin's partition is in the upper 12 bits */
            memcpy(&number, field.bytes, sizeof number);
            if (number_is_of_group(number))
                return 0;
            return directory_core(config->directory, (uint32_t)(number >> 52));
        case API_FIELD_TRACE: /* in the lowest 4 bits; a number that no core gave out is core 0's to refuse */
            memcpy(&number, field.bytes, sizeof number);
            return (number & 15) < config->core_count ? (uint32_t)(number & 15) : 0;
        default: break;
        }
    }
    return 0;
}
