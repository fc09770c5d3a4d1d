/* Play: devices, applications and their network against a world, at random from its
 * seed, with an oracle that knows what every answer may say. Requests without an answer
 * are sent again, as the network and applications do. */
#pragma once

#include "world.h"

enum { PLAY_DEVICES_MAX = 32, PLAY_OPEN_MAX = 512, PLAY_DOWNLINKS_MAX = 128, PLAY_TICKETS = 1 << 14, PLAY_READINGS_MAX = 4096 };

typedef struct play_options {
    uint32_t devices, steps;
    uint32_t window;            /* uplinks of a device without an answer; 0: 3 */
    uint32_t lose_percent;      /* of the steps lose a cell or gate */
    bool is_still;              /* time stays within minutes: nothing expires */
    bool is_wild;               /* twins are removed in the middle of whatever is under way */
} play_options;

enum play_kind { PLAY_FREE, PLAY_CREATE, PLAY_DELETE, PLAY_WRITE, PLAY_ACTION, PLAY_TAG, PLAY_GET, PLAY_CONNECT, PLAY_UPLINK, PLAY_AGAIN };

typedef struct play_open {      /* a request without its answer */
    enum play_kind kind;
    uint32_t device, acked;     /* readings acknowledged when it was asked */
    uint64_t id, order, revision;
    uint16_t type;
    bool is_reading, is_due;    /* due: not sent yet, or to be sent again */
    int period;
    size_t length;
    uint8_t bytes[512];
} play_open;

enum play_life { PLAY_ABSENT, PLAY_LIVE };

typedef struct play_device {
    char id[32], imsi[16];
    uint32_t gate;
    enum play_life life;
    bool is_busy;               /* a command is open */
    bool is_making, is_leaving, is_connected, is_connecting;
    bool is_wild;               /* removed with requests open: any answer to those is right */
    uint8_t lives;              /* in its frames, so that dead letters of another life are known */
    uint32_t sent, acked;       /* readings */
    uint32_t waiting;           /* uplinks without an answer */
    uint64_t order, answered;   /* of uplinks */
    uint32_t revision, revision_sent;
    int period, confirm;        /* newest written; to be confirmed, or -1 */
    uint64_t ticket;            /* newest acknowledged */
    uint32_t old[8], old_count; /* End-to-End ids answered already */
} play_device;

typedef struct play_downlink { uint64_t id; uint32_t gate, device; uint8_t bytes[8]; uint32_t length; int64_t sent_ms; } play_downlink;

typedef struct play {
    world *world;
    play_options options;
    play_device devices[PLAY_DEVICES_MAX];
    play_open open[PLAY_OPEN_MAX];
    play_downlink downlinks[PLAY_DOWNLINKS_MAX];
    uint32_t downlink_count;
    uint64_t id_next, order_next;
    uint32_t end_to_end_next, key_next;
    struct { uint64_t number; uint8_t state; } tickets[PLAY_TICKETS];
    uint32_t step, refused, answers, reported, trapped, wild;
    bool is_broken;             /* the disk fails: refusals are right, too */
    bool is_mute;               /* an fsync of the log has failed: what changes anything is acknowledged no more */
    bool is_lossy;              /* one request may be refused or lost, and the next one not: its repetition comes behind that */
} play;

void play_init(play *play, world *world, const play_options *options);
/* One random deed, some rounds, all checks. */
void play_step(play *play);
/* The core is open again after a crash: checks what must have survived, sends again. */
void play_recovered(play *play);
/* No more faults: everything under way comes to its end, and is as it must be. */
void play_finish(play *play);
void play_message(void *context, uint32_t gate, const ring_header *header, const uint8_t *body, uint32_t length);
