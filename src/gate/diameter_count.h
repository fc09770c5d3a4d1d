/* Counters of the Diameter side: requests and answers per command and result,
 * what was dropped or refused per reason. Text for /metrics. */
#pragma once

#include <stdint.h>

#include "base/builder.h"
#include "wire/diameter/dict.h"

enum { DIAMETER_COMMANDS_MAX = 64, DIAMETER_CAUSES_MAX = 64 };

/* reason, help */
#define DIAMETER_REASONS(row)                                                       \
    row(ACCEPT_LIMIT, "accept_limit")             /* connections.max reached */     \
    row(ACCEPT_FAILED, "accept_failed")           /* accept(2) refused */           \
    row(NO_CER, "no_cer")                         /* no CER in time */              \
    row(CER_REFUSED, "cer_refused")               /* CER answered with an error */  \
    row(CEA_REFUSED, "cea_refused")               /* our CER was refused */         \
    row(TLS_FAILED, "tls_failed")                 /* no handshake: closed */        \
    row(CONNECT_FAILED, "connect_failed")                                           \
    row(ELECTION, "election")                     /* the other connection stays */  \
    row(FRAME, "frame")                           /* version or length: closed */   \
    row(STATE, "state")                           /* not allowed in this state */   \
    row(MALFORMED_REQUEST, "malformed_request")   /* answered with 3xxx or 5xxx */  \
    row(MALFORMED_ANSWER, "malformed_answer")                                       \
    row(UNKNOWN_ANSWER, "unknown_answer")         /* nobody asked */                \
    row(UNKNOWN_COMMAND, "unknown_command")                                         \
    row(ORIGIN, "origin")                         /* not the peer's own: 5004 */    \
    row(NOT_ALLOWED, "not_allowed")               /* IMSI or APN of others: 5101 */ \
    row(RATE, "rate")                             /* the peer's limit: 3004 */      \
    row(WATCHDOG, "watchdog")                     /* closed: silent */              \
    row(SLOW, "slow")                             /* closed: does not read */       \
    row(BUSY, "busy")                             /* ring or table full: 3004 */    \
    row(CORE_TIMEOUT, "core_timeout")             /* no answer of the core: 3002 */ \
    row(CORE_LATE, "core_late")                   /* asker gone or timed out */     \
    row(ANSWER_TIMEOUT, "answer_timeout")         /* a peer did not answer */       \
    row(CONNECTION_LOST, "connection_lost")       /* requests without answer */     \
    row(NO_PEER, "no_peer")                       /* a downlink for nobody */       \
    row(ABATED, "abated")                         /* ours: a peer is overloaded */  \
    row(NO_MEMORY, "no_memory")                                                     \
    row(BAD_CORE_MESSAGE, "bad_core_message")

#define DIAMETER_REASON_NAME(name, text) DIAMETER_DROP_##name,
typedef enum diameter_reason { DIAMETER_REASONS(DIAMETER_REASON_NAME) DIAMETER_REASON_COUNT } diameter_reason;

enum { DIAMETER_IN, DIAMETER_OUT };

typedef struct diameter_counts {
    uint64_t messages[2][DIAMETER_COMMANDS_MAX];
    uint64_t results[2][DIAMETER_COMMANDS_MAX][DIAMETER_CAUSES_MAX]; /* the last cause: any other */
    uint64_t reasons[DIAMETER_REASON_COUNT];
    uint64_t bytes[2];
} diameter_counts;

/* Of one peer and one command of an application. */
typedef enum diameter_counted { DIAMETER_REQUESTED, DIAMETER_ANSWERED, DIAMETER_FAILED, DIAMETER_COUNTED } diameter_counted;
typedef struct diameter_procedures {
    uint64_t of[DIAMETER_COMMANDS_MAX][2][DIAMETER_COUNTED]; /* by the request's row; failed: answered with an error */
    uint64_t timeouts[DIAMETER_COMMANDS_MAX];                /* of ours that nobody answered */
} diameter_procedures;
/* `command` NULL or of the base protocol: not counted here. */
void diameter_count_procedure(diameter_procedures *peer, int direction, const diameter_command *command, diameter_counted what);
void diameter_count_timeout(diameter_procedures *peer, uint32_t code, uint32_t application);
/* `names[i]` of `peers[i]`; those without traffic are left out. */
void diameter_procedures_text(const diameter_procedures *peers, const char *const *names, uint32_t count, dro_builder *out);

void diameter_count_request(diameter_counts *counts, int direction, const diameter_command *command);
/* `command` NULL: an answer to something unknown. */
void diameter_count_answer(diameter_counts *counts, int direction, const diameter_command *command, uint32_t result,
                           uint32_t experimental);
static inline void diameter_count_drop(diameter_counts *counts, diameter_reason reason)
{
    counts->reasons[reason]++;
}
void diameter_counts_text(const diameter_counts *counts, dro_builder *out);
