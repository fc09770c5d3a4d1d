/* What the charging room reads back: the end of an open file, a slot of its position, and charges of the log, which become lines. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/journal.h"
#include "store/crc32c.h"
#include "twin/charge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tail(const uint8_t *data, size_t size)
{
    uint64_t sequence = journal_tail_sequence(&journal_charging, data, size);
    assert(sequence == 0 || (data[size - 1] == '\n' && data[size - 2] == '}'));
}

/* With its checksum mended: what passes it is checked all the same, and is written as it was read. */
static void read_slot(const uint8_t *data, size_t size)
{
    static journal_state state, again;
    uint8_t slot[JOURNAL_SLOT] = { 0 }, copy[JOURNAL_SLOT];
    memcpy(slot, data, size < sizeof slot - 4 ? size : sizeof slot - 4);
    uint32_t crc = crc32c(0, slot, sizeof slot - 4);
    memcpy(slot + sizeof slot - 4, &crc, 4);
    if (!journal_slot_read(&state, slot))
        return;
    assert(state.count <= LEDGER_PLACES_MAX && state.number > 0 && state.sequence > 0);
    journal_slot_write(&state, copy);
    assert(journal_slot_read(&again, copy) && memcmp(&state, &again, sizeof state) == 0);
}

/* One line, whatever texts are in it; and its tail is found again. */
static void write_line(const uint8_t *data, size_t size)
{
    static uint8_t text[CHARGE_LINE_MAX];
    line_origin origin = { .sequence = 12, .node = "n" };
    dro_builder out = dro_builder_over(text, sizeof text);
    if (size > CHARGE_BYTES_MAX || charge_line(&out, &origin, data, size) != DRO_OK)
        return;
    size_t length = dro_builder_length(&out);
    assert(memchr(text, '\n', length) == text + length - 1);
    assert(journal_tail_sequence(&journal_charging, text, length) == 12);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0: read_tail(data + 1, size - 1); break;
    case 1: read_slot(data + 1, size - 1); break;
    default: write_line(data + 1, size - 1); break;
    }
    return 0;
}
