/* Any text as a configuration file and as --set: ends, tells whole values, names a line. */
#include <assert.h>
#include <string.h>

#include "base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *each(void *context, const toml_value *value)
{
    uint32_t *count = context;
    assert(strnlen(value->path, TOML_PATH_MAX) < TOML_PATH_MAX && strnlen(value->text, TOML_TEXT_MAX) < TOML_TEXT_MAX);
    assert(value->kind <= TOML_BOOLEAN && value->line >= 1);
    ++*count;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[TOML_TEXT_MAX], text[4096];
    int line = 0;
    uint32_t count = 0;
    dro_err err = toml_read((const char *)data, size, each, &count, &line, error);
    assert(err == DRO_OK ? error[0] == '\0' : error[0] != '\0');
    assert(line >= 1 && count <= size);
    size_t length = size < sizeof text - 1 ? size : sizeof text - 1;
    if (length > 0)
        memcpy(text, data, length);
    text[length] = '\0';
    err = toml_read_value("a.b", text, each, &count, error);
    assert(err == DRO_OK ? error[0] == '\0' : error[0] != '\0');
    return 0;
}
