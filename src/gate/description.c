/* Description: a Thing Model and a twin's id -> its W3C Thing Description 1.1
 * (clause 6; derived from the model as clause 10.4 says). */
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#include "gate/answer.h"
#include "gate/parts.h"

enum { HREF_MAX = 3 * (IDENTIFIER_MAX + 64) + 64 };

typedef struct writer {
    yyjson_mut_doc *doc;
    const char *id; /* percent-encoded */
} writer;

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("-._~@", c) != NULL);
}

/* Percent-encodes behind what is there (RFC 3986 2.1). */
static void put_encoded(dro_builder *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char escape[4];
        if (is_plain((unsigned char)text[i])) {
            dro_builder_bytes(out, text + i, 1);
            continue;
        }
        snprintf(escape, sizeof escape, "%%%02X", (unsigned char)text[i]);
        dro_builder_text(out, escape);
    }
}

static yyjson_mut_val *href(writer *to, const char *before, const char *between, yyjson_mut_val *name)
{
    char bytes[HREF_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_text(&out, before);
    dro_builder_text(&out, to->id);
    dro_builder_text(&out, between);
    if (name != NULL)
        put_encoded(&out, yyjson_mut_get_str(name), yyjson_mut_get_len(name));
    return yyjson_mut_strncpy(to->doc, bytes, dro_builder_length(&out));
}

/* {"href", "contentType", "op": [...], "subprotocol"} */
static yyjson_mut_val *form(writer *to, yyjson_mut_val *where, const char *const *operations, const char *subprotocol)
{
    yyjson_mut_val *made = yyjson_mut_obj(to->doc);
    yyjson_mut_val *list = yyjson_mut_arr(to->doc);
    for (; *operations != NULL; operations++)
        yyjson_mut_arr_add_str(to->doc, list, *operations);
    yyjson_mut_obj_add_val(to->doc, made, "href", where);
    yyjson_mut_obj_add_str(to->doc, made, "contentType",
                           subprotocol != NULL ? "text/event-stream" : "application/json");
    yyjson_mut_obj_add_val(to->doc, made, "op", list);
    if (subprotocol != NULL)
        yyjson_mut_obj_add_str(to->doc, made, "subprotocol", subprotocol);
    return made;
}

static void put_member(writer *to, yyjson_mut_val *object, const char *name, yyjson_mut_val *value)
{
    yyjson_mut_obj_remove_key(object, name);
    yyjson_mut_obj_add_val(to->doc, object, name, value);
}

static bool has_prefix(yyjson_mut_val *key, const char *prefix)
{
    return strncmp(yyjson_mut_get_str(key), prefix, strlen(prefix)) == 0;
}

/* What is between the model, its maker and this host: no word of it outside. */
static void remove_own(yyjson_mut_val *object)
{
    yyjson_mut_obj_iter iter;
    yyjson_mut_val *key;
    yyjson_mut_obj_iter_init(object, &iter);
    while ((key = yyjson_mut_obj_iter_next(&iter)) != NULL)
        if (has_prefix(key, "tm:") ||
            (has_prefix(key, "dromio:") && strcmp(yyjson_mut_get_str(key), "dromio:model") != 0))
            yyjson_mut_obj_iter_remove(&iter);
}

static void describe_property(writer *to, yyjson_mut_val *key, yyjson_mut_val *property)
{
    static const char *const both[] = { "readproperty", "writeproperty", NULL };
    static const char *const watch[] = { "observeproperty", "unobserveproperty", NULL };
    static const char *const read_only[] = { "readproperty", NULL };
    bool is_read_only = yyjson_mut_is_true(yyjson_mut_obj_get(property, "readOnly"));
    yyjson_mut_val *forms = yyjson_mut_arr(to->doc);
    yyjson_mut_arr_append(forms,
                          form(to, href(to, "/v1/twins/", "/properties/", key), is_read_only ? read_only : both, NULL));
    yyjson_mut_arr_append(forms, form(to, href(to, "/v1/events?twin=", "&property=", key), watch, "sse"));
    put_member(to, property, "forms", forms);
    put_member(to, property, "observable", yyjson_mut_true(to->doc));
}

static void describe_action(writer *to, yyjson_mut_val *key, yyjson_mut_val *action)
{
    static const char *const invoke[] = { "invokeaction", NULL };
    yyjson_mut_val *forms = yyjson_mut_arr(to->doc);
    yyjson_mut_arr_append(forms, form(to, href(to, "/v1/twins/", "/actions/", key), invoke, NULL));
    put_member(to, action, "forms", forms);
}

static void describe_event(writer *to, yyjson_mut_val *key, yyjson_mut_val *event)
{
    static const char *const subscribe[] = { "subscribeevent", "unsubscribeevent", NULL };
    yyjson_mut_val *forms = yyjson_mut_arr(to->doc);
    (void)key; /* the stream of a twin has all of its events */
    yyjson_mut_arr_append(forms, form(to, href(to, "/v1/events?twin=", "", NULL), subscribe, "sse"));
    put_member(to, event, "forms", forms);
}

static void describe_all(writer *to, yyjson_mut_val *root, const char *name,
                         void (*describe)(writer *to, yyjson_mut_val *key, yyjson_mut_val *value))
{
    yyjson_mut_val *object = yyjson_mut_obj_get(root, name);
    yyjson_mut_obj_iter iter;
    yyjson_mut_val *key;
    if (!yyjson_mut_is_obj(object))
        return;
    yyjson_mut_obj_iter_init(object, &iter);
    while ((key = yyjson_mut_obj_iter_next(&iter)) != NULL) {
        yyjson_mut_val *value = yyjson_mut_obj_iter_get_val(key);
        if (!yyjson_mut_is_obj(value) || yyjson_mut_is_true(yyjson_mut_obj_get(value, "dromio:private"))) {
            yyjson_mut_obj_iter_remove(&iter);
            continue;
        }
        remove_own(value);
        describe(to, key, value);
    }
}

static void put_type(writer *to, yyjson_mut_val *root)
{
    yyjson_mut_val *types = yyjson_mut_obj_get(root, "@type");
    yyjson_mut_arr_iter iter;
    yyjson_mut_val *type;
    if (!yyjson_mut_is_arr(types)) {
        put_member(to, root, "@type", yyjson_mut_str(to->doc, "Thing"));
        return;
    }
    yyjson_mut_arr_iter_init(types, &iter);
    while ((type = yyjson_mut_arr_iter_next(&iter)) != NULL)
        if (yyjson_mut_equals_str(type, "tm:ThingModel"))
            yyjson_mut_arr_iter_remove(&iter);
    yyjson_mut_arr_add_str(to->doc, types, "Thing");
}

static void put_security(writer *to, yyjson_mut_val *root)
{
    yyjson_mut_val *definitions = yyjson_mut_obj(to->doc), *bearer = yyjson_mut_obj(to->doc);
    yyjson_mut_val *list = yyjson_mut_arr(to->doc);
    yyjson_mut_obj_add_str(to->doc, bearer, "scheme", "bearer");
    yyjson_mut_obj_add_str(to->doc, bearer, "in", "header");
    yyjson_mut_obj_add_str(to->doc, bearer, "name", "Authorization");
    yyjson_mut_obj_add_val(to->doc, definitions, "bearer", bearer);
    yyjson_mut_arr_add_str(to->doc, list, "bearer");
    put_member(to, root, "securityDefinitions", definitions);
    put_member(to, root, "security", list);
}

/* Which model this is an instance of (TD 1.1 clause 5.3.4.1, relation "type"). */
static void put_model(writer *to, yyjson_mut_val *root)
{
    yyjson_mut_val *model = yyjson_mut_obj_get(root, "dromio:model");
    yyjson_mut_val *links = yyjson_mut_arr(to->doc), *link = yyjson_mut_obj(to->doc);
    yyjson_mut_val *version = yyjson_mut_obj_get(root, "version");
    char bytes[HREF_MAX];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    if (yyjson_mut_is_obj(version) && yyjson_mut_obj_get(version, "instance") == NULL) {
        yyjson_mut_val *number = yyjson_mut_obj_get(version, "model");
        yyjson_mut_obj_add_strncpy(to->doc, version, "instance",
                                   yyjson_mut_is_str(number) ? yyjson_mut_get_str(number) : "1",
                                   yyjson_mut_is_str(number) ? yyjson_mut_get_len(number) : 1);
    }
    if (!yyjson_mut_is_str(model))
        return;
    dro_builder_text(&out, "urn:dromio:model:");
    for (const char *at = yyjson_mut_get_str(model), *end = at + yyjson_mut_get_len(model); at < end; at++)
        *at == '/' ? dro_builder_text(&out, "/") : put_encoded(&out, at, 1);
    yyjson_mut_obj_add_str(to->doc, link, "rel", "type");
    yyjson_mut_obj_add_strncpy(to->doc, link, "href", bytes, dro_builder_length(&out));
    yyjson_mut_obj_add_str(to->doc, link, "type", "application/tm+json");
    yyjson_mut_arr_append(links, link);
    put_member(to, root, "links", links);
}

static void describe(writer *to, yyjson_mut_val *root, const char *id, size_t id_length)
{
    static const char *const all[] = { "readallproperties", NULL };
    char bytes[HREF_MAX];
    dro_builder urn = dro_builder_over(bytes, sizeof bytes);
    yyjson_mut_val *forms = yyjson_mut_arr(to->doc);
    dro_builder_text(&urn, "urn:dromio:twin:");
    dro_builder_text(&urn, to->id);
    remove_own(root);
    put_type(to, root);
    if (yyjson_mut_obj_get(root, "@context") == NULL)
        yyjson_mut_obj_add_str(to->doc, root, "@context", "https://www.w3.org/2022/wot/td/v1.1");
    if (!yyjson_mut_is_str(yyjson_mut_obj_get(root, "title")))
        put_member(to, root, "title", yyjson_mut_strncpy(to->doc, id, id_length));
    put_member(to, root, "id", yyjson_mut_strncpy(to->doc, bytes, dro_builder_length(&urn)));
    put_model(to, root);
    put_security(to, root);
    yyjson_mut_arr_append(forms, form(to, href(to, "/v1/twins/", "/properties", NULL), all, NULL));
    put_member(to, root, "forms", forms);
    describe_all(to, root, "properties", describe_property);
    describe_all(to, root, "actions", describe_action);
    describe_all(to, root, "events", describe_event);
}

void description_answer(http *http, exchange *exchange, const char *id, size_t id_length, const uint8_t *model,
                        size_t length)
{
    yyjson_alc pool;
    size_t arena_length = 0, text_length = 0;
    char encoded[3 * IDENTIFIER_MAX + 1], *text = NULL;
    dro_builder out = dro_builder_over(encoded, sizeof encoded - 1);
    void *arena = body_arena_bytes(http->arena, &arena_length);
    yyjson_alc_pool_init(&pool, arena, arena_length);
    put_encoded(&out, id, id_length);
    *out.at = '\0';
    yyjson_doc *read =
        out.err == DRO_OK ? yyjson_read_opts((char *)(uintptr_t)model, length, YYJSON_READ_NOFLAG, &pool, NULL) : NULL;
    yyjson_mut_doc *copy = read != NULL ? yyjson_doc_mut_copy(read, &pool) : NULL;
    yyjson_mut_val *root = copy != NULL ? yyjson_mut_doc_get_root(copy) : NULL;
    if (yyjson_mut_is_obj(root)) {
        describe(&(writer){ copy, encoded }, root, id, id_length);
        text = yyjson_mut_write_opts(copy, YYJSON_WRITE_NOFLAG, &pool, &text_length, NULL);
    }
    if (text == NULL) {
        answer_problem(exchange, 500, "the twin's model cannot be described");
        return;
    }
    answer made = { .status = 200, .content_type = "application/td+json", .etag = ANSWER_NO_ETAG };
    answer_whole(exchange, &made, text, text_length);
}
