/* Dictionary of Diameter: AVPs, commands and their grammars, result codes. The
 * rows are made from spec/ by tools/diameter_tables.py; all of it is constant. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diameter_names.h"

typedef enum diameter_type {
    DIAMETER_OCTET_STRING,
    DIAMETER_UTF8_STRING,
    DIAMETER_IDENTITY,
    DIAMETER_URI,
    DIAMETER_ADDRESS,
    DIAMETER_TIME,
    DIAMETER_UNSIGNED32,
    DIAMETER_UNSIGNED64,
    DIAMETER_INTEGER32,
    DIAMETER_ENUMERATED,
    DIAMETER_GROUPED,
} diameter_type;

enum {
    DIAMETER_VENDOR_3GPP = 10415,
    DIAMETER_APPLICATION_BASE = 0,
    DIAMETER_APPLICATION_TSP = 16777309,
    DIAMETER_APPLICATION_S6M = 16777310,
    DIAMETER_APPLICATION_T4 = 16777311,
    DIAMETER_APPLICATION_S6T = 16777345,
    DIAMETER_APPLICATION_T6A = 16777346,
    DIAMETER_ANY_NUMBER = 0xffff,
    DIAMETER_RULES_MAX = 32,        /* AVPs named by one grammar */
};
#define DIAMETER_APPLICATION_RELAY 0xffffffffu

typedef struct diameter_entry {     /* an AVP */
    const char *text;               /* "Origin-Host" */
    uint32_t code, vendor;
    uint8_t type;                   /* diameter_type */
    uint8_t flags;                  /* as sent */
    uint16_t first_rule;            /* of a grouped AVP with a grammar */
    uint16_t rule_count;            /* 0: anything may be inside */
} diameter_entry;

typedef struct diameter_rule {
    uint16_t name;                  /* diameter_name */
    uint16_t least, most;
    uint16_t is_fixed;              /* has a fixed place when written; read at any place */
} diameter_rule;

typedef struct diameter_command {
    const char *abbreviation;       /* "ODR" */
    const char *text;               /* "MO-Data-Request" */
    uint32_t code, application;
    uint8_t is_request, is_proxiable;
    uint16_t first_rule, rule_count;
} diameter_command;

typedef struct diameter_cause {
    uint32_t code, vendor;          /* vendor 0: Result-Code, else Experimental-Result-Code */
    const char *text;
} diameter_cause;

typedef struct diameter_known_value {
    uint16_t name;                  /* diameter_name of an AVP that has one of a few values */
    uint32_t value;
} diameter_known_value;

typedef struct diameter_code_index {
    const uint16_t *names;
    uint32_t count;
} diameter_code_index;

extern const diameter_entry diameter_dictionary[AVP_COUNT];
extern const diameter_rule diameter_rules[];
extern const diameter_command diameter_commands[];
extern const uint32_t diameter_command_count;
extern const diameter_cause diameter_causes[];
extern const uint32_t diameter_cause_count;
extern const diameter_known_value diameter_values[];
extern const uint32_t diameter_value_count;
extern const diameter_code_index diameter_indexes[2];

/* AVP_UNKNOWN when the dictionary has no such AVP. */
static inline diameter_name diameter_name_of(uint32_t code, uint32_t vendor)
{
    if (vendor != 0 && vendor != DIAMETER_VENDOR_3GPP)
        return AVP_UNKNOWN;
    const diameter_code_index *index = &diameter_indexes[vendor != 0];
    return code < index->count ? (diameter_name)index->names[code] : AVP_UNKNOWN;
}

/* NULL: no such command in this application. */
const diameter_command *diameter_command_find(uint32_t code, uint32_t application, bool is_request);
/* "DIAMETER_SUCCESS", or NULL. */
const char *diameter_cause_text(uint32_t code, uint32_t vendor);
/* Of a result whose vendor is not known any more; "": none has that code, or both have. */
const char *diameter_cause_of(uint32_t code);
/* Does the specification have this value of the AVP? True of AVPs of which no values are listed. */
bool diameter_value_is_known(diameter_name name, uint32_t value);
/* Fewest bytes a value of this type has. */
uint32_t diameter_type_least(diameter_type type);
