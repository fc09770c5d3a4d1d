/* Several cores over the messages of gates: names are unique among them, the host's tables are the
 * same for all, and another number of cores finds everything again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/host.h"
#include "core/host_tables.h"
#include "core/names.h"
#include "core/number.h"
#include "core/record.h"
#include "core/state.h"
#include "core/twin_table.h"
#include "core/vault.h"
#include "store/commit_log.h"
#include "store/disk_memory.h"
#include "asker.h"

enum { SEGMENT = 64 * 1024, CORES = 3, TWINS = 30 };

static int begin(void **state)
{
    (void)state;
    world_options options = { .seed = 5, .cores = CORES, .segment_bytes = SEGMENT, .replay_bytes = 2 * SEGMENT,
                              .timeline_bytes = 4 * SEGMENT, .on_message = asker_hears };
    asker_begin(&options);
    return 0;
}

static void reopen(uint32_t cores)
{
    for (uint32_t i = 0; i < here.world.core_count; i++)
        core_settle(here.world.seats[i].core);
    world_close(&here.world);
    world_cores(&here.world, cores);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    world_check(&here.world);
}

/* Each request of these tests is answered at once. */
static const heard *answer(void)
{
    const heard *heard = ask();
    assert_non_null(heard);
    assert_int_equal(heard->header.type, MESSAGE_API_REPLY);
    return heard;
}

static uint16_t put(const char *id, const char *imsi, const char *alias)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    if (imsi != NULL)
        request_text(&request, API_FIELD_IMSI, imsi);
    if (alias != NULL)
        request_text(&request, API_FIELD_ALIAS, alias);
    return status_of(answer());
}

static uint16_t get(const char *id)
{
    on_twin(API_TWIN_GET, id);
    return status_of(answer());
}

static uint32_t core_of(const char *id)
{
    return directory_route(&here.world.directory, DIRECTORY_ID, id, strlen(id));
}

/* The n-th id that would be born in `core`. */
static const char *id_in(uint32_t core, unsigned n)
{
    static char ids[8][32];
    static unsigned next;
    char *id = ids[next++ % 8];
    for (unsigned i = 0;; i++) {
        snprintf(id, sizeof ids[0], "d%u@acme.example", i);
        if (directory_core(&here.world.directory, directory_partition(&here.world.directory, DIRECTORY_ID, id, strlen(id))) == core && n-- == 0)
            return id;
    }
}

static uint32_t network_result(uint64_t id)
{
    const heard *heard = heard_of(id);
    network_answer answer;
    assert_non_null(heard);
    assert_int_equal(heard->header.type, MESSAGE_NETWORK_ANSWER);
    memcpy(&answer, heard->body, sizeof answer);
    return answer.result + answer.experimental;
}

static uint32_t connect(const char *imsi)
{
    uint64_t id = ++here.id;
    assert_true(world_connect(&here.world, 1, id, imsi, WORLD_ESTABLISH, true));
    world_settle(&here.world);
    return network_result(id);
}

static uint32_t uplink(const char *imsi, uint32_t end_to_end, bool is_retransmission)
{
    uint8_t frame[8] = { 1, (uint8_t)end_to_end, 0, 100, 100, 0x0d, 0xac };
    for (int i = 0; i < 7; i++)
        frame[7] ^= frame[i];
    uint64_t id = ++here.id;
    assert_true(world_uplink(&here.world, 1, id, imsi, &(world_frame){ end_to_end, is_retransmission, frame, sizeof frame }));
    world_settle(&here.world);
    return network_result(id);
}

static const char *imsi_of(unsigned n)
{
    static char imsi[16];
    snprintf(imsi, sizeof imsi, "00101%010u", n);
    return imsi;
}

/* ---- one start ---- */

