#include "gate/certificates.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wipe.h"

enum { DAY_S = 24 * 3600 };
#define NS_PER_S ((int64_t)1000000000)

/* ---- what the log says ---- */

static void tell_end(const certificates *all, const tls_context *context, tls_listener listener)
{
    char end[DRO_TIME_TEXT];
    int64_t end_s = tls_context_expires_s(context);
    int64_t left_s = end_s - all->clock->wall_ms(all->clock) / 1000;
    dro_time_text(end_s * 1000, end);
    if (left_s <= 0)
        dro_error("certificate_ended listener=%s end=%s \"clients refuse it: replace the files, then SIGHUP\"",
                  tls_listener_name(listener), end);
    else if (left_s < (int64_t)TLS_WARN_DAYS * DAY_S)
        dro_warn("certificate_ends listener=%s end=%s days=%d", tls_listener_name(listener), end, (int)(left_s / DAY_S));
}

static void tell_ends(const certificates *all)
{
    for (int i = 0; i < TLS_LISTENERS && all->is_speaking; i++)
        if (all->contexts[i] != NULL)
            tell_end(all, all->contexts[i], i);
}

static void on_daily(loop_timer *timer)
{
    certificates *all = (certificates *)(void *)((char *)timer - offsetof(certificates, daily));
    tell_ends(all);
    if (loop_timer_set(all->home, timer, loop_now_ns(all->home) + DAY_S * NS_PER_S) != DRO_OK)
        dro_error("certificates_timer \"no memory\""); /* cannot be: its place was just freed */
}

/* ---- loading ---- */

static dro_err load_listener(certificates *all, tls_listener listener, const tls_pems *pems)
{
    tls_fault fault = { 0 };
    tls_context **context = &all->contexts[listener];
    if (pems->parts[TLS_CERTIFICATE].length == 0)
        return DRO_OK;
    dro_err err = *context != NULL ? tls_context_renew(*context, pems, &fault) : tls_context_new(context, listener, pems, &fault);
    if (err != DRO_OK) {
        dro_error("certificate_refused listener=%s reason=\"%s\"", tls_listener_name(listener),
                  fault.why[0] != '\0' ? fault.why : dro_err_text(err));
        return err;
    }
    char end[DRO_TIME_TEXT];
    dro_time_text(tls_context_expires_s(*context) * 1000, end);
    if (all->is_speaking)
        dro_info("certificate_loaded listener=%s end=%s", tls_listener_name(listener), end);
    return DRO_OK;
}

static dro_err load_keys(certificates *all, uint32_t index, const tls_pem *set)
{
    char why[JWK_WHY_MAX];
    const issuer *issuer = &all->issuers.list[index];
    dro_err err = issuers_take(&all->issuers, index, set->bytes, set->length, why);
    if (err != DRO_OK)
        dro_error("issuer_refused issuer=%s reason=\"%s\"", issuer->config->issuer, why);
    else if (all->is_speaking)
        dro_info("issuer_loaded issuer=%s keys=%u", issuer->config->issuer, issuer->key_count);
    return err;
}

static void forget_file(tls_pem *file)
{
    if (file->length > 0)
        dro_wipe((void *)(uintptr_t)file->bytes, file->length);
    free((void *)(uintptr_t)file->bytes);
    *file = (tls_pem){ 0 };
}

static dro_err load_file(tls_pem *kept, const tls_pem *file)
{
    char *copy = file->length > 0 ? malloc(file->length) : NULL;
    if (file->length > 0 && copy == NULL)
        return DRO_NOMEM;
    if (copy != NULL)
        memcpy(copy, file->bytes, file->length);
    forget_file(kept);
    *kept = (tls_pem){ copy, file->length };
    return DRO_OK;
}

static dro_err load(certificates *all, int file)
{
    tls_bundle bundle;
    dro_err err = tls_bundle_open(&bundle, file);
    if (err != DRO_OK) {
        dro_error("certificates_unreadable reason=\"%s\"", dro_err_text(err));
        return err;
    }
    for (int i = 0; i < TLS_LISTENERS; i++) {
        dro_err one = load_listener(all, i, &bundle.listeners[i]);
        err = err == DRO_OK ? one : err;
    }
    for (uint32_t i = 0; i < all->issuers.count; i++) {
        dro_err one = load_keys(all, i, &bundle.key_sets[i]);
        err = err == DRO_OK ? one : err;
    }
    for (int i = 0; i < CAPIF_FILES; i++) {
        dro_err one = load_file(&all->capif[i], &bundle.capif[i]);
        err = err == DRO_OK ? one : err;
    }
    tls_bundle_close(&bundle);
    return err;
}

/* ---- new ones ---- */

/* One message, one descriptor. -1: none; *is_over: dromiod's end is closed. */
static int receive_file(int socket, bool *is_over)
{
    uint8_t waste[64];
    struct iovec part = { waste, sizeof waste };
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } extra;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = extra.bytes, .msg_controllen = sizeof extra.bytes };
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int file = -1;
    *is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    const struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights != NULL && rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len == CMSG_LEN(sizeof file))
        memcpy(&file, CMSG_DATA(rights), sizeof file);
    return file;
}

static void stop_watching(certificates *all)
{
    if (all->is_watching)
        loop_remove(all->home, &all->renewals);
    all->is_watching = false;
}

static void on_renewal(loop_watch *watch, uint32_t events)
{
    certificates *all = (certificates *)(void *)((char *)watch - offsetof(certificates, renewals));
    bool is_over;
    int file = receive_file(watch->descriptor, &is_over);
    (void)events;
    if (is_over)
        stop_watching(all);
    if (file < 0)
        return;
    if (load(all, file) != DRO_OK)
        dro_error("certificates_kept \"the ones in use stay\"");
    close(file);
    tell_ends(all);
}

/* ---- life ---- */

dro_err certificates_init(certificates *all, const gate_config *config, loop *home)
{
    *all = (certificates){ .home = home, .clock = config->clock, .is_speaking = config->index == 0,
                           .renewals = { on_renewal, config->certificate_renewals }, .daily.on_due = on_daily };
    issuers_init(&all->issuers, config->issuers, config->issuer_count);
    if (config->certificates <= 0)
        return DRO_OK;
    dro_err err = load(all, config->certificates);
    close(config->certificates); /* it has the key: no longer readable here than needed */
    const tls_context *diameter = all->contexts[TLS_DIAMETER];
    if (diameter != NULL && !tls_context_verifies(diameter) && all->is_speaking)
        dro_warn("peers_show_no_certificates \"diameter.tls.ca is not set\"");
    if (err == DRO_OK)
        err = loop_timer_set(home, &all->daily, loop_now_ns(home));
    if (err == DRO_OK && config->certificate_renewals > 0) {
        err = loop_add(home, &all->renewals, EPOLLIN);
        all->is_watching = err == DRO_OK;
    }
    return err;
}

void certificates_fini(certificates *all)
{
    if (all->home == NULL)
        return;
    stop_watching(all);
    loop_timer_clear(all->home, &all->daily);
    for (int i = 0; i < TLS_LISTENERS; i++)
        tls_context_free(all->contexts[i]);
    issuers_fini(&all->issuers);
    for (int i = 0; i < CAPIF_FILES; i++)
        forget_file(&all->capif[i]);
}
