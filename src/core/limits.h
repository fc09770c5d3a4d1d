/* The core's limits, by name. What a user can meet is in docs/limits.md. */
#pragma once

enum {
    CORE_TWINS_MAX = 64 * 1024 * 1024,
    CORE_GATES_MAX = 16,
    CORE_CELLS_MAX = 16,
    CORE_IMAGES_MAX = 256,
    CORE_QUESTIONS_MAX = 1024,     /* requests that wait for core 0's word */
    CORE_START_WAIT_S = 600,       /* for core 0, when all are opened at once */
    CORE_HOSTS_MAX = 1024,         /* Origin-Hosts (and realms) ever met */
    CORE_APPLICATIONS_MAX = 1024,
    CORE_SESSIONS_MAX = 256,       /* console logins */
    CORE_TURNS_MAX = 4096,         /* in flight, all cells */
    CORE_TURN_BYTES_MAX = 4 << 20, /* events kept for turns in flight */
    CORE_GATE_BATCH = 512,         /* messages taken of a gate in a round */
    CORE_CELL_BATCH = 1024,        /* results taken of a cell in a round */
    REWRITE_PAUSE_S = 10,          /* after one could not be read, of others in its segment */
    REWRITES_MAX = 32,             /* contexts read at a time to be written anew */
    CORE_TIMER_BATCH = 512,        /* due timers in a round */
    CORE_OUTBOX_MAX = 32 << 20,    /* bytes waiting for a gate; above, its requests wait */

    TWIN_DEFERRED_MAX = 512,       /* events waiting for a twin's turn to end */
    TURN_CHAIN_MAX = 64,           /* uplinks of one twin in one visit to its cell */
    TWIN_MAIL_MAX = 32,            /* downlinks waiting for a device, unless downlink.packets says otherwise; of commands always */
    DOWNLINK_PACKETS_MAX = 256,    /* the most that downlink.packets says */
    DOWNLINK_BYTES = 64 << 10,     /* that wait for a device, with what is kept beside them, unless downlink.bytes says otherwise */
    DOWNLINK_BYTES_MAX = 128 << 10,/* the most that it says */
    TWIN_TICKETS_MAX = 64,         /* kept; the oldest ended one goes first */
    TWIN_TIMERS_MAX = 8,
    TWIN_ALIASES_MAX = 8,
    TWIN_TAGS_MAX = 32,
    TWIN_APN_MAX = 100,

    TWIN_CONFIGURATIONS_MAX = 16,  /* NIDD configurations */
    TWIN_DELIVERIES_ENDED_MAX = 32,/* downlinks of applications that ended, kept; the oldest goes first */
    TWIN_NOTICES_MAX = 32,         /* notifications waiting for applications; the oldest goes first */
    CORE_NOTICE_BYTES_MAX = 512 << 20, /* of all twins */
    DESTINATIONS_MAX = 65536,      /* different notification destinations */
    NOTICES_SENT_MAX = 2048,       /* under way in the gates */
    NOTICE_WINDOW = 256,           /* under way to one destination */
    NOTICE_DESTINATIONS_BATCH = 256,
    GROUPS_MAX = 4096,             /* groups of the host */
    GROUP_CONFIGURATIONS_MAX = 1024, /* NIDD configurations of groups */
    GROUP_OPERATIONS_MAX = 256,    /* kept; the oldest that has ended goes first */
    GROUP_FIELDS_MAX = 8192,       /* bytes of what an application gave for one */
    GROUP_BATCH = 256,             /* members begun in a round of a core */
    GROUP_SCAN = 8192,             /* places of lists looked at in a round */
    GROUP_AGAIN_MS = 50,           /* before members whose twin is busy or whose serving node is away are looked at again */
    GROUP_AGAIN_MAX_MS = 1000,     /* twice as long after each time that none of them could be begun, at most */
    GROUP_TURNS_MAX = 512,         /* members in cells at once, of a core */
    GROUP_SENT_MAX = 4096,         /* members with a request out at once, of all cores */
    GROUP_RESULTS_MAX = 500,       /* results in one notification, */
    GROUP_NOTICE_BYTES = 24576,    /* in so many bytes */
    GROUP_GUARD_S = 30,            /* results of an operation are told then, and so long after each time */
    GROUP_PAGE_SCAN = 100000,      /* places looked at for one page */
    TWIN_GROUPS_MAX = 32,          /* groups of a twin */

