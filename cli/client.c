#include "client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yyjson.h>

#include "cli.h"
#include "moment.h"
#include "text.h"

struct client {
    CURL *curl;
    char *host; /* without a slash at its end */
    char *ca;
    char authorization[CLIENT_TOKEN_MAX + 32];
    bool is_loopback;
};

/* What a request's callbacks work on. */
struct exchange {
    struct client *client;
    const struct request *request;
    struct response *response;
};

static bool is_token(const char *token)
{
    for (const char *at = token; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~')
            return false;
    }
    return token[0] != '\0' && strlen(token) <= CLIENT_TOKEN_MAX;
}

static bool check_host(struct client *client, const char *host)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *name = NULL, *query = NULL, *fragment = NULL;
    size_t length = strlen(host);
    while (length > 0 && host[length - 1] == '/')
        length--;
    client->host = strndup(host, length);
    bool is_fine = url != NULL && client->host != NULL &&
                   curl_url_set(url, CURLUPART_URL, client->host, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_QUERY, &query, 0) != CURLUE_OK &&
                   curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0) != CURLUE_OK &&
                   (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    if (is_fine)
        client->is_loopback =
            strncmp(name, "127.", 4) == 0 || strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0;
    curl_free(scheme);
    curl_free(name);
    curl_free(query);
    curl_free(fragment);
    curl_url_cleanup(url);
    return is_fine;
}

struct client *client_new(const client_config *config)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (client->curl = curl_easy_init()) == NULL) {
        cli_fail(EXIT_FAILED, "no memory");
        goto failed;
    }
    if (!check_host(client, config->host)) {
        cli_fail(EXIT_USAGE, "%s is not an address such as http://127.0.0.1:8080 (--host or $DROMIO_HOST)",
                 config->host);
        goto failed;
    }
    if (config->token != NULL && !is_token(config->token)) {
        cli_fail(EXIT_USAGE, "the token is not one: it is empty, too long, or holds spaces or other odd characters");
        goto failed;
    }
    if (config->token != NULL)
        snprintf(client->authorization, sizeof client->authorization, "Authorization: Bearer %s", config->token);
    if (config->ca != NULL && (client->ca = strdup(config->ca)) == NULL)
        goto failed;
    return client;
failed:
    client_free(client);
    return NULL;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    explicit_bzero(client->authorization, sizeof client->authorization);
    free(client->host);
    free(client->ca);
    free(client);
    curl_global_cleanup();
}

const char *client_host(const struct client *client)
{
    return client->host;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    struct response *response = exchange->response;
    const struct request *request = exchange->request;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(exchange->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (request->on_bytes != NULL && status >= 200 && status < 300) {
        if (request->on_bytes(request->context, bytes, length))
            return length;
        response->is_ended = true;
        return CURL_WRITEFUNC_ERROR;
    }
    buffer_put(&response->body, bytes, length);
    return response->body.is_full ? CURL_WRITEFUNC_ERROR : length;
}

static void copy_header(char *out, size_t capacity, const char *value, size_t length)
{
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    while (length > 0 && isspace((unsigned char)*value)) {
        value++;
        length--;
    }
    snprintf(out, capacity, "%.*s", (int)length, value);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct response *response = ((struct exchange *)context)->response;
    size_t length = size * count;
    char number[16];
    if (length > 12 && strncasecmp(bytes, "retry-after:", 12) == 0) {
        copy_header(number, sizeof number, bytes + 12, length - 12);
        response->retry_after_s = isdigit((unsigned char)number[0]) ? strtol(number, NULL, 10) : -1;
    } else if (length > 5 && strncasecmp(bytes, "etag:", 5) == 0) {
        copy_header(response->etag, sizeof response->etag, bytes + 5, length - 5);
    }
    return length;
}

static size_t on_upload(char *bytes, size_t size, size_t count, void *context)
{
    FILE *file = ((struct exchange *)context)->request->body_file;
    size_t length = fread(bytes, size, count, file);
    return length == 0 && ferror(file) ? CURL_READFUNC_ABORT : length;
}

static bool is_interrupted(const struct request *request)
{
    return moment_is_interrupted() && !request->is_farewell;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct exchange *exchange = context;
    (void)a, (void)b, (void)c, (void)d;
    if (is_interrupted(exchange->request))
        return 1;
    if (exchange->request->on_idle == NULL || exchange->request->on_idle(exchange->request->context))
        return 0;
    exchange->response->is_ended = true;
    return 1;
}

static bool add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static struct curl_slist *all_headers(const struct client *client, const struct request *request)
{
    struct curl_slist *list = NULL;
    char line[256];
    bool is_fine = add_header(&list, "Expect:"); /* no pause before a large body */
    if (client->authorization[0] != '\0')
        is_fine = is_fine && add_header(&list, client->authorization);
    snprintf(line, sizeof line, "Accept: %s",
             request->accept != NULL ? request->accept : "application/json, application/problem+json");
    is_fine = is_fine && add_header(&list, line);
    if (request->body != NULL || request->body_file != NULL) {
        snprintf(line, sizeof line, "Content-Type: %s",
                 request->content_type != NULL ? request->content_type : "application/json");
        is_fine = is_fine && add_header(&list, line);
    }
    for (int i = 0; i < CLIENT_HEADERS_MAX && request->headers[i] != NULL; i++)
        is_fine = is_fine && add_header(&list, request->headers[i]);
    if (!is_fine) {
        curl_slist_free_all(list);
        return NULL;
    }
    return list;
}

static void set_body(CURL *curl, struct exchange *exchange)
{
    const struct request *request = exchange->request;
    if (request->body_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
    } else if (request->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_all(struct client *client, struct exchange *exchange, struct curl_slist *headers, const char *url,
                    char *error)
{
    CURL *curl = client->curl;
    const struct request *request = exchange->request;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CLIENT_CONNECT_SECONDS);
    if (client->ca != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    if (client->is_loopback)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* a proxy's loopback is another machine's */
    if (request->timeout_ms < 0) {
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)CLIENT_IDLE_SECONDS);
    } else {
        long most = request->timeout_ms > 0 ? request->timeout_ms : CLIENT_REQUEST_SECONDS * 1000L;
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, most);
    }
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    set_body(curl, exchange);
}

