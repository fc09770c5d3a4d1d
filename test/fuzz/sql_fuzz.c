/* Any text as SQL: it is answered or refused within the limits, and shows nothing
 * of another domain. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "desk/query.h"
#include "store/columns.h"

enum { REGION = 64 * 1024 * 1024, ROWS = 20, CPU_MS = 30 };

static const char secret[] = "s3cr3t";

static void text_set(columns *writer, uint32_t table, uint32_t row, const char *text)
{
    cell_value cell = { .value = { .kind = VALUE_STRING, .length = (uint32_t)strlen(text), .string = text } };
    columns_value_set(writer, table, row, 2, &cell);
}

static void rows_fill(columns *writer, uint32_t table)
{
    static const uint8_t ours[] = "\4site\5\0north", theirs[] = "\6s3cr3t\6\0s3cr3t";
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t row, domain = i % 2;
        char id[64];
        snprintf(id, sizeof id, "%s%u@%s.example", domain == 0 ? "a" : secret, i, domain == 0 ? "acme" : "other");
        cell_value number = { .value = { .kind = VALUE_NUMBER, .number = i }, .time_ms = i };
        cell_value flag = { .value = { .kind = VALUE_BOOLEAN, .boolean = i % 3 == 0 } };
        if (columns_row_add(writer, table, i, domain, id, strlen(id), &row) != DRO_OK ||
            columns_tags_set(writer, table, row, domain == 0 ? ours : theirs,
                             (domain == 0 ? sizeof ours : sizeof theirs) - 1) != DRO_OK)
            abort();
        columns_value_set(writer, table, row, 0, &number);
        columns_value_set(writer, table, row, 1, &flag);
        text_set(writer, table, row, domain == 0 ? "roof" : secret);
    }
}

static desk *desk_make(void)
{
    static model thermo = { .name = "acme/thermo",
                            .property_count = 3,
                            .properties = { { .name = "temperature", .schema = { .kind = VALUE_NUMBER } },
                                            { .name = "low", .schema = { .kind = VALUE_BOOLEAN } },
                                            { .name = "label", .schema = { .kind = VALUE_STRING } } } };
    void *memory = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    columns *writer;
    uint32_t table;
    desk *made;
    if (memory == MAP_FAILED || columns_create(&writer, memory, REGION) != DRO_OK ||
        columns_domain_set(writer, 0, "acme.example") != DRO_OK ||
        columns_domain_set(writer, 1, "other.example") != DRO_OK ||
        columns_table_add(writer, &thermo, &table) != DRO_OK)
        abort();
    rows_fill(writer, table);
    columns_free(writer);
    if (desk_new(&made, &(const void *){ memory }, 1, REGION, dro_clock_system()) != DRO_OK)
        abort();
    desk_limit_cpu(made, CPU_MS);
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static desk *room;
    static answer answer;
    static const char domain[] = "acme.example";
    if (room == NULL)
        room = desk_make();
    query query = { .sql = (const char *)data, .length = size, .domains = domain, .domains_length = sizeof domain };
    desk_answer(room, &query, &answer);
    if (answer.status != 200 && answer.status != 400 && answer.status != 422) {
        fprintf(stderr, "%.*s\n", (int)answer.length, answer.bytes);
        abort();
    }
    if (answer.length < 2 || answer.bytes[0] != '{' || answer.bytes[answer.length - 1] != '}')
        abort();
    bool was_named = size > 0 && memmem(data, size, "3cr3", 4) != NULL;
    if (!was_named && memmem(answer.bytes, answer.length, secret, strlen(secret)) != NULL)
        abort();
    return 0;
}
