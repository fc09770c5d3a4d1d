/* Inside of the Diameter side of the gate: what its files share. Not for others.
 *
 *   diameter.c           life, table of peers, the core's messages, once a second
 *   diameter_peer.c      one connection: bytes in and out, the state machine
 *   diameter_base.c      capabilities, watchdog, disconnect (RFC 6733, RFC 3539)
 *   t6a.c                requests and answers of T6a, and what S6t has in common with it
 *   inquiry.c            what the core asks of nodes
 *   report.c             what nodes say of what they watch
 *   s6t.c                NIDD authorisation at an HSS
 *   interworking.c       T6ai, T6bi and T7: what passes between serving nodes and home networks
 *   relay.c              how it passes
 *   trigger.c            device triggering: Tsp, S6m and T4
 *   diameter_pending.c   requests that wait for an answer
 *   diameter_busy.c      what is too much: refused from little more than its header, told later
 *   diameter_overload.c  overload, load and priority: told and heard
 *   diameter_count.c     counters
 *   tracer.c             messages that somebody traces
 */
#pragma once

#include "base/rate.h"
#include "base/latency.h"
#include "gate/diameter.h"
#include "gate/diameter_count.h"
#include "gate/diameter_overload.h"
#include "gate/diameter_pending.h"
#include "gate/patience.h"
#include "gate/refusals.h"
#include "gate/tracer.h"
#include "wire/diameter/pdu.h"

enum {
    DIAMETER_CONNECTIONS_MAX = 512,      /* open, opening and not yet known ones */
    DIAMETER_ACCEPTS_A_TURN = 64,
    DIAMETER_TRIM_FROM = 128,            /* so many connections, and a quarter of them later: memory is given back */
    CER_BYTES_MAX = 3072,                /* with the peer's struct under 4 KiB before it is known */
    READ_BYTES = 128 * 1024,             /* of one peer in one turn */
    OUT_BYTES_PAUSE = 256 * 1024,        /* unsent bytes from which a peer is not read, nor sent requests */
    OUT_BYTES_MAX = 8 * 1024 * 1024,     /* ... from which it is closed: answers to all that may be pending */
    OUT_BYTES_KEPT = 64 * 1024,          /* capacity an idle peer keeps */

    TICK_MS = 1000,
    LOG_LINES_A_TICK = 10,               /* about refused peers */
    CER_TIMEOUT_MS = 10000,              /* CER or CEA must be here by then */
    CLOSING_TIMEOUT_MS = 5000,           /* for DPA, and for a refused peer to read why */
    WATCHDOG_MS = 30000,                 /* Tw, RFC 3539 3.4.1 */
    WATCHDOG_JITTER_MS = 2000,
    PROBE_MS = 3000,                     /* a silent peer has this long when it seems to be back elsewhere */
    STALL_MS = 30000,                    /* unsent bytes and no progress: closed */

    BUSY_KEEP_A_CORE = 6144,             /* requests that wait for each core: it is busy with them for some 10 ms... */
    BUSY_KEEP_LEAST = 1024,              /* ...shared by all gates; never fewer of one, nor more than PENDING_REQUESTS_MAX */
    BUSY_SHARE = 8,                      /* so many times what is free of that a peer may have: one alone 8 of 9 parts */
    BUSY_PRIORITY_SHARE = 8,             /* one of so many parts less is kept of requests below the usual priority, more of those above */
    BUSY_FEW = 64,                       /* a peer with fewer than this may fill the ring to a core, */
    BUSY_RING_SHARE = 8,                 /* others leave one of so many parts free */
    BUSY_TELL_MS = 400,                  /* a refusal is told by then, */
    BUSY_LOOK_MS = 10,                   /* or when in */
    BUSY_CALM_LOOKS = 3,                 /* such looks running there was less to do than */
    BUSY_CALM_SHARE = 8,                 /* one of so many parts of what is kept */
    BUSY_PARCEL_BYTES = 16 * 1024,       /* refusals that are told together */
    BUSY_PARCELS_MAX = 1024,             /* of all peers; the next is told at once */

    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 30000,              /* Tc, RFC 6733 12 */
    UNWANTED_MS = 300000,                /* after DO_NOT_WANT_TO_TALK_TO_YOU */
    MEMBERS_BYTES = 2 * DIAMETER_MESSAGE_MAX, /* a list of a group's members is shorter here than in its message */
    PEER_STATE_MS = 5000,                /* counts go to the core this often */
    ANSWER_TIMEOUT_MS = 30000,           /* for a TDR without SCEF-Wait-Time */
    ANSWER_TIMEOUT_MAX_MS = 600000,
    ANSWER_MARGIN_MS = 2000,             /* behind SCEF-Wait-Time */
    INQUIRY_TIMEOUT_MS = 10000,          /* for an inquiry, at most; the core asks for less where another node can be asked */
    RELEASE_TIMEOUT_MS = 10000,          /* for a CMR of ours */