static void twins_are_born_where_their_ids_say(void **state)
{
    (void)state;
    for (uint32_t core = 0; core < CORES; core++) {
        const char *id = id_in(core, 0);
        assert_int_equal(put(id, NULL, NULL), 201);
        assert_int_not_equal(twin_find(here.world.seats[core].core, id, strlen(id)), NONE);
        for (uint32_t other = 0; other < CORES; other++)
            assert_int_equal(here.world.seats[other].core->twin_count, other <= core ? 1 : 0);
        assert_int_equal(get(id), 200);
        assert_int_equal(put(id, NULL, NULL), 200);
    }
}

static void a_number_or_alias_of_another_cores_twin_is_taken(void **state)
{
    (void)state;
    assert_int_equal(put(id_in(0, 0), imsi_of(1), id_in(1, 5)), 201);
    assert_int_equal(core_of(id_in(1, 5)), 0); /* the alias leads to the twin */
    assert_int_equal(get(id_in(1, 5)), 200);
    assert_int_equal(put(id_in(1, 0), imsi_of(1), NULL), 409);
    assert_int_equal(get(id_in(1, 0)), 404);
    assert_int_equal(put(id_in(1, 0), imsi_of(2), id_in(1, 5)), 409);
    assert_int_equal(put(id_in(2, 0), imsi_of(2), NULL), 201); /* what a refused request claimed is free again */
    assert_int_equal(put(id_in(2, 0), imsi_of(1), NULL), 409);
    assert_int_equal(put(id_in(2, 0), NULL, id_in(0, 0)), 409);
}

static void what_a_twin_gives_up_another_cores_twin_may_have(void **state)
{
    (void)state;
    assert_int_equal(put(id_in(0, 0), imsi_of(1), id_in(1, 5)), 201);
    assert_int_equal(put(id_in(1, 0), imsi_of(2), NULL), 201);
    assert_int_equal(put(id_in(0, 0), imsi_of(3), NULL), 200); /* another number: the old one is free */
    assert_int_equal(put(id_in(1, 0), imsi_of(1), NULL), 200);
    on_twin(API_TWIN_DELETE, id_in(0, 0));
    assert_int_equal(status_of(answer()), 204);
    assert_int_equal(put(id_in(1, 5), imsi_of(3), NULL), 201); /* the alias is a twin of its own now, in its own core */
    assert_int_equal(core_of(id_in(1, 5)), 1);
    assert_int_equal(put(id_in(0, 0), NULL, NULL), 201);
    assert_int_equal(connect(imsi_of(1)), 2001);
    assert_int_equal(connect(imsi_of(9)), 5652);
}

static void an_answer_to_a_removal_waits_until_the_name_is_free(void **state)
{
    (void)state;
    assert_int_equal(put(id_in(0, 0), imsi_of(1), NULL), 201);
    for (unsigned i = 0; i < 20; i++) { /* from core to core and back */
        on_twin(API_TWIN_DELETE, id_in(i % CORES, 0));
        uint64_t id = ++here.id;
        assert_true(request_send(&here.world, 0, id, &request));
        while (heard_of(id) == NULL)
            world_round(&here.world);
        assert_int_equal(status_of(heard_of(id)), 204);
        assert_int_equal(put(id_in((i + 1) % CORES, 0), imsi_of(1), NULL), 201);
    }
}

static uint64_t begin_put(const char *id, const char *imsi)
{
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_IMSI, imsi);
    assert_true(request_send(&here.world, 0, ++here.id, &request));
    return here.id;
}

static void a_number_that_changes_is_free_once_that_is_durable(void **state)
{
    (void)state;
    const char *id = id_in(1, 0);
    assert_int_equal(put(id, imsi_of(1), NULL), 201);
    const core *core = here.world.seats[1].core;
    uint64_t names = directory_count(&here.world.directory), put_id = begin_put(id, imsi_of(2));
    bool was_taken = false;
    while (heard_of(put_id) == NULL) {
        core_round(here.world.seats[1].core);
        uint64_t now = directory_count(&here.world.directory);
        was_taken |= now == names + 1;
        assert_true(!was_taken || now == names + 1 || core->round_told >= core->round_last);
        world_round(&here.world);
    }
    assert_true(was_taken);
    assert_int_equal(status_of(heard_of(put_id)), 200);
    assert_int_equal(directory_count(&here.world.directory), names);
}

