#include "wire/diameter/dict.h"

const diameter_command *diameter_command_find(uint32_t code, uint32_t application, bool is_request)
{
    for (uint32_t i = 0; i < diameter_command_count; i++) {
        const diameter_command *command = &diameter_commands[i];
        if (command->code == code && command->application == application && command->is_request == is_request)
            return command;
    }
    return NULL;
}

const char *diameter_cause_text(uint32_t code, uint32_t vendor)
{
    for (uint32_t i = 0; i < diameter_cause_count; i++)
        if (diameter_causes[i].code == code && diameter_causes[i].vendor == vendor)
            return diameter_causes[i].text;
    return NULL;
}

const char *diameter_cause_of(uint32_t code)
{
    const char *base = diameter_cause_text(code, 0), *experimental = diameter_cause_text(code, DIAMETER_VENDOR_3GPP);
    if (base != NULL && experimental != NULL)
        return "";
    return base != NULL ? base : experimental != NULL ? experimental : "";
}

uint32_t diameter_type_least(diameter_type type)
{
    switch (type) {
    case DIAMETER_IDENTITY:
        return 1;
    case DIAMETER_ADDRESS:
        return 6;
    case DIAMETER_TIME:
    case DIAMETER_UNSIGNED32:
    case DIAMETER_INTEGER32:
    case DIAMETER_ENUMERATED:
        return 4;
    case DIAMETER_UNSIGNED64:
        return 8;
    case DIAMETER_OCTET_STRING:
    case DIAMETER_UTF8_STRING:
    case DIAMETER_URI:
    case DIAMETER_GROUPED:
        break;
    }
    return 0;
}

bool diameter_value_is_known(diameter_name name, uint32_t value)
{
    bool is_listed = false;
    for (uint32_t i = 0; i < diameter_value_count; i++) {
        if (diameter_values[i].name == name && diameter_values[i].value == value)
            return true;
        is_listed |= diameter_values[i].name == name;
    }
    return !is_listed;
}
