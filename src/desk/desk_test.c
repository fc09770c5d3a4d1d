#include "desk/desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/builder.h"
#include "desk/plain.h"
#include "desk/query.h"
#include "store/columns.h"

enum { REGION = 256 * 1024 * 1024, OUT_MAX = 2 * 1024 * 1024 };
enum { TEMPERATURE, KEY, READINGS, BATTERY_LOW, LABEL, PROPERTIES };
enum { ACME, OTHER, EMPTY };

static const char acme[] = "acme.example", other[] = "other.example", empty[] = "empty.example";
static const int64_t noon = 1795348800000; /* 2026-11-22T12:00:00Z */

typedef struct fixture {
    void *memory;
    columns *writer;
    uint32_t thermo, buoy;
    desk *desk;
    dro_clock_fake clock;
    int status;
    char *out;
} fixture;

static void property_fill(model *out, int index, const char *name, value_kind kind)
{
    snprintf(out->properties[index].name, sizeof out->properties[index].name, "%s", name);
    out->properties[index].schema.kind = kind;
    out->properties[index].schema.length_maximum = 16;
}

static uint32_t table_add(fixture *f, const char *name)
{
    static model made;
    uint32_t table;
    memset(&made, 0, sizeof made);
    snprintf(made.name, sizeof made.name, "%s", name);
    made.property_count = PROPERTIES;
    property_fill(&made, TEMPERATURE, "temperature", VALUE_NUMBER);
    property_fill(&made, KEY, "key", VALUE_STRING);
    made.properties[KEY].is_private = true;
    property_fill(&made, READINGS, "readings", VALUE_INTEGER);
    property_fill(&made, BATTERY_LOW, "battery_low", VALUE_BOOLEAN);
    property_fill(&made, LABEL, "label", VALUE_STRING);
    assert_int_equal(columns_table_add(f->writer, &made, &table), DRO_OK);
    return table;
}

static uint32_t row_add(fixture *f, uint32_t table, uint32_t domain, const char *id)
{
    uint32_t row;
    assert_int_equal(columns_row_add(f->writer, table, 1, domain, id, strlen(id), &row), DRO_OK);
    return row;
}

static void set(fixture *f, uint32_t table, uint32_t row, uint32_t property, value value, int64_t time_ms)
{
    cell_value cell = { .value = value, .time_ms = time_ms };
    columns_value_set(f->writer, table, row, property, &cell);
}

static void set_number(fixture *f, uint32_t table, uint32_t row, double number)
{
    set(f, table, row, TEMPERATURE, (value){ .kind = VALUE_NUMBER, .number = number }, noon);
}

static void set_tags(fixture *f, uint32_t table, uint32_t row, const char *name, const char *text)
{
    uint8_t bytes[512];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    dro_builder_le(&out, strlen(name), 1);
    dro_builder_text(&out, name);
    dro_builder_le(&out, strlen(text), 2);
    dro_builder_text(&out, text);
    assert_int_equal(columns_tags_set(f->writer, table, row, bytes, dro_builder_length(&out)), DRO_OK);
}

/* Three thermometers of acme (one has never said anything), one of other. */
static void rows_fill(fixture *f)
{
    uint32_t a = row_add(f, f->thermo, ACME, "a@acme.example"), b = row_add(f, f->thermo, ACME, "b@acme.example");
    row_add(f, f->thermo, ACME, "c@acme.example");
    uint32_t theirs = row_add(f, f->thermo, OTHER, "d@other.example");
    set_number(f, f->thermo, a, 21.5);
    set(f, f->thermo, a, READINGS, (value){ .kind = VALUE_INTEGER, .integer = 7 }, noon + 1500);
    set(f, f->thermo, a, BATTERY_LOW, (value){ .kind = VALUE_BOOLEAN, .boolean = false }, noon);
    set(f, f->thermo, a, LABEL, (value){ .kind = VALUE_STRING, .length = 4, .string = "roof" }, noon);
    columns_revision_set(f->writer, f->thermo, a, 3);
    columns_contact_set(f->writer, f->thermo, a, noon + 2000);
    set_tags(f, f->thermo, a, "site", "north");
    set_number(f, f->thermo, b, -4);
    set(f, f->thermo, b, BATTERY_LOW, (value){ .kind = VALUE_BOOLEAN, .boolean = true }, noon);
    set_tags(f, f->thermo, b, "site", "south");
    set_number(f, f->thermo, theirs, 1000);
    set(f, f->thermo, theirs, BATTERY_LOW, (value){ .kind = VALUE_BOOLEAN, .boolean = true }, noon);
    set_tags(f, f->thermo, theirs, "building", "7");
}

