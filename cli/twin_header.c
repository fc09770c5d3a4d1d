#include "base/base64.h"
#include "twin_header.h"

#include <ctype.h>
#include <yyjson.h>

void twin_header_prefix(const model *model, char prefix[TWIN_PREFIX_MAX])
{
    const char *name = strchr(model->name, '/');
    name = name == NULL ? model->name : name + 1;
    size_t at = 0;
    if (!isalpha((unsigned char)name[0]) || strncmp(name, "dromio", 6) == 0) /* the SDK's own names */
        prefix[at++] = '_';
    for (; *name != '\0' && at < TWIN_PREFIX_MAX - 1; name++)
        prefix[at++] = isalnum((unsigned char)*name) ? *name : '_';
    prefix[at] = '\0';
}

/* A name as a member; C's own words get an underscore behind. */
static const char *member(const char *name, char text[MODEL_NAME_MAX + 2])
{
    static const char *const words[] = {
        "auto", "bool", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
        "extern", "false", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return",
        "short", "signed", "sizeof", "static", "struct", "switch", "true", "typedef", "union", "unsigned", "void",
        "volatile", "while", "asm", "typeof", "NULL", "nullptr", "alignas", "alignof", "constexpr", "static_assert",
        "thread_local",
    };
    bool is_word = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        is_word = is_word || strcmp(name, words[i]) == 0;
    snprintf(text, MODEL_NAME_MAX + 2, "%s%s", name, is_word ? "_" : "");
    return text;
}

static const char *upper(const char *name, char text[TWIN_PREFIX_MAX])
{
    size_t length = strnlen(name, TWIN_PREFIX_MAX - 1);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)toupper((unsigned char)name[i]);
    text[length] = '\0';
    return text;
}

static const char *kind_text(value_kind kind)
{
    static const char *const texts[] = { "none", "number", "integer", "boolean", "string" };
    return texts[kind];
}

static const char *c_type(value_kind kind)
{
    return kind == VALUE_NUMBER ? "double" : kind == VALUE_INTEGER ? "int64_t" : "bool";
}

static const char *kind_constant(value_kind kind)
{
    static const char *const texts[] = { "DROMIO_VALUE_NONE", "DROMIO_VALUE_NUMBER", "DROMIO_VALUE_INTEGER",
                                         "DROMIO_VALUE_BOOLEAN", "DROMIO_VALUE_STRING" };
    return texts[kind];
}

/* `names` is the first of `count` names that lie `stride` bytes apart. */
static void write_enum(FILE *out, const char *prefix, const char *what, const char *names, size_t stride,
                       uint32_t count)
{
    char capital_prefix[TWIN_PREFIX_MAX], capital_what[TWIN_PREFIX_MAX], capital_name[TWIN_PREFIX_MAX];
    upper(prefix, capital_prefix);
    upper(what, capital_what);
    if (count == 0)
        return;
    fprintf(out, "enum %s_%s {\n", prefix, what);
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "    %s_%s_%s = %u,\n", capital_prefix, capital_what, upper(names + i * stride, capital_name), i);
    fprintf(out, "};\n\n");
}

static void write_setter(FILE *out, const char *prefix, uint32_t index, const model_property *property)
{
    fprintf(out, "/* %s%s%s */\n", kind_text(property->schema.kind), property->unit[0] != '\0' ? ", " : "",
            property->unit);
    if (property->schema.kind == VALUE_STRING)
        fprintf(out, "static inline void %s_set_%s(const void *bytes, uint32_t length, enum dromio_quality quality)\n"
                     "{\n    dromio_property_set_string(%u, bytes, length, quality);\n}\n\n",
                prefix, property->name, index);
    else
        fprintf(out, "static inline void %s_set_%s(%s value, enum dromio_quality quality)\n"
                     "{\n    dromio_property_set_%s(%u, value, quality);\n}\n\n",
                prefix, property->name, c_type(property->schema.kind), kind_text(property->schema.kind), index);
}

static void write_notify(FILE *out, const char *prefix, uint32_t index, const model_event *event)
{
    fprintf(out, "static inline void %s_notify_%s(", prefix, event->name);
    if (event->kind == VALUE_NUMBER)
        fprintf(out, "double value)\n{\n    dromio_notify_number(%u, value);\n}\n\n", index);
    else if (event->kind == VALUE_STRING)
        fprintf(out, "const void *bytes, uint32_t length)\n{\n    dromio_notify_string(%u, bytes, length);\n}\n\n",
                index);
    else
        fprintf(out, "void)\n{\n    dromio_notify(%u);\n}\n\n", index);
}

