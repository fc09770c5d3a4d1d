#include "gate/publisher.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <yyjson.h>

#include "base/fields.h"
#include "base/hash.h"
#include "base/log.h"
#include "gate/courier.h"
#include "gate/curl_loop.h"
#include "gate/service_api.h"
#include "ring/message.h"
#include "twin/value.h"

enum {
    NAME_MAX_BYTES = 255,      /* of what the core function names us, our APIs and their resources */
    REASON_MAX = 160,
    URL_MAX = 2048,
    LISTED_MAX = 256,          /* descriptions of one list that are looked at */
    PEM_MAX = 4096,
};
#define NS_PER_MS ((int64_t)1000000)

typedef struct row {           /* one service API at the core function */
    char name[SERVICE_API_NAME_MAX + 1];
    char id[NAME_MAX_BYTES + 1]; /* serviceApiId; "": it is not there */
    uint64_t digest;           /* of the description that is there; 0: of another one */
    int64_t since_ms;          /* it is as it is */
    char reason[REASON_MAX];
    bool is_wanted, is_listed;
} row;

typedef enum task { TASK_NONE, TASK_REGISTER, TASK_LIST, TASK_PUBLISH, TASK_UPDATE, TASK_WITHDRAW, TASK_DEREGISTER } task;

struct publisher {
    loop *home;
    publisher_options options;
    curl_loop curls;
    CURL *curl;
    struct curl_slist *header;
    loop_timer timer;
    bool is_told;              /* core 0 has said what it keeps */
    bool is_late;              /* what is to be kept found no room in the ring */
    bool is_listed;            /* in this cycle */
    bool is_address_refused, is_too_long;
    task task;                 /* under way */
    row *at;                   /* that it is about */
    uint64_t digest;           /* of the body under way */
    uint64_t kept;             /* of what core 0 keeps */
    uint32_t failures;         /* in a row */
    char root[512], registration[NAME_MAX_BYTES + 1], apf[NAME_MAX_BYTES + 1], aef[NAME_MAX_BYTES + 1];
    char reason[REASON_MAX];
    row rows[SERVICE_APIS_MAX];
    uint32_t row_count;
    uint64_t requests, failed;
    char location[URL_MAX];    /* of the answer */
    char *answer;              /* [CAPIF_ANSWER_MAX] */
    uint32_t answer_length;
    char body[SERVICE_API_BYTES_MAX];
};

static void step(publisher *capif);

static bool is_publisher(const publisher *capif)
{
    return capif->options.config->index == 0 && capif->options.config->capif.root[0] != '\0';
}

static void wake(publisher *capif, int64_t ms)
{
    if (loop_timer_set(capif->home, &capif->timer, loop_now_ns(capif->home) + ms * NS_PER_MS) != DRO_OK)
        dro_error("capif_timer \"no memory\"");
}

/* ---- state: to and from core 0 ---- */

static void put_text(dro_builder *out, uint8_t tag, const char *text)
{
    if (text[0] != '\0')
        dro_field_put_text(out, tag, text);
}

static void put_row(dro_builder *out, const row *at)
{
    uint8_t bytes[1024];
    dro_builder inner = dro_builder_over(bytes, sizeof bytes);
    dro_field_put_text(&inner, API_FIELD_NAME, at->name);
    put_text(&inner, API_FIELD_CAPIF_ID, at->id);
    dro_field_put_u64(&inner, API_FIELD_AFTER, at->digest);
    dro_field_put(&inner, API_FIELD_TIME, &at->since_ms, sizeof at->since_ms);
    put_text(&inner, API_FIELD_DETAIL, at->reason);
    if (!at->is_wanted)
        dro_field_put(&inner, API_FIELD_LAST, NULL, 0);
    dro_field_put(out, API_FIELD_CAPIF_API, bytes, dro_builder_length(&inner));
}