static int desk_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->out = malloc(OUT_MAX);
    f->memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(f->memory, MAP_FAILED);
    dro_clock_fake_init(&f->clock, noon);
    assert_int_equal(columns_create(&f->writer, f->memory, REGION), DRO_OK);
    assert_int_equal(columns_domain_set(f->writer, ACME, acme), DRO_OK);
    assert_int_equal(columns_domain_set(f->writer, OTHER, other), DRO_OK);
    assert_int_equal(columns_domain_set(f->writer, EMPTY, empty), DRO_OK);
    f->thermo = table_add(f, "acme/thermo");
    f->buoy = table_add(f, "acme/buoy");
    rows_fill(f);
    assert_int_equal(desk_new(&f->desk, &(const void *){ f->memory }, 1, REGION, &f->clock.clock), DRO_OK);
    *state = f;
    return 0;
}

static int desk_teardown(void **state)
{
    fixture *f = *state;
    desk_free(f->desk);
    columns_free(f->writer);
    munmap(f->memory, REGION);
    free(f->out);
    free(f);
    return 0;
}

static const char *ask_as(fixture *f, const char *domain, const char *sql)
{
    desk_query(f->desk, sql, strlen(sql), domain, strlen(domain) + 1, 0, f->out, OUT_MAX, &f->status);
    return f->out;
}

/* The rows of the answer, as JSON. */
static const char *rows_as(fixture *f, const char *domain, const char *sql)
{
    char *out = (char *)ask_as(f, domain, sql);
    char *rows = strstr(out, "\"rows\":"), *end = strstr(out, ",\"micros\":");
    if (f->status != 200 || rows == NULL || end == NULL) {
        print_message("%s\n", out);
        return out;
    }
    *end = '\0';
    return rows + 7;
}

static const char *rows(fixture *f, const char *sql)
{
    return rows_as(f, acme, sql);
}

static void assert_problem(fixture *f, const char *sql, int status, const char *part)
{
    const char *out = ask_as(f, acme, sql);
    if (f->status != status || strstr(out, part) == NULL)
        print_message("%.200s\n-> %d %s\n", sql, f->status, out);
    assert_int_equal(f->status, status);
    assert_non_null(strstr(out, part));
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]"); /* and the next one is served */
}

/* ---- the contract's rules ---- */

static void an_answer_has_columns_rows_and_micros(void **state)
{
    fixture *f = *state;
    assert_string_equal(ask_as(f, acme, "select id, temperature from thermo where temperature > 0"),
                        "{\"columns\":[\"id\",\"temperature\"],\"rows\":[[\"a@acme.example\",21.5]],\"micros\":0}");
    assert_int_equal(f->status, 200);
}

static void a_table_has_its_long_and_its_short_name(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select count(*) from \"acme/thermo\""), "[[3]]");
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]");
    assert_string_equal(rows(f, "SELECT count(*) FROM Thermo t WHERE t.id IS NOT NULL;"), "[[3]]");
}

static void a_table_without_visible_rows_is_there_and_empty(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select count(*), avg(temperature), max(id) from buoy"), "[[0,null,null]]");
    assert_string_equal(rows_as(f, empty, "select * from thermo"), "[]");
    assert_string_equal(rows_as(f, "unknown.example", "select count(*) from thermo"), "[[0]]");
}

static void only_rows_of_own_domains_count(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows_as(f, other, "select id, temperature from thermo"), "[[\"d@other.example\",1000]]");
    assert_string_equal(rows(f, "select max(temperature), count(*) from thermo"), "[[21.5,3]]");
    assert_string_equal(rows(f, "select count(*) from thermo where id = 'd@other.example'"), "[[0]]");
    assert_string_equal(rows(f, "select count(*) from thermo where tag('building') = '7'"), "[[0]]");
    assert_string_equal(rows(f, "select count(*) from thermo a, thermo b"), "[[9]]");
}

static void several_domains_or_all_can_be_seen(void **state)
{
    fixture *f = *state;
    static const char both[] = "other.example\0acme.example";
    static const char sql[] = "select count(*) from thermo";
    desk_query(f->desk, sql, strlen(sql), both, sizeof both, 0, f->out, OUT_MAX, &f->status);
    assert_non_null(strstr(f->out, "[[4]]"));
    desk_query(f->desk, sql, strlen(sql), NULL, 0, 1, f->out, OUT_MAX, &f->status);
    assert_non_null(strstr(f->out, "[[4]]"));
    desk_query(f->desk, sql, strlen(sql), NULL, 0, 0, f->out, OUT_MAX, &f->status);
    assert_non_null(strstr(f->out, "[[0]]"));
}

/* A second core has its own columns: other numbers for domains, a version of the
 * model that the first one has not, and rows of the same table. */
