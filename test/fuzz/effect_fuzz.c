/* Effects that are read are written back and read the same. */
#include <assert.h>
#include <stdlib.h>

#include "base/fields.h"
#include "twin/effect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t first[EFFECTS_BYTES_MAX], second[EFFECTS_BYTES_MAX];
    dro_builder out = dro_builder_over(first, sizeof first);
    dro_cursor in = dro_cursor_over(data, size < EFFECTS_BYTES_MAX ? size : EFFECTS_BYTES_MAX);
    effect effect;
    while (effect_next(&in, &effect))
        effect_write(&out, &effect);
    assert(out.err == DRO_OK); /* ours is never longer: the shortest varints */
    dro_builder again = dro_builder_over(second, sizeof second);
    dro_cursor ours = dro_cursor_over(first, dro_builder_length(&out));
    while (effect_next(&ours, &effect))
        effect_write(&again, &effect);
    assert(ours.err == DRO_OK && dro_builder_length(&again) == dro_builder_length(&out));
    assert(memcmp(first, second, dro_builder_length(&out)) == 0);
    return 0;
}
