/* A Thing Model that is taken has a flat form that reads back as the same model;
 * one that is refused has told why. */
#include <assert.h>
#include <stdlib.h>

#include "twin/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, const char *reason)
{
    assert(strlen(reason) < MODEL_REASON_MAX && reason[0] != '\0');
    ++*(unsigned *)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static model model, back;
    static uint8_t flat[MODEL_FLAT_MAX];
    unsigned reasons = 0;
    dro_err err = model_parse(&model, (const char *)data, size, count, &reasons);
    assert((err == DRO_OK) == (reasons == 0));
    if (err != DRO_OK)
        return 0;
    dro_builder out = dro_builder_over(flat, sizeof flat);
    model_write(&out, &model);
    assert(out.err == DRO_OK);
    dro_cursor in = dro_cursor_over(flat, dro_builder_length(&out));
    err = model_read(&back, &in);
    assert(err == DRO_OK && dro_cursor_left(&in) == 0);
    assert(memcmp(&model, &back, sizeof model) == 0);
    return 0;
}