static void tell_core(publisher *capif, bool is_kept)
{
    static uint8_t message[sizeof(capif_news) + CAPIF_STATE_MAX];
    capif_news news = { 0 };
    dro_builder out = dro_builder_over(message, sizeof message);
    dro_builder_bytes(&out, &news, sizeof news);
    dro_field_put_text(&out, API_FIELD_CAPIF_ROOT, capif->root);
    put_text(&out, API_FIELD_CAPIF_REGISTRATION, capif->registration);
    put_text(&out, API_FIELD_CAPIF_APF, capif->apf);
    put_text(&out, API_FIELD_CAPIF_AEF, capif->aef);
    put_text(&out, API_FIELD_DETAIL, capif->reason);
    for (uint32_t i = 0; i < capif->row_count; i++)
        put_row(&out, &capif->rows[i]);
    uint64_t digest = dro_hash(2, message + sizeof news, dro_builder_length(&out) - sizeof news);
    news.is_kept = (is_kept || capif->is_late) && digest != capif->kept; /* a cycle that changed nothing writes nothing */
    memcpy(message, &news, sizeof news);
    dro_field_pad(&out);
    capif->options.on_aef(capif->options.context, capif->aef);
    bool is_sent = out.err == DRO_OK && ring_send(capif->options.to_core, MESSAGE_CAPIF_STATE, 0, 0, message, (uint32_t)dro_builder_length(&out));
    capif->is_late = !is_sent && news.is_kept;
    if (is_sent && news.is_kept)
        capif->kept = digest;
}

void publisher_flush(publisher *capif)
{
    if (capif->is_late)
        tell_core(capif, true);
}

static void take_text(char *out, size_t room, const dro_field *field)
{
    size_t length = field->length < room ? field->length : 0;
    memcpy(out, field->bytes, length);
    out[length] = '\0';
}

static row *row_named(publisher *capif, const char *name, size_t length)
{
    for (uint32_t i = 0; i < capif->row_count; i++)
        if (strlen(capif->rows[i].name) == length && memcmp(capif->rows[i].name, name, length) == 0)
            return &capif->rows[i];
    return NULL;
}

static row *row_new(publisher *capif, const char *name, size_t length)
{
    dro_clock *clock = capif->options.config->clock;
    if (capif->row_count == SERVICE_APIS_MAX || length == 0 || length > SERVICE_API_NAME_MAX)
        return NULL;
    row *made = &capif->rows[capif->row_count++];
    *made = (row){ .since_ms = clock->wall_ms(clock) };
    memcpy(made->name, name, length);
    return made;
}

static void take_row(publisher *capif, const dro_field *whole)
{
    row read = { 0 };
    dro_cursor in = dro_cursor_over(whole->bytes, whole->length);
    dro_field field;
    while (dro_field_next(&in, &field))
        switch (field.tag) {
        case API_FIELD_NAME: take_text(read.name, sizeof read.name, &field); break;
        case API_FIELD_CAPIF_ID: take_text(read.id, sizeof read.id, &field); break;
        case API_FIELD_AFTER: memcpy(&read.digest, field.bytes, field.length == 8 ? 8 : 0); break;
        case API_FIELD_TIME: memcpy(&read.since_ms, field.bytes, field.length == 8 ? 8 : 0); break;
        default: break;
        }
    row *made = row_new(capif, read.name, strlen(read.name));
    if (made != NULL)
        *made = read;
}

/* Every gate hears the name we go by; the one that publishes knows the rest better, but for the first time. */
void publisher_on_state(publisher *capif, const void *body, uint32_t length)
{
    dro_cursor in = dro_cursor_over(body, length);
    dro_field field;
    bool is_first = !capif->is_told;
    char aef[NAME_MAX_BYTES + 1] = "";
    if (is_publisher(capif) && !is_first)
        return;
    capif->is_told = true;
    while (dro_cursor_left(&in) > 0 && *in.at != 0 && dro_field_next(&in, &field)) {
        if (field.tag == API_FIELD_CAPIF_AEF)
            take_text(aef, sizeof aef, &field);
        if (!is_publisher(capif))
            continue;
        switch (field.tag) {
        case API_FIELD_CAPIF_ROOT: take_text(capif->root, sizeof capif->root, &field); break;
        case API_FIELD_CAPIF_REGISTRATION: take_text(capif->registration, sizeof capif->registration, &field); break;
        case API_FIELD_CAPIF_APF: take_text(capif->apf, sizeof capif->apf, &field); break;
        case API_FIELD_CAPIF_API: take_row(capif, &field); break;
        default: break;
        }
    }
    memcpy(capif->aef, aef, sizeof aef);
    capif->options.on_aef(capif->options.context, aef);
    if (is_publisher(capif))
        wake(capif, 0);
}

