/* Any --set: taken or refused, and the configuration stays whole. Each refusal is a line: -close_fd_mask=2. */
#include <assert.h>
#include <string.h>

#include "host/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static config config;
    static char text[4096];
    config_defaults(&config);
    while (size > 0) { /* a line each */
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end != NULL ? (size_t)(end - data) : size;
        size_t kept = length < sizeof text - 1 ? length : sizeof text - 1;
        memcpy(text, data, kept);
        text[kept] = '\0';
        bool is_taken = config_set(&config, text);
        assert(!is_taken || strchr(text, '=') != NULL);
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    assert(config.peer_count <= GATE_PEERS_MAX && config.host_gates >= 1 && config.host_gates <= 16);
    assert(memchr(config.host_identity, 0, sizeof config.host_identity) != NULL && memchr(config.data, 0, sizeof config.data) != NULL);
    bool ignored = config_check(&config);
    (void)ignored;
    return 0;
}
