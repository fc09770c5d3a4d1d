/* Limits of the HTTP side: every bound that a client can meet, by name. */
#pragma once

enum {
    /* Connections and what waits on them */
    HTTP_CONNECTIONS_MAX = 8192,
    HTTP_EXCHANGES_MAX = 16384,          /* requests under way, all connections */
    HTTP_EXCHANGES_ALL = 16384 + 64,     /* with those that only hear that they are too many */
    HTTP_PIPELINE_MAX = 64,              /* requests under way, one connection */
    HTTP_HELD_MS = 400,                  /* who is refused for too much to do is told then, */
    HTTP_HELD_LOOK_MS = 10,              /* or later: by turns, looking this often, */
    HTTP_HELD_A_LOOK = 40,               /* so many each time, which takes about a twentieth of a CPU; */
    HTTP_HELD_MAX = HTTP_CONNECTIONS_MAX, /* of so many, the next one at once */
    HTTP_STRANGERS_A_TURN = 16,          /* that go on with what waited, in a turn of the loop */
    HTTP_TRIM_FROM = 256,                /* so many connections, and a quarter of them later: memory is given back */
    HTTP_ACCEPT_MAX = 64,                /* connections taken per turn of the loop */
    HTTP_EVICT_AFTER_MS = 1000,          /* a stranger, half a header or idle for that long: goes when there is no place left */
    HTTP_HEAVY_MAX = 256,                /* strangers that hold more than the least: the oldest goes for another */
    HTTP_RING_MESSAGES_MAX = 2048,       /* messages taken from one ring per turn */

    /* One request */
    HTTP_BLOCK_BYTES = 16 * 1024,        /* request line and header fields together, and a read */
    HTTP_BLOCK_SMALL = 1024,             /* what is kept of half a header in, and the begin of an answer */
    HTTP_TARGET_MAX = 8 * 1024,
    HTTP_HEADERS_MAX = 64,
    HTTP_TRAILER_MAX = 4 * 1024,
    HTTP_SEGMENTS_MAX = 10,              /* of a path */
    HTTP_IF_MATCH_MAX = 16,              /* entity tags of If-Match */
    HTTP_TOKEN_MAX = 512,                /* bytes of a bearer token */
    HTTP_IDEMPOTENCY_KEY_MAX = 255,
    HTTP_REQUEST_MAX = 2176,             /* api_request and the fields of target and header */
    HTTP_DISCARD_MAX = 64 * 1024,        /* body bytes read after a refusal to keep the connection */

    /* Bodies */
    HTTP_BODY_SMALL_MAX = 8 * 1024,      /* property, action, application */
    HTTP_BODY_TWIN_MAX = 64 * 1024,      /* also a line of twins:bulk */
    HTTP_BODY_QUERY_MAX = 160 * 1024,    /* 64 KiB of SQL, escaped */
    HTTP_SQL_MAX = 64 * 1024,            /* as the desk's */
    HTTP_IMAGE_MAX = 4 * 1024 * 1024,    /* as what admission takes */
    HTTP_IMAGE_PART = 48 * 1024,
    HTTP_UPLOADS_MAX = 16,               /* images being received or passed on */
    HTTP_QUERIES_MAX = 64,               /* queries under way */
    HTTP_BULKS_MAX = 64,
    HTTP_FANS_MAX = 16,                  /* lists being joined of several cores */
    HTTP_FAN_PART_MAX = 256 * 1024,      /* one core's part of them */
    HTTP_STREAMS_MAX = 1024,
    HTTP_WEBSOCKETS_MAX = 1024,
    HTTP_WEBSOCKET_NOTICES_MAX = 256,    /* of one, not taken yet; as the core's window of a destination */
    HTTP_BACKUP_WINDOW = 4,              /* pieces of a backup asked for at once */
    HTTP_BACKUP_SIGN_MS = 5000,          /* so often the cores whose turn comes later hear that it goes on: well within their BACKUP_IDLE_S */