static uint64_t backup_ask(uint32_t core, uint64_t id, uint64_t piece)
{
    request_begin(&request, API_BACKUP);
    request_u64(&request, API_FIELD_LIMIT, piece);
    request_text(&request, API_FIELD_ID, id_in(core, 0)); /* leads to that core */
    assert_true(request_send(&here.world, 0, id, &request));
    return id;
}

static void rounds(unsigned count)
{
    while (count-- > 0)
        world_round(&here.world);
}

/* Else the copy of core 1 would have the number at the old twin, core 0's at the new one. */
static void no_name_leaves_a_core_while_the_others_begin_a_backup(void **state)
{
    (void)state;
    const char *loser = id_in(1, 0), *heir = id_in(0, 0);
    assert_int_equal(put(loser, imsi_of(1), NULL), 201);
    assert_int_equal(put(heir, NULL, NULL), 201);
    uint64_t change = begin_put(loser, imsi_of(2)), backup = backup_ask(1, ++here.id, 0);
    rounds(50);
    assert_int_equal(status_of(heard_of(backup)), 200); /* not behind what waits for it */
    assert_null(heard_of(change)); /* it is durable, and waits */
    assert_true(here.world.seats[1].core->round_told >= here.world.seats[1].core->round_last);
    assert_int_equal(put(heir, imsi_of(1), NULL), 409);
    backup_ask(1, backup, BACKUP_ALL_BEGAN);
    rounds(50);
    assert_int_equal(status_of(heard_of(change)), 200);
    assert_int_equal(put(heir, imsi_of(1), NULL), 200);
}

static void a_backup_that_not_all_cores_begin_ends_and_lets_names_go(void **state)
{
    (void)state;
    assert_int_equal(put(id_in(1, 0), imsi_of(1), NULL), 201);
    uint64_t backup = backup_ask(1, ++here.id, 0);
    rounds(50);
    uint64_t change = begin_put(id_in(1, 0), imsi_of(2));
    rounds(50);
    assert_null(heard_of(change));
    world_advance(&here.world, BACKUP_BEGIN_MS + 1);
    rounds(50);
    assert_int_equal(status_of(heard_of(change)), 200);
    backup_ask(1, backup, 1);
    rounds(50);
    assert_int_equal(status_of(heard_of(backup)), 503);
}

/* In every core, as a gate does it; ids[core] is the backup's there. */
static void backup_begin_all(uint64_t ids[CORES])
{
    for (uint32_t i = 0; i < CORES; i++) {
        uint32_t core = (i + 1) % CORES;
        ids[core] = backup_ask(core, ++here.id, 0);
        rounds(50);
        assert_int_equal(status_of(heard_of(ids[core])), 200);
    }
    for (uint32_t core = 0; core < CORES; core++)
        backup_ask(core, ids[core], BACKUP_ALL_BEGAN);
    rounds(50);
}

/* A part of the host's disk, as it is kept there. */
static void part_put(disk *copy, const char *path, const uint8_t *bytes, size_t length)
{
    const char *name = strncmp(path, "log/", 4) == 0 ? path + 4 : path;
    if (strncmp(path, "images/", 7) != 0)
        assert_int_equal(copy->replace(copy, name, bytes, length), 0);
}

