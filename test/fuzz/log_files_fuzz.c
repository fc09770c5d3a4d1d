/* The files `epoch` and `replay`. What decodes must encode to the same bytes. The
 * first byte chooses the file, and whether the checksum is put right first. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "store/crc32c.h"
#include "store/log_files.h"

enum { INPUT_MAX = 2 * LOG_REPLAY_BYTES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[INPUT_MAX], again[LOG_REPLAY_BYTES];
    if (size == 0 || size > INPUT_MAX)
        return 0;
    size_t length = size - 1;
    memcpy(bytes, data + 1, length);
    if ((data[0] & 1) != 0 && length >= 4) {
        uint32_t crc = crc32c(0, bytes, length - 4);
        memcpy(bytes + length - 4, &crc, 4);
    }
    log_epoch epoch;
    log_replay_point point;
    if ((data[0] & 2) != 0 && log_epoch_decode(&epoch, bytes, length) == DRO_OK) {
        assert(length == LOG_EPOCH_BYTES && epoch.counter > 0);
        log_epoch_encode(&epoch, again);
        assert(memcmp(bytes, again, 24) == 0);
    }
    if ((data[0] & 2) == 0 && log_replay_decode(&point, bytes, length) == DRO_OK) {
        assert(length == LOG_REPLAY_BYTES && point.segment > 0);
        log_replay_encode(&point, again);
        assert(memcmp(bytes, again, LOG_REPLAY_BYTES - 8) == 0);
    }
    return 0;
}
