/* The twin of dromio-bench compute. An uplink: kernel u8, times u32 big-endian. */
#include "compute.h"
#include "kernels.h"

#ifdef COMPUTES
void dromio_compute(void)
{
}
#endif

int32_t dromio_event(uint32_t kind, uint32_t id, uint32_t length)
{
    (void)id;
    if (kind != DROMIO_EVENT_UPLINK)
        return DROMIO_NOT_HANDLED;
    dromio_reader in = dromio_reader_over(dromio_payload, length);
    uint32_t kernel = (uint32_t)dromio_take_be(&in, 1), times = (uint32_t)dromio_take_be(&in, 4);
    if (in.failed || kernel >= KERNELS)
        return DROMIO_NOT_HANDLED;
    compute_set_checksum((int64_t)kernels_run(kernel, times), DROMIO_GOOD);
    return DROMIO_HANDLED;
}
