/* Images and the files of the host: what is lost, damaged, of another engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/core_testbed.h"
#include "core/number.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "store/disk_memory.h"

/* ---- files ---- */

static void keys_that_are_gone_are_not_made_anew(void **state)
{
    (void)state;
    disk *disk = here.world.log_disk;
    make_twin("a@acme.example", NULL);
    core_settle(here.world.core);
    world_close(&here.world);
    uint8_t keys[1024];
    int file = disk->open(disk, "keys", 0);
    int64_t length = disk->size(disk, file);
    assert_true(length > 0 && length <= (int64_t)sizeof keys);
    assert_int_equal(disk->read(disk, file, 0, keys, (size_t)length), length);
    disk->close(disk, file);
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        if (is_empty)
            assert_int_equal(disk->replace(disk, "keys", "", 0), 0);
        else
            assert_int_equal(disk->remove(disk, "keys"), 0);
        assert_int_equal(world_open(&here.world), DRO_NOT_FOUND);
    }
    file = disk->open(disk, "keys", 0);
    assert_int_equal(disk->size(disk, file), 0);
    disk->close(disk, file);
    assert_int_equal(disk->replace(disk, "keys", keys, (size_t)length), 0);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_true(twin_find(here.world.core, "a@acme.example", 14) != NONE);
}

static uint8_t *read_file(disk *disk, const char *name, size_t *length)
{
    int file = disk->open(disk, name, 0);
    assert_true(file >= 0);
    *length = (size_t)disk->size(disk, file);
    uint8_t *bytes = malloc(*length);
    assert_int_equal(disk->read(disk, file, 0, bytes, *length), *length);
    disk->close(disk, file);
    return bytes;
}

static void tables_that_are_gone_are_not_made_anew(void **state)
{
    (void)state;
    disk *disk = here.world.log_disk;
    make_twin("a@acme.example", NULL);
    core_settle(here.world.core);
    world_close(&here.world);
    size_t length;
    uint8_t *tables = read_file(here.world.log_disk, "host", &length);
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        if (is_empty)
            assert_int_equal(disk->replace(disk, "host", "", 0), 0);
        else
            assert_int_equal(disk->remove(disk, "host"), 0);
        assert_int_equal(world_open(&here.world), DRO_NOT_FOUND);
    }
    assert_int_equal(disk->replace(disk, "host", tables, length), 0);
    free(tables);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_true(twin_find(here.world.core, "a@acme.example", 14) != NONE);
}

/* The power went between the two files of the very first start. */
static void keys_alone_are_a_host_that_never_started(void **state)
{
    (void)state;
    disk *disk = here.world.log_disk;
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(disk->remove(disk, "host"), 0);
    assert_int_equal(world_open(&here.world), DRO_OK);
    size_t length;
    free(read_file(here.world.log_disk, "host", &length));
    assert_true(length > 0);
}

/* ---- images ---- */

static void file_of(uint32_t image, const char *suffix, char name[96])
{
    for (int i = 0; i < 32; i++)
        snprintf(name + 2 * i, 3, "%02x", here.world.core->images[image].digest[i]);
    snprintf(name + 64, 32, ".%s", suffix);
}

static void flip_a_bit(uint32_t image, const char *suffix)
{
    char name[96];
    size_t length;
    file_of(image, suffix, name);
    uint8_t *bytes = read_file(here.world.image_disk, name, &length);
    bytes[length * 2 / 3] ^= 4;
    assert_int_equal(here.world.image_disk->replace(here.world.image_disk, name, bytes, length), 0);
    free(bytes);
}

/* Thermo with one more section that says nothing: another image of the same model. */
static void push_variant(uint8_t number)
{
    static uint8_t bytes[1 << 20];
    uint8_t section[] = { 0, 3, 1, 'x', number };
    char path[] = "/tmp/dromio-core-test-XXXXXX";
    FILE *thermo = fopen(THERMO, "rb");
    assert_non_null(thermo);
    size_t length = fread(bytes, 1, sizeof bytes - sizeof section, thermo);
    fclose(thermo);
    memcpy(bytes + length, section, sizeof section);
    int file = mkstemp(path);
    assert_int_equal(write(file, bytes, length + sizeof section), length + sizeof section);
    close(file);
    world_push_image(&here.world, path);
    unlink(path);
}