/* ---- what we want ---- */

static const char *apf_of(const publisher *capif)
{
    const capif_config *config = &capif->options.config->capif;
    return config->apf[0] != '\0' ? config->apf : capif->apf[0] != '\0' ? capif->apf : capif->options.config->identity;
}

static const char *aef_of(const publisher *capif)
{
    const capif_config *config = &capif->options.config->capif;
    return config->aef[0] != '\0' ? config->aef : capif->aef[0] != '\0' ? capif->aef : capif->options.config->identity;
}

/* "a, b": is the name one of these? An empty list has all. */
static bool is_in_list(const char *list, slice name)
{
    if (list[0] == '\0')
        return true;
    for (const char *at = list; *(at += strspn(at, ", ")) != '\0';) {
        size_t length = strcspn(at, ", ");
        if (length == name.length && memcmp(at, name.at, length) == 0)
            return true;
        at += length;
    }
    return false;
}

static void mark_wanted(publisher *capif)
{
    const capif_config *config = &capif->options.config->capif;
    service_api apis[SERVICE_APIS_MAX];
    uint32_t count = service_apis(apis);
    for (uint32_t i = 0; i < capif->row_count; i++)
        capif->rows[i].is_wanted = false;
    for (uint32_t i = 0; i < count && config->publish; i++) {
        if (!is_in_list(config->apis, apis[i].name))
            continue;
        row *at = row_named(capif, apis[i].name.at, apis[i].name.length);
        if (at == NULL)
            at = row_new(capif, apis[i].name.at, apis[i].name.length);
        if (at != NULL)
            at->is_wanted = true;
    }
}

/* Its description as the body. 0: there is no such API. */
static uint64_t describe(publisher *capif, const row *at, dro_builder *out)
{
    service_api apis[SERVICE_APIS_MAX];
    const gate_config *config = capif->options.config;
    service_place place = { aef_of(capif), config->t8_root, config->tls[TLS_HTTP] != NULL && tls_context_verifies(config->tls[TLS_HTTP]) };
    uint32_t count = service_apis(apis);
    for (uint32_t i = 0; i < count; i++)
        if (slice_is(apis[i].name, at->name)) {
            service_api_write(out, &apis[i], &place, "");
            return dro_hash(1, out->start, dro_builder_length(out)) | 1;
        }
    return 0;
}

/* ---- one request ---- */

static size_t take_answer(char *bytes, size_t size, size_t count, void *context)
{
    publisher *capif = context;
    size_t length = size * count;
    capif->is_too_long = length > CAPIF_ANSWER_MAX - capif->answer_length;
    if (capif->is_too_long)
        return 0;
    memcpy(capif->answer + capif->answer_length, bytes, length);
    capif->answer_length += (uint32_t)length;
    return length;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    static const char name[] = "location:";
    publisher *capif = context;
    size_t length = size * count, skip = sizeof name - 1;
    if (length < skip || strncasecmp(bytes, name, skip) != 0)
        return length;
    while (skip < length && (bytes[skip] == ' ' || bytes[skip] == '\t'))
        skip++;
    size_t end = length;
    while (end > skip && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n' || bytes[end - 1] == ' '))
        end--;
    size_t kept = end - skip < sizeof capif->location ? end - skip : 0;
    memcpy(capif->location, bytes + skip, kept);
    capif->location[kept] = '\0';
    return length;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    publisher *capif = context;
    if (purpose != CURLSOCKTYPE_IPCXN || !courier_may_connect(&address->addr, capif->options.config->capif.allow)) {
        capif->is_address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

static bool put_file(CURL *curl, CURLoption option, const tls_pem *file)
{
    struct curl_blob blob = { (void *)(uintptr_t)file->bytes, file->length, CURL_BLOB_COPY };
    return file->length == 0 || curl_easy_setopt(curl, option, &blob) == CURLE_OK;
}

/* The files are looked at for each request, as they may have been replaced. */
static bool prepare(publisher *capif, const char *method, const char *url, size_t length)
{
    CURL *curl = capif->curl;
    const tls_pem *files = capif->options.files;
    bool has_body = length > 0;
    curl_easy_reset(curl);
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, capif->header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CAPIF_CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CAPIF_ANSWER_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, capif) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_WRITEDATA, capif) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_HEADERDATA, capif) == CURLE_OK &&
           (!has_body || (curl_easy_setopt(curl, CURLOPT_POSTFIELDS, capif->body) == CURLE_OK &&
                          curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)length) == CURLE_OK)) &&
           curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK && put_file(curl, CURLOPT_CAINFO_BLOB, &files[CAPIF_CA]) &&
           put_file(curl, CURLOPT_SSLCERT_BLOB, &files[CAPIF_CERTIFICATE]) && put_file(curl, CURLOPT_SSLKEY_BLOB, &files[CAPIF_KEY]);
}

