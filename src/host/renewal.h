/* Renewal: certificates are loaded again after a SIGHUP. A child reads the files and checks them
 * (host/certificates.h); only a whole bundle takes the place of the one in use, for the gates that run and
 * for those that are started later. Belongs to dromiod. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/room.h"

typedef struct renewal {
    pid_t reader;              /* 0: none runs */
    int bundle;                /* that it fills; 0: none */
    bool wants_again;          /* another SIGHUP came meanwhile */
} renewal;

void renewal_begin(renewal *renewal, room_context *room);
/* A child ended. False: it was not the reader. `is_last`: dromiod stops, nothing is begun again. */
bool renewal_ended(renewal *renewal, room_context *room, pid_t pid, int status, bool is_last);
/* The reader was killed with all others. */
void renewal_forget(renewal *renewal);