static void the_columns_of_all_cores_are_one_table(void **state)
{
    fixture *f = *state, second = { .memory = NULL };
    second.memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_int_equal(columns_create(&second.writer, second.memory, REGION), DRO_OK);
    assert_int_equal(columns_domain_set(second.writer, 0, other), DRO_OK);
    assert_int_equal(columns_domain_set(second.writer, 1, acme), DRO_OK);
    desk_free(f->desk);
    assert_int_equal(desk_new(&f->desk, (const void *const[]){ f->memory, second.memory }, 2, REGION, &f->clock.clock), DRO_OK);
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]"); /* it has no table yet */

    uint32_t pump = table_add(&second, "acme/pump"), thermo = table_add(&second, "acme/thermo");
    uint32_t e = row_add(&second, thermo, 1, "e@acme.example");
    row_add(&second, thermo, 0, "f@other.example");
    row_add(&second, pump, 1, "p@acme.example");
    set_number(&second, thermo, e, 2.5);
    set_tags(&second, thermo, e, "site", "north");
    assert_string_equal(rows(f, "select count(*), sum(temperature), min(temperature) from thermo"), "[[4,20,-4]]");
    assert_string_equal(rows(f, "select site, count(*) from thermo group by site order by site"),
                        "[[null,1],[\"north\",2],[\"south\",1]]");
    assert_string_equal(rows(f, "select id from thermo where temperature > 0 order by id desc"),
                        "[[\"e@acme.example\"],[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select a.id from thermo a join thermo b on a.site = b.site and a.id < b.id"),
                        "[[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where id = 'e@acme.example'"), "[[\"e@acme.example\"]]");
    assert_string_equal(rows(f, "select id from pump"), "[[\"p@acme.example\"]]");
    assert_string_equal(rows_as(f, other, "select id from thermo order by id"), "[[\"d@other.example\"],[\"f@other.example\"]]");
    desk_query(f->desk, "select count(*) from thermo", 27, NULL, 0, 1, f->out, OUT_MAX, &f->status);
    assert_non_null(strstr(f->out, "[[6]]"));
    columns_free(second.writer);
    desk_free(f->desk);
    f->desk = NULL;
    munmap(second.memory, REGION);
}

static void trim_takes_off_what_it_is_told(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select trim('  a '), ltrim('  a '), rtrim('  a ')"), "[[\"a\",\"a \",\"  a\"]]");
    assert_string_equal(rows(f, "select trim('xyaxby','xy'), ltrim('xyaxby','xy'), rtrim('xyaxby','xy')"), "[[\"axb\",\"axby\",\"xyaxb\"]]");
    assert_string_equal(rows(f, "select trim('\u00e4a\u00e8','\u00e4'), trim('\u00e4','\u00e4'), trim('a',''), trim('','a'), trim(null,'a'), trim('a',null), trim(17.5,'5')"),
                        "[[\"a\u00e8\",\"\",\"a\",\"\",null,null,\"17.\"]]");
}

/* SQLite's own trim() compared 128 KiB with thousands of characters in one step, and the clock was looked at between steps alone. */
static void no_step_of_a_query_takes_seconds(void **state)
{
    fixture *f = *state;
    assert_problem(f, "select length(trim(printf('%.*c',130000,'z'),printf('%.*c',10800,'a')||'z'))", 400, "at most 64 characters");
    assert_string_equal(rows(f, "select length(trim(printf('%.*c',130000,'z'),printf('%.*c',63,'a')||'z'))"), "[[0]]");
}

static void a_domain_is_not_its_prefix_or_suffix(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows_as(f, "acme.exampl", "select count(*) from thermo"), "[[0]]");
    assert_string_equal(rows_as(f, "acme.example.com", "select count(*) from thermo"), "[[0]]");
    assert_string_equal(rows_as(f, "", "select count(*) from thermo"), "[[0]]");
}

static void a_tag_of_others_is_no_column(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows_as(f, other, "select building from thermo"), "[[\"7\"]]");
    assert_problem(f, "select building from thermo", 400, "no such column: building");
    ask_as(f, other, "select site from thermo");
    assert_int_equal(f->status, 400);
}

static void the_number_of_a_row_is_not_told(void **state)
{
    fixture *f = *state;
    assert_problem(f, "select rowid from thermo", 400, "prohibited");
    assert_problem(f, "select 1 from thermo where _rowid_ > 2", 400, "prohibited");
}

static void all_columns_come_in_order(void **state)
{
    fixture *f = *state;
    const char *out = ask_as(f, acme, "select * from thermo where id = 'a@acme.example'");
    assert_string_equal(out,
                        "{\"columns\":[\"id\",\"temperature\",\"readings\",\"battery_low\",\"label\",\"time\","
                        "\"revision\",\"last_contact\"],\"rows\":[[\"a@acme.example\",21.5,7,false,\"roof\","
                        "\"2026-11-22T12:00:01.500Z\",3,\"2026-11-22T12:00:02.000Z\"]],\"micros\":0}");
}

static void a_private_property_is_no_column(void **state)
{
    assert_problem(*state, "select key from thermo", 400, "no such column: key");
}

static void never_set_is_null(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select * from thermo where id = 'c@acme.example'"),
                        "[[\"c@acme.example\",null,null,null,null,null,0,null]]");
    assert_string_equal(rows(f, "select id from thermo where temperature is null"), "[[\"c@acme.example\"]]");
    assert_string_equal(rows(f, "select count(*), count(temperature) from thermo"), "[[3,2]]");
    assert_string_equal(rows(f, "select count(*) from thermo where readings is not null"), "[[1]]");
    assert_string_equal(rows(f, "select count(*) from thermo where temperature = null"), "[[0]]");
}

