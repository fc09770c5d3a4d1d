#include "core/serving.h"

#include <stdlib.h>
#include <string.h>

#include "core/number.h"
#include "core/record.h"
#include "core/render.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "twin/plmn.h"

enum {
    BUCKETS = 1024,
    ESTABLISH = 0,
    HAS_PLMN = 1, IS_ROAMING = 2,          /* flags of a field */
    CORE_BITS = 4, CHARGES_A_SECOND = 8,   /* of a charging id */
    CHARGE_MASK = (1 << (32 - CORE_BITS)) - 1,
    ABSENT = -1,
};

struct serving_table {
    serving rows[SERVINGS_MAX];
    uint16_t buckets[BUCKETS], high;       /* rows ever used */
    uint16_t free;                         /* first of those that nobody has any more; 0: none */
    char *vias[SERVING_VIAS_MAX];
};

const serving *serving_of(const core *core, const twin *twin)
{
    return twin->connection.serving == 0 || core->servings == NULL ? NULL : &core->servings->rows[twin->connection.serving];
}

/* ---- the table ---- */

static uint32_t bucket_of(const serving *row)
{
    const uint8_t *bytes = (const uint8_t *)row;
    uint32_t hash = 2166136261u ^ row->rat_type; /* FNV-1a */
    for (size_t i = offsetof(serving, via); i < offsetof(serving, software) + sizeof row->software; i++) /* octets, so nothing lies between them */
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash % BUCKETS;
}

static bool is_same(const serving *a, const serving *b)
{
    return a->rat_type == b->rat_type && a->via == b->via && memcmp(a->plmn, b->plmn, sizeof a->plmn) == 0 && a->has_plmn == b->has_plmn &&
           a->is_roaming == b->is_roaming && strcmp(a->charging, b->charging) == 0 && strcmp(a->type, b->type) == 0 && strcmp(a->software, b->software) == 0;
}

static uint16_t free_row(serving_table *table)
{
    uint16_t row = table->free;
    if (row != 0)
        table->free = table->rows[row].next;
    return row != 0 ? row : table->high + 1 < SERVINGS_MAX ? ++table->high : 0;
}

/* 0: no room. */
static uint16_t row_get(serving_table *table, const serving *wanted)
{
    uint32_t bucket = bucket_of(wanted);
    for (uint16_t row = table->buckets[bucket]; row != 0; row = table->rows[row].next)
        if (is_same(&table->rows[row], wanted)) {
            table->rows[row].users++;
            return row;
        }
    uint16_t row = free_row(table);
    if (row == 0)
        return 0;
    table->rows[row] = *wanted;
    table->rows[row].users = 1;
    table->rows[row].next = table->buckets[bucket];
    table->buckets[bucket] = row;
    return row;
}

static void row_give_back(serving_table *table, uint16_t row)
{
    if (--table->rows[row].users > 0)
        return;
    uint16_t *link = &table->buckets[bucket_of(&table->rows[row])];
    while (*link != row)
        link = &table->rows[*link].next;
    *link = table->rows[row].next;
    table->rows[row].next = table->free;
    table->free = row;
}

/* 0: none, or no room for one more. */
static uint8_t via_number(serving_table *table, const char *name, size_t length)
{
    uint32_t i = 1;
    while (length > 0 && i < SERVING_VIAS_MAX && table->vias[i] != NULL && !(strncmp(table->vias[i], name, length) == 0 && table->vias[i][length] == '\0'))
        i++;
    if (length == 0 || i == SERVING_VIAS_MAX || (table->vias[i] == NULL && (table->vias[i] = strndup(name, length)) == NULL))
        return 0;
    return (uint8_t)i;
}

void serving_end(core *core, twin *twin)
{
    if (twin->connection.serving != 0)
        row_give_back(core->servings, twin->connection.serving);
    twin->connection.serving = 0;
}

void serving_free(core *core)
{
    for (uint32_t i = 1; core->servings != NULL && i < SERVING_VIAS_MAX; i++)
        free(core->servings->vias[i]);
    free(core->servings);
    core->servings = NULL;
}

/* ---- charging ids ---- */

/* Numbers go round; the later of two is less than half a round ahead. */
static void charges_go_on_from(core *core, uint32_t number)
{
    uint32_t ahead = (number - core->charging_next) & CHARGE_MASK;
    if (!core->has_charged || ahead <= CHARGE_MASK / 2)
        core->charging_next = number & CHARGE_MASK;
    core->has_charged = true;
}

/* ---- records ---- */

/* What a field says; the name of the peer stays in it. */
typedef struct told { serving row; uint32_t charging_id; const char *via; size_t via_length; } told;

