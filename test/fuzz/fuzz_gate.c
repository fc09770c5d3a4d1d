#include "fuzz_gate.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define NS_PER_S 1000000000ll
#define LIFE_S (100ll * 365 * 86400) /* of a gate; its clock has 292 years */

enum { SOCKET_BYTES = 1 << 20, LONG_S = 2 * 86400 /* longer than a peer's word of its overload holds */ };

static void make(fuzz_gate *bed)
{
    void *memory = aligned_alloc(64, (ring_bytes(FUZZ_RING_BYTES) + 63) & ~(size_t)63);
    dro_log_setup("fuzz", DRO_LOG_ERROR);
    dro_clock_fake_init(&bed->clock, 1795348800000);
    bed->config = (gate_config){ .core_count = 1, .to_core = &bed->to_core, .diameter_listener = -1, .identity = "scef.dromio.test",
                                 .realm = "dromio.test", .accept_any_peer = true, .roaming = bed->roaming, .clock = &bed->clock.clock };
    if (memory == NULL)
        abort();
    bed->memory = memory;
    ring_format(memory, FUZZ_RING_BYTES);
    ring_writer_open(&bed->to_core, memory, FUZZ_RING_BYTES, -1);
    ring_reader_open(&bed->core, memory, FUZZ_RING_BYTES);
    bed->home = loop_new(&bed->clock.clock);
    if (bed->home == NULL || diameter_gate_new(&bed->gate, &bed->config, bed->home) != DRO_OK)
        abort();
}

static void end(fuzz_gate *bed)
{
    diameter_gate_free(bed->gate);
    loop_free(bed->home);
    free(bed->memory);
    bed->gate = NULL;
}

bool fuzz_gate_begin(fuzz_gate *bed, void (*serve)(fuzz_gate *bed))
{
    int ends[2], bytes = SOCKET_BYTES;
    if (bed->gate != NULL && bed->peer < 0 && bed->clock.monotonic_ns > LIFE_S * NS_PER_S)
        end(bed);
    if (bed->gate == NULL)
        make(bed);
    bed->serve = serve;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return false;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    bed->peer = ends[1];
    diameter_peer *peer = gate_peer_new(bed->gate, ends[0], PEER_WAIT_CER);
    if (peer == NULL || !peer_watch(peer, EPOLLIN))
        abort();
    return true;
}

void fuzz_gate_turn(fuzz_gate *bed)
{
    loop_turn(bed->home, 0);
    diameter_gate_flush(bed->gate);
    bed->serve(bed);
    ring_release(&bed->core);
    diameter_gate_flush(bed->gate);
}

size_t fuzz_gate_said(const fuzz_gate *bed, uint8_t *out, size_t room)
{
    ssize_t got = recv(bed->peer, out, room, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

void fuzz_gate_end(fuzz_gate *bed)
{
    close(bed->peer);
    bed->peer = -1;
    dro_clock_fake_advance(&bed->clock, LONG_S * NS_PER_S);
    fuzz_gate_turn(bed);
    fuzz_gate_turn(bed);
    if (bed->gate->slots_used > 0 && bed->gate->peers[0] != NULL)
        abort(); /* a peer survived its socket */
}