    RELAY_COPY_BYTES = 2048,             /* of a request that passes; a longer one is lost with its next hop */
    RELAY_WAYS_MAX = 3,                  /* next hops that one is tried with */
    RELAY_HOLD_MS = 10000,               /* one whose way was lost waits so long for another, */
    RELAY_HELD_MAX = 4096,               /* and so many */
    EVENT_SETS = 4096,                   /* of events of MMEs whose SCEF is remembered, */
    EVENT_WAYS = 4,                      /* so many each; of a set the oldest goes */
    EVENT_SCEFS_MAX = 256,               /* names of SCEFs they are of */
};
#define NS_PER_MS ((int64_t)1000000)

typedef enum peer_state_name {
    PEER_GONE,        /* closed; the struct lives until the end of the turn */
    PEER_CONNECTING,  /* ours, TCP not there yet    (Wait-Conn-Ack) */
    PEER_HANDSHAKE,   /* TLS under way, ours or theirs */
    PEER_WAIT_CEA,    /* ours, CER sent             (Wait-I-CEA) */
    PEER_WAIT_CER,    /* theirs, nothing heard yet */
    PEER_ELECTION,    /* theirs, CER good, ours may win (Wait-Returns) */
    PEER_OPEN,
    PEER_CLOSING,     /* DPR sent */
    PEER_DRAINING,    /* told why; closed when that is sent */
    PEER_STATE_COUNT,
} peer_state_name;

enum { PEER_ADDRESS_TEXT = 64, NO_ROW = -1 };
enum disconnect_cause { REBOOTING, BUSY, DO_NOT_WANT_TO_TALK_TO_YOU }; /* RFC 6733 5.4.3 */

typedef struct busy_parcel busy_parcel;
typedef struct relay relay;
typedef struct interworking interworking;
typedef struct diameter_peer diameter_peer;
struct diameter_peer {
    loop_watch watch;
    tls_session tls;
    diameter_gate *gate;
    uint32_t slot, generation;
    peer_state_name state;
    uint32_t events;               /* what epoll looks for */
    int row;                       /* in config->peers, or NO_ROW */
    uint32_t applications;         /* enum peer_application */
    uint32_t identity_hash;
    bool is_ours;                  /* we connected */
    bool is_sctp;
    bool is_heard;                 /* something came since it is open */
    uint16_t streams, stream;      /* of SCTP: how many, the last one used */
    bool is_dirty;                 /* in gate->dirty */
    bool is_suspect;               /* a DWR went unanswered for Tw */
    bool is_watchdog_pending;
    int disconnect_cause;          /* from their DPR; -1: none */
    uint32_t watchdog_hop_by_hop, watchdog_end_to_end; /* of our DWR, DPR or CER */
    uint32_t cer_hop_by_hop, cer_end_to_end;           /* while in PEER_ELECTION */
    dro_rate rate;                 /* of its requests */
    int64_t deadline_ns;           /* of what the state waits for */
    int64_t watchdog_ns;           /* next expiry of Tw */
    int64_t asked_ns;              /* when our last DWR left */
    int64_t progress_ns;           /* last time bytes left, or none were there */
    uint8_t *carry;                /* the begin of a message whose rest is not here yet */
    uint32_t carry_length, carry_capacity;
    uint8_t *out;                  /* [out_begin, out_end) is unsent */
    uint32_t out_begin, out_end, out_capacity;
    char *identity, *realm;        /* NUL-terminated; NULL before they are known */
    char address[PEER_ADDRESS_TEXT];
    uint64_t requests, answers, errors;
    int64_t load_until_ns;         /* what it said of its load is believed so long: */
    uint32_t load;                 /* Load-Value */
    bool is_news;                  /* the core is to hear of it at the next tick */
    uint32_t waiting;              /* requests of it that wait for the core */
    busy_parcel *refusals;         /* the parcel that its next refusal goes into; NULL: a new one */
    diameter_peer *next_dirty, *next_gone;
};