/* A failed transfer in our words; the exit code. */
static int judge_transport(const struct request *request, struct response *out, CURLcode code, const char *error)
{
    const char *text = error[0] != '\0' ? error : curl_easy_strerror(code);
    snprintf(out->reason, sizeof out->reason, "%s", text);
    if (code != CURLE_OK && is_interrupted(request))
        return EXIT_INTERRUPTED;
    switch (code) {
    case CURLE_OK: return EXIT_OK;
    case CURLE_PEER_FAILED_VERIFICATION:
        out->is_untrusted = true;
        return EXIT_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT: {
        /* Never got through at all: that is unreachable, not slow. */
        return out->status == 0 && strstr(text, "onnect") != NULL ? EXIT_UNREACHABLE : EXIT_TIMED_OUT;
    }
    case CURLE_WRITE_ERROR:
        if (out->is_ended)
            return EXIT_OK;
        snprintf(out->reason, sizeof out->reason, "the answer is larger than %d MiB", CLIENT_ANSWER_MAX / 1024 / 1024);
        return EXIT_FAILED;
    case CURLE_ABORTED_BY_CALLBACK:
        if (out->is_ended)
            return EXIT_OK;
        snprintf(out->reason, sizeof out->reason, "the file to send cannot be read");
        return EXIT_FAILED;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_SSL_CACERT_BADFILE: return EXIT_FAILED;
    case CURLE_SEND_ERROR: /* the host may have answered before it read all */
        return out->status >= 400 && request->body_file != NULL ? EXIT_OK : EXIT_UNREACHABLE;
    default: return EXIT_UNREACHABLE;
    }
}

void client_send(struct client *client, const struct request *request, struct response *out)
{
    struct exchange exchange = { client, request, out };
    char error[CURL_ERROR_SIZE] = "";
    struct buffer url = { 0 };
    *out = (struct response){ .retry_after_s = -1, .transport = EXIT_FAILED };
    out->body.limit = CLIENT_ANSWER_MAX;
    buffer_text(&url, client->host);
    buffer_text(&url, request->path);
    struct curl_slist *headers = all_headers(client, request);
    if (url.is_full || headers == NULL) {
        snprintf(out->reason, sizeof out->reason, "no memory");
        goto done;
    }
    set_all(client, &exchange, headers, buffer_string(&url), error);
    CURLcode code = curl_easy_perform(client->curl);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &out->status);
    out->transport = judge_transport(request, out, code, error);
