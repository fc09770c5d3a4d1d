/* Reads the rounds of one segment one after the other, in big steps. While the owner looks at one step
 * the next ones are on their way, where nobody else fetches from the disk (`is_ahead`): so at recovery. */
#pragma once

#include "store/log_round.h"
#include "store/log_segments.h"

enum {
    LOG_READ_STEP = 1024 * 1024,
    LOG_READS_AHEAD = 4,
};

typedef struct log_reader {
    log_segments *segments;
    const log_segment *segment; /* NULL: none was entered */
    uint8_t *bytes;     /* room for `capacity` bytes in whole blocks, aligned to them */
    size_t capacity;    /* bytes of the largest segment */
    size_t length;      /* read so far */
    size_t limit;       /* what the file has */
    bool is_ahead;
    size_t asked;       /* up to where fetches were begun */
    uint32_t under_way; /* fetches; the bytes they are for are the disk's */
    int64_t results[LOG_READS_AHEAD]; /* of the disk, by the step's number */
} log_reader;

size_t log_reader_capacity(const log_segments *segments);
/* Bytes of its own: to be given back with fini. A reader without them is one whose owner sets `bytes`. */
DRO_CHECKED dro_err log_reader_init(log_reader *reader, log_segments *segments);
void log_reader_fini(log_reader *reader);
DRO_CHECKED dro_err log_reader_enter(log_reader *reader, log_segment *segment);
/* Waits for what is under way: `bytes` are the owner's again. */
void log_reader_leave(log_reader *reader);
/* As log_round_check; DRO_IO when the disk refuses. */
DRO_CHECKED dro_err log_reader_round(log_reader *reader, uint64_t offset, log_round_view *view, const char **why);
