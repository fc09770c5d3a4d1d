#include "sim/summary.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct summary_row {
    const char *name, *help;
    uint64_t value;
} summary_row;

enum { ROWS_MAX = 72 };

void summary_progress(const network *n, double seconds)
{
    const network_counts *c = network_count(n);
    network_view v = network_look(n);
    fprintf(stderr,
            "%7.1f s  attached %u  uplinks %" PRIu64 ": ok %" PRIu64 " busy %" PRIu64 " refused %" PRIu64
            "  downlinks %" PRIu64 ": delivered %" PRIu64 " asleep %" PRIu64 "  sleeping %u  waiting %u  connections %u\n",
            seconds, v.attached, c->uplinks, c->uplink[UPLINK_OK], c->uplink[UPLINK_BUSY], c->uplink[UPLINK_REFUSED],
            c->downlinks, c->downlinks_delivered, c->downlinks_asleep, v.asleep, v.waiting, v.open_mmes);
}

/* Appends `count` rows; how many there are then. */
static int put_rows(summary_row *to, int at, const summary_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[at++] = rows[i];
    return at;
}
#define PUT(to, at, rows) put_rows(to, at, rows, sizeof(rows) / sizeof(rows)[0])

static int traffic_rows(const network *n, summary_row *to, int at)
{
    const network_counts *c = network_count(n);
    const device_counts *d = &c->devices;
    network_view v = network_look(n);
    summary_row rows[] = {
        { "devices", "devices", network_device_count(n) },
        { "attached", "attached at the end", v.attached },
        { "sleeping", "of them asleep", v.asleep },
        { "attaches", "connections established (CMR)", c->attaches },
        { "attaches_refused", "refused", c->attaches_refused },
        { "releases", "released", c->releases },
        { "released", "ended by the host", c->released },
        { "reachables", "reported reachable after a downlink failed", c->reachables },
        { "readings", "readings made by devices", d->readings_made },
        { "readings_lost", "lost over the air", d->readings_lost },
        { "readings_late", "sent after the next one", d->readings_late },
        { "readings_overrun", "given up by the device, the network did not take them", d->readings_overrun },
        { "restarts", "devices restarted", d->restarts },
        { "moves", "moves between MMEs", d->moves },
        { "uplinks_sent", "uplinks sent (ODR)", c->uplinks },
        { "uplinks_ok", "answered 2001", c->uplink[UPLINK_OK] },
        { "uplinks_busy", "answered 3xxx or 4xxx, sent later again", c->uplink[UPLINK_BUSY] },
        { "uplinks_refused", "answered otherwise", c->uplink[UPLINK_REFUSED] },
        { "last_refusal", "result of the last refusal", c->last_refusal },
        { "duplicates", "uplinks sent twice", c->duplicates },
        { "duplicates_answered", "their second answers", c->duplicates_answered },
        { "duplicates_differ", "second answers unlike the first", c->duplicates_differ },
        { "downlinks", "downlinks (TDR)", c->downlinks },
        { "downlinks_delivered", "delivered", c->downlinks_delivered },
        { "downlinks_asleep", "answered 5653", c->downlinks_asleep },
        { "downlinks_unknown", "for nobody here", c->downlinks_unknown },
        { "downlinks_unanswered", "delivered after the host had gone", c->downlinks_unanswered },
        { "lost", "devices that got lost", c->lost },
        { "found", "that came back", c->found },
    };
    return PUT(to, at, rows);
}

/* What the nodes beside the MMEs did, and what MMEs said for them. */
static int node_rows(const network *n, summary_row *to, int at)
{
    hss_counts s = network_hss_counts(n);
    const monte_counts *m = network_monte_counts(n);
    iwf_counts t = network_iwf_counts(n);
    summary_row rows[] = {
        { "authorizations", "asked of an HSS and granted (NIR)", s.authorizations },
        { "authorizations_refused", "refused", s.refused },
        { "authorizations_unknown", "for nobody here", s.unknown },
        { "revocations", "revoked by an HSS", s.revocations },
        { "revocations_taken", "taken by the host", s.revocations_taken },
        { "group_segments", "parts of the group's list told", s.segments },
        { "monitoring", "events that an HSS was to watch for (CIR)", m->configured },
        { "monitoring_refused", "refused: not seen in this network", m->refused },
        { "monitoring_removed", "given up again", m->removed },
        { "timers_set", "devices that were given timers", m->schedules },
        { "areas_counted", "areas whose devices were counted", m->counted },
        { "coverage_set", "coverage restrictions that were set", m->coverages },
        { "reports", "reports of an MME (RIR)", m->reports },
        { "reports_taken", "taken by the host", m->reports_taken },
        { "reports_unknown", "that the host had not asked for: ended", m->reports_unknown },
        { "reports_dropped", "given up, too many were on their way", m->reports_dropped },
        { "triggers", "triggers for devices (DAR)", t.taken },
        { "triggers_refused", "refused", t.refused },
        { "triggers_recalled", "recalled", t.recalled },
        { "triggers_replaced", "replaced", t.replaced },
        { "triggers_delivered", "delivered", t.delivered },
        { "triggers_expired", "whose time was over before", t.expired },
        { "outcomes_taken", "outcomes taken by the host (DNR)", t.outcomes_taken },
    };
    return PUT(to, at, rows);
}

static int peer_rows(const network *n, summary_row *to, int at)
{
    const device_counts *d = &network_count(n)->devices;
    peer_counts p = network_peer_counts(n);
    const histogram *h = network_latency(n);
    summary_row rows[] = {
        { "periods_set", "devices that took a new period", d->periods_set },
        { "blinks", "that blinked", d->blinks },
        { "commands_unknown", "that did not understand", d->commands_unknown },
        { "connects", "connections to the host", p.connects },
        { "losses", "lost", p.losses },
        { "resent", "requests sent again with the T flag", p.resent },
        { "strays", "answers nobody asked for", p.strays },
        { "malformed", "messages that could not be read", p.malformed },
        { "watchdogs", "watchdogs sent (DWR)", p.watchdogs },
        { "p50_micros", "median time to an ODA, us", histogram_at(h, 0.5) },
        { "p99_micros", "99th percentile", histogram_at(h, 0.99) },
    };
    return PUT(to, at, rows);
}

static int rows_of(const network *n, summary_row rows[ROWS_MAX])
{
    return peer_rows(n, rows, node_rows(n, rows, traffic_rows(n, rows, 0)));
}

void summary_print(const network *n, const options *o, double seconds)
{
    summary_row rows[ROWS_MAX];
    int count = rows_of(n, rows);
    if (o->text) {
        for (int i = 0; i < count; i++)
            printf("%12" PRIu64 "  %s\n", rows[i].value, rows[i].help);
        printf("%12.1f  seconds\n", seconds);
        return;
    }
    printf("{");
    for (int i = 0; i < count; i++)
        printf("\"%s\":%" PRIu64 ",", rows[i].name, rows[i].value);
    printf("\"seconds\":%.3f}\n", seconds);
    fflush(stdout);
}