static void read_text(dro_cursor *in, char *out, size_t size)
{
    size_t length = dro_cursor_le(in, 1);
    const uint8_t *text = dro_cursor_bytes(in, length);
    if (text == NULL || length >= size || memchr(text, '\0', length) != NULL) {
        in->err = DRO_MALFORMED;
        return;
    }
    memcpy(out, text, length);
    memset(out + length, 0, size - length);
}

static dro_err read_field(const dro_field *field, told *out)
{
    dro_cursor in = dro_cursor_over(field->bytes, field->length);
    memset(out, 0, sizeof *out); /* rows are hashed */
    uint8_t flags = (uint8_t)dro_cursor_le(&in, 1);
    out->row.has_plmn = (flags & HAS_PLMN) != 0;
    out->row.is_roaming = (flags & IS_ROAMING) != 0;
    for (size_t i = 0; i < sizeof out->row.plmn; i++)
        out->row.plmn[i] = (uint8_t)dro_cursor_le(&in, 1);
    out->row.rat_type = (uint32_t)dro_cursor_le(&in, 4);
    out->charging_id = (uint32_t)dro_cursor_le(&in, 4);
    read_text(&in, out->row.charging, sizeof out->row.charging);
    read_text(&in, out->row.type, sizeof out->row.type);
    read_text(&in, out->row.software, sizeof out->row.software);
    out->via_length = dro_cursor_left(&in);
    out->via = (const char *)in.at;
    return in.err == DRO_OK && out->via_length <= DIAMETER_IDENTITY_MAX ? DRO_OK : DRO_MALFORMED;
}

static void put_text(dro_builder *part, const char *text)
{
    dro_builder_le(part, strlen(text), 1);
    dro_builder_text(part, text);
}

static void put_field(core *core, const serving *row, uint32_t charging_id, const char *via, size_t via_length)
{
    dro_builder *part = record_part(core);
    dro_builder_le(part, (row->has_plmn ? HAS_PLMN : 0u) | (row->is_roaming ? IS_ROAMING : 0u), 1);
    dro_builder_bytes(part, row->plmn, sizeof row->plmn);
    dro_builder_le(part, row->rat_type, 4);
    dro_builder_le(part, charging_id, 4);
    put_text(part, row->charging);
    put_text(part, row->type);
    put_text(part, row->software);
    dro_builder_bytes(part, via, via_length);
    record_part_end(core, FIELD_SERVING);
}

dro_err serving_apply(core *core, uint32_t index, const dro_field *field)
{
    twin *twin = twin_at(core, index);
    told told;
    if (field->length == 0) {
        serving_end(core, twin);
        return DRO_OK;
    }
    dro_err err = read_field(field, &told);
    if (err != DRO_OK)
        return err;
    if (core->servings == NULL && (core->servings = calloc(1, sizeof *core->servings)) == NULL)
        return DRO_NOMEM;
    if (told.charging_id != 0)
        charges_go_on_from(core, told.charging_id + 1);
    serving_end(core, twin);
    told.row.via = via_number(core->servings, told.via, told.via_length);
    twin->connection.serving = row_get(core->servings, &told.row);
    if (twin->connection.serving == 0) { /* what is least needed goes first */
        memset(told.row.type, 0, sizeof told.row.type);
        memset(told.row.software, 0, sizeof told.row.software);
        memset(told.row.charging, 0, sizeof told.row.charging);
        twin->connection.serving = row_get(core->servings, &told.row);
    }
    return DRO_OK; /* without a row it is only not shown, and its way is looked for */
}

void serving_full(core *core, const twin *twin)
{
    const serving *row = serving_of(core, twin);
    if (row != NULL)
        put_field(core, row, core->is_charging ? (core->charging_next - 1) & CHARGE_MASK : 0, serving_via(core, twin), /* how far they are */
                  strlen(serving_via(core, twin)));
}