static void booleans_are_true_and_false(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select battery_low from thermo order by id"), "[[false],[true],[null]]");
    assert_string_equal(rows(f, "select x from (select battery_low as x from thermo) where x"), "[[true]]");
    assert_string_equal(rows(f, "select battery_low, count(*) from thermo group by battery_low order by 1"),
                        "[[null,1],[false,1],[true,1]]");
    assert_string_equal(rows(f, "select distinct battery_low from thermo order by battery_low desc"),
                        "[[true],[false],[null]]");
    assert_string_equal(rows(f, "with w as (select battery_low b from thermo) select b from w where b"), "[[true]]");
}

static void booleans_are_conditions(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select id from thermo where battery_low"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where battery_low = true"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where battery_low is true"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where battery_low = 1"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where battery_low = false"), "[[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where not battery_low"), "[[\"a@acme.example\"]]");
}

static void times_are_texts_that_can_be_compared(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select id from thermo where time > '2026-11-22T12:00:01.000Z'"),
                        "[[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where time < '2026-11-22T12:00:01'"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select time from thermo where id = 'b@acme.example'"),
                        "[[\"2026-11-22T12:00:00.000Z\"]]");
    assert_string_equal(rows(f, "select unixepoch(last_contact) from thermo where last_contact is not null"),
                        "[[1795348802]]");
    assert_string_equal(rows(f, "select datetime('now')"), "[[\"2026-11-22 12:00:00\"]]");
}

static void a_tag_is_a_column_and_a_function(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select count(*), avg(temperature) from thermo where site = 'north'"), "[[1,21.5]]");
    assert_string_equal(rows(f, "select id from thermo where tag('site') = 'south'"), "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select tag ( 'site' ) s, count(*) from thermo group by tag('site') order by 1"),
                        "[[null,1],[\"north\",1],[\"south\",1]]");
    assert_string_equal(rows(f, "select TAG('nothing') from thermo limit 1"), "[[null]]");
    assert_string_equal(rows(f, "select a.id from thermo a join thermo b on a.tag('site') = b.tag('site')"),
                        "[[\"a@acme.example\"],[\"b@acme.example\"]]");
    const char *out = ask_as(f, acme, "select tag('site') from thermo limit 0");
    assert_string_equal(out, "{\"columns\":[\"tag('site')\"],\"rows\":[],\"micros\":0}");
}

static void any_name_can_be_asked_for_with_tag(void **state)
{
    fixture *f = *state;
    uint32_t row = row_add(f, f->buoy, ACME, "x@acme.example");
    set_tags(f, f->buoy, row, "it's \"odd\"", "yes");
    assert_string_equal(rows(f, "select tag('it''s \"odd\"') from buoy"), "[[\"yes\"]]");
    set_tags(f, f->buoy, row, "temperature", "tagged");
    assert_string_equal(rows(f, "select temperature, tag('temperature') from buoy"), "[[null,\"tagged\"]]");
    set_tags(f, f->buoy, row, "select", "reserved");
    assert_string_equal(rows(f, "select \"select\" from buoy"), "[[\"reserved\"]]");
}

static void what_was_written_is_seen_at_once(void **state)
{
    fixture *f = *state;
    char id[32];
    assert_string_equal(rows(f, "select count(*) from buoy"), "[[0]]");
    for (int i = 0; i < 2500; i++) {
        snprintf(id, sizeof id, "%d@acme.example", i);
        set_number(f, f->buoy, row_add(f, f->buoy, ACME, id), i);
    }
    assert_string_equal(rows(f, "select count(*), sum(temperature), min(temperature) from buoy"), "[[2500,3123750,0]]");
    columns_row_remove(f->writer, f->buoy, 2000);
    assert_string_equal(rows(f, "select count(*) from buoy where temperature >= 1999 and temperature < 2002"), "[[2]]");
    set_tags(f, f->buoy, 5, "fresh", "1");
    assert_string_equal(rows(f, "select fresh, temperature from buoy where fresh is not null"), "[[\"1\",5]]");
    table_add(f, "acme/later");
    assert_string_equal(rows(f, "select count(*) from later"), "[[0]]");
}

static void an_ambiguous_short_name_is_explained(void **state)
{
    fixture *f = *state;
    uint32_t second = table_add(f, "zoo/thermo");
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]"); /* acme has rows in one only */
    ask_as(f, empty, "select count(*) from thermo");
    assert_int_equal(f->status, 400);
    assert_non_null(strstr(f->out, "\\\"acme/thermo\\\" or \\\"zoo/thermo\\\""));
    row_add(f, second, ACME, "z@acme.example");
    ask_as(f, acme, "select count(*) from thermo");
    assert_int_equal(f->status, 400);
    assert_string_equal(rows(f, "select count(*) from \"zoo/thermo\""), "[[1]]");
    assert_string_equal(rows_as(f, other, "select count(*) from thermo"), "[[1]]");
}

