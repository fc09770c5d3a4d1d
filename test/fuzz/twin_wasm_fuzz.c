/* What an author is told of an image is read without a fault, whatever the image. */
#include <assert.h>
#include <string.h>

#include "twin_wasm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    twin_wasm wasm;
    size_t length = 0;
    dro_err err = twin_wasm_read(&wasm, data, size);
    const char *model = twin_wasm_model(data, size, &length);
    assert(model == NULL || ((const uint8_t *)model >= data && (const uint8_t *)model + length <= data + size));
    if (err == DRO_OK)
        assert(wasm.has_model == (model != NULL));
    for (uint32_t i = 0; i < wasm.import_count; i++)
        assert(memchr(wasm.imports[i].text, '\0', sizeof wasm.imports[i].text) != NULL);
    return 0;
}
