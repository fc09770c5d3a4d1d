#include "host/renewal.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/tls_bundle.h"
#include "host/certificates.h"

void renewal_begin(renewal *renewal, room_context *room)
{
    if (room->certificates == 0) {
        dro_info("SIGHUP: there are no certificates to load again");
        return;
    }
    renewal->wants_again = renewal->reader > 0;
    if (renewal->reader > 0)
        return;
    renewal->bundle = tls_bundle_file();
    renewal->reader = renewal->bundle < 0 ? -1 : fork();
    if (renewal->reader == 0)
        room_certificates(room, renewal->bundle);
    if (renewal->reader < 0) {
        dro_error("certificates cannot be loaded again: %m; the ones in use stay");
        renewal_forget(renewal);
    }
}

bool renewal_ended(renewal *renewal, room_context *room, pid_t pid, int status, bool is_last)
{
    if (pid != renewal->reader)
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        renewal_forget(renewal);
        dro_error("certificates are not loaded again: the ones in use stay");
    } else {
        close(room->certificates);
        room->certificates = renewal->bundle;
        renewal->reader = 0;
        renewal->bundle = 0;
        for (int64_t i = 0; i < room->config->host_gates; i++)
            certificates_send(room->gate_renewals[i][0], room->certificates);
    }
    if (renewal->wants_again && !is_last)
        renewal_begin(renewal, room);
    return true;
}

void renewal_forget(renewal *renewal)
{
    if (renewal->bundle > 0)
        close(renewal->bundle);
    renewal->bundle = 0;
    renewal->reader = 0;
}
