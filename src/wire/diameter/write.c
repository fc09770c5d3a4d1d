#include "wire/diameter/write.h"

#include <string.h>

enum { SECONDS_1900_TO_1970 = 2208988800u, AVP_LENGTH_OFFSET = 5 };

static void set_length(dro_builder *out, size_t place, size_t length)
{
    if (out->err != DRO_OK)
        return;
    uint8_t *at = out->start + place;
    at[0] = (uint8_t)(length >> 16);
    at[1] = (uint8_t)(length >> 8);
    at[2] = (uint8_t)length;
}

size_t diameter_begin(dro_builder *out, const diameter_header *header)
{
    size_t begin = dro_builder_length(out);
    dro_builder_be(out, (uint64_t)DIAMETER_VERSION << 24, 4);
    dro_builder_be(out, (uint64_t)header->flags << 24 | (header->code & 0xffffffu), 4);
    dro_builder_be(out, header->application, 4);
    dro_builder_be(out, header->hop_by_hop, 4);
    dro_builder_be(out, header->end_to_end, 4);
    return begin;
}

void diameter_end(dro_builder *out, size_t begin)
{
    set_length(out, begin + 1, dro_builder_length(out) - begin);
}

static void put_header(dro_builder *out, uint32_t code, uint32_t vendor, uint8_t flags, size_t length)
{
    size_t whole = length + (vendor != 0 ? 12 : 8);
    flags = (uint8_t)(vendor != 0 ? flags | DIAMETER_AVP_VENDOR : flags & ~DIAMETER_AVP_VENDOR);
    dro_builder_be(out, code, 4);
    dro_builder_be(out, (uint64_t)flags << 24 | (whole & 0xffffffu), 4);
    if (vendor != 0)
        dro_builder_be(out, vendor, 4);
}

static void put_padding(dro_builder *out, size_t length)
{
    static const uint8_t zeros[3];
    dro_builder_bytes(out, zeros, -length & 3u);
}

/* data == NULL: zeros. */
static void put_raw(dro_builder *out, const diameter_avp *avp)
{
    put_header(out, avp->code, avp->vendor, avp->flags, avp->length);
    if (avp->data != NULL) {
        dro_builder_bytes(out, avp->data, avp->length);
    } else {
        uint8_t *room = dro_builder_room(out, avp->length);
        if (room != NULL)
            memset(room, 0, avp->length);
    }
    put_padding(out, avp->length);
}

void diameter_put(dro_builder *out, diameter_name name, const void *data, size_t length)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    put_header(out, entry->code, entry->vendor, entry->flags, length);
    dro_builder_bytes(out, data, length);
    put_padding(out, length);
}

void diameter_put_text(dro_builder *out, diameter_name name, const char *text)
{
    diameter_put(out, name, text, strlen(text));
}

void diameter_put_tbcd(dro_builder *out, diameter_name name, const char *digits)
{
    uint8_t bytes[DIAMETER_DIGITS_MAX / 2 + 1];
    size_t count = strnlen(digits, DIAMETER_DIGITS_MAX);
    for (size_t i = 0; i < count; i += 2)
        bytes[i / 2] = (uint8_t)((i + 1 < count ? digits[i + 1] - '0' : 0xf) << 4 | (digits[i] - '0'));
    diameter_put(out, name, bytes, (count + 1) / 2);
}

void diameter_put_u32(dro_builder *out, diameter_name name, uint32_t value)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    put_header(out, entry->code, entry->vendor, entry->flags, 4);
    dro_builder_be(out, value, 4);
}

void diameter_put_u64(dro_builder *out, diameter_name name, uint64_t value)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    put_header(out, entry->code, entry->vendor, entry->flags, 8);
    dro_builder_be(out, value, 8);
}

void diameter_put_time(dro_builder *out, diameter_name name, uint32_t unix_seconds)
{
    diameter_put_u32(out, name, unix_seconds + SECONDS_1900_TO_1970);
}

void diameter_put_address(dro_builder *out, diameter_name name, const void *address, size_t length)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    put_header(out, entry->code, entry->vendor, entry->flags, 2 + length);
    dro_builder_be(out, length == 4 ? 1 : 2, 2);
    dro_builder_bytes(out, address, length);
    put_padding(out, 2 + length);
}

void diameter_put_copy(dro_builder *out, const diameter_avp *avp)
{
    put_raw(out, avp);
}

size_t diameter_group_begin(dro_builder *out, diameter_name name)
{
    const diameter_entry *entry = &diameter_dictionary[name];
    size_t begin = dro_builder_length(out);
    put_header(out, entry->code, entry->vendor, entry->flags, 0);
    return begin;
}

void diameter_group_end(dro_builder *out, size_t begin)
{
    set_length(out, begin + AVP_LENGTH_OFFSET, dro_builder_length(out) - begin);
}

void diameter_put_application(dro_builder *out, uint32_t application)
{
    size_t group = diameter_group_begin(out, AVP_VENDOR_SPECIFIC_APPLICATION_ID);
    diameter_put_u32(out, AVP_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_u32(out, AVP_AUTH_APPLICATION_ID, application);
    diameter_group_end(out, group);
}

void diameter_put_result(dro_builder *out, uint32_t result, uint32_t experimental)
{
    if (result != 0 || experimental == 0) {
        diameter_put_u32(out, AVP_RESULT_CODE, result);
        return;
    }
    size_t group = diameter_group_begin(out, AVP_EXPERIMENTAL_RESULT);
    diameter_put_u32(out, AVP_VENDOR_ID, DIAMETER_VENDOR_3GPP);
    diameter_put_u32(out, AVP_EXPERIMENTAL_RESULT_CODE, experimental);
    diameter_group_end(out, group);
}

void diameter_put_failed(dro_builder *out, const diameter_fault *fault)
{
    size_t begins[DIAMETER_DEPTH_MAX];
    if (!fault->has_avp)
        return;
    size_t failed = diameter_group_begin(out, AVP_FAILED_AVP);
    for (uint32_t i = 0; i < fault->around_count; i++)
        begins[i] = diameter_group_begin(out, (diameter_name)fault->around[i]);
    diameter_avp avp = { .data = fault->data, .length = fault->length, .code = fault->code, .vendor = fault->vendor,
                         .flags = fault->flags & (DIAMETER_AVP_MANDATORY | DIAMETER_AVP_PROTECTED) };
    put_raw(out, &avp);
    for (uint32_t i = fault->around_count; i > 0; i--)
        diameter_group_end(out, begins[i - 1]);
    diameter_group_end(out, failed);
}

diameter_header diameter_answer_header(const diameter_header *request, uint32_t result)
{
    diameter_header answer = *request;
    answer.flags = request->flags & DIAMETER_FLAG_PROXIABLE;
    if (result >= 3000 && result < 4000)
        answer.flags |= DIAMETER_FLAG_ERROR;
    return answer;
}
