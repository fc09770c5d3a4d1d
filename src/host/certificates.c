#include "host/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wipe.h"
#include "gate/tls_bundle.h"
#include "host/control.h"

typedef struct reading {
    const config *config;
    bool is_logging;
    tls_pems pems[TLS_LISTENERS];
    tls_pem key_sets[TLS_KEY_SETS_MAX];
    tls_pem capif[CAPIF_FILES];
} reading;
_Static_assert((int)TLS_KEY_SETS_MAX == (int)ISSUERS_MAX, "one for each");

static const char *path_of(const config *config, tls_listener listener, tls_part part)
{
    const char *const paths[TLS_LISTENERS][TLS_PARTS] = {
        [TLS_HTTP] = { config->http_tls_certificate, config->http_tls_key,
                       config->http_tls_client_ca[0] != '\0' ? config->http_tls_client_ca : config->http_tls_ca },
        [TLS_DIAMETER] = { config->diameter_tls_certificate, config->diameter_tls_key, config->diameter_tls_ca },
    };
    return paths[listener][part];
}

static _Noreturn void refuse(const reading *here, tls_listener listener, tls_part part, const char *why)
{
    static const char *const names[TLS_PARTS] = { [TLS_CERTIFICATE] = "certificate", [TLS_KEY] = "key", [TLS_CA] = "ca" };
    const char *path = path_of(here->config, listener, part);
    if (here->is_logging)
        dro_error("%s.tls.%s: %s: %s", tls_listener_name(listener), names[part], path, why);
    else
        fprintf(stderr, "dromiod: %s.tls.%s: %s: %s\n", tls_listener_name(listener), names[part], path, why);
    _exit(1);
}

/* A pipe in its place must not hold us: it is opened without waiting. NULL, or what is wrong. */
static const char *read_bytes(const char *path, tls_pem *out)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &about) != 0)
        return strerror(errno);
    if (!S_ISREG(about.st_mode))
        return "is not a file";
    if (about.st_size == 0 || about.st_size > TLS_FILE_MAX)
        return about.st_size == 0 ? "is empty" : "is too large";
    char *bytes = malloc((size_t)about.st_size);
    ssize_t got = bytes == NULL ? -1 : read(file, bytes, (size_t)about.st_size);
    if (got <= 0)
        return bytes == NULL ? "no memory" : strerror(errno);
    close(file);
    *out = (tls_pem){ bytes, (uint32_t)got };
    return NULL;
}

static void read_file(reading *here, tls_listener listener, tls_part part)
{
    const char *path = path_of(here->config, listener, part);
    const char *why = path[0] == '\0' ? NULL : read_bytes(path, &here->pems[listener].parts[part]);
    if (why != NULL)
        refuse(here, listener, part, why);
}

/* The public keys of an issuer, looked at just as each gate will. */
static void read_keys(reading *here, uint32_t index)
{
    const issuer_config *row = &here->config->issuers[index];
    static issuers checked;
    char reason[JWK_WHY_MAX];
    const char *why = read_bytes(row->keys, &here->key_sets[index]);
    issuers_init(&checked, row, 1);
    if (why == NULL && issuers_take(&checked, 0, here->key_sets[index].bytes, here->key_sets[index].length, reason) != DRO_OK)
        why = reason;
    issuers_fini(&checked);
    if (why == NULL)
        return;
    if (here->is_logging)
        dro_error("auth.issuers[%u].keys: %s: %s", index, row->keys, why);
    else
        fprintf(stderr, "dromiod: auth.issuers[%u].keys: %s: %s\n", index, row->keys, why);
    _exit(1);
}

static void read_capif(reading *here)
{
    const config *config = here->config;
    const struct { const char *key, *path; } files[CAPIF_FILES] = {
        [CAPIF_CERTIFICATE] = { "tls.certificate", config->capif_tls_certificate }, [CAPIF_KEY] = { "tls.key", config->capif_tls_key },
        [CAPIF_CA] = { "tls.ca", config->capif_tls_ca }, [CAPIF_SECRET] = { "registration_secret", config->capif_registration_secret },
    };
    for (int i = 0; i < CAPIF_FILES; i++) {
        const char *why = files[i].path[0] == '\0' ? NULL : read_bytes(files[i].path, &here->capif[i]);
        if (why == NULL)
            continue;
        if (here->is_logging)
            dro_error("capif.%s: %s: %s", files[i].key, files[i].path, why);
        else
            fprintf(stderr, "dromiod: capif.%s: %s: %s\n", files[i].key, files[i].path, why);
        _exit(1);
    }
}

/* Just as each gate will. */
static void check(const reading *here, tls_listener listener)
{
    tls_context *context = NULL;
    tls_fault fault = { 0 };
    if (here->pems[listener].parts[TLS_CERTIFICATE].length == 0)
        return;
    dro_err err = tls_context_new(&context, listener, &here->pems[listener], &fault);
    if (err != DRO_OK)
        refuse(here, listener, fault.part, fault.why[0] != '\0' ? fault.why : dro_err_text(err));
    tls_context_free(context);
}

_Noreturn void certificates_read(const config *config, int bundle, bool is_logging)
{
    static reading here;
    here = (reading){ .config = config, .is_logging = is_logging };
    for (int i = 0; i < TLS_LISTENERS; i++) {
        for (int part = 0; part < TLS_PARTS; part++)
            read_file(&here, i, part);
        here.pems[i].is_optional = i == TLS_HTTP && config->http_tls_client_ca[0] != '\0';
        /* The same for all gates, so that a client may come back to any; with each load another. */
        dro_random_system()->fill(dro_random_system(), here.pems[i].ticket_key, TLS_TICKET_KEY_BYTES);
        check(&here, i);
    }
    for (uint32_t i = 0; i < config->issuer_count; i++)
        read_keys(&here, i);
    read_capif(&here);
    if (tls_bundle_write(bundle, here.pems, here.key_sets, here.capif) != DRO_OK)
        refuse(&here, TLS_HTTP, TLS_CERTIFICATE, "no memory to hand it to a gate");
    _exit(0);
}

int certificates_load(const config *config)
{
    int status = 0;
    if (config->http_tls_certificate[0] == '\0' && config->diameter_tls_certificate[0] == '\0' && config->issuer_count == 0 &&
        config->capif_tls_certificate[0] == '\0' && config->capif_tls_ca[0] == '\0')
        return 0;
    int bundle = tls_bundle_file();
    pid_t child = bundle < 0 ? -1 : fork();
    if (child == 0)
        certificates_read(config, bundle, false);
    if (child < 0)
        fprintf(stderr, "dromiod: the certificates cannot be read: %m\n");
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return bundle;
    if (bundle >= 0)
        close(bundle);
    return -1;
}

void certificates_send(int socket, int bundle)
{
    control message = { .type = CONTROL_CERTIFICATES };
    int files[CONTROL_DESCRIPTORS] = { bundle, -1 };
    if (control_send(socket, &message, files) != DRO_OK)
        dro_warn("a gate does not take new certificates: %m");
}
