#include "kernels.h"

#include <string.h>

enum { SAMPLES = 1024, TAPS = 64, POINTS = 1024, LANES = 25, ROUNDS = 24 };

static float samples[SAMPLES + TAPS], filtered[SAMPLES], taps[TAPS];
static float real[POINTS], imaginary[POINTS], cosine[POINTS / 2], sine[POINTS / 2];
static uint64_t lanes[LANES];

/* ---- 64-tap FIR filter over 1,024 samples ---- */

static void fir_init(void)
{
    for (int i = 0; i < TAPS; i++)
        taps[i] = (float)(TAPS - i) / (float)(TAPS * TAPS);
    for (int i = 0; i < SAMPLES + TAPS; i++)
        samples[i] = (float)(i * 37 % 256) / 128.0f - 1.0f;
}

static void fir(void)
{
    for (int n = 0; n < SAMPLES; n++) {
        float sum = 0;
        for (int k = 0; k < TAPS; k++)
            sum += taps[k] * samples[n + TAPS - k];
        filtered[n] = sum;
    }
    memcpy(samples, filtered + SAMPLES - TAPS, TAPS * sizeof samples[0]);
}

/* ---- 1,024-point complex FFT, radix 2, in place ---- */

/* Turned on by a constant angle: no library is needed, and both sides get the same bits. */
static void fft_init(void)
{
    const double step_cosine = 0.99998117528260110909, step_sine = 0.0061358846491544753597; /* 2 pi / 1024 */
    double c = 1, s = 0;
    for (int i = 0; i < POINTS / 2; i++) {
        cosine[i] = (float)c;
        sine[i] = (float)s;
        double turned = c * step_cosine - s * step_sine;
        s = s * step_cosine + c * step_sine;
        c = turned;
    }
    for (int i = 0; i < POINTS; i++)
        real[i] = (float)(i * 73 % 512) / 256.0f - 1.0f;
}

static void swap(float *a, float *b)
{
    float kept = *a;
    *a = *b;
    *b = kept;
}

static void reverse_bits(void)
{
    for (int i = 0, j = 0; i < POINTS; i++) {
        if (i < j) {
            swap(&real[i], &real[j]);
            swap(&imaginary[i], &imaginary[j]);
        }
        int bit = POINTS / 2;
        for (; bit > 0 && j & bit; bit /= 2)
            j ^= bit;
        j |= bit;
    }
}

static void butterflies(int half)
{
    int stride = POINTS / 2 / half;
    for (int start = 0; start < POINTS; start += 2 * half)
        for (int k = 0; k < half; k++) {
            int low = start + k, high = low + half;
            float c = cosine[k * stride], s = sine[k * stride];
            float r = real[high] * c + imaginary[high] * s, i = imaginary[high] * c - real[high] * s;
            real[high] = real[low] - r;
            imaginary[high] = imaginary[low] - i;
            real[low] += r;
            imaginary[low] += i;
        }
}

static void fft(void)
{
    reverse_bits();
    for (int half = 1; half < POINTS; half *= 2)
        butterflies(half);
    for (int i = 0; i < POINTS; i++) { /* stays in range, run after run */
        real[i] *= 1.0f / 32;
        imaginary[i] *= 1.0f / 32;
    }
}

/* ---- Keccak-f[1600] (FIPS 202, 3.2 and 3.3) ---- */

static uint64_t rotated(uint64_t lane, unsigned by)
{
    return lane << by | lane >> (64 - by);
}

static void theta(uint64_t *a)
{
    uint64_t column[5];
    for (int x = 0; x < 5; x++)
        column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (int x = 0; x < 5; x++) {
        uint64_t d = column[(x + 4) % 5] ^ rotated(column[(x + 1) % 5], 1);
        for (int y = 0; y < LANES; y += 5)
            a[y + x] ^= d;
    }
}

static void rho_and_pi(uint64_t *a)
{
    static const uint8_t offsets[ROUNDS] = { 1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44 };
    static const uint8_t places[ROUNDS] = { 10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1 };
    uint64_t last = a[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t next = a[places[i]];
        a[places[i]] = rotated(last, offsets[i]);
        last = next;
    }
}

static void chi(uint64_t *a)
{
    for (int y = 0; y < LANES; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof row);
        for (int x = 0; x < 5; x++)
            a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
    }
}

static void keccak(uint64_t *a)
{
    static const uint64_t constants[ROUNDS] = {
        0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
        0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
        0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
        0x000000000000800a, 0x800000008000000a, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
    };
    for (int round = 0; round < ROUNDS; round++) {
        theta(a);
        rho_and_pi(a);
        chi(a);
        a[0] ^= constants[round];
    }
}

/* ---- all of them ---- */

static uint64_t checksum(const void *bytes, uint32_t length)
{
    uint64_t sum = 0, word;
    for (uint32_t at = 0; at + sizeof word <= length; at += sizeof word) {
        memcpy(&word, (const uint8_t *)bytes + at, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

uint64_t kernels_run(uint32_t kernel, uint32_t times)
{
    static int is_ready;
    if (!is_ready) {
        fir_init();
        fft_init();
        is_ready = 1;
    }
    for (uint32_t i = 0; i < times; i++) {
        if (kernel == KERNEL_FIR)
            fir();
        else if (kernel == KERNEL_FFT)
            fft();
        else
            keccak(lanes);
    }
    return kernel == KERNEL_FIR   ? checksum(filtered, sizeof filtered)
           : kernel == KERNEL_FFT ? checksum(real, sizeof real)
                                  : checksum(lanes, sizeof lanes);
}