typedef struct diameter_row {      /* beside each row of config->peers */
    int64_t retry_ns;
    uint32_t backoff_ms;
    uint32_t connections;          /* of that identity, in any state; ours and theirs */
} diameter_row;

struct diameter_gate {
    const gate_config *config;
    loop *home;
    loop_watch listener, sctp_listener;
    bool is_listening, is_listening_sctp, is_stopping, has_told_rows;
    uint32_t logged;               /* lines in this tick */
    loop_timer tick;
    loop_timer again;              /* bytes of TLS wait in peers that epoll knows nothing of */
    int64_t peer_state_ns;
    diameter_peer *peers[DIAMETER_CONNECTIONS_MAX];
    uint32_t generations[DIAMETER_CONNECTIONS_MAX];
    uint32_t slots_used;           /* peers[slots_used..] are empty */
    uint32_t slots_most;           /* as many were used since memory was given back */
    diameter_peer *dirty, *gone;
    diameter_row rows[GATE_PEERS_MAX];
    pending_table *pending;
    busy_parcel *first_parcel, *last_parcel; /* refusals that wait, in the order they are due */
    uint32_t parcel_count;
    loop_timer busy_look;
    uint32_t keep_most;            /* requests that wait for the cores... */
    patience patience;             /* ...and fewer while they take long */
    bool hears_priority;           /* a request of a low priority came: priorities are looked at in time */
    overload overload;
    uint32_t calm_looks;
    tracer *tracer;
    refusals refused_peers, refused_certificates; /* for the audit log */
    relay *relay;                  /* NULL, as the next: this host is no IWK-SCEF */
    interworking *interworking;
    uint32_t untold;               /* answered downlinks the core's ring had no room for */
    diameter_counts counts;
    diameter_procedures *procedures; /* [GATE_PEERS_MAX + 1]: by row, the last for peers that nobody listed */
    dro_latency uplinks;           /* from the core's ring until the answer that it is kept */
    dro_random_seeded random;
    uint32_t end_to_end, origin_state, session_high, session_low;
    diameter_message message;      /* the one being handled */
    diameter_fault fault;
    uint8_t scratch[READ_BYTES + DIAMETER_MESSAGE_MAX];
    uint8_t members[MEMBERS_BYTES]; /* a list on its way to the cores */
};

/* ---- diameter.c ---- */

/* A peer in a free slot, or NULL when all are taken. */
diameter_peer *gate_peer_new(diameter_gate *gate, int descriptor, peer_state_name state);
/* NULL when that peer has gone. */
diameter_peer *gate_peer_find(diameter_gate *gate, uint32_t slot, uint32_t generation);
/* The open connection (but not `except`) to an identity; NULL: none. */
diameter_peer *gate_peer_of(diameter_gate *gate, const char *identity, const diameter_peer *except);
/* Row of config->peers for an identity, or NO_ROW. */
int gate_row_of(const diameter_gate *gate, const char *identity);
/* Tells the core; a full ring is no harm, it is told again. */
void gate_tell_peer(diameter_gate *gate, const diameter_peer *peer);
uint32_t gate_identity_hash(const char *identity, size_t length);
/* For the audit log: a peer that was refused, `identity` as it says, NULL: it did not say; or its certificate. */
void gate_note_refusal(diameter_peer *peer, enum audit_act act, uint32_t result, const char *identity, const char *detail);
/* Not too many lines about strangers. */
bool gate_may_log(diameter_gate *gate);
/* Counts for this peer. */
void gate_count_request(diameter_gate *gate, const diameter_peer *peer, int direction, const diameter_command *command);
void gate_count_answer(diameter_gate *gate, const diameter_peer *peer, int direction, const diameter_command *command, uint32_t result, uint32_t experimental);
void gate_count_timeout(diameter_gate *gate, const diameter_peer *peer, const pending_outgoing *entry);
uint32_t gate_jitter(diameter_gate *gate, uint32_t below);

/* ---- diameter_peer.c ---- */

