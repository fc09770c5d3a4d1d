#include "sim/secure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, FILE_MAX = 256 * 1024 };

/* False: errno says why. */
static bool read_file(const char *path, tls_pem *pem)
{
    if (path[0] == '\0')
        return true;
    FILE *file = fopen(path, "rb");
    char *bytes = file == NULL ? NULL : malloc(FILE_MAX);
    if (bytes != NULL) {
        pem->bytes = bytes;
        pem->length = (uint32_t)fread(bytes, 1, FILE_MAX, file);
    }
    bool is_read = bytes != NULL && !ferror(file);
    if (file != NULL)
        fclose(file);
    return is_read;
}

int secure_open(tls_context **out, const options *options)
{
    const char *const paths[TLS_PARTS] = { [TLS_CERTIFICATE] = options->tls_certificate, [TLS_KEY] = options->tls_key,
                                           [TLS_CA] = options->tls_ca };
    tls_pems pems = { 0 };
    tls_fault fault = { 0 };
    int exit_code = 0;
    *out = NULL;
    if (options->tls_ca[0] == '\0')
        return 0;
    for (int part = 0; part < TLS_PARTS && exit_code == 0; part++) {
        if (read_file(paths[part], &pems.parts[part]))
            continue;
        fprintf(stderr, "dromio-sim: %s: %s\n", paths[part], strerror(errno));
        exit_code = EXIT_USAGE;
    }
    dro_err err = exit_code != 0 ? DRO_OK : tls_context_new(out, TLS_DIAMETER, &pems, &fault);
    if (err != DRO_OK) {
        fprintf(stderr, "dromio-sim: %s: %s\n", paths[fault.part], fault.why[0] != '\0' ? fault.why : dro_err_text(err));
        exit_code = err == DRO_MALFORMED ? EXIT_USAGE : EXIT_FAILED;
    }
    for (int part = 0; part < TLS_PARTS; part++)
        free((void *)pems.parts[part].bytes);
    return exit_code;
}