/* The parts of one core, to the end. */
static void backup_take(uint32_t core, uint64_t id, disk *copy)
{
    static uint8_t part[SEGMENT];
    char name[256] = "";
    uint64_t taken = 0, size = 0;
    api_reply reply = { .more = true };
    for (uint64_t piece = 1; reply.more; piece++) {
        backup_piece head;
        asker_forget();
        backup_ask(core, id, piece);
        world_settle(&here.world);
        const heard *heard = heard_of(id);
        assert_int_equal(status_of(heard), 200);
        memcpy(&reply, heard->body, sizeof reply);
        memcpy(&head, heard->body + sizeof reply, sizeof head);
        const char *bytes = heard->body + sizeof reply + sizeof head;
        if (head.name_length > 0) {
            snprintf(name, sizeof name, "%.*s", (int)head.name_length, bytes);
            size = head.part_bytes;
            taken = 0;
        }
        size_t length = reply.body_length - sizeof head - head.name_length;
        if (strncmp(name, "images/", 7) != 0) {
            assert_true(taken + length <= sizeof part);
            memcpy(part + taken, bytes + head.name_length, length);
        }
        taken += length;
        if (name[0] != '\0' && taken == size) {
            part_put(copy, name, part, (size_t)size);
            name[0] = '\0';
        }
    }
}

/* The host is the copy now. */
static void restore(disk *copy)
{
    world_close(&here.world);
    here.world.log_disk->free(here.world.log_disk);
    here.world.log_disk = copy;
    log_store_memory_init(&here.world.logs, copy);
    assert_int_equal(world_open(&here.world), DRO_OK);
    world_settle(&here.world);
    world_check(&here.world);
    asker_forget();
}

static void replay_point_moves(uint32_t core, const char *imsi)
{
    enum { UPLINKS_MAX = 20000 };
    static uint32_t end_to_end = 100000;
    commit_log *log = here.world.seats[core].core->log;
    uint32_t before = commit_log_replay_segment(log);
    for (unsigned i = 0; i < UPLINKS_MAX && commit_log_replay_segment(log) == before; i++) {
        assert_int_equal(uplink(imsi, end_to_end++, false), 2001);
        asker_forget();
    }
    assert_true(commit_log_replay_segment(log) > before);
}

/* Its file is written in place then, whoever has it open. */
static void a_core_whose_replay_point_moves_on_while_others_send_is_whole_in_a_backup(void **state)
{
    enum { EACH = 8 };
    uint64_t ids[CORES];
    disk *copy = disk_memory_new(NULL);
    (void)state;
    for (uint32_t core = 0; core < CORES; core++)
        for (unsigned n = 0; n < EACH; n++)
            assert_int_equal(put(id_in(core, n), imsi_of(core * EACH + n), NULL), 201);
    assert_int_equal(connect(imsi_of(EACH)), 2001);
    backup_begin_all(ids);
    backup_take(0, ids[0], copy);
    for (int i = 0; i < 3; i++)
        replay_point_moves(1, imsi_of(EACH));
    for (uint32_t core = 1; core < CORES; core++)
        backup_take(core, ids[core], copy);
    restore(copy);
    for (uint32_t core = 0; core < CORES; core++)
        for (unsigned n = 0; n < EACH; n++)
            assert_int_equal(get(id_in(core, n)), 200);
}

static void a_core_waits_for_its_part_of_a_backup_while_it_hears_that_it_goes_on(void **state)
{
    uint64_t ids[CORES];
    (void)state;
    backup_begin_all(ids);
    for (int i = 0; i < 3; i++) { /* core 0 sends all that time; core 2's gate is gone */
        world_advance(&here.world, BACKUP_IDLE_S * 1000 * 2 / 3);
        backup_ask(1, ids[1], BACKUP_ALL_BEGAN);
        rounds(50);
    }
    backup_ask(1, ids[1], 1);
    backup_ask(2, ids[2], 1);
    rounds(50);
    assert_int_equal(status_of(heard_of(ids[1])), 200);
    assert_int_equal(status_of(heard_of(ids[2])), 503);
}