void peer_on_ready(loop_watch *watch, uint32_t events);
/* TLS from the first byte on, theirs or ours. */
void peer_accept_tls(diameter_peer *peer);
/* Goes on with bytes that OpenSSL holds. */
void peer_read_hidden(diameter_peer *peer);
/* Watches the descriptor; closes the peer when that fails. */
bool peer_watch(diameter_peer *peer, uint32_t events);
/* Room for one message of at most `most` bytes; write it into `out`, then peer_send.
 * False: the peer is slow or memory is short, and the peer is closed. */
bool peer_room(diameter_peer *peer, size_t most, dro_builder *out);
/* Takes what was written; it leaves in peer_flush. */
void peer_send(diameter_peer *peer, const dro_builder *out);
void peer_flush(diameter_peer *peer);
static inline uint32_t peer_unsent(const diameter_peer *peer)
{
    return peer->out_end - peer->out_begin;
}
/* May requests be sent to it? */
static inline bool peer_is_ready(const diameter_peer *peer)
{
    return peer->state == PEER_OPEN && !peer->is_suspect && peer_unsent(peer) < OUT_BYTES_PAUSE;
}
/* Closes at once; the struct stays until the end of the turn with state PEER_GONE. */
void peer_close(diameter_peer *peer);
/* Closes when all is sent. */
void peer_drain(diameter_peer *peer);
/* Answer to the request being handled: result and, if any, the fault's Failed-AVP. */
void peer_answer_error(diameter_peer *peer, const diameter_command *command, const diameter_fault *fault);
/* The same, counted and traced but only written into `out`, which has room for peer_error_bytes. */
void peer_put_error(diameter_peer *peer, const diameter_command *command, const diameter_fault *fault, dro_builder *out);
size_t peer_error_bytes(const diameter_message *request, const diameter_fault *fault);
/* Messages that were traced when they were made. */
void peer_send_untraced(diameter_peer *peer, const dro_builder *out);
/* Origin-Host and Origin-Realm. */
void peer_put_origin(const diameter_gate *gate, dro_builder *out);

/* ---- diameter_base.c ---- */

void base_on_connected(diameter_peer *peer);
void base_on_cer(diameter_peer *peer, const diameter_message *request);
void base_on_cer_again(diameter_peer *peer, const diameter_message *request);
void base_on_cea(diameter_peer *peer, const diameter_message *answer);
void base_on_dwr(diameter_peer *peer, const diameter_message *request);
void base_on_dwa(diameter_peer *peer, const diameter_message *answer);
void base_on_dpr(diameter_peer *peer, const diameter_message *request);
void base_on_dpa(diameter_peer *peer, const diameter_message *answer);
/* The answer to a CER, also one that was read only in part. */
void base_send_cea(diameter_peer *peer, const diameter_header *request, const diameter_fault *fault);
void base_send_dwr(diameter_peer *peer);
void base_send_dpr(diameter_peer *peer, uint32_t cause);
/* Our connection to this identity is gone: the held one of theirs may open. */
void base_end_election(diameter_gate *gate, const char *identity);
/* Any message came: RFC 3539 3.4.1 starts Tw anew. */
void base_watchdog_reset(diameter_peer *peer);
void base_watchdog_expired(diameter_peer *peer);

/* ---- t6a.c ---- */