static void versions_of_a_model_are_one_table(void **state)
{
    fixture *f = *state;
    static model next;
    uint32_t table;
    memset(&next, 0, sizeof next);
    snprintf(next.name, sizeof next.name, "acme/thermo");
    next.property_count = 2;
    property_fill(&next, 0, "humidity", VALUE_NUMBER);
    property_fill(&next, 1, "temperature", VALUE_NUMBER);
    assert_int_equal(columns_table_add(f->writer, &next, &table), DRO_OK);
    uint32_t row = row_add(f, table, ACME, "n@acme.example");
    set(f, table, row, 1, (value){ .kind = VALUE_NUMBER, .number = 30 }, noon);
    set(f, table, row, 0, (value){ .kind = VALUE_NUMBER, .number = 55 }, noon);
    assert_string_equal(rows(f, "select count(*), max(temperature), max(humidity), sum(readings) from thermo"),
                        "[[4,30,55,7]]");
    assert_string_equal(rows(f, "select id from thermo where humidity > 50"), "[[\"n@acme.example\"]]");
    assert_string_equal(rows(f, "select count(*) from thermo where humidity is null"), "[[3]]");
    assert_string_equal(rows(f, "select count(*) from thermo where readings is null"), "[[3]]");
}

/* ---- comparisons agree with SQLite's own ---- */

static void pushed_down_comparisons_say_what_sqlite_says(void **state)
{
    fixture *f = *state;
    static const char *const bounds[] = { "0",   "-4", "21.5",  "3.5",  "-3.5",    "'21.5'", "'x'", "null",
                                          "1e300", "-9223372036854775808", "9223372036854775807", "7", "6.5",
                                          "7.5", "true", "9007199254740993", "-1e999", "1e999" };
    static const char *const operators[] = { "=", "<", "<=", ">", ">=", "<>", "is", "is not" };
    static const char *const names[] = { "temperature", "readings", "battery_low" };
    char pushed[256], plain[256], kept[512];
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++)
        for (size_t o = 0; o < sizeof operators / sizeof operators[0]; o++)
            for (size_t n = 0; n < 3; n++) {
                snprintf(pushed, sizeof pushed, "select id from thermo where %s %s %s", names[n], operators[o], bounds[b]);
                snprintf(plain, sizeof plain,
                         "with t as materialized (select * from thermo limit 100) select id from t where %s %s %s",
                         names[n], operators[o], bounds[b]);
                snprintf(kept, sizeof kept, "%s", rows(f, pushed));
                if (strcmp(kept, rows(f, plain)) != 0)
                    print_message("%s\n", pushed);
                assert_string_equal(rows(f, plain), kept);
            }
}

/* Enough rows for several chunks, with all mixes of what is set. Quarters add up exactly. */
static void many_rows_fill(fixture *f, uint32_t table)
{
    static const char *const sites[] = { "north", "south", "East", "", "north2" };
    char id[64];
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "%u@acme.example", i);
        uint32_t row = row_add(f, table, i % 11 == 0 ? OTHER : ACME, id);
        if (i % 7 != 0)
            set_number(f, table, row, ((int)(i * 7919 % 4001) - 2000) / 4.0);
        if (i % 3 != 0)
            set(f, table, row, READINGS, (value){ .kind = VALUE_INTEGER, .integer = (int)(i % 1000) - 500 }, noon);
        if (i % 5 != 0)
            set(f, table, row, BATTERY_LOW, (value){ .kind = VALUE_BOOLEAN, .boolean = i % 2 == 0 }, noon);
        if (i % 6 != 0)
            set_tags(f, table, row, "site", sites[i % 5]);
    }
}

/* Each is answered in our own loops; with "limit -1" SQLite answers it. */
static const char *const plain_queries[] = {
    "select count(*) from buoy",
    "select COUNT( * ), avg(temperature) a, sum(temperature), min(temperature), max(temperature), total(temperature) from buoy",
    "select count(readings), sum(readings), avg(readings), min(readings), max(readings), total(readings) from buoy",
    "select count(battery_low), sum(battery_low), avg(battery_low), min(battery_low), max(battery_low) from \"acme/buoy\"",
    "select site, count(*) from buoy group by site",
    "select site, battery_low, count(*), avg(temperature), max(readings) from buoy group by site, battery_low",
    "select battery_low from buoy group by battery_low",
    "select Battery_Low b, Site, sum(readings) from Buoy group by 2, 1 order by 3 desc, 2, 1",
    "select tag('site'), count(*) from buoy group by tag('site') order by count(*) desc, 1",
    "select tag('site') as site, max(temperature) as most from buoy group by tag('none'), tag('site') order by most",
    "select count(*), sum(temperature) from buoy where temperature > 21.5 and temperature <= 300 and battery_low",
    "select count(*), sum(temperature) from buoy where temperature between -10 and 10.5 and not battery_low",
    "select count(*) from buoy where readings is null and temperature is not null and site = 'north'",
    "select count(*) from buoy where tag('site') = 'East' and battery_low = true and readings >= -3.5",
    "select count(*), avg(temperature) from buoy where id = '77@acme.example'",
    "select count(*), avg(temperature), sum(temperature), total(temperature), min(readings) from buoy where readings > 1e6",
    "select site, count(*) from buoy where readings < -1000000 group by site",
    "select site, avg(temperature) from buoy where temperature > .25 and temperature < 1e2 group by site order by 2 asc;",
};

