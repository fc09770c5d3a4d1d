#include "core/cells.h"
#include "core/core.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pages.h"
#include "core/ahead.h"
#include "core/api.h"
#include "core/authorization.h"
#include "core/backup.h"
#include "core/charge_owed.h"
#include "core/audit.h"
#include "core/ledger.h"
#include "core/checkpoint.h"
#include "core/cold.h"
#include "core/counters.h"
#include "core/farewell.h"
#include "core/follow.h"
#include "core/groups.h"
#include "core/host.h"
#include "core/host_tables.h"
#include "core/images.h"
#include "core/inquiry.h"
#include "core/links.h"
#include "core/mailbox.h"
#include "core/names.h"
#include "core/network.h"
#include "core/exposure.h"
#include "core/nidd.h"
#include "core/number.h"
#include "core/old_logs.h"
#include "core/peers.h"
#include "core/serving.h"
#include "core/record.h"
#include "core/report.h"
#include "core/state.h"
#include "core/stream.h"
#include "core/tell.h"
#include "core/timers.h"
#include "core/trace.h"
#include "core/trigger.h"
#include "core/turn.h"
#include "core/twin_table.h"

/* ---- open and close ---- */

static dro_err allocate(core *core)
{
    uint64_t budget = core->options.context_bytes;
    core->contexts = contexts_new(budget > 0 ? budget : UINT64_MAX / 2, context_may_leave, core);
    core->record = record_new();
    core->scratch = malloc(SCRATCH_BYTES);
    core->log_scratch = malloc(2 * LOG_RECORD_MAX);
    core->streams = calloc(STREAMS_MAX, sizeof *core->streams);
    core->waiters = calloc(WAITERS_MAX, sizeof *core->waiters);
    core->met = calloc(WAITERS_MAX, sizeof *core->met);
    if (core->contexts == NULL || core->record == NULL || core->scratch == NULL || core->log_scratch == NULL || core->streams == NULL ||
        core->waiters == NULL || core->met == NULL)
        return DRO_NOMEM;
    dro_err err = notices_init(core);
    if (err == DRO_OK && core->options.charging.is_on)
        err = ledger_init(core, LEDGER_CHARGING);
    if (err == DRO_OK && core->options.audit.is_on)
        err = audit_init(core);
    if (err == DRO_OK)
        err = groups_init(core);
    return err == DRO_OK ? turns_init(core) : err;
}

/* A new master key beside data of an old one would only hide what is wrong. */
static bool master_key_is_lost(const core_options *options)
{
    if (options->master_key_path == NULL || access(options->master_key_path, F_OK) == 0)
        return false;
    int keys = options->log_disk->open(options->log_disk, "keys", 0);
    if (keys < 0)
        return false;
    options->log_disk->close(options->log_disk, keys);
    dro_error("%s is not there, but the data needs it: put the master key back", options->master_key_path);
    return true;
}

static dro_err open_epoch(core *core)
{
    const core_options *options = &core->options;
    if (core->index > 0)
        return follow_wait(core);
    if (master_key_is_lost(options))
        return DRO_NOT_FOUND;
    uint64_t random;
    options->random->fill(options->random, &random, sizeof random);
    return commit_log_epoch_next(options->log_disk, random, &core->epoch);
}

/* The cores of a start have one epoch counter, and each its own epoch for keys: different for each
 * index, and as unpredictable as what core 0 has kept. */
static dro_err open_vault(core *core)
{
    dro_err err = open_epoch(core);
    vault_options vault = { .master_key_path = core->options.master_key_path, .master_key = core->options.master_key,
                            .epoch = core->epoch.random ^ core->index * 0x9e3779b97f4a7c15u, .random = core->options.random };
    return err == DRO_OK ? vault_open(&core->vault, &vault) : err;
}

