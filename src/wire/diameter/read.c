#include "wire/diameter/read.h"

#include <string.h>
#include <strings.h>

enum { AVP_HEADER = 8, AVP_HEADER_VENDOR = 12, IDENTITY_MAX = 255 };

dro_err diameter_header_read(dro_cursor *in, diameter_header *header)
{
    header->version = (uint8_t)dro_cursor_be(in, 1);
    header->length = (uint32_t)dro_cursor_be(in, 3);
    header->flags = (uint8_t)dro_cursor_be(in, 1);
    header->code = (uint32_t)dro_cursor_be(in, 3);
    header->application = (uint32_t)dro_cursor_be(in, 4);
    header->hop_by_hop = (uint32_t)dro_cursor_be(in, 4);
    header->end_to_end = (uint32_t)dro_cursor_be(in, 4);
    return in->err;
}

/* The AVP goes into the fault as it came, or as zeros when its length lies. */
static bool fail(const diameter_message *message, diameter_fault *fault, uint32_t result, const diameter_avp *avp)
{
    *fault = (diameter_fault){ .result = result, .has_avp = true, .code = avp->code, .vendor = avp->vendor,
                               .flags = avp->flags, .data = avp->data, .length = avp->length };
    if (avp->data == NULL)
        fault->length = diameter_type_least(diameter_dictionary[avp->name].type);
    uint32_t depth = avp->depth;
    fault->around_count = (uint8_t)depth;
    for (uint16_t at = avp->parent; at != DIAMETER_TOP && depth > 0; at = message->avps[at].parent)
        fault->around[--depth] = message->avps[at].name;
    return false;
}

/* An AVP whose length or header does not fit: only what is certain of it. */
static bool fail_length(const diameter_message *message, diameter_fault *fault, diameter_avp *avp)
{
    avp->name = (uint16_t)diameter_name_of(avp->code, avp->vendor);
    avp->data = NULL;
    return fail(message, fault, DIAMETER_INVALID_AVP_LENGTH, avp);
}

/* Fewer than 8 bytes are left: the header is filled up with zeros. */
static bool fail_stub(const diameter_message *message, diameter_fault *fault, const dro_cursor *in, diameter_avp *avp)
{
    uint8_t header[AVP_HEADER] = { 0 };
    memcpy(header, in->at, dro_cursor_left(in));
    dro_cursor stub = dro_cursor_over(header, sizeof header);
    avp->code = (uint32_t)dro_cursor_be(&stub, 4);
    avp->flags = (uint8_t)(dro_cursor_be(&stub, 1) & (uint8_t)~DIAMETER_AVP_VENDOR);
    return fail_length(message, fault, avp);
}

static uint32_t be32_at(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

/* Header and data of one AVP; the padding behind the last one may be missing. */
static bool read_avp(diameter_message *message, dro_cursor *in, diameter_avp *avp, diameter_fault *fault)
{
    size_t left = dro_cursor_left(in);
    const uint8_t *at = in->at;
    if (left < AVP_HEADER)
        return fail_stub(message, fault, in, avp);
    uint32_t second = be32_at(at + 4), length = second & 0xffffffu;
    avp->code = be32_at(at);
    avp->flags = (uint8_t)(second >> 24);
    bool has_vendor = (avp->flags & DIAMETER_AVP_VENDOR) != 0;
    uint32_t header = has_vendor ? AVP_HEADER_VENDOR : AVP_HEADER;
    if (has_vendor && left >= AVP_HEADER_VENDOR)
        avp->vendor = be32_at(at + AVP_HEADER);
    if (length < header || length > left)
        return fail_length(message, fault, avp);
    avp->name = (uint16_t)diameter_name_of(avp->code, avp->vendor);
    avp->length = length - header;
    avp->data = at + header;
    size_t padded = (length + 3u) & ~3u;
    in->at = at + (padded < left ? padded : left);
    /* RFC 6733 7.1.3: flags "set to an unrecognized value", or V without a vendor. */
    if ((avp->flags & DIAMETER_AVP_RESERVED) != 0 || (has_vendor && avp->vendor == 0))
        return fail(message, fault, DIAMETER_INVALID_AVP_BITS, avp);
    return true;
}

/* Failed-AVP holds what is broken by definition, so it stays closed. */
static bool is_opened(const diameter_avp *avp)
{
    return diameter_dictionary[avp->name].type == DIAMETER_GROUPED && avp->name != AVP_FAILED_AVP;
}

static uint64_t top_bit(uint16_t name)
{
    return (uint64_t)1 << (name & 63);
}

static bool read_list(diameter_message *message, dro_cursor in, uint16_t parent, uint8_t depth, diameter_fault *fault)
{
    while (in.at != in.end) {
        if (message->count == DIAMETER_AVPS_MAX) {
            *fault = (diameter_fault){ .result = DIAMETER_UNABLE_TO_COMPLY };
            return false;
        }
        uint16_t at = (uint16_t)message->count;
        diameter_avp *avp = &message->avps[at];
        *avp = (diameter_avp){ .parent = parent, .depth = depth };
        if (!read_avp(message, &in, avp, fault))
            return false;
        message->count++;
        avp->next = (uint16_t)message->count;
        if (depth == 0)
            message->top |= top_bit(avp->name);
        if (!is_opened(avp))
            continue;
        if (depth + 1 == DIAMETER_DEPTH_MAX)
            return fail(message, fault, DIAMETER_INVALID_AVP_VALUE, avp);
        bool is_good = read_list(message, dro_cursor_over(avp->data, avp->length), at, (uint8_t)(depth + 1), fault);
        avp->next = (uint16_t)message->count;
        if (!is_good)
            return false;
    }
    return true;
}

static bool read_head(diameter_message *message, dro_cursor *in, size_t length, diameter_fault *fault)
{
    message->count = 0;
    message->top = 0;
    message->bytes = in->at;
    *fault = (diameter_fault){ .result = 0 };
    dro_err err = diameter_header_read(in, &message->header);
    uint32_t said = message->header.length;
    if (err == DRO_OK && message->header.version != DIAMETER_VERSION)
        fault->result = DIAMETER_UNSUPPORTED_VERSION;
    else if (err != DRO_OK || said != length || said % 4 != 0 || length > DIAMETER_MESSAGE_MAX)
        fault->result = DIAMETER_INVALID_MESSAGE_LENGTH;
    return fault->result == 0;
}

bool diameter_read(diameter_message *message, const void *bytes, size_t length, diameter_fault *fault)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    return read_head(message, &in, length, fault) && read_list(message, in, DIAMETER_TOP, 0, fault);
}

