/* An uploaded image: what our reader takes for sound must be rewritten without harm: if
 * the engine finds the author's types right, it must compile what we made of it. And the
 * checks of the ABI and the model must hold on it. Nothing is run. */
#include <stdint.h>
#include <stdlib.h>

#include "cell/admit_private.h"
#include "cell/engine.h"
#include "cell/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *context, const char *reason)
{
    if (strlen(reason) >= WASM_REASON_MAX)
        abort();
    (void)context;
}

/* Each plan of the rewrite. */
static void rewrite(const wasm_image *image)
{
    static const rewrite_plan plans[] = { { 4096, false, false }, { 0, true, true }, { 0, false, false } };
    static engine *engine;
    static const engine_options options = { .module = "dromio" };
    char reason[ENGINE_REASON_MAX];
    if (engine == NULL && engine_new(&engine, &options) != DRO_OK)
        abort();
    bool is_sound = engine_validate(engine, image->bytes, image->length, reason) == DRO_OK;
    for (int i = 0; i < 3; i++) {
        uint8_t *out = NULL, *code = NULL;
        size_t length = 0, code_length = 0;
        if (rewrite_image(image, &plans[i], &out, &length) != DRO_OK)
            abort();
        if (is_sound && engine_compile(engine, out, length, i == 2, &code, &code_length, reason) != DRO_OK)
            abort();
        free(code);
        free(out);
    }
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
    if (wasm_read(&image, data, size, ignore, NULL) == DRO_OK && image.has_memory)
        rewrite(&image);
    dro_err err = admit_image_staged(data, size, &options, stop, &result);
    if (err == DRO_OK && result.reason_count == 0)
        abort(); /* sound ones are stopped before the compiler */
    admit_result_free(&result);
    return 0;
}
