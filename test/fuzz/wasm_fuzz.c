/* An uploaded image: what our reader takes for sound must be rewritten without harm,
 * and the checks of the ABI and the model must hold on it. Nothing is compiled. */
#include <stdint.h>
#include <stdlib.h>

#include "cell/admit_private.h"
#include "cell/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *context, const char *reason)
{
    if (strlen(reason) >= WASM_REASON_MAX)
        abort();
    (void)context;
}

static dro_err stop(void)
{
    return DRO_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static wasm_image image;
    static admit_result result;
    static const admit_options options = { .no_second_validator = 1 };
    uint8_t *out = NULL;
    size_t length = 0;
    if (wasm_read(&image, data, size, ignore, NULL) == DRO_OK && image.has_memory) {
        const rewrite_plan plans[] = { { 4096, false, false }, { 0, true, true }, { 0, false, false } };
        for (int i = 0; i < 3; i++) {
            if (rewrite_image(&image, &plans[i], &out, &length) != DRO_OK)
                abort();
            free(out);
        }
    }
    dro_err err = admit_image_staged(data, size, &options, stop, &result);
    if (err == DRO_OK && result.reason_count == 0)
        abort(); /* sound ones are stopped before the compiler */
    admit_result_free(&result);
    return 0;
}
