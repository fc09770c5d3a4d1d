/* Tickets on the terminal, and writes that wait for them. */
#pragma once

#include "cli.h"

/* --wait and --timeout into the path and request. */
int ticket_wait_options(struct cli *cli, struct buffer *path, struct request *request);
/* Sends a write that is answered with a ticket, prints that, and judges how far it got. */
int ticket_send(struct cli *cli, const struct request *request);
void ticket_print_table(struct cli *cli, const yyjson_val *tickets); /* an array, or one */

/* The headers of --if-match, --idempotency-key and --create, into `lines`, which the request borrows. */
int write_headers(const invocation *in, struct request *request, struct buffer lines[2]);