static void plain_queries_say_what_sqlite_says(void **state)
{
    fixture *f = *state;
    char general[512];
    many_rows_fill(f, f->buoy);
    for (size_t i = 0; i < sizeof plain_queries / sizeof plain_queries[0]; i++) {
        static plain_query taken;
        bool is_rewritten = strstr(plain_queries[i], "tag(") != NULL; /* before it is looked at */
        assert_true(is_rewritten || plain_parse(&taken, plain_queries[i], strlen(plain_queries[i])));
        snprintf(general, sizeof general, "%s", plain_queries[i]);
        general[strcspn(general, ";")] = '\0';
        strcat(general, " limit -1");
        char *expected = strdup(ask_as(f, acme, general));
        assert_int_equal(f->status, 200);
        if (strcmp(ask_as(f, acme, plain_queries[i]), expected) != 0)
            print_message("%s\n", plain_queries[i]);
        assert_string_equal(ask_as(f, acme, plain_queries[i]), expected);
        free(expected);
    }
    char *first = strdup(rows(f, "select site, count(*) from buoy group by site order by 2 desc, 1 limit 2"));
    assert_string_equal(rows(f, "select site, count(*) from buoy group by site order by 2 desc, 1 limit 2 offset 0"), first);
    free(first);
    assert_string_equal(rows(f, "select count(*) from buoy limit 0"), "[]");
}

static void what_the_loops_cannot_hold_sqlite_answers(void **state)
{
    fixture *f = *state;
    char text[64];
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%u@acme.example", i);
        uint32_t row = row_add(f, f->buoy, ACME, text);
        set(f, f->buoy, row, READINGS, (value){ .kind = VALUE_INTEGER, .integer = INT64_MAX }, noon);
        set_tags(f, f->buoy, row, "serial", text);
    }
    assert_problem(f, "select sum(readings) from buoy", 400, "integer overflow");
    assert_non_null(strstr(rows(f, "select serial, count(*) from buoy group by serial"), "[\"4999@acme.example\",1]"));
    assert_string_equal(rows(f, "select sum(readings) from buoy where id = '7@acme.example'"), "[[9223372036854775807]]");
}

static void joins_groups_orders_and_windows_work(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select a.id, b.id from thermo a join thermo b on a.temperature > b.temperature"),
                        "[[\"a@acme.example\",\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo order by temperature desc nulls last limit 1 offset 1"),
                        "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id, row_number() over (order by id desc) from thermo where id like 'a%'"),
                        "[[\"a@acme.example\",1]]");
    assert_string_equal(rows(f, "select id from thermo where temperature = -4 or readings = 7 order by id"),
                        "[[\"a@acme.example\"],[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where id in ('b@acme.example', 'd@other.example')"),
                        "[[\"b@acme.example\"]]");
    assert_string_equal(rows(f, "select t.id from thermo t left join buoy b on b.id = t.id where b.id is null limit 1"),
                        "[[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select id from thermo where id = 'A@ACME.EXAMPLE' collate nocase"),
                        "[[\"a@acme.example\"]]");
    assert_string_equal(rows(f, "select count(*) from thermo having count(*) > 5"), "[]");
}

/* ---- what SQLite has and JSON has not ---- */

static void odd_values_have_a_form_in_json(void **state)
{
    fixture *f = *state;
    assert_string_equal(rows(f, "select 1e999, -1e999, 1e999 - 1e999"), "[[null,null,null]]");
    assert_string_equal(rows(f, "select 9223372036854775807, 0.1, 1e21, char(10, 34, 0x1F600)"),
                        "[[9223372036854775807,0.1,1e21,\"\\n\\\"\xf0\x9f\x98\x80\"]]");
    assert_problem(f, "select x'00ff'", 400, "blob");
    assert_string_equal(rows(f, "select cast(x'61ff62' as text)"), "[[\"a\xef\xbf\xbd" "b\"]]");
}

/* ---- errors ---- */

static void an_error_names_its_position(void **state)
{
    fixture *f = *state;
    assert_problem(f, "select temprature from thermo", 400, "\"detail\":\"no such column: temprature\",\"position\":7}");
    assert_problem(f, "select id frm thermo where", 400, "\"position\":14}");
    assert_problem(f, "select 1 from absent", 400, "\"detail\":\"no such table: absent\",\"position\":14}");
    assert_problem(f, "select nosuch(1)", 400, "\"position\":7}");
    assert_problem(f, "select id from thermo where tag('site') = 'x' and x > 1", 400, "\"position\":50}");
    assert_problem(f, "select id from thermo where site = \"north\"", 400, "no such column: "); /* newer SQLite quotes it */
    assert_problem(f, "select tag(id) from thermo", 400, "tag() takes one name");
    assert_problem(f, "select 'abc", 400, "unrecognized token");
    assert_problem(f, "", 400, "there is no statement");
    assert_problem(f, " -- nothing\n;", 400, "there is no statement");
}

