/* A context that comes back: what is checked can be applied, and comes out again as
 * something that is checked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cell/context.h"
#include "ring/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MEMORY = 4096, LIMIT = 8192 };
    static const artifact_info info = { .memory_bytes = MEMORY, .memory_limit = LIMIT, .global_count = 3 };
    static _Alignas(CHUNK) uint8_t memory[LIMIT], baseline[LIMIT], applied[LIMIT], out[CONTEXT_BYTES_MAX];
    uint32_t length, again, number;
    context_writer writer;
    if (context_check(&info, data, size, &length) != DRO_OK)
        return 0;
    if (length < MEMORY || length > LIMIT)
        abort();
    for (uint32_t i = 0; i < context_global_count(data, size); i++) {
        (void)context_global(data, i, &number);
        if (number >= info.global_count)
            abort();
    }
    memset(baseline, 0x33, sizeof baseline);
    memcpy(memory, baseline, sizeof memory);
    context_apply_memory(data, size, memory);
    memcpy(applied, memory, sizeof memory);
    context_begin(&writer, out, sizeof out);
    context_put_memory(&writer, memory, baseline, 0, LIMIT);
    size_t written = context_end(&writer, LIMIT);
    if (memcmp(memory, baseline, sizeof memory) != 0 || context_check(&info, out, written, &again) != DRO_OK)
        abort();
    context_apply_memory(out, written, memory);
    if (memcmp(memory, applied, sizeof memory) != 0)
        abort();
    return 0;
}
