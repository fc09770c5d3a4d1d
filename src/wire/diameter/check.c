#include "wire/diameter/check.h"

#include <string.h>

#include "base/utf8.h"
#include "wire/diameter/read.h"

/* NUL is legal UTF-8, but no text of Diameter has one. */
static bool text_is_valid(const uint8_t *bytes, uint32_t length)
{
    return memchr(bytes, 0, length) == NULL && dro_utf8_is_valid(bytes, length);
}

static uint32_t check_address(const diameter_avp *avp)
{
    enum { FAMILY_IP4 = 1, FAMILY_IP6 = 2, FAMILY_RESERVED = 65535 };
    if (avp->length < 3)
        return DIAMETER_INVALID_AVP_LENGTH;
    uint32_t family = (uint32_t)avp->data[0] << 8 | avp->data[1];
    if (family == 0 || family == FAMILY_RESERVED)
        return DIAMETER_INVALID_AVP_VALUE;
    bool is_wrong = (family == FAMILY_IP4 && avp->length != 2 + 4) || (family == FAMILY_IP6 && avp->length != 2 + 16);
    return is_wrong ? DIAMETER_INVALID_AVP_LENGTH : 0;
}

static bool uri_is_valid(const diameter_avp *avp)
{
    const char *schemes[] = { "aaa://", "aaas://" };
    for (uint32_t i = 0; i < avp->length; i++)
        if (avp->data[i] <= ' ' || avp->data[i] > '~')
            return false;
    for (size_t i = 0; i < 2; i++)
        if (avp->length > strlen(schemes[i]) && memcmp(avp->data, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

uint32_t diameter_check_value(const diameter_avp *avp)
{
    switch ((diameter_type)diameter_dictionary[avp->name].type) {
    case DIAMETER_UTF8_STRING:
        return text_is_valid(avp->data, avp->length) ? 0 : DIAMETER_INVALID_AVP_VALUE;
    case DIAMETER_IDENTITY:
        return diameter_identity_valid(avp->data, avp->length) ? 0 : DIAMETER_INVALID_AVP_VALUE;
    case DIAMETER_URI:
        return uri_is_valid(avp) ? 0 : DIAMETER_INVALID_AVP_VALUE;
    case DIAMETER_ADDRESS:
        return check_address(avp);
    case DIAMETER_TIME:
    case DIAMETER_UNSIGNED32:
    case DIAMETER_INTEGER32:
    case DIAMETER_ENUMERATED:
        return avp->length == 4 ? 0 : DIAMETER_INVALID_AVP_LENGTH;
    case DIAMETER_UNSIGNED64:
        return avp->length == 8 ? 0 : DIAMETER_INVALID_AVP_LENGTH;
    case DIAMETER_OCTET_STRING:
    case DIAMETER_GROUPED:
        break;
    }
    return 0;
}

/* Names the groups around index `parent`, outermost first. */
static void put_around(const diameter_message *message, diameter_fault *fault, uint16_t parent)
{
    uint16_t reversed[DIAMETER_DEPTH_MAX];
    uint8_t count = 0;
    for (; parent != DIAMETER_TOP && count < DIAMETER_DEPTH_MAX; parent = message->avps[parent].parent)
        reversed[count++] = message->avps[parent].name;
    fault->around_count = count;
    for (uint8_t i = 0; i < count; i++)
        fault->around[i] = reversed[count - 1 - i];
}

static bool fail_avp(const diameter_message *message, diameter_fault *fault, uint32_t result, const diameter_avp *avp)
{
    *fault = (diameter_fault){ .result = result, .has_avp = true, .code = avp->code, .vendor = avp->vendor,
                               .flags = avp->flags, .data = avp->data, .length = avp->length };
    if (result == DIAMETER_INVALID_AVP_LENGTH) {
        fault->data = NULL;
        fault->length = diameter_type_least(diameter_dictionary[avp->name].type);
    }
    put_around(message, fault, avp->parent);
    return false;
}

/* An example of what is missing (RFC 6733 7.1.5): fewest bytes, all zero. */
static bool fail_missing(const diameter_message *message, diameter_fault *fault, diameter_name name, uint16_t parent)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    *fault = (diameter_fault){ .result = DIAMETER_MISSING_AVP, .has_avp = true, .code = entry->code,
                               .vendor = entry->vendor, .flags = entry->flags,
                               .length = diameter_type_least(entry->type) };
    put_around(message, fault, parent);
    return false;
}

typedef struct grammar {
    const diameter_rule *rules;
    uint32_t count;
    bool is_lenient; /* what is missing is not looked for */
} grammar;

/* AVPs mostly come in the order of the grammar: look from the last hit on. */
static uint32_t rule_find(const grammar *in, uint16_t name, uint32_t from)
{
    for (uint32_t i = 0; i < in->count; i++) {
        uint32_t at = from + i < in->count ? from + i : from + i - in->count;
        if (in->rules[at].name == name)
            return at;
    }
    return in->count;
}

/* Advice about load that anyone may leave unread: in an answer a bad one is not taken for a bad answer. */
static const bool is_advice[AVP_COUNT] = {
    [AVP_DRMP] = true, [AVP_OC_SUPPORTED_FEATURES] = true, [AVP_OC_FEATURE_VECTOR] = true, [AVP_OC_OLR] = true,
    [AVP_OC_SEQUENCE_NUMBER] = true, [AVP_OC_VALIDITY_DURATION] = true, [AVP_OC_REPORT_TYPE] = true,
    [AVP_OC_REDUCTION_PERCENTAGE] = true, [AVP_LOAD] = true, [AVP_LOAD_TYPE] = true, [AVP_LOAD_VALUE] = true, [AVP_SOURCEID] = true,
};

/* Counts the AVPs from index `at` to `end` beside each other against the rules. */
static bool check_list(const diameter_message *message, const grammar *in, uint32_t at, uint32_t end,
                       uint16_t parent, diameter_fault *fault)
{
    uint16_t seen[DIAMETER_RULES_MAX] = { 0 };
    uint32_t from = 0;
    for (; at < end; at = message->avps[at].next) {
        const diameter_avp *avp = &message->avps[at];
        uint32_t rule = rule_find(in, avp->name, from);
        if (avp->name == AVP_UNKNOWN || rule == in->count)
            continue; /* *[AVP] */
        from = rule;
        if (seen[rule]++ == in->rules[rule].most && !(in->is_lenient && is_advice[avp->name]))
            return fail_avp(message, fault, DIAMETER_AVP_OCCURS_TOO_MANY_TIMES, avp);
    }
    for (uint32_t i = 0; i < in->count && !in->is_lenient; i++)
        if (seen[i] < in->rules[i].least)
            return fail_missing(message, fault, (diameter_name)in->rules[i].name, parent);
    return true;
}

/* Each AVP by itself: value by type, then the rules of the group it is. */
static bool check_avps(const diameter_message *message, bool is_lenient, diameter_fault *fault)
{
    for (uint32_t i = 0; i < message->count; i++) {
        const diameter_avp *avp = &message->avps[i];
        const diameter_entry *entry = &diameter_dictionary[avp->name];
        if (is_lenient && is_advice[avp->name])
            continue;
        if (avp->name == AVP_UNKNOWN && (avp->flags & DIAMETER_AVP_MANDATORY) != 0 && !is_lenient)
            return fail_avp(message, fault, DIAMETER_AVP_UNSUPPORTED, avp);
        uint32_t result = diameter_check_value(avp);
        if (result != 0)
            return fail_avp(message, fault, result, avp);
        if (entry->rule_count == 0)
            continue;
        grammar inside = { diameter_rules + entry->first_rule, entry->rule_count, false };
        if (!check_list(message, &inside, i + 1, avp->next, (uint16_t)i, fault))
            return false;
    }
    return true;
}

static bool check_flags(const diameter_header *header, const diameter_command *command)
{
    uint8_t flags = header->flags;
    if ((flags & DIAMETER_FLAG_PROXIABLE) != 0 && !command->is_proxiable)
        return false;
    if (command->is_request)
        return (flags & DIAMETER_FLAG_ERROR) == 0;
    return (flags & DIAMETER_FLAG_RETRANSMITTED) == 0;
}

bool diameter_check_request(const diameter_message *message, const diameter_command *command, diameter_fault *fault)
{
    *fault = (diameter_fault){ .result = 0 };
    if (!check_flags(&message->header, command)) {
        fault->result = DIAMETER_INVALID_HDR_BITS;
        return false;
    }
    grammar whole = { diameter_rules + command->first_rule, command->rule_count, false };
    return check_avps(message, false, fault) && check_list(message, &whole, 0, message->count, DIAMETER_TOP, fault);
}

bool diameter_check_answer(const diameter_message *message, const diameter_command *command, diameter_fault *fault)
{
    *fault = (diameter_fault){ .result = 0 };
    if (!check_flags(&message->header, command)) {
        fault->result = DIAMETER_INVALID_HDR_BITS;
        return false;
    }
    grammar whole = { diameter_rules + command->first_rule, command->rule_count, true };
    if (!check_avps(message, true, fault) || !check_list(message, &whole, 0, message->count, DIAMETER_TOP, fault))
        return false;
    uint32_t result, experimental;
    diameter_result_of(message, &result, &experimental);
    return result != 0 || experimental != 0 || fail_missing(message, fault, AVP_RESULT_CODE, DIAMETER_TOP);
}

void diameter_result_of(const diameter_message *answer, uint32_t *result, uint32_t *experimental)
{
    const diameter_avp *group = diameter_find(answer, AVP_EXPERIMENTAL_RESULT);
    *result = diameter_u32(diameter_find(answer, AVP_RESULT_CODE));
    *experimental = *result != 0 ? 0 : diameter_u32(diameter_find_in(answer, group, AVP_EXPERIMENTAL_RESULT_CODE));
}
