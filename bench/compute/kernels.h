/* Work for a processor, as twins of machines do it: the same source inside a twin and
 * compiled natively. Every run changes its input, so none can be left out. */
#pragma once

#include <stdint.h>

enum kernel { KERNEL_FIR, KERNEL_FFT, KERNEL_KECCAK, KERNELS };

/* Runs kernel `kernel` so many times over its own state; a checksum of what came out. */
uint64_t kernels_run(uint32_t kernel, uint32_t times);