static void write_escaped(dro_builder *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char hex[4];
    for (; *text != '\0'; text++) {
        bool is_plain = strchr(plain, *text) != NULL;
        snprintf(hex, sizeof hex, is_plain ? "%c" : "%%%02X", (unsigned char)*text);
        dro_builder_text(out, hex);
    }
}

/* The root, the path, and where they are given the names in it, escaped. */
static bool write_url(char url[URL_MAX], const char *root, const char *path, const char *name, const char *rest, const char *id)
{
    dro_builder out = dro_builder_over(url, URL_MAX - 1);
    dro_builder_text(&out, root);
    dro_builder_text(&out, path);
    write_escaped(&out, name);
    dro_builder_text(&out, rest);
    write_escaped(&out, id);
    *out.at = '\0';
    return out.err == DRO_OK;
}

static void fail(publisher *capif, const char *why);

static void ask(publisher *capif, task wanted, row *at, const char *method, bool is_url, const char *url, size_t length)
{
    capif->task = wanted;
    capif->at = at;
    capif->answer_length = 0;
    capif->location[0] = '\0';
    capif->is_address_refused = capif->is_too_long = false;
    capif->requests++;
    if (!is_url || !prepare(capif, method, url, length) || curl_multi_add_handle(capif->curls.multi, capif->curl) != CURLM_OK)
        fail(capif, "the request could not be made");
}

static void ask_list(publisher *capif)
{
    char url[URL_MAX];
    bool is_url = write_url(url, capif->root, "/published-apis/v1/", apf_of(capif), "/service-apis", "");
    ask(capif, TASK_LIST, NULL, "GET", is_url, url, 0);
}

static void ask_publish(publisher *capif, row *at)
{
    char url[URL_MAX];
    dro_builder out = dro_builder_over(capif->body, sizeof capif->body);
    bool is_new = at->id[0] == '\0';
    capif->digest = describe(capif, at, &out);
    bool is_url = out.err == DRO_OK && write_url(url, capif->root, "/published-apis/v1/", apf_of(capif), is_new ? "/service-apis" : "/service-apis/", at->id);
    ask(capif, is_new ? TASK_PUBLISH : TASK_UPDATE, at, is_new ? "POST" : "PUT", is_url, url, dro_builder_length(&out));
}

static void ask_withdraw(publisher *capif, row *at)
{
    char url[URL_MAX];
    bool is_url = write_url(url, capif->root, "/published-apis/v1/", apf_of(capif), "/service-apis/", at->id);
    ask(capif, TASK_WITHDRAW, at, "DELETE", is_url, url, 0);
}

/* The public key of our certificate as PEM; false: there is none. */
static bool public_key(const tls_pem *certificate, char out[PEM_MAX])
{
    BIO *in = certificate->length == 0 ? NULL : BIO_new_mem_buf(certificate->bytes, (int)certificate->length), *pem = BIO_new(BIO_s_mem());
    X509 *read = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
    EVP_PKEY *key = read == NULL ? NULL : X509_get0_pubkey(read);
    char *bytes = NULL;
    long length = key != NULL && pem != NULL && PEM_write_bio_PUBKEY(pem, key) == 1 ? BIO_get_mem_data(pem, &bytes) : 0;
    bool is_good = length > 0 && length < PEM_MAX;
    if (is_good) {
        memcpy(out, bytes, (size_t)length);
        out[length] = '\0';
    }
    X509_free(read);
    BIO_free(in);
    BIO_free(pem);
    ERR_clear_error();
    return is_good;
}