static void a_new_domain_is_made_for_whichever_core_needs_it(void **state)
{
    (void)state;
    uint64_t first = here.id + 1;
    for (unsigned i = 0; i < TWINS; i++) { /* all at once, some of the same domain */
        char id[40];
        snprintf(id, sizeof id, "m%u@new%u.example", i, i / 3);
        on_twin(API_TWIN_PUT, id);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        assert_true(request_send(&here.world, 0, ++here.id, &request));
    }
    world_settle(&here.world);
    for (uint64_t id = first; id <= here.id; id++)
        assert_int_equal(status_of(heard_of(id)), 201);
    for (uint32_t i = 0; i < CORES; i++) {
        const core *core = here.world.seats[i].core;
        assert_int_equal(core->question_count, 0);
        for (uint32_t d = 1; d < core->domain_count; d++)
            assert_string_equal(core->domains[d].name, here.world.core->domains[d].name);
    }
}

static void a_request_sees_what_core_0_answered_before(void **state)
{
    (void)state;
    assert_int_equal(put(id_in(1, 0), NULL, NULL), 201);
    request_begin(&request, API_APPLICATION_PUT);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    request_text(&request, API_FIELD_DOMAIN, "acme.example");
    request_u64(&request, API_FIELD_SCOPES, SCOPE_READ);
    assert_int_equal(status_of(answer()), 201);
    const application *made = application_find(here.world.core, "as1", 3);
    assert_non_null(made);
    on_twin(API_TWIN_GET, id_in(1, 0));
    api_request head = { .operation = API_TWIN_GET, .application = made->number, .scopes = SCOPE_READ };
    memcpy(request.bytes, &head, sizeof head);
    assert_int_equal(status_of(answer()), 200);
    request_begin(&request, API_APPLICATION_DELETE);
    request_text(&request, API_FIELD_APPLICATION, "as1");
    assert_int_equal(status_of(answer()), 204);
    on_twin(API_TWIN_GET, id_in(1, 0));
    memcpy(request.bytes, &head, sizeof head);
    assert_int_equal(status_of(answer()), 404);
}

static void uplinks_and_their_repetitions_reach_the_twins_core(void **state)
{
    (void)state;
    for (uint32_t core = 0; core < CORES; core++)
        assert_int_equal(put(id_in(core, 0), imsi_of(core), NULL), 201);
    for (uint32_t core = 0; core < CORES; core++) {
        assert_int_equal(connect(imsi_of(core)), 2001); /* a serving node that core 0 numbers */
        assert_int_equal(uplink(imsi_of(core), 7000 + core, false), 2001);
        assert_int_equal(uplink(imsi_of(core), 7000 + core, true), 2001);
        assert_int_equal(here.world.seats[core].core->counters.duplicates, 1);
    }
    request_begin(&request, API_STATUS);
    const char *json = json_of(answer());
    assert_non_null(strstr(json, "\"twins\":3,"));
    assert_non_null(strstr(json, "\"uplinks\":6,\"duplicates\":3,")); /* of the whole host */
    request_begin(&request, API_IMAGE_LIST);
    assert_non_null(strstr(json_of(answer()), "\"twins\":3,"));
}

static void what_waits_for_core_0_is_forgotten_with_its_gate(void **state)
{
    (void)state;
    char id[64];
    for (unsigned i = 0; i == 0 || core_of(id) == 0; i++)
        snprintf(id, sizeof id, "w%u@elsewhere.example", i);
    on_twin(API_TWIN_PUT, id);
    request_text(&request, API_FIELD_MODEL, "acme/thermo");
    assert_true(request_send(&here.world, 0, ++here.id, &request));
    core *core = here.world.seats[core_of(id)].core;
    core_round(core);
    assert_int_equal(core->question_count, 1);
    world_gate_lose(&here.world, 0);
    world_gate_open(&here.world, 0);
    world_settle(&here.world);
    assert_int_equal(core->question_count, 0);
    assert_null(heard_of(here.id));
    assert_int_equal(get(id), 404);
}

/* ---- another number of cores ---- */

static void make_all(void)
{
    char id[40];
    for (unsigned i = 0; i < TWINS; i++) {
        snprintf(id, sizeof id, "t%u@acme%u.example", i, i % 4);
        assert_int_equal(put(id, imsi_of(i), NULL), 201);
        assert_int_equal(connect(imsi_of(i)), 2001);
        assert_int_equal(uplink(imsi_of(i), 100 + i, false), 2001);
    }
}