/* As after a start, before anything was compiled. */
static void open_again(void)
{
    core_settle(here.world.core);
    world_close(&here.world);
    assert_int_equal(world_open(&here.world), DRO_OK);
}

static void another_engine_has_its_images_made_anew_while_it_runs(void **state)
{
    (void)state;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    here.world.is_engine_other = true;
    open_again();
    assert_null(here.world.core->images[0].artifact);
    assert_int_equal(here.world.admit_count, 1);
    world_frame frame = { .end_to_end = 2, .data = "x", .length = 1 };
    assert_true(world_uplink(&here.world, 0, 77, "001010000000001", &frame));
    for (int i = 0; i < 10; i++)
        core_round(here.world.core);
    assert_null(heard_of(77)); /* it waits, and is not lost */
    world_settle(&here.world);
    network_answer answer;
    memcpy(&answer, heard_of(77)->body, sizeof answer);
    assert_int_equal(answer.result, 2001);
    here.world.is_engine_other = false;
    open_again();
    assert_int_equal(here.world.admit_count, 0); /* what was made anew is kept, and fits */
    assert_non_null(here.world.core->images[0].artifact);
}

static void an_artifact_that_is_not_what_was_written_is_made_anew(void **state)
{
    (void)state;
    char names[2][96];
    size_t length;
    make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    world_push_image(&here.world, THERMO_MOVED); /* the same model, other code */
    for (int what = 0; what < 3; what++) { /* a bit, another image's, none at all */
        disk *disk = here.world.image_disk;
        file_of(0, "artifact", names[0]);
        file_of(1, "artifact", names[1]);
        if (what == 0)
            flip_a_bit(0, "artifact");
        else if (what == 2)
            assert_int_equal(disk->remove(disk, names[0]), 0);
        else {
            uint8_t *other = read_file(here.world.image_disk, names[1], &length);
            assert_int_equal(disk->replace(disk, names[0], other, length), 0);
            free(other);
        }
        open_again();
        assert_null(here.world.core->images[0].artifact);
        assert_non_null(here.world.core->images[1].artifact);
        world_settle(&here.world);
        assert_int_equal(reading("001010000000001", 10 + (uint32_t)what, (uint8_t)what).result, 2001);
        open_again();
        assert_int_equal(here.world.admit_count, 0);
        world_settle(&here.world);
    }
}

/* A disk that fails once, at each call of a start: the cells are given no code that is not there. */
static void an_artifact_that_cannot_be_read_is_given_to_no_cell(void **state)
{
    (void)state;
    bool was_any = false;
    for (uint64_t call = 1; call <= 12; call++) {
        world_close(&here.world);
        disk_memory_fail(here.world.image_disk, call);
        assert_int_equal(world_open(&here.world), DRO_OK);
        for (uint32_t i = 0; i < here.world.image_count; i++) {
            was_any |= here.world.images[i].artifact == NULL;
            assert_true((here.world.images[i].artifact == NULL) == (here.world.images[i].length == 0));
        }
        world_settle(&here.world);
        assert_non_null(here.world.core->images[0].artifact); /* made anew */
    }
    assert_true(was_any);
}