/* What the host has besides its twins: core 0 reads and writes it, the others see it on the board. */
static dro_err open_host(core *core)
{
    for (uint32_t i = 0; i < CORE_IMAGES_MAX; i++)
        core->images[i].table = NONE;
    budgets_init(core);
    dro_err err = columns_table_add(core->columns, image_model(core, NONE), &core->plain_table);
    if (err != DRO_OK)
        return err;
    if (core->index > 0)
        return follow_tables(core);
    err = generations_open(&core->generations, core->options.log_disk, core->options.logs, core->count);
    if (err == DRO_OK)
        err = host_load(core);
    if (err == DRO_OK)
        err = images_load(core);
    return err == DRO_OK ? signing_open(core) : err;
}

/* The others may go on. */
static dro_err open_board(core *core)
{
    uint64_t key[2];
    vault_identity_hash(core->vault, "directory", "", 0, key);
    core->directory_key = key[0];
    if (core->count == 1 || core->index > 0)
        return DRO_OK;
    directory_key_set(&core->options.directory, key[0]);
    dro_err err = host_show(core);
    if (err == DRO_OK)
        board_start(&core->board, &core->epoch, &core->generations);
    return err;
}

static void on_old_log(void *context, uint32_t number)
{
    ((core *)context)->old_log = number;
}

/* The logs of other numbers of cores, before the own one. */
static dro_err read_old(core *core)
{
    if (core->generations.count == 1)
        return DRO_OK;
    enum { EVENTS_UNKNOWN = 1 << 20 }; /* in the last records of other cores' twins */
    core->is_reading_old = true;
    dro_err err = generations_replay(&core->generations, core->options.logs, on_old_log, record_replay_any, core);
    core->is_reading_old = false;
    core->old_log = 0;
    core->is_moving = true;
    core->event_next += EVENTS_UNKNOWN;
    return err;
}

static dro_err open_log_disk(core *core, disk **out)
{
    *out = core->options.log_disk;
    uint32_t newest = generation_newest(&core->generations)->number;
    if (newest == 0)
        return DRO_OK;
    if (core->options.logs == NULL)
        return DRO_UNSUPPORTED;
    dro_err err = core->options.logs->open(core->options.logs, newest, core->index, true, &core->own_disk);
    *out = core->own_disk;
    return err;
}

static dro_err open_log(core *core)
{
    commit_log_options log = { .epoch = core->epoch.counter,
                               .segment_bytes = core->options.segment_bytes, .context = core, .on_placed = record_placed,
                               .on_soon = record_soon, .on_ahead = ahead_record };
    dro_err err = open_log_disk(core, &log.disk);
    uint64_t first = core->event_next;
    if (err == DRO_OK && vault_open_beside(&core->reading_vault, core->vault) == DRO_OK) /* without it the core opens them itself */
        log.on_read = record_read;
    if (err == DRO_OK)
        err = commit_log_open(&core->log, &log, record_replay_any, core);
    vault_close(core->reading_vault);
    core->reading_vault = NULL;
    if (err == DRO_OK && core->is_moving && core->event_next == first) /* events before this one are on no log */
        streams_mark(core, first, commit_log_end(core->log));
    return err;
}

static dro_err recover_all(core *core)
{
    int64_t began = core->clock->monotonic_ns(core->clock);
    dro_err err = read_old(core);
    if (err == DRO_OK)
        err = open_log(core);
    if (err != DRO_OK)
        return err;
    for (uint32_t i = 0; i < core->twin_high && err == DRO_OK; i++)
        if (twin_at(core, i)->number != 0)
            err = timers_update(core, i);
    if (err == DRO_OK)
        err = twins_index(core);
    dumps_forget(core);
    owners_settle(core, &core->nidd.owners);
    exposures_settle(core);
    charges_owed_settle(core);
    audit_settle(core);
    rotation_recovered(core);
    core->tables_segment = commit_log_replay_segment(core->log);
    for (uint32_t i = 0; i < core->twin_high; i++) { /* what was on its way waits again */
        twin_extra *extra = twin_at(core, i)->number != 0 ? twin_at(core, i)->extra : NULL;
        for (ticket *t = extra != NULL ? extra->tickets : NULL; t != NULL; t = t->next)
            if (t->state == TICKET_SENT)
                t->state = TICKET_PENDING;
        if (extra != NULL)
            group_mail_recovered(core, i);
    }
    int64_t took = core->clock->monotonic_ns(core->clock) - began;
    core->nidd.is_recovered = true;
    names_enter(core);
    groups_recovered(core);
    orphans_look(core);
    dro_info("recovered twins=%u log_bytes=%llu ms=%lld", core->twin_count, (unsigned long long)commit_log_bytes(core->log),
             (long long)took / 1000000);
    return err;
}