/* Without the line's end that a file has. */
static size_t secret_length(const tls_pem *secret)
{
    size_t length = secret->length;
    while (length > 0 && (secret->bytes[length - 1] == '\n' || secret->bytes[length - 1] == '\r'))
        length--;
    return length;
}

static void ask_register(publisher *capif)
{
    static const char *const roles[] = { "AEF", "APF", "AMF" };
    const tls_pem *secret = &capif->options.files[CAPIF_SECRET];
    char key[PEM_MAX], url[URL_MAX];
    dro_builder out = dro_builder_over(capif->body, sizeof capif->body);
    bool is_good = public_key(&capif->options.files[CAPIF_CERTIFICATE], key);
    dro_builder_text(&out, "{\"regSec\":");
    json_text(&out, secret->bytes, secret_length(secret));
    dro_builder_text(&out, ",\"apiProvDomInfo\":");
    json_text(&out, capif->options.config->identity, strlen(capif->options.config->identity));
    dro_builder_text(&out, ",\"apiProvFuncs\":[");
    for (size_t i = 0; is_good && i < sizeof roles / sizeof *roles; i++) {
        dro_builder_text(&out, i > 0 ? ",{\"regInfo\":{\"apiProvPubKey\":" : "{\"regInfo\":{\"apiProvPubKey\":");
        json_text(&out, key, strlen(key));
        dro_builder_text(&out, "},\"apiProvFuncRole\":\"");
        dro_builder_text(&out, roles[i]);
        dro_builder_text(&out, "\"}");
    }
    dro_builder_text(&out, "]}");
    is_good = is_good && out.err == DRO_OK && write_url(url, capif->root, "/api-provider-management/v1/registrations", "", "", "");
    ask(capif, TASK_REGISTER, NULL, "POST", is_good, url, dro_builder_length(&out));
}

static void ask_deregister(publisher *capif)
{
    char url[URL_MAX];
    bool is_url = write_url(url, capif->root, "/api-provider-management/v1/registrations/", capif->registration, "", "");
    ask(capif, TASK_DEREGISTER, NULL, "DELETE", is_url, url, 0);
}

/* ---- answers ---- */

/* The last part of a link, decoded where it is plain: names with escapes are given back as they came. False: none. */
static bool last_part(const char *link, char *out, size_t room)
{
    size_t length = strcspn(link, "?#");
    while (length > 0 && link[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && link[begin - 1] != '/')
        begin--;
    if (length == begin || length - begin >= room || memchr(link + begin, '%', length - begin) != NULL)
        return false;
    memcpy(out, link + begin, length - begin);
    out[length - begin] = '\0';
    return true;
}

static bool member_text(yyjson_val *object, const char *name, char *out, size_t room)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    size_t length = yyjson_is_str(value) ? yyjson_get_len(value) : 0;
    if (length == 0 || length >= room || memchr(yyjson_get_str(value), '\0', length) != NULL)
        return false;
    memcpy(out, yyjson_get_str(value), length);
    out[length] = '\0';
    return true;
}

/* Ours: some profile of it names us. */
static bool is_ours(const publisher *capif, yyjson_val *description)
{
    yyjson_val *profile;
    size_t i, count;
    yyjson_arr_foreach(yyjson_obj_get(description, "aefProfiles"), i, count, profile)
        if (yyjson_equals_str(yyjson_obj_get(profile, "aefId"), aef_of(capif)))
            return true;
    return false;
}

/* One that we know not, or not as this one: a crash came before it was kept. It is changed, or goes, in its turn. */
static void take_listed(publisher *capif, yyjson_val *description)
{
    char name[SERVICE_API_NAME_MAX + 1], id[NAME_MAX_BYTES + 1];
    if (!yyjson_is_obj(description) || !member_text(description, "apiName", name, sizeof name) || !member_text(description, "apiId", id, sizeof id))
        return;
    row *at = NULL;
    for (uint32_t i = 0; i < capif->row_count; i++)
        if (strcmp(capif->rows[i].id, id) == 0)
            at = &capif->rows[i];
    if (at == NULL && is_ours(capif, description)) {
        at = row_named(capif, name, strlen(name));
        if (at == NULL || at->id[0] != '\0')
            at = row_new(capif, name, strlen(name)); /* a second one of that name goes */
        if (at == NULL)
            return;
        snprintf(at->id, sizeof at->id, "%s", id);
        at->digest = 0;
    }
    if (at != NULL)
        at->is_listed = true;
}