done:
    curl_slist_free_all(headers);
    buffer_fini(&url);
}

void response_fini(struct response *response)
{
    if (response->body.bytes != NULL) /* may hold a token */
        explicit_bzero(response->body.bytes, response->body.capacity);
    buffer_fini(&response->body);
}

static int status_exit(long status)
{
    switch (status) {
    case 401:
    case 403:
    case 405: return EXIT_NOT_ALLOWED;
    case 404: return EXIT_NOT_FOUND;
    case 408:
    case 504: return EXIT_TIMED_OUT;
    case 409:
    case 412: return EXIT_CONFLICT;
    default: return EXIT_FAILED;
    }
}

/* What the user can do about it. */
static void tell_way_out(const struct client *client, const struct response *response)
{
    switch (response->status) {
    case 401:
        if (client->authorization[0] == '\0')
            fprintf(stderr, "  no token was given: --token-file FILE, $DROMIO_TOKEN or $DROMIO_TOKEN_FILE; the host's "
                            "own is DATA/admin.token\n");
        else
            fprintf(stderr, "  the token is unknown to this host or has ended: dromio app token ID makes a new one\n");
        break;
    case 403:
        fprintf(stderr,
                "  the token does not allow it: use one whose application has the scope, see dromio app list\n");
        break;
    case 412: fprintf(stderr, "  it was changed in between: read it again, then decide\n"); break;
    case 429:
    case 503:
        if (response->retry_after_s >= 0)
            fprintf(stderr, "  nothing was done; try again in %ld s\n", response->retry_after_s);
        else
            fprintf(stderr, "  nothing was done; try again soon\n");
        break;
    default: break;
    }
}

static void tell_reasons(const yyjson_val *root)
{
    enum { REASONS_SHOWN_MAX = 50 };
    size_t index, max;
    yyjson_val *reason;
    yyjson_val *reasons = yyjson_obj_get((yyjson_val *)root, "reasons");
    struct buffer line = { 0 };
    yyjson_arr_foreach(reasons, index, max, reason)
    {
        if (index == REASONS_SHOWN_MAX) {
            fprintf(stderr, "  and %zu more\n", max - index);
            break;
        }
        buffer_clear(&line);
        if (yyjson_is_str(reason))
            text_escape(&line, yyjson_get_str(reason), yyjson_get_len(reason));
        fprintf(stderr, "  - %s\n", buffer_string(&line));
    }
    buffer_fini(&line);
}

static void tell_problem(const struct response *response)
{
    yyjson_doc *doc = yyjson_read(buffer_string(&response->body), response->body.length, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *title = member_text(root, "title");
    const char *detail = member_text(root, "detail");
    const char *said = detail[0] != '\0' ? detail : title;
    struct buffer line = { 0 };
    text_escape(&line, said, strlen(said));
    if (line.length == 0)
        buffer_text(&line, "the host gave no reason");
    cli_fail(EXIT_FAILED, "%s (%ld%s%s)", buffer_string(&line), response->status,
             detail[0] != '\0' && title[0] != '\0' ? " " : "", detail[0] != '\0' ? title : "");
    tell_reasons(root);
    buffer_fini(&line);
    yyjson_doc_free(doc);
}

int client_judge(const struct client *client, const struct response *response)
{
    if (response->transport == EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED;
    if (response->transport == EXIT_UNREACHABLE) {
        cli_fail(EXIT_UNREACHABLE, "cannot reach %s: %s", client->host, response->reason);
        if (response->is_untrusted)
            fprintf(stderr, "  its certificate is not trusted: --ca FILE or $DROMIO_CA names who has signed it; --host must name it as the certificate does\n");
        else
            fprintf(stderr, "  does dromiod run there? --host URL or $DROMIO_HOST names another\n");
        return EXIT_UNREACHABLE;
    }
    if (response->transport == EXIT_TIMED_OUT)
        return cli_fail(EXIT_TIMED_OUT, "no answer from %s in time: %s", client->host, response->reason);
    if (response->transport != EXIT_OK)
        return cli_fail(response->transport, "%s", response->reason);
    if (response->status >= 200 && response->status < 300)
        return EXIT_OK;
    tell_problem(response);
    tell_way_out(client, response);
    return status_exit(response->status);
}

int client_call(struct client *client, const struct request *request, struct response *out)
{
    client_send(client, request, out);
    return client_judge(client, out);
}