/* What recovery fills is most of what the core ever has: its pages come from beside. */
static dro_err recover(core *core)
{
    dro_pages_helper_start(); /* without it, it only takes longer */
    dro_err err = recover_all(core);
    dro_pages_helper_stop();
    return err;
}

static dro_err open_all(core *core)
{
    uint64_t seed;
    core->options.random->fill(core->options.random, &seed, sizeof seed);
    dro_random_seeded_init(&core->random, seed);
    core->options.random->fill(core->options.random, &core->hash_key, sizeof core->hash_key);
    dro_err err = allocate(core);
    if (err == DRO_OK && core->count > 1)
        err = board_open(&core->board, core->options.board, core->index, core->count);
    if (err == DRO_OK && core->count > 1)
        core->latencies = board_latencies(&core->board, core->index);
    if (err == DRO_OK)
        err = open_vault(core);
    if (err == DRO_OK)
        err = columns_create(&core->columns, core->options.columns_memory, core->options.columns_bytes);
    if (err == DRO_OK)
        err = open_host(core);
    if (err == DRO_OK)
        err = open_board(core);
    /* Numbers of this start are larger than any before. */
    core->twin_next = core->epoch.counter << 30;
    core->ticket_next = core->epoch.counter << 32 | (uint64_t)core->index << 28; /* those of other cores may once be here */
    core->mail_next = core->epoch.counter << 32 | (uint64_t)core->index << 28;
    nidd_init(core);
    exposures_init(core);
    core->event_next = 1;
    return err == DRO_OK ? recover(core) : err;
}

/* Space is looked for two rounds ahead: when there is none for more, changes are refused, and what was begun still has its own. */
static void space_look(core *core)
{
    dro_err err = core->is_stuck ? DRO_LIMIT : commit_log_reserve(core->log);
    bool is_full = err == DRO_LIMIT;
    if (core->is_full != is_full)
        dro_warn("log: %s", is_full ? "the disk is full; changes are refused until there is space" : "there is space again");
    core->is_full = is_full;
    core->full_until_ns = core->now_ns + CORE_FULL_RETRY_MS * 1000000ll;
}

static void limits_default(downlink_limits *limits)
{
    if (limits->packets == 0)
        limits->packets = TWIN_MAIL_MAX;
    if (limits->bytes == 0)
        limits->bytes = DOWNLINK_BYTES;
    if (limits->size == 0)
        limits->size = NIDD_DATA_MAX;
    if (limits->age_s == 0)
        limits->age_s = DOWNLINK_EXPIRY_S;
}

dro_err core_open(core **out, const core_options *options)
{
    assert(options->gate_count <= CORE_GATES_MAX && options->cell_count >= 1 && options->cell_count <= CORE_CELLS_MAX);
    assert(options->count <= DIRECTORY_CORES_MAX && (options->count <= 1 || options->index < options->count));
    core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return DRO_NOMEM;
    core->options = *options;
    limits_default(&core->options.downlink);
    queues_init(core);
    core->count = options->count > 1 ? options->count : 1;
    core->index = options->count > 1 ? options->index : 0;
    core->clock = options->clock;
    core->options.issuer = options->issuer != NULL ? options->issuer : "";
    core->options.audience = options->audience != NULL ? options->audience : "";
    core->twin_free = NONE;
    core->latencies = core->own_latencies;
    core->now_ms = core->started_ms = core->clock->wall_ms(core->clock);
    core->now_ns = core->clock->monotonic_ns(core->clock);
    dro_err err = open_all(core);
    if (err == DRO_OK)
        err = host_tables_settle(core);
    if (err != DRO_OK) {
        core_close(core);
        return err;
    }
    if (!core->options.no_log)
        space_look(core);
    core->is_started = true;
    cells_recovered(core);
    if (core->count > 1) /* the host is healthy before there is a round */
        core_show_counters(core);
    groups_show(core);
    *out = core;
    return DRO_OK;
}

