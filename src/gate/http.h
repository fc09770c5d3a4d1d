/* HTTP side of the gate: connections, the requests on them (exchanges), and the
 * parts that answer. Shapes shared by the files of the HTTP side; gate.c uses the
 * functions only.
 *
 * A request lives like this: connection.c reads and parses, request.c checks the
 * head and decides where the body goes, the core (or a part) answers by the
 * exchange's id, answer.c writes into the exchange's place in the connection's
 * order, http_turn writes out once per turn of the loop.
 *
 * Nobody closes a connection under its own feet: connection_break marks it, and
 * http_turn takes it away. */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/builder.h"
#include "base/latency.h"
#include "gate/access.h"
#include "gate/block.h"
#include "gate/body.h"
#include "gate/gate.h"
#include "gate/http_limits.h"
#include "gate/loop.h"
#include "gate/patience.h"
#include "gate/route.h"
#include "gate/tls.h"
#include "gate/token.h"
#include "ring/message.h"

typedef struct http http;
typedef struct connection connection;
typedef struct exchange exchange;
typedef struct upload upload;
typedef struct bulk bulk;
typedef struct stream stream;
typedef struct backup backup;
typedef struct websocket websocket;
typedef struct console console;
typedef struct fan fan;
typedef struct pages pages;

/* ---- for gate.c ---- */

/* Borrows config and loop for its whole life. `more_metrics` adds lines to /metrics. */
DRO_CHECKED dro_err http_new(http **out, const gate_config *config, loop *loop,
                             void (*more_metrics)(void *context, dro_builder *out), void *context);
void http_free(http *http);
/* A message of a core or (HTTP_DESK) the desk; lengths are checked here. */
enum { HTTP_DESK = GATE_CORES_MAX };
void http_on_message(http *http, uint32_t from, uint16_t type, uint64_t id, const void *body, uint32_t length);
/* Goes on with what waited, writes out what gathered, closes what is done. Once per turn of the loop. */
void http_turn(http *http);
/* How long the loop may sleep for the HTTP side's sake: 0 not at all, 1 a ring is full, -1 as it likes. */
int http_wait_ms(const http *http);
/* The name CAPIF's core function has given this host as exposing function; "": none. */
void http_set_aef(http *http, const char *aef);
bool http_is_ready(const http *http); /* tokens are known: requests are answered */
void http_ready(http *http);          /* they are known now: connections are taken */
/* No more connections; those under way finish. True when none is left. */
bool http_stop(http *http);

/* ---- exchanges ---- */

enum exchange_kind {
    EXCHANGE_FREE, EXCHANGE_LOCAL, EXCHANGE_CORE, EXCHANGE_DESCRIPTION, EXCHANGE_METRICS,
    EXCHANGE_BARRIER, EXCHANGE_QUERY, EXCHANGE_UPLOAD, EXCHANGE_BULK, EXCHANGE_STREAM,
    EXCHANGE_PAGE, EXCHANGE_LETTERS, EXCHANGE_STATUS, EXCHANGE_BACKUP, EXCHANGE_WEBSOCKET,
    EXCHANGE_PAGES,
};

typedef struct gathered { /* bytes that outlive a message: SQL, a Thing Model in parts */
    uint8_t *bytes;
    uint32_t length, capacity;
} gathered;

struct exchange {
    connection *owner;
    exchange *next;            /* on the connection, or the next free one */
    union {
        upload *upload;
        bulk *bulk;
        stream *stream;
        pages *pages;
        fan *fan;              /* PAGE, LETTERS, STATUS */
        backup *backup;
        websocket *websocket;
        gathered gathered;     /* DESCRIPTION; BARRIER: the domains and the SQL */
    };
    uint64_t if_none_match;    /* of a safe request; ~0: none */
    int64_t deadline_ns;       /* of the answer; 0: none */
    int64_t begun_ns;          /* its head was there */
    block_chain out;           /* while it is not the first on its connection */
    uint32_t generation;
    uint32_t waiting;          /* bits of cores that were asked; of several, those yet to answer */
    uint16_t route;            /* index, HTTP_NO_ROUTE before one is known */
    uint16_t status;           /* 0: no answer begun */
    uint8_t kind;
    uint8_t patient;           /* one more than the core that it waits for, as others do; 0: none, or for its own reasons */
    bool is_safe, is_head, is_old, keeps_alive, is_chunked, is_answered;
    bool is_untimed;           /* it takes as long as its client wants */
};
enum { HTTP_NO_ROUTE = 0xffff };

