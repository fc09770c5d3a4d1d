/* An artifact, and the result in which it crosses from the process that made it. */
#include <stdint.h>
#include <stdlib.h>

#include "cell/admit_private.h"
#include "cell/artifact.h"
#include "twin/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static admit_result result;
    artifact artifact;
    if (artifact_read(&artifact, data, size) == DRO_OK) {
        uint8_t *bytes = NULL;
        size_t length = 0;
        if (artifact.info.event_buffer + EVENT_BYTES_MAX > artifact.info.memory_limit ||
            artifact_write(&artifact, &bytes, &length) != DRO_OK)
            abort();
        free(bytes);
    }
    if (admit_result_unflatten(&result, data, size) == DRO_OK && result.reason_count == 0 && result.artifact == NULL)
        abort();
    admit_result_free(&result);
    return 0;
}