void core_close(core *core)
{
    if (core == NULL)
        return;
    core->is_started = false;
    backup_end(core, NULL);
    ledgers_fini(core);
    commit_log_close(core->log);
    old_logs_close(core);
    if (core->own_disk != NULL)
        core->own_disk->free(core->own_disk);
    for (uint32_t i = 0; i < CORE_TURNS_MAX && core->turns != NULL; i++)
        if (core->turns[i].state != TURN_FREE)
            turn_free(core, &core->turns[i]);
    for (uint32_t i = 0; i < core->twin_high; i++) /* what others have goes as a whole */
        if (twin_at(core, i)->extra != NULL || twin_at(core, i)->nidd != NULL)
            twin_free(core, i);
    for (uint32_t i = 0; i < CORE_GATES_MAX; i++)
        free(core->gates[i].outbox.bytes);
    host_tables_free(core);
    for (uint32_t i = 0; core->streams != NULL && i < STREAMS_MAX; i++) {
        free(core->streams[i].twin);
        free(core->streams[i].model);
        free(core->streams[i].property);
    }
    uploads_free(core);
    questions_free(core);
    inquiries_free(core);
    reports_fini(core);
    charges_owed_fini(core);
    audit_fini(core);
    triggers_free(core);
    names_free(core);
    groups_fini(core);
    nidd_fini(core);
    exposures_fini(core);
    farewells_free(core);
    capif_free(core);
    invokers_free(core);
    conduct_free(core);
    host_free(core);
    index_fini(&core->ids);
    index_fini(&core->imsis);
    index_fini(&core->msisdns);
    index_fini(&core->numbers);
    contexts_free(core->contexts);
    columns_free(core->columns);
    vault_close(core->vault);
    record_free(core->record);
    twins_free(core);
    free(core->turns);
    free(core->timers);
    free(core->bases.counts);
    free(core->chunk_bases.counts);
    free(core->streams);
    free(core->marks);
    free(core->waiters);
    free(core->met);
    free(core->peers);
    serving_free(core);
    trace_table_free(core->traces);
    free(core->scratch);
    free(core->log_scratch);
    free(core);
}

/* ---- rooms come and go ---- */

static void storage_send(core *core, uint32_t gate);

void core_gate_attach(core *core, uint32_t index, ring_reader in, ring_writer out)
{
    gate_link *gate = &core->gates[index];
    core_gate_lost(core, index);
    *gate = (gate_link){ .in = in, .out = out, .is_open = true };
    if (core->index == 0) {
        capif_send(core, index);
        if (core->stops.count > 0)
            stops_send(core, index);
        credentials_send_all(core, index);
    }
    if (core->storage_told != STORAGE_OK)
        storage_send(core, index);
    traces_gate_attached(core, index);
    ring_publish(&gate->out);
}

/* Who asked is gone, and the next gate's numbers mean other requests: nothing that was
 * asked before may be answered to it. */
void core_gate_lost(core *core, uint32_t index)
{
    gate_link *gate = &core->gates[index];
    if (!gate->is_open)
        return;
    gate->is_open = false;
    free(gate->outbox.bytes);
    gate->outbox = (outbox){ 0 };
    streams_gate_lost(core, index);
    audit_gate_lost(core, index);
    network_connections_gate_lost(core, index);
    turns_gate_lost(core, index);
    queues_gate_lost(core, index);
    waiters_gate_lost(core, index);
    notices_gate_lost(core, index);
    uploads_gate_lost(core, index);
    questions_gate_lost(core, index);
    inquiries_gate_lost(core, index);
    peers_gate_lost(core, index);
    traces_gate_lost(core, index);
    backup_gate_lost(core, index);
}

