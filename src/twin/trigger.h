/* Device triggering (TS 23.682 5.2, TS 29.122 4.4.6): what the network says to a trigger and of what became
 * of it, in words that are no protocol's. The tables are made from spec/trigger_*.csv. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "trigger_words.h"

enum {
    TRIGGER_PAYLOAD_MAX = 1024,      /* bytes; a service centre takes less (one short message has 133 behind its ports) */
    TRIGGER_NODES_MAX = 1024,        /* bytes that say where the device is served, as the network writes them */
    TRIGGER_SENDER_DIGITS_MAX = 15,  /* E.164 */
};

enum trigger_way { TRIGGER_WAY_NONE, TRIGGER_WAY_RETRY, TRIGGER_WAY_ENDED };
typedef struct trigger_word_row {
    uint16_t status;                 /* HTTP */
    uint8_t way;                     /* enum trigger_way */
    const char *cause, *detail;
} trigger_word_row;
extern const trigger_word_row trigger_word_rows[TRIGGER_WORDS];
extern const char *const trigger_result_texts[TRIGGER_RESULTS + 1]; /* the last is NULL */

static inline const char *trigger_result_text(uint32_t result)
{
    return result < TRIGGER_RESULTS ? trigger_result_texts[result] : "UNKNOWN";
}

/* Nothing more is to be heard of it. */
static inline int trigger_has_ended(uint32_t result)
{
    return result != TRIGGER_RESULT_TRIGGERED && result != TRIGGER_RESULT_REPLACED;
}

static inline int trigger_is_taken(uint32_t word) { return word == TRIGGER_ACCEPTED || word == TRIGGER_ABSENT; }

/* Values of the network's protocols. */
typedef enum trigger_value_kind {
    TRIGGER_REQUEST_STATUS, TRIGGER_EXPERIMENTAL, TRIGGER_HSS_CAUSE, TRIGGER_DELIVERY_OUTCOME, TRIGGER_SM_OUTCOME, TRIGGER_VALUE_KINDS,
} trigger_value_kind;
typedef struct trigger_value { uint32_t value, means; } trigger_value;
typedef struct trigger_value_list { const trigger_value *list; size_t count; } trigger_value_list;
extern const trigger_value_list trigger_values[TRIGGER_VALUE_KINDS];
/* A trigger_word or a trigger_result; `unknown` for a value that is in no row. */
uint32_t trigger_meaning(trigger_value_kind kind, uint32_t value, uint32_t unknown);

/* ---- between core and gate ---- */

enum trigger_action { TRIGGER_SEND, TRIGGER_RECALL, TRIGGER_REPLACE };
/* Value of API_FIELD_TRIGGER in a question. */
typedef struct trigger_request {
    uint32_t reference, old_reference; /* old: of what is replaced or recalled */
    uint32_t validity_s;
    uint16_t port;                     /* of the application in the device */
    uint8_t action, has_priority;
} trigger_request;
/* Value of API_FIELD_TRIGGER_WORD in the answer. */
typedef struct trigger_answer {
    uint8_t word;                      /* trigger_word */
    uint8_t may_change;                /* it can be replaced and recalled */
    uint8_t diagnostic;                /* enum trigger_diagnostic */
    uint8_t stage;                     /* enum trigger_stage: who says so */
} trigger_answer;
enum trigger_diagnostic { TRIGGER_NOT_DELETED, TRIGGER_NOT_STORED, TRIGGER_NO_DIAGNOSTIC = 255 }; /* MTC-Error-Diagnostic of TS 29.337 */
enum trigger_stage { TRIGGER_BY_FUNCTION, TRIGGER_BY_SUBSCRIBER, TRIGGER_BY_CENTRE };