/* NULL: so many are under way. Becomes the last on `owner`. What is refused at once may have one of HTTP_EXCHANGES_ALL. */
exchange *exchange_take(http *http, connection *owner, uint32_t most);
/* By an id that came back; NULL: gone. `part` gets what exchange_id was given. */
exchange *exchange_find(http *http, uint64_t id, uint32_t *part);
uint64_t exchange_id(const http *http, const exchange *exchange, uint32_t part);
/* Its answer is whole: goes out in order; the exchange is no more. */
void exchange_end(exchange *exchange);
/* All of a connection that goes away. */
void exchange_drop_all(connection *owner);
/* Those whose time is over get 504. */
void exchange_sweep(http *http);

/* ---- too much to do ---- */

typedef struct held_line { /* exchanges that are refused and not told yet, in the order they are due */
    struct held *places;       /* [HTTP_HELD_MAX], a ring */
    uint32_t first, count;
    loop_timer timer;
} held_line;

bool held_init(http *http); /* false: no memory */
void held_fini(http *http);
/* 503 a moment later: who asks again at once would else be refused the faster the less a refusal costs. Ends the exchange. */
void held_refuse(exchange *exchange);
/* May the core be asked once more? And every core? */
bool held_may_ask(const http *http, uint32_t core);
bool held_may_ask_all(const http *http);
/* It was; until exchange_end or the end of the connection it is one that waits. */
void held_asked(exchange *exchange, uint32_t core);
void held_answered(exchange *exchange);
void held_left(exchange *exchange);

/* ---- connections ---- */

typedef struct span { /* of the head, from its first byte */
    uint32_t offset, length;
} span;

enum head_field {
    FIELD_AUTHORIZATION, FIELD_HOST, FIELD_CONTENT_TYPE, FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING,
    FIELD_EXPECT, FIELD_IF_MATCH, FIELD_IF_NONE_MATCH, FIELD_IDEMPOTENCY_KEY, FIELD_LAST_EVENT_ID,
    FIELD_UPGRADE, FIELD_WEBSOCKET_KEY, FIELD_WEBSOCKET_VERSION, FIELD_WEBSOCKET_PROTOCOL, FIELDS,
};

typedef struct head {
    span target, name, value;
    span fields[FIELDS];
    uint32_t present;          /* bits of enum head_field */
    uint32_t count;            /* header fields */
    bool in_value, is_complete;
} head;

enum connection_pending { PENDING_NONE, PENDING_HEAD, PENDING_BODY, PENDING_END };
enum connection_sink { SINK_DISCARD, SINK_COLLECT, SINK_UPLOAD, SINK_BULK };
enum connection_phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_HANDSHAKE };

enum connection_list_name { LIST_STRANGERS, LIST_HEAVY, CONNECTION_LISTS }; /* of strangers.c */

typedef struct connection_list {
    connection *oldest, *newest;
    uint32_t count;
} connection_list;

struct connection_links {
    connection *older, *newer;
    bool is_listed;
};

struct connection {
    loop_watch watch;
    loop_timer timer;
    tls_session tls;
    http *http;
    connection *previous, *next;       /* open ones */
    connection *next_dirty, *next_resumed;
    struct connection_links links[CONNECTION_LISTS];
    int64_t stranger_ns;               /* since when it is one */
    llhttp_t parser;
    block *in;                         /* NULL: nothing read that is not handled */
    uint32_t start, parsed;            /* in `in`: the head's first byte; what llhttp has seen */
    block_chain out;
    exchange *first, *last;
    uint32_t under_way;                /* exchanges */
    uint32_t events;                   /* what epoll watches */
    int64_t phase_ns;                  /* when the phase began, or its last byte came */
    int64_t progress_ns;               /* when the client last took a byte */
    head head;
    uint8_t pending, phase, sink;
    uint16_t refusal;                  /* status, set inside a parser callback */
    bool is_reading, is_blocked, is_dirty, is_resumed, is_parser_paused, is_eof, is_closing, is_broken, is_lingering;
    bool wants_linger, is_foreign, may_write, is_waiting, is_stranger;
    websocket *websocket;              /* what comes now are its frames; NULL: HTTP */
    bool is_upgrade, has_websocket_protocol; /* of the request at hand */
    char websocket_accept[29];         /* "": its key or version is not good */
    exchange *current;                 /* whose body comes in; NULL: nobody's */
    span body;                         /* in `in`, from its first byte: the piece at hand */
    gathered collected;                /* SINK_COLLECT: when it came in pieces */
    uint64_t body_max;
    uint64_t body_expected;            /* Content-Length; ~0: chunked */
    uint64_t discarded;
    uint64_t wait_ms;                  /* of ?wait */
    bool is_whole;                     /* `body` is all of it */
    uint8_t token[TOKEN_HASH];         /* of the request at hand: the application's own, also when a JWT came */
    uint32_t scopes;                   /* what it may do */
    int64_t token_expires_ms;          /* 0: never */
    uint32_t trailer_bytes;
    uint32_t request_length;
    uint8_t request[HTTP_REQUEST_MAX]; /* api_request and fields of the head */
};