static const bool is_skimmed[AVP_COUNT] = {
    [AVP_SESSION_ID] = true, [AVP_PROXY_INFO] = true, [AVP_DRMP] = true, [AVP_OC_SUPPORTED_FEATURES] = true,
};

bool diameter_skim(diameter_message *message, const void *bytes, size_t length)
{
    diameter_fault fault;
    dro_cursor in = dro_cursor_over(bytes, length);
    bool is_good = read_head(message, &in, length, &fault);
    while (is_good && in.at != in.end) {
        diameter_avp *avp = &message->avps[message->count];
        *avp = (diameter_avp){ .parent = DIAMETER_TOP };
        is_good = read_avp(message, &in, avp, &fault);
        if (!is_good || !is_skimmed[avp->name])
            continue;
        message->top |= top_bit(avp->name);
        avp->next = (uint16_t)++message->count;
        is_good = message->count < DIAMETER_AVPS_MAX;
    }
    return is_good;
}

/* From index `at` to `end`, stepping over what is inside other groups. */
static const diameter_avp *find_between(const diameter_message *message, uint32_t at, uint32_t end, uint16_t name)
{
    for (; at < end; at = message->avps[at].next)
        if (message->avps[at].name == name)
            return &message->avps[at];
    return NULL;
}

const diameter_avp *diameter_find(const diameter_message *message, diameter_name name)
{
    if ((message->top & top_bit((uint16_t)name)) == 0) /* most of what is looked for in vain */
        return NULL;
    return find_between(message, 0, message->count, (uint16_t)name);
}

const diameter_avp *diameter_find_in(const diameter_message *message, const diameter_avp *group, diameter_name name)
{
    if (group == NULL)
        return NULL;
    return find_between(message, (uint32_t)(group - message->avps) + 1, group->next, (uint16_t)name);
}

const diameter_avp *diameter_find_next(const diameter_message *message, const diameter_avp *avp)
{
    uint32_t end = avp->parent == DIAMETER_TOP ? message->count : message->avps[avp->parent].next;
    return find_between(message, avp->next, end, avp->name);
}

static uint64_t unsigned_of(const diameter_avp *avp, uint32_t width)
{
    uint64_t value = 0;
    if (avp == NULL || avp->length != width)
        return 0;
    for (uint32_t i = 0; i < width; i++)
        value = value << 8 | avp->data[i];
    return value;
}

uint32_t diameter_u32(const diameter_avp *avp)
{
    return (uint32_t)unsigned_of(avp, 4);
}

uint64_t diameter_u64(const diameter_avp *avp)
{
    return unsigned_of(avp, 8);
}

uint32_t diameter_time(const diameter_avp *avp)
{
    /* Seconds since 1900; values below 2^31 belong to the era that begins in 2036
     * (RFC 5905), so that both eras are one subtraction modulo 2^32. */
    enum { SECONDS_1900_TO_1970 = 2208988800u };
    return avp == NULL || avp->length != 4 ? 0 : (uint32_t)(unsigned_of(avp, 4) - SECONDS_1900_TO_1970);
}

bool diameter_tbcd(const diameter_avp *avp, char out[DIAMETER_DIGITS_MAX + 1])
{
    enum { FILLER = 0xf };
    uint32_t count = avp == NULL ? 0 : avp->length * 2;
    if (count == 0 || count > DIAMETER_DIGITS_MAX + 1)
        return false;
    if (avp->data[avp->length - 1] >> 4 == FILLER)
        count--;
    if (count > DIAMETER_DIGITS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t digit = i % 2 == 0 ? avp->data[i / 2] & 0xf : avp->data[i / 2] >> 4;
        if (digit > 9)
            return false;
        out[i] = (char)('0' + digit);
    }
    out[count] = '\0';
    return true;
}

bool diameter_is(const diameter_avp *avp, const char *text)
{
    return avp != NULL && avp->length == strlen(text) && memcmp(avp->data, text, avp->length) == 0;
}

bool diameter_is_identity(const diameter_avp *avp, const char *text)
{
    return avp != NULL && avp->length == strlen(text) && strncasecmp((const char *)avp->data, text, avp->length) == 0;
}

static const bool is_of_identity[256] = {
    ['-'] = true, ['.'] = true, ['_'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

bool diameter_identity_valid(const uint8_t *bytes, size_t length)
{
    if (length == 0 || length > IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_of_identity[bytes[i]])
            return false;
    return true;
}
