/* A value that is read is written back as the same bytes, and its JSON is JSON. */
#include <assert.h>
#include <stdlib.h>
#include <yyjson.h>

#include "twin/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dro_cursor in = dro_cursor_over(data, size);
    value value = value_read(&in);
    if (in.err != DRO_OK)
        return 0;
    uint8_t bytes[3 + VALUE_STRING_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    value_write(&out, &value);
    assert(out.err == DRO_OK && dro_builder_length(&out) == (size_t)(in.at - data));
    assert(memcmp(bytes, data, dro_builder_length(&out)) == 0);
    char text[6 * VALUE_STRING_MAX + 16];
    out = dro_builder_over(text, sizeof text);
    value_json(&out, &value);
    assert(out.err == DRO_OK);
    yyjson_doc *document = yyjson_read(text, dro_builder_length(&out), YYJSON_READ_NOFLAG);
    assert(document != NULL);
    if (value.kind == VALUE_NUMBER)
        assert(yyjson_get_num(yyjson_doc_get_root(document)) == value.number);
    if (value.kind == VALUE_STRING)
        assert(yyjson_get_len(yyjson_doc_get_root(document)) == value.length);
    yyjson_doc_free(document);
    return 0;
}
