/* Certificates: the files of http.tls and diameter.tls on their way to the gates. A child of dromiod
 * reads them, looks at them as a gate would, and copies them into a bundle; dromiod hands that on and
 * never looks inside. */
#pragma once

#include <sys/types.h>

#include "host/config.h"

/* At a start, before there are rooms. A bundle, or 0 where the configuration names no files; -1 after one
 * line on standard error that names the file and what is wrong. */
int certificates_load(const config *config);
/* In a child: fills the bundle and ends it, with 0, or with 1 after a line (of the log, once there is one). */
_Noreturn void certificates_read(const config *config, int bundle, bool is_logging);
/* To a gate that is there. */
void certificates_send(int socket, int bundle);