void serving_put(core *core, uint32_t index, const connection_request *request, const char *via, uint32_t charging_id)
{
    const serving *before = serving_of(core, twin_at(core, index));
    serving row = { .rat_type = (uint32_t)ABSENT };
    if (before != NULL && request->action != ESTABLISH)
        row = *before;
    if (request->has_plmn) {
        char digits[PLMN_DIGITS_MAX + 1];
        row.has_plmn = plmn_read(request->plmn, digits);
        row.is_roaming = row.has_plmn && !plmn_is_of(digits, request->user.imsi);
        memcpy(row.plmn, request->plmn, sizeof row.plmn);
    }
    if (request->rat_type != (uint32_t)ABSENT)
        row.rat_type = request->rat_type;
    if (request->charging[0] != '\0')
        memcpy(row.charging, request->charging, sizeof row.charging);
    if (request->type[0] != '\0')
        memcpy(row.type, request->type, sizeof row.type);
    if (request->software[0] != '\0')
        memcpy(row.software, request->software, sizeof row.software);
    bool is_nothing = !row.has_plmn && row.rat_type == (uint32_t)ABSENT && row.charging[0] == '\0' && row.type[0] == '\0' && request->via_length == 0;
    if (!is_nothing)
        put_field(core, &row, charging_id, via, request->via_length);
    else if (before != NULL)
        record_put(core, FIELD_SERVING, "", 0);
}

const char *serving_via(const core *core, const twin *twin)
{
    const serving *row = serving_of(core, twin);
    return row == NULL || row->via == 0 ? "" : core->servings->vias[row->via];
}

/* The core, then a number that goes up: from so many a second since 1970, or behind the last one that a record tells of. */
uint32_t serving_charging_id(core *core)
{
    if (!core->is_charging)
        charges_go_on_from(core, (uint32_t)(core->now_ms * CHARGES_A_SECOND / 1000));
    core->is_charging = true;
    uint32_t number = core->charging_next == 0 ? 1 : core->charging_next; /* 0 is none */
    core->charging_next = (number + 1) & CHARGE_MASK;
    return core->index << (32 - CORE_BITS) | number;
}

/* ---- shown ---- */

static const char *rat_text(uint32_t rat_type)
{
    static const struct { uint32_t type; const char *text; } known[] = { /* TS 29.212 5.3.31 */
        { 0, "WLAN" }, { 1, "VIRTUAL" }, { 1000, "UTRAN" }, { 1001, "GERAN" }, { 1002, "GAN" }, { 1003, "HSPA_EVOLUTION" },
        { 1004, "EUTRAN" }, { 1005, "EUTRAN_NB_IOT" }, { 1006, "NR" }, { 1007, "LTE_M" },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].type == rat_type)
            return known[i].text;
    return NULL;
}

static void render_row(const serving *row, dro_builder *out)
{
    char digits[PLMN_DIGITS_MAX + 1];
    const char *rat = rat_text(row->rat_type);
    if (row->has_plmn && plmn_read(row->plmn, digits))
        json_put(out, ",\"plmn\":\"%s\",\"roaming\":%s", digits, row->is_roaming ? "true" : "false");
    if (rat != NULL)
        json_put(out, ",\"radio\":\"%s\"", rat);
    else if (row->rat_type != (uint32_t)ABSENT)
        json_put(out, ",\"radio\":\"%u\"", row->rat_type);
    if (row->type[0] != '\0') {
        dro_builder_text(out, ",\"deviceType\":");
        json_string(out, row->type);
    }
    if (row->software[0] != '\0') {
        dro_builder_text(out, ",\"softwareVersion\":");
        json_string(out, row->software);
    }
    if (row->charging[0] != '\0') {
        dro_builder_text(out, ",\"chargingCharacteristics\":");
        json_string(out, row->charging);
    }
}

void serving_render(const core *core, const twin *twin, bool is_whole, dro_builder *out)
{
    const serving *row = serving_of(core, twin);
    if (!(twin->flags & TWIN_CONNECTED))
        return;
    dro_builder_text(out, ",\"connection\":{\"bearer\":\"");
    for (uint32_t i = 0; i < twin->connection.bearer_length; i++)
        json_put(out, "%02x", twin->connection.bearer[i]);
    dro_builder_text(out, "\"");
    if (row != NULL)
        render_row(row, out);
    if (is_whole) {
        dro_builder_text(out, ",\"node\":");
        json_string(out, core->hosts[twin->connection.host].name);
        dro_builder_text(out, ",\"realm\":");
        json_string(out, core->hosts[twin->connection.realm].name);
    }
    if (is_whole && serving_via(core, twin)[0] != '\0') {
        dro_builder_text(out, ",\"via\":");
        json_string(out, serving_via(core, twin));
    }
    dro_builder_text(out, "}");
}

void serving_render_field(const dro_field *field, dro_builder *out)
{
    told told;
    if (field->length == 0 || read_field(field, &told) != DRO_OK)
        return;
    render_row(&told.row, out);
    if (told.charging_id != 0)
        json_put(out, ",\"chargingId\":%u", told.charging_id);
    if (told.via_length > 0) {
        dro_builder_text(out, ",\"via\":");
        json_text(out, told.via, told.via_length);
    }
}