void t6a_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command);
/* `is_good` false: the answer to one of ours cannot be used. */
void t6a_on_answer(diameter_peer *peer, const diameter_message *answer, const diameter_command *command, bool is_good);
/* Answers a request that waited for the core. */
void t6a_answer(diameter_gate *gate, pending_incoming *entry, uint32_t result, uint32_t experimental);
/* The same with further AVPs. */
struct pending_reports;
typedef struct t6a_answer_more {
    uint32_t result, experimental;
    size_t most;                  /* bytes of what `put` puts */
    void (*put)(const struct pending_reports *of, dro_builder *out); /* NULL: nothing */
    const struct pending_reports *of;
    const connection_answer *connection; /* what the core says of one; NULL: nothing */
} t6a_answer_more;
void t6a_answer_with(diameter_gate *gate, pending_incoming *entry, const t6a_answer_more *more);
/* An entry for the answer to a request; NULL after t6a_refuse. */
pending_incoming *t6a_keep(diameter_peer *peer, const diameter_message *request, const diameter_command *command, uint64_t *id);
/* The same with what the core says of a connection. */
void t6a_answer_connection(diameter_gate *gate, pending_incoming *entry, const connection_answer *said);
/* A request that waited for the core waits no longer. */
void t6a_drop(diameter_gate *gate, pending_incoming *entry);
/* Requests that wait for this peer will not be answered. */
void t6a_peer_lost(diameter_peer *peer);
/* Once a second: requests whose time is over. */
void t6a_sweep(diameter_gate *gate);
/* Tells the core again what its full ring did not take. */
void t6a_tell_again(diameter_gate *gate);
/* Why a request is refused: into gate->fault; false. */
bool t6a_refuse(diameter_peer *peer, uint32_t result);
/* 3004, counted: there is no room for it now. */
bool t6a_refuse_busy(diameter_peer *peer, const diameter_message *request);
bool t6a_refuse_avp(diameter_peer *peer, uint32_t result, const diameter_message *request, const diameter_avp *avp);
/* `name` is not there, inside `around`. */
bool t6a_refuse_missing(diameter_peer *peer, diameter_name around, diameter_name name);
/* Space in a core's ring and an entry for the answer; NULL after t6a_refuse. */
uint8_t *t6a_reserve(diameter_peer *peer, const diameter_message *request, const diameter_command *command,
                     ring_writer *ring, size_t length, uint64_t *id);
/* May this peer speak of the user, and over that APN (NULL: none is named)? False after 5101. */
bool t6a_judge_user(diameter_peer *peer, const char *imsi, const diameter_avp *apn);
bool t6a_judge_named(diameter_peer *peer, const diameter_avp *user_name); /* one that has IMSIs of its own names the device by that */
/* Fields for a core that finds the device by a reference: PEER_IMSIS, of a peer that has IMSIs of its own. */
void t6a_put_imsis(const diameter_peer *peer, dro_builder *out);
bool t6a_has_imsis(const diameter_peer *peer);
/* An IMSI; false: none. */
bool t6a_imsi(const diameter_avp *name, char out[IMSI_DIGITS_MAX + 1]);
/* A peer by its identity that speaks the application (a bit of enum peer_application), or a relay that knows the way; NULL: none. */
diameter_peer *t6a_next_hop(diameter_gate *gate, const uint8_t *host, size_t length, uint32_t application);
/* A request of ours to this peer: its entry is filled, `header` and its first AVPs are written. */
size_t t6a_request_begin(diameter_gate *gate, diameter_peer *peer, pending_outgoing *entry, uint32_t code, uint32_t application,
                         uint8_t flags, dro_builder *out);
void t6a_request_end(diameter_gate *gate, diameter_peer *peer, const pending_outgoing *entry, size_t begin, dro_builder *out);
/* Does this request stay here, since its peer asked to be sent less? Then it is counted. */
bool t6a_abates(diameter_gate *gate, const diameter_peer *peer, const overload_way *way);
/* What the core cannot be told now stays in its entry. */
void t6a_keep_untold(diameter_gate *gate, pending_outgoing *entry, uint32_t outcome);
/* Sends the core's downlink or says why not. */
void t6a_downlink(diameter_gate *gate, uint32_t core, uint64_t id, const downlink_request *request, const uint8_t *text);
/* Tells the MME that the core has ended a connection. */
void t6a_release(diameter_gate *gate, const downlink_request *request, const uint8_t *text, const rate_status *left);
/* Until when an answer is waited for: SCEF-Wait-Time (0: none) and a little longer. */
int64_t t6a_answer_deadline(const diameter_gate *gate, uint32_t wait_until);
/* An answer of ours that has more in it than a result; _end copies Proxy-Info and sends it. */
size_t t6a_answer_begin(const diameter_gate *gate, const diameter_message *request, uint32_t result, uint32_t experimental, dro_builder *out);
void t6a_answer_end(diameter_peer *peer, const diameter_message *request, const diameter_command *command, size_t begin, uint32_t result,
                    uint32_t experimental, dro_builder *out);
/* May what is for that realm go to this peer, or what is of it come from there? An agent's realms are its own and those
 * listed with it; of a peer that is not listed, all. */
bool peer_serves_realm(const diameter_peer *peer, const void *realm, size_t length);

/* ---- diameter_busy.c ---- */