void connection_on_listener(loop_watch *watch, uint32_t events);
void connection_open(http *http, int descriptor); /* takes the descriptor, also on failure */
void connection_break(connection *connection);
void connection_mark(connection *connection);   /* there is something to write or to close */
void connection_resume(connection *connection); /* it was blocked; look again this turn */
void connection_process(connection *connection);
void connection_continue(connection *connection); /* it was blocked, or bytes of TLS wait in it */
void connection_flush(connection *connection);
void connection_close(connection *connection);
block *connection_resize(connection *connection, enum block_size size);
void connection_schedule(connection *connection);
slice connection_text(const connection *connection, span span);
slice connection_field(const connection *connection, enum head_field field);
bool gathered_add(gathered *gathered, const void *bytes, size_t length, size_t maximum);
void gathered_clear(gathered *gathered); /* wipes */

/* ---- what request.c decides; false: not now ---- */

bool request_begin(connection *connection);
bool request_body(connection *connection);
void request_end(connection *connection);
/* What llhttp or a limit refused: answered in its place, then the connection ends. */
void request_refuse(connection *connection, int status, const char *detail);
/* The certificate that the client showed; false: none. */
bool request_certificate(const connection *connection, shown_certificate *out);
/* Whose token the request came with; NULL: by now it is gone, or its time is over. */
const token *request_caller(const connection *connection);
/* A flat request to a core: false when its ring is full or it is too long for it. */
bool request_send(http *http, uint32_t core, uint64_t id, const void *bytes, uint32_t length, bool is_wiped);
/* The same one to all cores, which `waiting` then has. */
bool request_send_all(http *http, exchange *exchange, const void *bytes, uint32_t length);

/* ---- counters ---- */

enum http_refusal {
    REFUSED_MALFORMED, REFUSED_TOO_LARGE, REFUSED_TIMEOUT, REFUSED_UNAUTHORIZED, REFUSED_BUSY, REFUSED_SLOW, REFUSED_RATE, REFUSALS,
};

enum { HTTP_ROUTES_MAX = 127 /* rows of spec/routes.csv */ };
typedef struct http_counts {
    uint64_t answers[HTTP_ROUTES_MAX + 1][6];           /* by route (the last: none) and first digit of the status */
    uint64_t accepted, evicted, received_bytes, sent_bytes;
    uint64_t refused[REFUSALS];
    uint64_t late;                     /* answers that came after their time */
    uint64_t bulk_lines, stream_events, slow_streams, websocket_notices;
} http_counts;

struct http {
    const gate_config *config;
    loop *loop;
    loop_watch listener;
    loop_timer sweep, accept_again;
    void (*more_metrics)(void *context, dro_builder *out);
    void *more_context;
    bool is_accepting, is_stopping, is_ready;
    uint32_t stopped;                  /* stop_news.kinds */
    uint32_t storage[GATE_CORES_MAX];  /* enum storage_state of each core */
    int64_t heard_ns[GATE_CORES_MAX];  /* when the core last answered anything */
    block_pool blocks;
    char aef[256];                     /* our name in CAPIF's scopes */
    token_table *tokens;
    access_table *access;
    body_arena *arena;
    console *console;
    exchange *exchanges, *free_exchange;
    uint32_t under_way;                /* exchanges */
    uint32_t exchanges_touched;        /* those behind were never used */
    connection *open, *dirty, *resumed;
    uint32_t connection_count, connections_most; /* since memory was given back */
    connection_list lists[CONNECTION_LISTS];
    upload *uploads;
    bulk *bulks;
    stream *streams;
    pages *pages;
    websocket *websockets;
    uint32_t websocket_count;
    backup *backup;                    /* the one being taken, or NULL */
    uint32_t upload_count, bulk_count, stream_count, query_count, fan_count;
    int64_t date_s;
    char date[32];
    http_counts counts;
    struct audit_refusals *refused;    /* gate/audit.h: for the audit log */
    patience patience[GATE_CORES_MAX]; /* with each core */
    held_line held;
    dro_latency requests;              /* from the head until the answer is written */
    uint8_t scratch[HTTP_REQUEST_MAX + BODY_FIELDS_MAX + 64]; /* one request while it is built; wiped after */
    char decoded[2 * HTTP_BLOCK_BYTES];                       /* target and query of the request at hand */
};
