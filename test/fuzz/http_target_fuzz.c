/* Targets of requests: paths, queries, identifiers, durations. */
#include <assert.h>
#include <string.h>

#include "gate/route.h"
#include "gate/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(slice text)
{
    char identifier[IDENTIFIER_MAX + 1];
    uint8_t digest[32];
    uint64_t number;
    if (identifier_read(text, identifier)) {
        char again[IDENTIFIER_MAX + 1];
        assert(strlen(identifier) == text.length);
        assert(identifier_read((slice){ identifier, text.length }, again) && strcmp(identifier, again) == 0);
        assert(identifier_domain(identifier).length > 0);
    }
    digest_read(text, digest);
    number_read(text, &number);
    if (duration_read(text, &number))
        assert(number <= INT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char room[2 * HTTP_BLOCK_BYTES];
    target target;
    if (size > HTTP_TARGET_MAX)
        return 0;
    int status = target_read(&target, (const char *)data, size, room);
    assert(status == 0 || status == 400 || status == 404);
    if (status != 0)
        return 0;
    assert(target.count <= HTTP_SEGMENTS_MAX);
    for (uint32_t i = 0; i < target.count; i++)
        read_all(target.segments[i]);
    route_find(&target);
    slice name, value;
    size_t used = HTTP_BLOCK_BYTES;
    while (target_query_next(&target.query, &name, &value, room, &used, &status)) {
        assert(used <= sizeof room);
        read_all(value);
    }
    return 0;
}