    /* Answers */
    HTTP_OUT_HIGH = 256 * 1024,          /* more waiting to be written: no further request is read */
    HTTP_OUT_MAX = 32 * 1024 * 1024,     /* more waiting on one connection: it is closed */
    HTTP_BULK_OUT_HIGH = 24 * 1024 * 1024, /* a client that sends all before it reads: about 300,000 lines */
    HTTP_STREAM_OUT_MAX = 512 * 1024,    /* a slow reader of events is disconnected */
    HTTP_BLOCKS_MAX = 16 * 1024,         /* 256 MiB of buffers in all */
    HTTP_BLOCKS_SMALL_MAX = 2 * HTTP_CONNECTIONS_MAX + HTTP_EXCHANGES_ALL, /* each has one of both kinds */
    HTTP_BLOCKS_KEPT = 1024,             /* of each size kept while free */
    HTTP_WRITE_PARTS = 16,               /* blocks per write */
    HTTP_DESCRIPTION_MAX = 512 * 1024,   /* bytes of a Thing Description */

    /* Bulk */
    BULK_WINDOW = 512,                   /* lines of one request in the core at once */
    BULK_LINE_MAX = 64 * 1024,
    BULK_PROBLEM_MAX = 4 * 1024,         /* bytes of a problem kept for a line */

    /* Time per phase, milliseconds */
    HTTP_IDLE_MS = 75 * 1000,
    HTTP_HANDSHAKE_MS = 10 * 1000,       /* of TLS, from the connection on */
    HTTP_HEAD_MS = 10 * 1000,
    HTTP_BODY_MS = 30 * 1000,            /* a bounded body */
    HTTP_UPLOAD_MS = 120 * 1000,         /* an image */
    HTTP_STREAM_IDLE_MS = 30 * 1000,     /* between two bytes of a bulk body */
    HTTP_WRITE_MS = 20 * 1000,           /* without a byte taken by the client */
    HTTP_LINGER_MS = 2 * 1000,           /* after a refusal, so that the answer arrives */
    HTTP_ANSWER_MS = 30 * 1000,          /* of the core or desk; beyond what ?wait asks for */
    HTTP_ADMIT_MS = 60 * 1000,           /* of the core for an image */
    HTTP_METRICS_MS = 2 * 1000,          /* of the core for its part of /metrics */
    HTTP_SWEEP_MS = 250,                 /* how exactly those are kept */
    HTTP_SILENT_MS = 10 * 1000,          /* a core that answers nothing for so long is unwell */
    HTTP_COMMENT_MS = 15 * 1000,         /* between comments of an event stream */
    HTTP_STOP_MS = 2500,

    /* Query parameters */
    HTTP_WAIT_DEFAULT_MS = 10 * 1000,
    HTTP_WAIT_MAX_MS = 10 * 60 * 1000,
    HTTP_LIMIT_MAX = 1000,
    HTTP_CURSOR_MAX = 512,
    HTTP_RESUME_MAX = 256,

    /* Tokens */
    TOKENS_MAX = 16384,
    TOKEN_DOMAINS_MAX = 16 * 1024,       /* bytes of one token's domains */
    TOKEN_ID_MAX = 255,                  /* bytes of an application's name */
    TOKEN_CERTIFICATES_MAX = 2 * 1024,   /* bytes of one application's certificates, as texts */
    ACCESS_KEYS_MAX = 8,                 /* of the host, with those that ended */
    ACCESS_LIFE_MAX_S = 24 * 3600,       /* a JWT without iat: how long before its end it may have been issued */
    ACCESS_CACHED_MAX = 4096,            /* JWTs a gate remembers as good */
    FORM_MAX = 8 * 1024,                 /* bytes of a form: a request for a token */
    FORM_MEMBERS_MAX = 16,
    SCOPE_TEXT_MAX = 512,                /* of a request for a token */

    /* Console */
    CONSOLE_FILES_MAX = 256,
    CONSOLE_BYTES_MAX = 32 * 1024 * 1024,
    CONSOLE_DEPTH_MAX = 6,
};