static bool on_list(publisher *capif)
{
    yyjson_doc *document = yyjson_read(capif->answer, capif->answer_length, YYJSON_READ_NOFLAG);
    yyjson_val *root = yyjson_doc_get_root(document), *item;
    size_t i, count;
    bool is_list = yyjson_is_arr(root);
    for (uint32_t at = 0; at < capif->row_count; at++)
        capif->rows[at].is_listed = false;
    yyjson_arr_foreach(root, i, count, item)
        if (i < LISTED_MAX)
            take_listed(capif, item);
    for (uint32_t at = 0; is_list && count <= LISTED_MAX && at < capif->row_count; at++)
        if (capif->rows[at].id[0] != '\0' && !capif->rows[at].is_listed) {
            dro_warn("capif_lost api=%s id=%s \"the core function has it no more\"", capif->rows[at].name, capif->rows[at].id);
            capif->rows[at].id[0] = '\0';
        }
    yyjson_doc_free(document);
    return is_list;
}

static bool on_registered(publisher *capif)
{
    yyjson_doc *document = yyjson_read(capif->answer, capif->answer_length, YYJSON_READ_NOFLAG);
    yyjson_val *root = yyjson_doc_get_root(document), *item;
    size_t i, count;
    char apf[NAME_MAX_BYTES + 1] = "", aef[NAME_MAX_BYTES + 1] = "";
    yyjson_arr_foreach(yyjson_obj_get(root, "apiProvFuncs"), i, count, item)
    {
        yyjson_val *role = yyjson_obj_get(item, "apiProvFuncRole");
        if (yyjson_equals_str(role, "APF"))
            member_text(item, "apiProvFuncId", apf, sizeof apf);
        else if (yyjson_equals_str(role, "AEF"))
            member_text(item, "apiProvFuncId", aef, sizeof aef);
    }
    yyjson_doc_free(document);
    if (apf[0] == '\0' || aef[0] == '\0' || !last_part(capif->location, capif->registration, sizeof capif->registration))
        return false;
    memcpy(capif->apf, apf, sizeof apf);
    memcpy(capif->aef, aef, sizeof aef);
    dro_info("capif_registered registration=%s apf=%s aef=%s", capif->registration, capif->apf, capif->aef);
    return true;
}

static bool on_published(publisher *capif)
{
    yyjson_doc *document = yyjson_read(capif->answer, capif->answer_length, YYJSON_READ_NOFLAG);
    row *at = capif->at;
    bool is_named = last_part(capif->location, at->id, sizeof at->id) ||
                    member_text(yyjson_doc_get_root(document), "apiId", at->id, sizeof at->id);
    yyjson_doc_free(document);
    return is_named;
}

static void row_remove(publisher *capif, row *gone)
{
    *gone = capif->rows[--capif->row_count];
}

static void row_is_so(publisher *capif, row *at, uint64_t digest)
{
    dro_clock *clock = capif->options.config->clock;
    at->digest = digest;
    at->since_ms = clock->wall_ms(clock);
    at->reason[0] = '\0';
}

static bool is_final(long status)
{
    return status == 404 || status == 405 || status == 501;
}

/* Of a registration that is lost the change of what was published tells. */
static void probe(publisher *capif)
{
    for (uint32_t i = 0; i < capif->row_count && capif->registration[0] != '\0'; i++)
        if (capif->rows[i].id[0] != '\0') {
            capif->rows[i].digest = 0;
            return;
        }
}