static void a_damaged_image_stops_its_own_twins_only(void **state)
{
    (void)state;
    uint8_t digest[32];
    uint32_t index = make_twin("a@acme.example", "001010000000001");
    connect_device("001010000000001");
    assert_int_equal(reading("001010000000001", 1, 0).result, 2001);
    assert_int_equal(status_of(write_period("a@acme.example", 600)), 202); /* it has mail, which expires one day */
    push_variant(1);
    memcpy(digest, here.world.core->images[0].digest, 32);
    make_twin("b@acme.example", "001010000000002"); /* the newest of the model */
    connect_device("001010000000002");
    flip_a_bit(0, "artifact");
    flip_a_bit(0, "wasm");
    open_again();
    world_settle(&here.world);
    index = twin_find(here.world.core, "a@acme.example", 14);
    assert_true(here.world.core->images[0].is_broken && twin_at(here.world.core, index)->image == 0);
    assert_int_equal(reading("001010000000001", 2, 1).result, 3004);
    assert_int_equal(status_of(write_period("a@acme.example", 700)), 503);
    on_twin(API_TWIN_PUT, "new@acme.example");
    request_bytes(&request, API_FIELD_IMAGE, digest, 32);
    assert_int_equal(status_of(ask()), 503);
    on_twin(API_TWIN_GET, "a@acme.example"); /* what is known of it is shown all the same */
    assert_int_equal(status_of(ask()), 200);
    assert_int_equal(reading("001010000000002", 3, 1).result, 2001);
    world_advance(&here.world, (DOWNLINK_EXPIRY_S + 1) * 1000ll);
    world_settle(&here.world); /* and does not turn in a circle over what is due */
    world_push_image(&here.world, THERMO);
    assert_false(here.world.core->images[0].is_broken);
    assert_int_equal(here.world.core->image_count, 2);
    assert_int_equal(reading("001010000000001", 4, 1).result, 2001);
    assert_int_equal(newest(index)->state, TICKET_EXPIRED);
    on_twin(API_PROPERTY_GET, "a@acme.example");
    request_text(&request, API_FIELD_NAME, "readings");
    assert_non_null(strstr(json_of(ask()), "{\"value\":2,")); /* its context is what it was */
    open_again();
    assert_int_equal(here.world.admit_count, 0);
}

static void on_name(void *context, const char *name)
{
    uint32_t *counts = context;
    counts[0]++;
    counts[1] += strcmp(name, "notes.txt") == 0;
}

static void what_an_interrupted_push_left_is_removed(void **state)
{
    (void)state;
    disk *disk = here.world.image_disk;
    uint32_t before[2] = { 0 }, after[2] = { 0 };
    char name[128];
    disk->list(disk, on_name, before);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%064d%s", i / 2 == 1 ? "." : "", i % 2, (const char *const[]){ ".wasm", ".artifact", ".wasm.new", ".artifact.new" }[i]);
        assert_int_equal(disk->replace(disk, name, "left", 4), 0);
    }
    assert_int_equal(disk->replace(disk, "notes.txt", "mine", 4), 0);
    open_again();
    disk->list(disk, on_name, after);
    assert_int_equal(after[0], before[0] + 1);
    assert_int_equal(after[1], 1);
    assert_non_null(here.world.core->images[0].artifact);
}

static void more_images_than_there_can_be_are_507(void **state)
{
    (void)state;
    core *core = here.world.core;
    core->image_count = CORE_IMAGES_MAX; /* as if, all but the first unused */
    push_variant(7);
    assert_int_equal(status_of(heard_of(0x1a6e)), 507);
    assert_non_null(strstr(json_of(heard_of(0x1a6e)), "too_many_images"));
    world_push_image(&here.world, THERMO); /* that one is here */
    assert_int_equal(status_of(heard_of(0x1a6e)), 200);
    core->image_count = 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(keys_that_are_gone_are_not_made_anew),
        CLAIM(tables_that_are_gone_are_not_made_anew),
        CLAIM(keys_alone_are_a_host_that_never_started),
        CLAIM(another_engine_has_its_images_made_anew_while_it_runs),
        CLAIM(an_artifact_that_is_not_what_was_written_is_made_anew),
        CLAIM(an_artifact_that_cannot_be_read_is_given_to_no_cell),
        CLAIM(a_damaged_image_stops_its_own_twins_only),
        CLAIM(what_an_interrupted_push_left_is_removed),
        CLAIM(more_images_than_there_can_be_are_507),
    };
    return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
