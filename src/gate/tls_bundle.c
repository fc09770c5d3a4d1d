#include "gate/tls_bundle.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/wipe.h"

enum {
    HEAD_BYTES = TLS_LISTENERS * (TLS_PARTS * 4 + TLS_TICKET_KEY_BYTES + 1) + (TLS_KEY_SETS_MAX + CAPIF_FILES) * 4,
    BUNDLE_MAX = HEAD_BYTES + (TLS_LISTENERS * TLS_PARTS + TLS_KEY_SETS_MAX + CAPIF_FILES) * TLS_FILE_MAX,
};

int tls_bundle_file(void)
{
    return memfd_create("dromio certificates", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static bool write_all(int file, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(file, (const uint8_t *)bytes + done, length - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

dro_err tls_bundle_write(int file, const tls_pems listeners[TLS_LISTENERS], const tls_pem key_sets[TLS_KEY_SETS_MAX],
                         const tls_pem capif[CAPIF_FILES])
{
    uint8_t head[HEAD_BYTES];
    dro_builder out = dro_builder_over(head, sizeof head);
    for (int i = 0; i < TLS_LISTENERS; i++) {
        for (int part = 0; part < TLS_PARTS; part++)
            dro_builder_le(&out, listeners[i].parts[part].length, 4);
        dro_builder_bytes(&out, listeners[i].ticket_key, TLS_TICKET_KEY_BYTES);
        dro_builder_le(&out, listeners[i].is_optional, 1);
    }
    for (int i = 0; i < TLS_KEY_SETS_MAX; i++)
        dro_builder_le(&out, key_sets[i].length, 4);
    for (int i = 0; i < CAPIF_FILES; i++)
        dro_builder_le(&out, capif[i].length, 4);
    bool is_whole = out.err == DRO_OK && write_all(file, head, sizeof head);
    dro_wipe(head, sizeof head);
    for (int i = 0; i < TLS_LISTENERS; i++)
        for (int part = 0; part < TLS_PARTS && is_whole; part++)
            is_whole = write_all(file, listeners[i].parts[part].bytes, listeners[i].parts[part].length);
    for (int i = 0; i < TLS_KEY_SETS_MAX && is_whole; i++)
        is_whole = write_all(file, key_sets[i].bytes, key_sets[i].length);
    for (int i = 0; i < CAPIF_FILES && is_whole; i++)
        is_whole = write_all(file, capif[i].bytes, capif[i].length);
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    return is_whole && fcntl(file, F_ADD_SEALS, seals) == 0 ? DRO_OK : DRO_IO;
}

/* Its bytes lie at *at. */
static bool place(const tls_bundle *bundle, tls_pem *pem, size_t *at)
{
    if (pem->length > bundle->length - *at)
        return false;
    pem->bytes = (const char *)bundle->memory + *at;
    *at += pem->length;
    return true;
}

static dro_err read_head(tls_bundle *bundle)
{
    dro_cursor in = dro_cursor_over(bundle->memory, bundle->length);
    size_t at = HEAD_BYTES;
    for (int i = 0; i < TLS_LISTENERS; i++) {
        for (int part = 0; part < TLS_PARTS; part++)
            bundle->listeners[i].parts[part].length = (uint32_t)dro_cursor_le(&in, 4);
        const uint8_t *key = dro_cursor_bytes(&in, TLS_TICKET_KEY_BYTES);
        if (key != NULL)
            memcpy(bundle->listeners[i].ticket_key, key, TLS_TICKET_KEY_BYTES);
        bundle->listeners[i].is_optional = dro_cursor_le(&in, 1) != 0;
    }
    for (int i = 0; i < TLS_KEY_SETS_MAX; i++)
        bundle->key_sets[i].length = (uint32_t)dro_cursor_le(&in, 4);
    for (int i = 0; i < CAPIF_FILES; i++)
        bundle->capif[i].length = (uint32_t)dro_cursor_le(&in, 4);
    for (int i = 0; i < TLS_LISTENERS && in.err == DRO_OK; i++)
        for (int part = 0; part < TLS_PARTS; part++)
            if (!place(bundle, &bundle->listeners[i].parts[part], &at))
                return DRO_TRUNCATED;
    for (int i = 0; i < TLS_KEY_SETS_MAX && in.err == DRO_OK; i++)
        if (!place(bundle, &bundle->key_sets[i], &at))
            return DRO_TRUNCATED;
    for (int i = 0; i < CAPIF_FILES && in.err == DRO_OK; i++)
        if (!place(bundle, &bundle->capif[i], &at))
            return DRO_TRUNCATED;
    return in.err;
}

dro_err tls_bundle_open(tls_bundle *bundle, int file)
{
    struct stat about;
    *bundle = (tls_bundle){ 0 };
    if (fstat(file, &about) != 0)
        return DRO_IO;
    if (about.st_size < HEAD_BYTES || about.st_size > BUNDLE_MAX)
        return DRO_MALFORMED;
    void *memory = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (memory == MAP_FAILED)
        return DRO_IO;
    bundle->memory = memory;
    bundle->length = (size_t)about.st_size;
    dro_err err = read_head(bundle);
    if (err != DRO_OK)
        tls_bundle_close(bundle);
    return err;
}

void tls_bundle_close(tls_bundle *bundle)
{
    if (bundle->memory != NULL)
        munmap((void *)bundle->memory, bundle->length);
    dro_wipe(bundle, sizeof *bundle);
}