static void more_than_one_statement_is_refused(void **state)
{
    fixture *f = *state;
    assert_problem(f, "select 1; select 2", 400, "\"detail\":\"only one statement is allowed\",\"position\":10}");
    assert_problem(f, "select 1; drop table x", 400, "only one statement");
    assert_string_equal(rows(f, "select 1; -- that is all\n ;"), "[[1]]");
}

static void everything_but_reading_is_refused(void **state)
{
    static const char *const hostile[] = {
        "insert into thermo(id) values('x')", "update thermo set id = 'x'", "delete from thermo",
        "create table x(y)", "create temp table x(y)", "create view v as select 1", "drop table thermo",
        "attach 'x.db' as x", "attach ':memory:' as x", "detach main", "pragma user_version", "pragma query_only = off",
        "vacuum", "vacuum into '/tmp/x'", "begin", "commit", "savepoint x", "reindex", "analyze",
        "explain select 1", "explain query plan select 1", "with x as (select 1) delete from thermo",
        "with x(a) as (select 1) insert into thermo select a from x", "replace into thermo(id) values (1)",
        "alter table thermo rename to x", "select * from sqlite_master", "select * from sqlite_schema",
        "select * from sqlite_temp_master", "select * from pragma_table_info('thermo')",
        "select * from pragma_database_list", "select * from json_each('[1]')", "select * from sqlite_stmt",
        "select * from dbstat", "select count(*) from sqlite_master", "select count(*) from pragma_database_list",
        "select count(*) from json_each('[1]')", "select 1 from dbstat", "select count(*) from sqlite_stmt", "select load_extension('x')", "select readfile('/etc/passwd')",
        "select sqlite_version()", "select sqlite_compileoption_get(1)", "select randomblob(100)",
        "select zeroblob(1000000000)", "select fts3_tokenizer('simple')", "select writefile('/tmp/x', 'y')",
        "create virtual table x using fts5(y)", "select edit('x')", "select last_insert_rowid()", "select changes()",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        assert_problem(*state, hostile[i], 400, "invalid_query");
}

/* ---- limits ---- */

static void too_much_cpu_is_refused_and_the_next_query_served(void **state)
{
    fixture *f = *state;
    desk_limit_cpu(f->desk, 100);
    assert_problem(f, "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c", 422,
                   "query_too_expensive");
    assert_problem(f, "select count(*) from thermo a, thermo b, thermo c, thermo d, thermo e, thermo g, thermo h,"
                      " thermo i, thermo j, thermo k, thermo l, thermo m, thermo n, thermo o, thermo p", 422,
                   "\"type\":\"query_too_expensive\"");
    assert_problem(f, "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
                      " where instr(printf('%.*c', 60000, 'a'), printf('%.*cb', 30000, 'a') || x)", 422, "CPU");
}

static void too_much_memory_is_refused_and_the_next_query_served(void **state)
{
    fixture *f = *state;
    assert_problem(f, "with recursive c(x) as (select 1 union all select x + 1 from c limit 3000000)"
                      " select count(*) from (select x, printf('%.*c', 1000, 'a') y from c order by y, x desc)", 422,
                   "\"type\":\"query_too_expensive\"");
    assert_problem(f, "select length(replace(printf('%.*c', 100000, 'a'), 'a', 'bb'))", 422, "longer than");
}

static void a_bomb_of_subqueries_is_refused(void **state)
{
    fixture *f = *state;
    char sql[8192] = "with c0 as (select 1 x)";
    for (int i = 1; i < 40; i++)
        snprintf(sql + strlen(sql), sizeof sql - strlen(sql), ", c%d as (select a.x from c%d a, c%d b)", i, i - 1, i - 1);
    snprintf(sql + strlen(sql), sizeof sql - strlen(sql), " select count(*) from c39");
    ask_as(f, acme, sql);
    assert_true(f->status == 422 || f->status == 400);
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]");
}

static void deep_and_long_statements_are_refused(void **state)
{
    fixture *f = *state;
    enum { DEEP = 30000 };
    static char sql[DESK_SQL_MAX + 16];
    strcpy(sql, "select ");
    memset(sql + 7, '(', DEEP);
    strcpy(sql + 7 + DEEP, "1");
    assert_problem(f, sql, 400, "invalid_query");
    strcpy(sql, "select 1");
    for (size_t at = 8; at + 2 < DESK_SQL_MAX; at += 2)
        strcpy(sql + at, "+1");
    assert_problem(f, sql, 400, "invalid_query");
    strcpy(sql, "select 1");
    for (size_t at = 8; at + 18 < DESK_SQL_MAX; at += 15)
        strcpy(sql + at, " union select 1");
    assert_problem(f, sql, 400, "too many terms in compound SELECT");
    memset(sql, ' ', DESK_SQL_MAX + 1);
    memcpy(sql, "select 1", 8);
    sql[DESK_SQL_MAX + 1] = '\0';
    assert_problem(f, sql, 400, "65536");
    sql[DESK_SQL_MAX] = '\0';
    assert_string_equal(rows(f, sql), "[[1]]");
    desk_query(f->desk, "select 1\0", 9, acme, sizeof acme, 0, f->out, OUT_MAX, &f->status);
    assert_int_equal(f->status, 400);
}