void core_cell_attach(core *core, uint32_t index, ring_reader results, ring_writer turns, uint32_t image_count,
                      _Atomic uint64_t *running)
{
    cell_link *cell = &core->cells[index];
    if (cell->is_open) { /* a successor: the old one finishes what it has */
        assert(!core->old_cells[index].is_open);
        core->old_cells[index] = *cell;
        for (uint32_t i = 0; i < CORE_TURNS_MAX; i++)
            if (core->turns[i].state == TURN_SENT && core->turns[i].cell == index)
                core->turns[i].is_old_cell = true;
    }
    *cell = (cell_link){ .results = results, .turns = turns, .is_open = true, .image_count = image_count, .running = running, .heard_ns = core->now_ns };
}

void core_cell_lost(core *core, uint32_t index)
{
    if (!core->cells[index].is_open)
        return;
    core->cells[index].is_open = false;
    turns_resend(core, index);
}

void core_old_cell_lost(core *core, uint32_t index)
{
    if (!core->old_cells[index].is_open)
        return;
    core->old_cells[index].is_open = false;
    turns_resend_old(core, index);
}

bool core_cell_drained(core *core, uint32_t index)
{
    if (core->old_cells[index].is_open && core->old_cells[index].in_flight > 0)
        return false;
    core->old_cells[index].is_open = false;
    return true;
}

/* ---- a round ---- */

void message_take(core *core, uint32_t gate, const ring_header *header, const uint8_t *body)
{
    uint32_t length = header->length - (uint32_t)sizeof *header;
    switch (header->type) {
    case MESSAGE_UPLINK: network_uplink(core, gate, header, body); break;
    case MESSAGE_CONNECTION: network_connection(core, gate, header, body); break;
    case MESSAGE_API: api_request_take(core, gate, header, body); break;
    case MESSAGE_DOWNLINK_ANSWER:
        if (length >= sizeof(downlink_answer)) {
            downlink_answer answer;
            memcpy(&answer, body, sizeof answer);
            mailbox_on_answer(core, header->id, &answer);
        }
        break;
    case MESSAGE_NETWORK_REPORT: reports_on_message(core, gate, header, body); break;
    case MESSAGE_INQUIRY_ANSWER: inquiries_on_answer(core, gate, header, body); break;
    case MESSAGE_AUTHORIZATION_UPDATE: authorizations_on_update(core, gate, header, body); break;
    case MESSAGE_WEBSOCKET_HERE:
        if (length >= sizeof(websocket_here)) {
            websocket_here here;
            memcpy(&here, body, sizeof here);
            destination_on_here(core, gate, &here);
        }
        break;
    case MESSAGE_WEBSOCKET_GONE:
        if (length >= sizeof(websocket_gone)) {
            websocket_gone gone;
            memcpy(&gone, body, sizeof gone);
            destination_on_gone(core, gate, &gone);
        }
        break;
    case MESSAGE_TRIGGER_OUTCOME: triggers_on_outcome(core, gate, header, body); break;
    case MESSAGE_TRACED: trace_on_message(core, gate, body, length); break;
    case MESSAGE_GROUP_MEMBERS: authorizations_on_members(core, gate, header, body); break;
    case MESSAGE_CAPIF_STATE: capif_on_state(core, body, length); break;
    case MESSAGE_AUDIT: audit_gate_says(core, body, length); break;
    case MESSAGE_PEER: peers_update(core, gate, body, length); break;
    case MESSAGE_NOTICE_ANSWER:
        if (length >= sizeof(notice_answer)) {
            notice_answer answer;
            memcpy(&answer, body, sizeof answer);
            notices_on_answer(core, header->id, &answer);
        }
        break;
    case MESSAGE_SUBSCRIBE: streams_subscribe(core, gate, header, body); break;
    case MESSAGE_UNSUBSCRIBE: streams_unsubscribe(core, gate, header->id); break;
    case MESSAGE_CREDIT:
        if (length >= 8) {
            uint64_t passed;
            memcpy(&passed, body, sizeof passed);
            streams_credit(core, gate, header->id, passed);
        }
        break;
    default: break; /* a gate that sends what nobody knows is not worth dying for */
    }
}