static void check_all(unsigned frames)
{
    char id[40], readings[32];
    snprintf(readings, sizeof readings, "\"readings\":{\"value\":%u,", frames);
    for (unsigned i = 0; i < TWINS; i++) {
        snprintf(id, sizeof id, "t%u@acme%u.example", i, i % 4);
        on_twin(API_TWIN_GET, id);
        const heard *heard = answer();
        assert_int_equal(status_of(heard), 200);
        assert_non_null(strstr(json_of(heard), readings));
    }
}

static void every_number_of_cores_finds_the_twins(void **state)
{
    enum { NEXT = 1025 }; /* a new End-to-End id whose lowest byte, the frame's sequence, is the next one */
    static const uint32_t numbers[] = { 1, 4, 2, 3, 1 };
    (void)state;
    make_all();
    check_all(1);
    for (unsigned n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        reopen(numbers[n]);
        asker_forget();
        check_all(n + 1);
        for (unsigned i = 0; i < TWINS; i++) {
            assert_int_equal(uplink(imsi_of(i), 100 + i + NEXT * n, true), 2001); /* it had its turn, in another core */
            assert_int_equal(uplink(imsi_of(i), 100 + i + NEXT * (n + 1), false), 2001);
        }
        uint64_t twins = 0;
        for (uint32_t i = 0; i < numbers[n]; i++)
            twins += here.world.seats[i].core->twin_count;
        assert_int_equal(twins, TWINS);
    }
    check_all(6);
}

static void a_key_of_a_request_is_known_to_the_twins_new_core(void **state)
{
    (void)state;
    uint8_t keys[64] = { 0 };
    for (unsigned i = 0; i < TWINS; i++) {
        char id[40];
        snprintf(id, sizeof id, "k%u@acme.example", i);
        on_twin(API_TWIN_PUT, id);
        request_text(&request, API_FIELD_MODEL, "acme/thermo");
        keys[0] = (uint8_t)i;
        request_bytes(&request, API_FIELD_IDEMPOTENCY, keys, sizeof keys);
        assert_int_equal(status_of(answer()), 201);
    }
    static const uint32_t numbers[] = { 4, 1 };
    for (unsigned n = 0; n < 2; n++) {
        reopen(numbers[n]);
        asker_forget();
        for (unsigned i = 0; i < TWINS; i++) {
            char id[40];
            snprintf(id, sizeof id, "k%u@acme.example", i);
            on_twin(API_TWIN_PUT, id);
            request_text(&request, API_FIELD_MODEL, "acme/thermo");
            keys[0] = (uint8_t)i;
            request_bytes(&request, API_FIELD_IDEMPOTENCY, keys, sizeof keys);
            assert_int_equal(status_of(answer()), 201); /* as it was answered then; anew it would be 200 */
        }
    }
}

static void a_dead_letter_is_in_one_core(void **state)
{
    (void)state;
    static const uint32_t numbers[] = { 3, 1, 4, 2 };
    for (unsigned i = 0; i < 5; i++) {
        char json[64];
        uint32_t core = i % CORES;
        assert_int_equal(put(id_in(core, i), NULL, NULL), 201);
        struct core *owner = here.world.seats[core].core;
        uint32_t index = twin_find(owner, id_in(core, i), strlen(id_in(core, i)));
        snprintf(json, sizeof json, "{\"n\":%u}", i);
        uint32_t domain = twin_at(owner, index)->domain | (twin_partition(twin_at(owner, index)) + 1) << 16;
        record_begin(owner, index, RECORD_DELTA);
        dro_builder *part = record_part(owner);
        dro_builder_le(part, domain, 4);
        dro_builder_text(part, json);
        dead_letter_keep(owner, domain, json, strlen(json));
        record_part_end(owner, FIELD_DEAD);
        record_end(owner);
        world_settle(&here.world);
    }
    for (unsigned n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        reopen(numbers[n]);
        uint32_t count = 0;
        for (uint32_t i = 0; i < numbers[n]; i++)
            count += here.world.seats[i].core->dead_letters.count;
        assert_int_equal(count, 5);
    }
}