static void ten_thousand_rows_are_answered_and_not_one_more(void **state)
{
    fixture *f = *state;
    const char *count = "with recursive c(x) as (select 1 union all select x + 1 from c limit %d) select x from c";
    char sql[200];
    snprintf(sql, sizeof sql, count, DESK_ROWS_MAX);
    assert_non_null(strstr(ask_as(f, acme, sql), ",[10000]]"));
    snprintf(sql, sizeof sql, count, DESK_ROWS_MAX + 1);
    assert_problem(f, sql, 422, "10000 rows");
}

static void a_large_answer_is_refused_whole(void **state)
{
    assert_problem(*state, "with recursive c(x) as (select 1 union all select x + 1 from c limit 9000)"
                           " select printf('%.*c', 10000, 'a') from c", 422, "16 MiB");
}

static void many_names_in_tag_are_refused(void **state)
{
    fixture *f = *state;
    char sql[8192] = "select 1 from thermo where 0";
    for (int i = 0; i < 65; i++)
        snprintf(sql + strlen(sql), sizeof sql - strlen(sql), " or tag('t%d') = 'x'", i);
    assert_problem(f, sql, 400, "64 different names");
    assert_string_equal(rows(f, "select count(tag('t3')), count(tag('site')) from thermo"), "[[0,2]]");
    for (int i = 0; i < 200; i++) { /* each query may have its own */
        snprintf(sql, sizeof sql, "select count(tag('n%d')) from thermo", i);
        assert_string_equal(rows(f, sql), "[[0]]");
    }
}

static void a_writer_that_died_is_an_error_of_the_query(void **state)
{
    fixture *f = *state;
    columns_row_begin(f->writer, f->thermo, 0);
    ask_as(f, acme, "select count(*) from thermo where temperature > 0");
    assert_int_equal(f->status, 503);
    assert_string_equal(rows(f, "select count(*) from buoy"), "[[0]]");
    columns_row_end(f->writer, f->thermo, 0);
    assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]");
}

static void many_applications_take_turns(void **state)
{
    fixture *f = *state;
    char domain[64];
    for (int i = 0; i < 100; i++) {
        snprintf(domain, sizeof domain, "d%d.example", i % 50);
        assert_string_equal(rows_as(f, domain, "select count(*) from thermo"), "[[0]]");
        assert_string_equal(rows(f, "select count(*) from thermo"), "[[3]]");
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_answer_has_columns_rows_and_micros),
        CASE(a_table_has_its_long_and_its_short_name),
        CASE(a_table_without_visible_rows_is_there_and_empty),
        CASE(only_rows_of_own_domains_count),
        CASE(several_domains_or_all_can_be_seen),
        CASE(the_columns_of_all_cores_are_one_table),
        CASE(trim_takes_off_what_it_is_told),
        CASE(no_step_of_a_query_takes_seconds),
        CASE(a_domain_is_not_its_prefix_or_suffix),
        CASE(a_tag_of_others_is_no_column),
        CASE(the_number_of_a_row_is_not_told),
        CASE(all_columns_come_in_order),
        CASE(a_private_property_is_no_column),
        CASE(never_set_is_null),
        CASE(booleans_are_true_and_false),
        CASE(booleans_are_conditions),
        CASE(times_are_texts_that_can_be_compared),
        CASE(a_tag_is_a_column_and_a_function),
        CASE(any_name_can_be_asked_for_with_tag),
        CASE(what_was_written_is_seen_at_once),
        CASE(an_ambiguous_short_name_is_explained),
        CASE(versions_of_a_model_are_one_table),
        CASE(pushed_down_comparisons_say_what_sqlite_says),
        CASE(plain_queries_say_what_sqlite_says),
        CASE(what_the_loops_cannot_hold_sqlite_answers),
        CASE(joins_groups_orders_and_windows_work),
        CASE(odd_values_have_a_form_in_json),
        CASE(an_error_names_its_position),
        CASE(more_than_one_statement_is_refused),
        CASE(everything_but_reading_is_refused),
        CASE(too_much_cpu_is_refused_and_the_next_query_served),
        CASE(too_much_memory_is_refused_and_the_next_query_served),
        CASE(a_bomb_of_subqueries_is_refused),
        CASE(deep_and_long_statements_are_refused),
        CASE(ten_thousand_rows_are_answered_and_not_one_more),
        CASE(a_large_answer_is_refused_whole),
        CASE(many_names_in_tag_are_refused),
        CASE(a_writer_that_died_is_an_error_of_the_query),
        CASE(many_applications_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