void busy_init(diameter_gate *gate);
uint32_t busy_keep(const diameter_gate *gate); /* requests that may wait for the cores now */
void busy_fini(diameter_gate *gate);
/* Does the gate keep about as many requests as it may, of this peer or of all? Then busy_refuse looks. */
bool busy_is(const diameter_peer *peer);
/* A request of this priority came. */
void busy_heard_priority(diameter_gate *gate, uint32_t priority);
/* May this peer have so much of a core's ring? Part of it is for peers with few requests, and for HTTP. */
bool busy_has_space(const diameter_peer *peer, ring_writer *ring, uint32_t length);
/* Refuses a request of an application; false: it is none, something is wrong with it, or there is room for its priority. */
bool busy_refuse(diameter_peer *peer, const uint8_t *bytes, uint32_t length);
/* 3004 to gate->message, which may be skimmed; the peer is told later. */
void busy_answer(diameter_peer *peer, const diameter_command *command);
/* What this peer has not been told yet goes out now. */
void busy_tell_peer(diameter_peer *peer);

/* ---- s6t.c ---- */

/* ID*, MSISDN(?) and IMSI(?) of a User-Identifier or what has the same AVPs in it. False: `wrong` is none. */
bool s6t_put_identities(const diameter_message *message, const diameter_avp *group, dro_builder *out, const diameter_avp **wrong);
/* Core of the twin that has one of those identities. */
uint32_t s6t_home_of(const gate_config *config, const uint8_t *fields, size_t length);
bool s6t_on_nidd_information(diameter_peer *peer, const diameter_message *request, const diameter_command *command);

/* ---- trigger.c ---- */

/* What became of a trigger. */
bool tsp_on_device_notification(diameter_peer *peer, const diameter_message *request, const diameter_command *command);
bool t4_on_delivery_report(diameter_peer *peer, const diameter_message *request, const diameter_command *command);

/* ---- relay.c ---- */

typedef struct relay_plan {        /* where a request goes on to */
    int home;                      /* row of the home network */
    bool is_up;                    /* to it; else to a serving node */
    bool adds_rate, adds_plmn;     /* Serving-PLMN-Rate-Control, Visited-PLMN-Id */
    const uint8_t *host, *realm;   /* Destination-Host (NULL: any of the realm) and -Realm it goes on with; borrowed */
    uint32_t host_length, realm_length;
} relay_plan;

relay *relay_new(void);
void relay_free(relay *relay);     /* wipes; NULL is fine */
/* Sends the request on; false after t6a_refuse. */
bool relay_request(diameter_peer *from, const diameter_message *request, const diameter_command *command, const relay_plan *plan);
/* A peer that leads there, but not back to `from`; NULL: none. */
diameter_peer *relay_next_hop(diameter_peer *from, const relay_plan *plan);
void relay_on_answer(diameter_gate *gate, pending_outgoing *entry, const diameter_message *answer, const diameter_command *command,
                     uint32_t result, uint32_t experimental);
/* Once a second: what was held has a way again, perhaps. */
void relay_go_on(diameter_gate *gate);
/* Another way, held for one, or 3002 for who asked. */
void relay_without_answer(diameter_gate *gate, pending_outgoing *entry, diameter_reason reason);

/* ---- interworking.c ---- */

typedef enum interworking_counted {
    INTERWORKING_ANSWERED, INTERWORKING_UNANSWERED, INTERWORKING_REFUSED, INTERWORKING_FAILOVER, INTERWORKING_EVENT, INTERWORKING_COUNTED,
} interworking_counted;

DRO_CHECKED dro_err interworking_new(diameter_gate *gate);
void interworking_free(diameter_gate *gate);
/* Is it a home network's business, or between here and there? Then interworking_on_request takes it, next. */
bool interworking_concerns(diameter_gate *gate, const diameter_message *request, const diameter_command *command);
bool interworking_on_request(diameter_peer *peer, const diameter_message *request, const diameter_command *command);
void interworking_count(diameter_gate *gate, int home, bool is_up, interworking_counted what, uint64_t more);
/* A request that passed was answered; `data_length` of Non-IP-Data. */
void interworking_passed(diameter_gate *gate, int home, bool is_up, const diameter_command *command, uint32_t data_length, uint32_t result);
void interworking_metrics(const diameter_gate *gate, dro_builder *out);