/* Kept while the log they lie in is; then the sequence goes on, and an old id is a gap, not another event. */
static void an_event_id_of_another_number_of_cores_is_a_gap(void **state)
{
    (void)state;
    make_all();
    uint64_t newest = 0;
    for (uint32_t i = 0; i < CORES; i++)
        if (here.world.seats[i].core->event_next > newest)
            newest = here.world.seats[i].core->event_next;
    assert_true(newest > 2);
    reopen(2);
    for (uint32_t i = 0; i < 2; i++)
        assert_true(here.world.seats[i].core->event_next > newest);
    asker_forget();
    request_begin(&request, 0);
    request_text(&request, API_FIELD_RESUME, "2");
    assert_true(world_send(&here.world, 0, MESSAGE_SUBSCRIBE, 77, request.bytes, dro_builder_length(&request.out)));
    world_settle(&here.world);
    bool is_gap = false;
    for (uint32_t i = 0; i < here.count; i++) {
        const heard *heard = &here.heard[i];
        is_gap |= heard->header.type == MESSAGE_STREAM_EVENT && strstr(heard->body + sizeof(stream_event), "dromio.gap.v1") != NULL;
        if (heard->header.type == MESSAGE_STREAM_EVENT)
            assert_null(strstr(heard->body + sizeof(stream_event), "dromio.property.changed.v1"));
    }
    assert_true(is_gap);
}

/* Follows all events of core 0 from behind `last`; where it is then. */
static uint64_t resume(uint64_t id, uint64_t last, bool *is_gap)
{
    char text[24];
    api_reply reply;
    snprintf(text, sizeof text, "%llu", (unsigned long long)last);
    asker_forget();
    request_begin(&request, 0);
    request_text(&request, API_FIELD_RESUME, text);
    assert_true(world_send(&here.world, 0, MESSAGE_SUBSCRIBE, id, request.bytes, dro_builder_length(&request.out)));
    world_settle(&here.world);
    *is_gap = false;
    uint64_t position = 0;
    for (uint32_t i = 0; i < here.count; i++) {
        const heard *heard = &here.heard[i];
        if (heard->header.type == MESSAGE_API_REPLY) {
            memcpy(&reply, heard->body, sizeof reply);
            position = reply.etag;
        }
        *is_gap |= heard->header.type == MESSAGE_STREAM_EVENT && strstr(heard->body + sizeof(stream_event), "dromio.gap.v1") != NULL;
    }
    return position;
}

static void a_gap_is_told_once(void **state)
{
    (void)state;
    bool is_gap;
    make_all();
    reopen(2);
    uint64_t position = resume(77, 2, &is_gap);
    assert_true(is_gap);
    reopen(2);
    assert_true(resume(78, position, &is_gap) >= position);
    assert_false(is_gap);
}

static void the_timeline_begins_anew_and_is_never_wrong(void **state)
{
    (void)state;
    make_all();
    reopen(2);
    for (unsigned i = 0; i < TWINS; i++) {
        char id[40];
        snprintf(id, sizeof id, "t%u@acme%u.example", i, i % 4);
        assert_int_equal(uplink(imsi_of(i), 5000 + i, false), 2001);
        on_twin(API_TIMELINE, id);
        const heard *heard = answer();
        assert_int_equal(status_of(heard), 200);
        const char *first = strstr(json_of(heard), "\"uplink\"");
        assert_non_null(first);
        assert_null(strstr(first + 1, "\"uplink\"")); /* the one before lies in a log that is gone */
    }
}