static void write_members(FILE *out, const model_input *inputs, uint32_t count)
{
    char name[MODEL_NAME_MAX + 2];
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "    struct {\n        enum dromio_change change;\n");
        if (inputs[i].schema.kind == VALUE_STRING)
            fprintf(out, "        const uint8_t *bytes; /* in the payload */\n        uint32_t length;\n");
        else
            fprintf(out, "        %s value;\n", c_type(inputs[i].schema.kind));
        fprintf(out, "    } %s;\n", member(inputs[i].name, name));
    }
}

static void write_read_members(FILE *out, const model_input *inputs, uint32_t count)
{
    char name[MODEL_NAME_MAX + 2];
    for (uint32_t i = 0; i < count; i++) {
        const model_schema *schema = &inputs[i].schema;
        member(inputs[i].name, name);
        fprintf(out, "    out->%s.change = dromio_take_member(&in, %s, &value);\n", name, kind_constant(schema->kind));
        if (schema->is_required)
            fprintf(out, "    if (out->%s.change != DROMIO_GIVEN)\n        return false;\n", name);
        else
            fprintf(out, "    if (out->%s.change == DROMIO_GIVEN)%s\n", name, schema->kind == VALUE_STRING ? " {" : "");
        const char *indent = schema->is_required ? "    " : "        ";
        if (schema->kind == VALUE_STRING)
            fprintf(out, "%sout->%s.bytes = value.bytes;\n%sout->%s.length = value.length;\n%s", indent, name, indent,
                    name, schema->is_required ? "" : "    }\n");
        else
            fprintf(out, "%sout->%s.value = value.%s;\n", indent, name, kind_text(schema->kind));
    }
}

/* A reader of one payload into a struct: secrets, or the input of an action. */
static void write_reader(FILE *out, const char *prefix, const char *what, const model_input *inputs, uint32_t count)
{
    fprintf(out, "static inline bool %s_read_%s(%s_%s *out, uint32_t length)\n{\n", prefix, what, prefix, what);
    fprintf(out, "    dromio_reader in = dromio_reader_over(dromio_payload, length);\n    dromio_value value;\n");
    write_read_members(out, inputs, count);
    fprintf(out, "    return !in.failed;\n}\n\n");
}

static void write_bytes(FILE *out, const char *bytes, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++)
        fprintf(out, "\\%03o", (unsigned char)bytes[i]);
    fputc('"', out);
}

static void write_default(FILE *out, const model_input *secret, yyjson_val *json)
{
    char name[MODEL_NAME_MAX + 2];
    member(secret->name, name);
    if (json == NULL)
        return;
    if (secret->schema.kind == VALUE_NUMBER)
        fprintf(out, "    out->%s.value = %.17g;\n", name, yyjson_get_num(json));
    else if (secret->schema.kind == VALUE_INTEGER)
        fprintf(out, "    out->%s.value = %lld;\n", name, (long long)yyjson_get_num(json));
    else if (secret->schema.kind == VALUE_BOOLEAN)
        fprintf(out, "    out->%s.value = %s;\n", name, yyjson_get_bool(json) ? "true" : "false");
    else {
        uint8_t bytes[VALUE_STRING_MAX];
        dro_builder decoded = dro_builder_over(bytes, sizeof bytes);
        if (!secret->schema.is_base64)
            dro_builder_bytes(&decoded, yyjson_get_str(json), yyjson_get_len(json));
        else if (dro_base64_read(&decoded, yyjson_get_str(json), yyjson_get_len(json)) != DRO_OK)
            return; /* model_parse has refused it */
        fprintf(out, "    out->%s.bytes = (const uint8_t *)", name);
        write_bytes(out, (const char *)bytes, dro_builder_length(&decoded));
        fprintf(out, ";\n    out->%s.length = %zu;\n", name, dro_builder_length(&decoded));
    }
}

static void write_secrets(FILE *out, const char *prefix, const model *model, yyjson_val *root)
{
    if (model->secret_count == 0)
        return;
    yyjson_val *secrets = yyjson_obj_get(root, "dromio:secrets");
    fprintf(out, "/* Payload of created and configured. Not given or removed: the model's default, or nothing. */\n");
    fprintf(out, "typedef struct %s_secrets {\n", prefix);
    write_members(out, model->secrets, model->secret_count);
    fprintf(out, "} %s_secrets;\n\n", prefix);
    fprintf(out, "static inline bool %s_read_secrets(%s_secrets *out, uint32_t length)\n{\n", prefix, prefix);
    fprintf(out, "    dromio_reader in = dromio_reader_over(dromio_payload, length);\n    dromio_value value;\n");
    fprintf(out, "    memset(out, 0, sizeof *out);\n");
    for (uint32_t i = 0; i < model->secret_count; i++)
        write_default(out, &model->secrets[i],
                      yyjson_obj_get(yyjson_obj_get(secrets, model->secrets[i].name), "default"));
    write_read_members(out, model->secrets, model->secret_count);
    fprintf(out, "    return !in.failed;\n}\n\n");
}

