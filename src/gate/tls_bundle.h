/* Bundle: what the files of http.tls and diameter.tls say, in one sealed memory file.
 * A child of dromiod reads and checks the files and writes it, gates read it: so
 * dromiod never sees a key, a gate needs no path, and a gate that is started again
 * gets what was good, whatever lies in the files by then. */
#pragma once

#include "gate/tls.h"

enum {
    TLS_FILE_MAX = 256 * 1024,
    TLS_KEY_SETS_MAX = 8, /* of issuers of access tokens: gate/issuers.h */
};

/* What a CAPIF core function is met with. */
typedef enum capif_file { CAPIF_CERTIFICATE, CAPIF_KEY, CAPIF_CA, CAPIF_SECRET, CAPIF_FILES } capif_file;

typedef struct tls_bundle {
    const uint8_t *memory;
    size_t length;
    tls_pem key_sets[TLS_KEY_SETS_MAX]; /* JWK sets, by the row of auth.issuers */
    tls_pem capif[CAPIF_FILES];
    tls_pems listeners[TLS_LISTENERS]; /* borrow the memory; no certificate: no TLS there */
} tls_bundle;

/* A new memory file, empty; -1 and errno. */
int tls_bundle_file(void);
/* Writes and seals it. */
DRO_CHECKED dro_err tls_bundle_write(int file, const tls_pems listeners[TLS_LISTENERS], const tls_pem key_sets[TLS_KEY_SETS_MAX],
                                      const tls_pem capif[CAPIF_FILES]);
DRO_CHECKED dro_err tls_bundle_open(tls_bundle *bundle, int file); /* the file may be closed then */
void tls_bundle_close(tls_bundle *bundle);