/* Did it end as it should? What it changed is to be kept then. */
static bool is_done(publisher *capif, long status)
{
    row *at = capif->at;
    switch (capif->task) {
    case TASK_REGISTER: return status == 201 && on_registered(capif);
    case TASK_LIST:
        if (is_final(status)) /* who has no list is believed to have what was given, but asked whether it still knows us */
            probe(capif);
        capif->is_listed = is_final(status) || (status == 200 && on_list(capif));
        return capif->is_listed;
    case TASK_PUBLISH:
        if (status != 201 || !on_published(capif))
            return false;
        dro_info("capif_published api=%s id=%s", at->name, at->id);
        row_is_so(capif, at, capif->digest);
        return true;
    case TASK_UPDATE:
        if (status == 404) { /* gone there: anew */
            at->id[0] = '\0';
            return true;
        }
        if (status != 200 && status != 204)
            return false;
        dro_info("capif_changed api=%s id=%s", at->name, at->id);
        row_is_so(capif, at, capif->digest);
        return true;
    case TASK_WITHDRAW:
        if (status != 204 && status != 200 && status != 404)
            return false;
        dro_info("capif_withdrawn api=%s id=%s", at->name, at->id);
        row_remove(capif, at);
        return true;
    case TASK_DEREGISTER:
        if (status != 204 && status != 200 && status != 404)
            return false;
        dro_info("capif_deregistered registration=%s", capif->registration);
        capif->registration[0] = capif->apf[0] = capif->aef[0] = '\0';
        return true;
    default: return false;
    }
}

/* A pause, longer with each failure; the cycle begins anew then. A core function that does not know us any more is
 * asked to register us again. */
static void fail(publisher *capif, const char *why)
{
    char *reason = capif->at != NULL ? capif->at->reason : capif->reason;
    uint32_t doublings = capif->failures < 12 ? capif->failures : 12;
    int64_t pause_ms = (int64_t)CAPIF_RETRY_FIRST_MS << doublings;
    snprintf(reason, REASON_MAX, "%s", why);
    if (capif->failures == 0)
        dro_warn("capif_failed root=%s reason=\"%s\"", capif->root, why);
    capif->failures++;
    capif->failed++;
    capif->task = TASK_NONE;
    capif->at = NULL;
    capif->is_listed = false;
    tell_core(capif, false);
    wake(capif, pause_ms < CAPIF_RETRY_LAST_MS ? pause_ms : CAPIF_RETRY_LAST_MS);
}

/* Those who gave us the registration may have lost it with all of theirs. */
static void forget_registration(publisher *capif)
{
    dro_warn("capif_registration_lost registration=%s", capif->registration);
    capif->registration[0] = capif->apf[0] = capif->aef[0] = '\0';
    for (uint32_t i = 0; i < capif->row_count; i++)
        capif->rows[i].id[0] = '\0';
    tell_core(capif, true);
}

static void on_done(void *context, CURL *curl, CURLcode code)
{
    publisher *capif = context;
    static const char *const names[] = { [TASK_NONE] = "", [TASK_REGISTER] = "registering", [TASK_LIST] = "asking what is published",
                                         [TASK_PUBLISH] = "publishing", [TASK_UPDATE] = "changing", [TASK_WITHDRAW] = "withdrawing",
                                         [TASK_DEREGISTER] = "deregistering" };
    char why[REASON_MAX];
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    task ended = capif->task;
    if (code == CURLE_OK && is_done(capif, status)) {
        capif->failures = 0;
        capif->reason[0] = '\0';
        capif->task = TASK_NONE;
        capif->at = NULL;
        tell_core(capif, true);
        step(capif);
        return;
    }
    if (code != CURLE_OK)
        snprintf(why, sizeof why, "%s: %s", names[ended],
                 capif->is_address_refused ? "its address may not be reached: capif.allow" : capif->is_too_long ? "the answer is too long" : curl_easy_strerror(code));
    else
        snprintf(why, sizeof why, status < 300 ? "%s: an answer %ld that is not one of TS 29.222" : "%s: the core function said %ld", names[ended], status);
    if (code == CURLE_OK && ended == TASK_PUBLISH && status == 404 && capif->registration[0] != '\0')
        forget_registration(capif);
    fail(capif, why);
}

/* ---- what is next ---- */

/* Another core function than the one that was published at: nothing we have is of it. */
static void begin_at(publisher *capif, const char *root)
{
    for (uint32_t i = 0; i < capif->row_count; i++)
        if (capif->rows[i].id[0] != '\0')
            dro_warn("capif_left root=%s api=%s id=%s \"it stays published there\"", capif->root, capif->rows[i].name, capif->rows[i].id);
    capif->row_count = 0;
    capif->registration[0] = capif->apf[0] = capif->aef[0] = '\0';
    snprintf(capif->root, sizeof capif->root, "%s", root);
    tell_core(capif, true);
}