    NIDD_FIELDS_MAX = 4096,        /* bytes of what an application gave */
    NIDD_PATH_MAX = 256,
    AUTHORIZATIONS_MAX = 1024,     /* questions that wait for an HSS; a power of two */
    AUTHORIZATION_TRIES_MAX = 4,   /* ways tried for one: peers that went away */

    DUPLICATES_PER_HOST = 65536,   /* newest End-to-End ids kept */
    DUPLICATES_MAX = 8 << 20,      /* of all Origin-Hosts together, 16 bytes each */
    IDEMPOTENCY_MAX = 65536,       /* keys kept */
    TOKEN_KEYS_MAX = 1024,         /* keys kept with which tokens were asked for */
    DEAD_LETTERS_MAX = 1000,
    STREAMS_MAX = 1024,            /* event streams, all gates */
    STREAM_EVENTS_KEPT = 100000,   /* that a stream can resume over */
    WAITERS_MAX = 4096,            /* requests waiting for a ticket's state */
    WAIT_MS_MAX = 600000,          /* how long one may, whatever the gate says */
    LIST_LIMIT_MAX = 500,
    LIST_LIMIT = 100,
    TIMELINE_LIMIT_MAX = 200,
    TIMELINE_LIMIT = 20,
    HISTORY_LIMIT_MAX = 1000,
    HISTORY_LIMIT = 100,
    TIMELINE_READS_MAX = 1000,     /* log records read for one answer */

    TICKET_KEPT_S = 24 * 3600,     /* after it ended */
    IDEMPOTENCY_KEPT_S = 24 * 3600,
    NOTICE_KEPT_S = 24 * 3600,     /* a destination that does not take it */
    NOTICE_PAUSE_MS = 500,         /* after a failure; twice as long after each further one, */
    NOTICE_PAUSE_MAX_MS = 60 * 1000, /* at most */
    AUTHORIZATION_WAIT_MS = 15000, /* for the HSS, all tries together; the gate gives each 10 s */
    RENEWAL_LEAD_MS = 60 * 1000,   /* a grant is asked for again so long before its end, at most a quarter of it, */
    RENEWAL_PAUSE_MS = 1000,       /* and then after this; twice as long each further time, */
    RENEWAL_PAUSE_MAX_MS = 60 * 1000, /* at most */
    DELIVERY_WAIT_MS = 2000,       /* a connected device is waited for before the application is answered */
    DOWNLINK_EXPIRY_S = 7 * 24 * 3600,
    DOWNLINK_AGAIN_MAX = 2,        /* other ways tried for a downlink whose connection was lost */
    DOWNLINK_WAIT_S = 10,          /* SCEF-Wait-Time from now */
    DOWNLINK_CROWDED_RETRY_MS = 200, /* after a serving node that is connected took no more */
    DOWNLINK_BUSY_RETRY_S = 5,     /* after 3004 */
    DOWNLINK_LOST_S = 120,         /* without even a word of the gate: taken back */
    TOKEN_LIFE_S = 3600,           /* of an access token, unless auth.token_life says otherwise */
    SIGNING_KEY_LIFE_S = 30 * 24 * 3600, /* until the next one signs */
    SESSION_S = 12 * 3600,
    LOGIN_S = 24 * 3600,
    TURN_DEADLINE_MICROS = 1000,
    TURN_TRIES_MAX = 2,            /* a turn that killed two cells is a dead letter */
    BACKUP_IDLE_S = 60,            /* nobody asks for the next piece: the backup ends */
    BACKUP_BEGIN_MS = 2000,        /* all cores begin a backup within, or it ends */
    BACKUP_SHARE = 8,              /* of the core's time, one part for a backup while there is other work */
    CELL_STALL_MS = 5000,          /* turns in flight, no result: the cell is replaced */
};
