/* A flat model that is taken is written back as the same bytes. */
#include <assert.h>
#include <stdlib.h>

#include "twin/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static model model;
    static uint8_t flat[MODEL_FLAT_MAX];
    dro_cursor in = dro_cursor_over(data, size);
    if (model_read(&model, &in) != DRO_OK)
        return 0;
    dro_builder out = dro_builder_over(flat, sizeof flat);
    model_write(&out, &model);
    assert(out.err == DRO_OK && dro_builder_length(&out) == (size_t)(in.at - data));
    assert(memcmp(flat, data, dro_builder_length(&out)) == 0);
    return 0;
}