/* Gates' messages wait then: only results of cells, reads of the log or a new cell bring the core
 * further, and those wake it. Of several cells one that is slow, down or over its share is not waited for: what is for it is
 * refused once its part of the table is full, and the others go on. */
static bool cells_are_busy(const core *core)
{
    bool is_alone = core->options.cell_count == 1;
    for (uint32_t i = 0; i < core->options.cell_count; i++) {
        bool is_full = core->cells[i].in_flight >= CORE_CELL_AHEAD || turns_part_is_full(core, i);
        if (is_full && (is_alone || share_is_quick(&core->shares, i, core->now_ns)))
            return true;
    }
    return turns_are_full(core);
}

static int gate_take(core *core, uint32_t index)
{
    gate_link *gate = &core->gates[index];
    ring_header header;
    dro_err err = DRO_OK;
    const uint8_t *body;
    int count = 0;
    while (count < CORE_GATE_BATCH && !gate->is_stopped && !cells_are_busy(core)) {
        if (core->ahead.next == core->ahead.count)
            ahead_uplinks(core, gate);
        if ((body = ring_next(&gate->in, &header, &err)) == NULL)
            break;
        follow(core); /* who sent it may have seen an answer to a change that core 0 made */
        message_take(core, index, &header, body);
        ring_done(&gate->in, &header);
        core->ahead.next++;
        count++;
    }
    ahead_forget(core);
    ring_release(&gate->in);
    if (err != DRO_OK) {
        dro_error("gate=%u broke its ring", index);
        core_gate_lost(core, index);
    }
    return count;
}

dro_err core_submit(core *core)
{
    uint64_t round = commit_log_round(core->log);
    core->round_records[round % 8] = core->counters.records;
    core->round_submitted_ns[round % 8] = core->clock->monotonic_ns(core->clock);
    core->is_round_marked = false;
    dro_err err = commit_log_submit(core->log);
    core->round_event_first = core->event_next;
    core->is_stuck = err == DRO_LIMIT;
    if (core->is_stuck || (err == DRO_OK && !core->is_full))
        space_look(core);
    return err;
}

static void rounds_are_durable(core *core, uint64_t durable)
{
    int64_t now_ns = core->clock->monotonic_ns(core->clock);
    uint64_t first = durable - core->round_told > 8 ? durable - 7 : core->round_told + 1;
    for (uint64_t round = first; round <= durable; round++)
        dro_latency_add(&core->latencies[BOARD_ROUND], now_ns - core->round_submitted_ns[round % 8]);
    core->round_told = durable;
    core->counters.commits = core->round_records[durable % 8];
}

static void storage_send(core *core, uint32_t gate)
{
    storage_news news = { .state = core->storage_told };
    gates_tell(core, gate, MESSAGE_STORAGE, &news, sizeof news);
}

/* Gates say in /healthz whether there is space, and whether the log is well. */
static void storage_show(core *core)
{
    uint32_t state = commit_log_failed(core->log) ? STORAGE_FAILED : core->is_full ? STORAGE_FULL : STORAGE_OK;
    if (state == core->storage_told)
        return;
    core->storage_told = state;
    storage_send(core, NONE);
}

static int commit(core *core)
{
    int done = 0;
    if (core->options.no_log)
        return 0;
    bool is_pausing = core->is_full && core->now_ns < core->full_until_ns;
    while (!(is_pausing && core->is_stuck) && commit_log_can_submit(core->log)) {
        if (core_submit(core) != DRO_OK)
            break;
        done++;
    }
    if (core->is_full && !core->is_stuck && !is_pausing)
        space_look(core);
    uint64_t durable = commit_log_durable(core->log, false);
    if (durable > core->round_told) {
        rounds_are_durable(core, durable);
        done++;
    }
    storage_show(core);
    return done;
}

void core_no_memory(const char *for_what)
{
    dro_error("core: no memory for %s: it begins anew from the log", for_what);
    abort();
}

void core_settle(core *core)
{
    while (core->round_last > core->round_told && !commit_log_failed(core->log)) {
        if (commit_log_can_submit(core->log) && core_submit(core) != DRO_OK)
            return;
        uint64_t durable = commit_log_durable(core->log, true);
        if (durable > core->round_told)
            rounds_are_durable(core, durable);
    }
}