static void write_actions(FILE *out, const char *prefix, const model *model)
{
    for (uint32_t i = 0; i < model->action_count; i++) {
        const model_action *action = &model->actions[i];
        char what[MODEL_NAME_MAX + 16];
        if (action->input_count == 0)
            continue;
        snprintf(what, sizeof what, "action_%s", action->name);
        fprintf(out, "/* Input of %s. */\ntypedef struct %s_%s {\n", action->name, prefix, what);
        write_members(out, action->inputs, action->input_count);
        fprintf(out, "} %s_%s;\n\n", prefix, what);
        write_reader(out, prefix, what, action->inputs, action->input_count);
    }
}

static void write_write_case(FILE *out, uint32_t index, const model_property *property)
{
    char name[MODEL_NAME_MAX + 2];
    member(property->name, name);
    fprintf(out, "    case %u:\n", index);
    fprintf(out, "        if (dromio_take_member(&in, %s, &value) != DROMIO_GIVEN)\n            return false;\n",
            kind_constant(property->schema.kind));
    if (property->schema.kind == VALUE_STRING)
        fprintf(out, "        out->%s.bytes = value.bytes;\n        out->%s.length = value.length;\n", name, name);
    else
        fprintf(out, "        out->%s = value.%s;\n", name, kind_text(property->schema.kind));
    fprintf(out, "        return true;\n");
}

static void write_writes(FILE *out, const char *prefix, const model *model)
{
    char name[MODEL_NAME_MAX + 2];
    uint32_t writable = 0;
    for (uint32_t i = 0; i < model->property_count; i++)
        writable += model->properties[i].is_writable;
    if (writable == 0)
        return;
    fprintf(out, "/* Payload of a property write: the member its property says. */\n");
    fprintf(out, "typedef struct %s_write {\n    enum %s_property property;\n    union {\n", prefix, prefix);
    for (uint32_t i = 0; i < model->property_count; i++) {
        const model_property *property = &model->properties[i];
        if (!property->is_writable)
            continue;
        if (property->schema.kind == VALUE_STRING)
            fprintf(out, "        struct {\n            const uint8_t *bytes; /* in the payload */\n"
                         "            uint32_t length;\n        } ");
        else
            fprintf(out, "        %s ", c_type(property->schema.kind));
        fprintf(out, "%s;\n", member(property->name, name));
    }
    fprintf(out, "    };\n} %s_write;\n\n", prefix);
    fprintf(out, "static inline bool %s_read_write(%s_write *out, uint32_t id, uint32_t length)\n{\n", prefix, prefix);
    fprintf(out, "    dromio_reader in = dromio_reader_over(dromio_payload, length);\n    dromio_value value;\n");
    fprintf(out, "    out->property = (enum %s_property)id;\n    switch (id) {\n", prefix);
    for (uint32_t i = 0; i < model->property_count; i++)
        if (model->properties[i].is_writable)
            write_write_case(out, i, &model->properties[i]);
    fprintf(out, "    default: return false;\n    }\n}\n\n");
}

void twin_header_write(FILE *out, const model *model, const char *json, size_t length)
{
    char prefix[TWIN_PREFIX_MAX] = "";
    yyjson_doc *document = yyjson_read(json, length, YYJSON_READ_NOFLAG);
    twin_header_prefix(model, prefix);
    fprintf(out, "/* %s %s. Made by `dromio twin build` from the model: change it there. */\n", model->name,
            model->version);
    fprintf(out, "#pragma once\n\n#include \"dromio.h\"\n\n");
    write_enum(out, prefix, "property", model->properties[0].name, sizeof model->properties[0], model->property_count);
    write_enum(out, prefix, "action", model->actions[0].name, sizeof model->actions[0], model->action_count);
    write_enum(out, prefix, "event", model->events[0].name, sizeof model->events[0], model->event_count);
    for (uint32_t i = 0; i < model->property_count; i++)
        write_setter(out, prefix, i, &model->properties[i]);
    for (uint32_t i = 0; i < model->event_count; i++)
        write_notify(out, prefix, i, &model->events[i]);
    write_secrets(out, prefix, model, yyjson_doc_get_root(document));
    write_writes(out, prefix, model);
    write_actions(out, prefix, model);
    yyjson_doc_free(document);
}