static bool must_register(const publisher *capif)
{
    return capif->options.files[CAPIF_SECRET].length > 0 && capif->registration[0] == '\0';
}

/* Of the rows the first that is not as it is wanted; what is not wanted goes first. */
static row *row_to_do(publisher *capif)
{
    row *found = NULL;
    for (uint32_t i = 0; i < capif->row_count; i++) {
        row *at = &capif->rows[i];
        dro_builder out = dro_builder_over(capif->body, sizeof capif->body);
        if (!at->is_wanted)
            return at;
        if (found == NULL && (at->id[0] == '\0' || at->digest != describe(capif, at, &out)))
            found = at;
    }
    return found;
}

static void step(publisher *capif)
{
    const capif_config *config = &capif->options.config->capif;
    if (!capif->is_told || capif->task != TASK_NONE)
        return;
    if (strcmp(capif->root, config->root) != 0)
        begin_at(capif, config->root);
    mark_wanted(capif);
    bool has_any = capif->row_count > 0;
    if (config->publish && must_register(capif)) {
        ask_register(capif);
        return;
    }
    if (has_any && !capif->is_listed) {
        ask_list(capif);
        return;
    }
    row *next = row_to_do(capif);
    if (next != NULL && !next->is_wanted && next->id[0] == '\0') { /* it never was there */
        row_remove(capif, next);
        step(capif);
    } else if (next != NULL) {
        if (next->is_wanted)
            ask_publish(capif, next);
        else
            ask_withdraw(capif, next);
    } else if (!config->publish && capif->registration[0] != '\0') {
        ask_deregister(capif);
    } else {
        tell_core(capif, false);
        capif->is_listed = false; /* the next cycle asks again */
        wake(capif, config->check_s * 1000);
    }
}

static void on_timer(loop_timer *timer)
{
    step((publisher *)(void *)((char *)timer - offsetof(publisher, timer)));
}

/* ---- life ---- */

dro_err publisher_new(publisher **out, loop *home, const publisher_options *options)
{
    publisher *made = calloc(1, sizeof *made);
    *out = made;
    if (made == NULL)
        return DRO_NOMEM;
    made->home = home;
    made->options = *options;
    made->timer.on_due = on_timer;
    if (!is_publisher(made))
        return DRO_OK;
    dro_err err = curl_loop_init(&made->curls, home, on_done, made);
    if (err != DRO_OK)
        return err;
    made->curl = curl_easy_init();
    made->answer = malloc(CAPIF_ANSWER_MAX);
    made->header = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = made->header == NULL ? NULL : curl_slist_append(made->header, "Accept: application/json, application/problem+json");
    more = more == NULL ? NULL : curl_slist_append(made->header, "Expect:");
    return made->curl != NULL && made->answer != NULL && more != NULL ? DRO_OK : DRO_NOMEM;
}

void publisher_free(publisher *capif)
{
    if (capif == NULL)
        return;
    if (capif->task != TASK_NONE && capif->curl != NULL)
        curl_multi_remove_handle(capif->curls.multi, capif->curl);
    curl_easy_cleanup(capif->curl);
    curl_loop_fini(&capif->curls);
    curl_slist_free_all(capif->header);
    loop_timer_clear(capif->home, &capif->timer);
    free(capif->answer);
    free(capif);
}

void publisher_metrics(const publisher *capif, dro_builder *out)
{
    char text[512];
    uint32_t published = 0;
    for (uint32_t i = 0; i < capif->row_count; i++)
        published += capif->rows[i].id[0] != '\0';
    int length = snprintf(text, sizeof text,
                          "# TYPE dromio_capif_requests_total counter\n"
                          "dromio_capif_requests_total{outcome=\"done\"} %llu\n"
                          "dromio_capif_requests_total{outcome=\"failed\"} %llu\n"
                          "# TYPE dromio_capif_published gauge\n"
                          "dromio_capif_published %u\n",
                          (unsigned long long)(capif->requests - capif->failed), (unsigned long long)capif->failed, published);
    dro_builder_bytes(out, text, (size_t)length);
}