int core_round(core *core)
{
    core->now_ms = core->clock->wall_ms(core->clock);
    core->now_ns = core->clock->monotonic_ns(core->clock);
    core->work = 0;
    follow(core); /* what was stopped is stopped before a result is taken */
    shares_look(&core->shares, core->now_ns); /* before what they did is taken back */
    int work = turns_take(core) + cold_take(core);
    work += turns_send_waiting(core);
    if (core->count > 1)
        work += questions_step(core);
    work += orphans_step(core); /* before a request that knows of it */
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if (core->gates[i].is_open)
            work += gate_take(core, i);
    if (core_refusal(core) == NULL) /* else their turns would fill a round that cannot be written */
        work += timers_due(core);
    if (core->inquiries != NULL)
        inquiries_due(core);
    if (core->nidd.notice_count > 0)
        work += notices_send(core);
    if (core->index == 0)
        signing_step(core);
    conduct_step(core);
    work += groups_step(core) + farewells_step(core);
    if (core->trace_count > 0)
        traces_expire(core);
    work += checkpoint_step(core);
    if (core->rotation.count > 0)
        work += rotation_step(core);
    if (core->met_count > 0)
        waiters_due(core); /* before what they are told of may leave memory */
    work += queues_step(core);
    cold_start(core);
    turns_publish(core);
    work += commit(core);
    if (core->waiter_count > 0 || core->met_count > 0)
        waiters_due(core);
    if (core->stream_count > 0)
        work += streams_catch_up(core);
    work += ledgers_step(core);
    if (core->backup != NULL)
        work += backup_step(core);
    if (core->count > 1 && work > 0) /* before an answer lets anybody look at them */
        core_show_counters(core);
    if (core->audit != NULL)
        work += audit_step(core);
    groups_show(core);
    tell_flush(core);
    return work + core->work;
}