static void the_old_logs_go_once_every_core_has_moved(void **state)
{
    (void)state;
    uint64_t size;
    make_all();
    for (uint32_t i = 0; i < CORES; i++)
        core_settle(here.world.seats[i].core);
    world_close(&here.world);
    world_cores(&here.world, 2);
    assert_int_equal(world_open(&here.world), DRO_OK);
    assert_non_null(disk_memory_bytes(here.world.log_disk, "log-1-2/replay", &size));
    for (int i = 0; i < 200; i++) /* one of the cores has moved, the other one has not had a round */
        core_round(here.world.seats[1].core);
    assert_false(here.world.seats[1].core->is_moving);
    assert_non_null(disk_memory_bytes(here.world.log_disk, "log-1-2/replay", &size));
    world_settle(&here.world);
    assert_null(disk_memory_bytes(here.world.log_disk, "log-1-2/replay", &size));
    assert_null(disk_memory_bytes(here.world.log_disk, "log-1-0/segment-00000001", &size));
    check_all(1);
}

static void counts_of_all_cores_are_there_before_a_round(void **state)
{
    (void)state;
    make_all();
    uint64_t twins = core_count_all(here.world.core, COUNT_TWINS);
    assert_true(twins > 0);
    for (uint32_t cores = 2; cores <= CORES; cores++) {
        for (uint32_t i = 0; i < here.world.core_count; i++)
            core_settle(here.world.seats[i].core);
        world_close(&here.world);
        world_cores(&here.world, cores);
        assert_int_equal(world_open(&here.world), DRO_OK);
        for (uint32_t i = 0; i < cores; i++)
            assert_int_equal(core_count_all(here.world.seats[i].core, COUNT_TWINS), twins);
        world_settle(&here.world);
    }
}

/* The counters of nonces of two cores run apart: under keys of one epoch they would meet. */
static void each_core_seals_in_an_epoch_of_its_own(void **state)
{
    uint64_t epochs[CORES];
    (void)state;
    for (uint32_t i = 0; i < CORES; i++) {
        uint8_t sealed[8 + VAULT_OVERHEAD];
        vault_seal_log(here.world.seats[i].core->vault, 0, "", 0, "12345678", 8, sealed);
        memcpy(&epochs[i], sealed, 8);
        for (uint32_t other = 0; other < i; other++)
            assert_true(epochs[i] != epochs[other]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, asker_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(twins_are_born_where_their_ids_say),
        CASE(a_number_or_alias_of_another_cores_twin_is_taken),
        CASE(what_a_twin_gives_up_another_cores_twin_may_have),
        CASE(an_answer_to_a_removal_waits_until_the_name_is_free),
        CASE(a_number_that_changes_is_free_once_that_is_durable),
        CASE(no_name_leaves_a_core_while_the_others_begin_a_backup),
        CASE(a_backup_that_not_all_cores_begin_ends_and_lets_names_go),
        CASE(a_core_whose_replay_point_moves_on_while_others_send_is_whole_in_a_backup),
        CASE(a_core_waits_for_its_part_of_a_backup_while_it_hears_that_it_goes_on),
        CASE(a_new_domain_is_made_for_whichever_core_needs_it),
        CASE(a_request_sees_what_core_0_answered_before),
        CASE(uplinks_and_their_repetitions_reach_the_twins_core),
        CASE(what_waits_for_core_0_is_forgotten_with_its_gate),
        CASE(every_number_of_cores_finds_the_twins),
        CASE(a_key_of_a_request_is_known_to_the_twins_new_core),
        CASE(a_dead_letter_is_in_one_core),
        CASE(an_event_id_of_another_number_of_cores_is_a_gap),
        CASE(a_gap_is_told_once),
        CASE(the_timeline_begins_anew_and_is_never_wrong),
        CASE(the_old_logs_go_once_every_core_has_moved),
        CASE(counts_of_all_cores_are_there_before_a_round),
        CASE(each_core_seals_in_an_epoch_of_its_own),
    };
    return cmocka_run_group_tests_name("cores", tests, NULL, NULL);
}
