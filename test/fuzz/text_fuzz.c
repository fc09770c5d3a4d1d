/* Whatever comes, what is printed is printable UTF-8. */
#include <assert.h>
#include <stdint.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct buffer *out)
{
    uint32_t code;
    for (size_t at = 0; at < out->length; at += text_decode(out->bytes + at, out->length - at, &code)) {
        text_decode(out->bytes + at, out->length - at, &code);
        assert(code != UINT32_MAX);
        assert(code >= 0x20 || code == '\n' || code == '\t' || code == '\r');
        assert(code < 0x7f || code > 0x9f);
        assert(code < 0x202a || code > 0x202e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer plain = { 0 }, json = { 0 }, url = { 0 };
    text_escape(&plain, (const char *)data, size);
    text_escape_json(&json, (const char *)data, size);
    text_escape_url(&url, (const char *)data, size);
    check(&plain);
    check(&json);
    check(&url);
    for (size_t i = 0; i < plain.length; i++)
        assert(plain.bytes[i] != '\n' && plain.bytes[i] != '\r' && plain.bytes[i] != '\t');
    assert(text_width(buffer_string(&plain), plain.length) <= plain.length);
    buffer_fini(&plain);
    buffer_fini(&json);
    buffer_fini(&url);
    return 0;
}