int64_t core_next_due(const core *core)
{
    int64_t due_ns = -1;
    int64_t timer = core_refusal(core) == NULL ? timers_next(core) : INT64_MAX;
    if (timer != INT64_MAX)
        due_ns = timer > core->now_ms ? (timer - core->now_ms) * 1000000 : 0;
    for (uint32_t i = 0; i < core->waiter_count; i++) {
        int64_t left = core->waiters[i].until_ns > core->now_ns ? core->waiters[i].until_ns - core->now_ns : 0;
        if (due_ns < 0 || left < due_ns)
            due_ns = left;
    }
    if (core->is_full) { /* there may be space again */
        int64_t left = core->full_until_ns > core->now_ns ? core->full_until_ns - core->now_ns : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t trace_ms = traces_due_ms(core);
    if (trace_ms != INT64_MAX) {
        int64_t left = trace_ms > core->now_ms ? (trace_ms - core->now_ms) * 1000000 : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t backup_ns = backup_due_ns(core);
    if (backup_ns >= 0) {
        int64_t left = backup_ns > core->now_ns ? backup_ns - core->now_ns : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t rotation_ns = rotation_due_ns(core);
    if (rotation_ns >= 0) {
        int64_t left = rotation_ns > core->now_ns ? rotation_ns - core->now_ns : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t groups_ms = core_refusal(core) == NULL ? groups_due_ms(core) : INT64_MAX;
    int64_t exposures_ms = core_refusal(core) == NULL ? exposures_groups_due(core) : INT64_MAX;
    groups_ms = exposures_ms < groups_ms ? exposures_ms : groups_ms;
    if (groups_ms != INT64_MAX) {
        int64_t left = groups_ms > core->now_ms ? (groups_ms - core->now_ms) * 1000000 : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t farewells_ms = core_refusal(core) == NULL ? farewells_due(core) : INT64_MAX;
    if (farewells_ms != INT64_MAX) {
        int64_t left = farewells_ms > core->now_ms ? (farewells_ms - core->now_ms) * 1000000 : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t orphans_ms = core_refusal(core) == NULL ? orphans_due_ms(core) : INT64_MAX;
    if (orphans_ms != INT64_MAX) {
        int64_t left = orphans_ms > core->now_ms ? (orphans_ms - core->now_ms) * 1000000 : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    int64_t ledgers_ns = ledgers_due_ns(core), audit_ns = audit_due_ns(core);
    ledgers_ns = audit_ns < ledgers_ns ? audit_ns : ledgers_ns;
    if (ledgers_ns != INT64_MAX) {
        int64_t left = ledgers_ns > core->now_ns ? ledgers_ns - core->now_ns : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    if (notices_due_ns(core) != INT64_MAX) {
        int64_t left = notices_due_ns(core) > core->now_ns ? notices_due_ns(core) - core->now_ns : 0;
        if (due_ns < 0 || left < due_ns)
            due_ns = left;
    }
    if (turns_stop_due_ns(core) != INT64_MAX) {
        int64_t left = turns_stop_due_ns(core) > core->now_ns ? turns_stop_due_ns(core) - core->now_ns : 0;
        due_ns = due_ns < 0 || left < due_ns ? left : due_ns;
    }
    if (core->options.cell_count > 1 && core->turn_count > 0 && (due_ns < 0 || due_ns > SHARE_QUICK_NS)) /* a cell may have gone quiet: others wait no longer */
        due_ns = SHARE_QUICK_NS;
    for (uint32_t i = 0; i < cell_places(core); i++)
        if (core->cells[i].is_open && (core->cells[i].in_flight > 0 || core->cells[i].is_short) && (due_ns < 0 || due_ns > cell_stall_ms(core, i) * 1000000ll))
            due_ns = cell_stall_ms(core, i) * 1000000ll;
    return due_ns;
}

int core_descriptor(const core *core)
{
    return commit_log_descriptor(core->log);
}

bool core_prepare_sleep(core *core)
{
    bool is_awake = commit_log_fetch_waits(core->log);
    is_awake |= ledgers_prepare_sleep(core);
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if (core->gates[i].is_open && !core->gates[i].is_stopped && !cells_are_busy(core))
            is_awake |= ring_prepare_sleep(&core->gates[i].in);
    for (uint32_t i = 0; i < cell_places(core); i++) {
        if (core->cells[i].is_open && !turns_are_held(core))
            is_awake |= ring_prepare_sleep(&core->cells[i].results);
        if (core->old_cells[i].is_open && !turns_are_held(core))
            is_awake |= ring_prepare_sleep(&core->old_cells[i].results);
    }
    return is_awake;
}

void core_awake(core *core)
{
    ledgers_awake(core);
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        if (core->gates[i].is_open)
            ring_awake(&core->gates[i].in);
    for (uint32_t i = 0; i < cell_places(core); i++) {
        if (core->cells[i].is_open)
            ring_awake(&core->cells[i].results);
        if (core->old_cells[i].is_open)
            ring_awake(&core->old_cells[i].results);
    }
}

void core_drain(core *core)
{
    core->is_draining = true;
}

bool core_stop(core *core)
{
    if (!core->is_stopping && core->index == 0 && !core->is_full)
        audit_note(core, AUDIT_HOST_STOPPED, NULL, NULL);
    core->is_stopping = true;
    core_round(core);
    bool has_failed = commit_log_failed(core->log);
    bool is_told = core->turn_count == 0 && core->question_count == 0 && (queues_are_read(core) || has_failed) &&
                   (core->options.no_log || core->round_last <= core->round_told || has_failed);
    for (uint32_t i = 0; i < core->options.gate_count; i++)
        is_told &= !core->gates[i].is_open || core->gates[i].outbox.start == core->gates[i].outbox.end;
    return is_told;
}

const char *core_refusal(const core *core)
{
    if (commit_log_failed(core->log))
        return "the log cannot be written any more: see the host's log, mend the disk, restart";
    if (core->is_full)
        return "the disk is full: make space";
    return core->is_stopping ? "the host is stopping" : NULL;
}

bool core_failed(const core *core)
{
    return commit_log_failed(core->log);
}

bool core_keys_are_secret(const core *core)
{
    return vault_is_secret(core->vault);
}
