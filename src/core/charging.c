/* How far charging is, as it is shown. */
#include "core/charging.h"

#include <string.h>

#include "core/call.h"
#include "core/charge.h"
#include "core/counters.h"
#include "core/ledger.h"
#include "core/render.h"
#include "core/state.h"

static void files_json(const core *core, dro_builder *out)
{
    const ledger_file *files = ledger_files(core, LEDGER_CHARGING);
    dro_builder_text(out, ",\"files\":[");
    for (uint32_t i = 0; i < ledger_said(core, LEDGER_CHARGING)->file_count; i++) {
        dro_builder_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_text(out, files[i].name, strnlen(files[i].name, sizeof files[i].name));
        json_put(out, ",\"bytes\":%llu}", (unsigned long long)files[i].bytes);
    }
    dro_builder_text(out, "]");
}

static void places_json(const core *core, dro_builder *out)
{
    const ledger_place *places = ledger_places(core, LEDGER_CHARGING);
    dro_builder_text(out, ",\"logs\":[");
    for (uint32_t i = 0; i < ledger_said(core, LEDGER_CHARGING)->place_count; i++) {
        const ledger_place *place = &places[i];
        json_put(out, "%s{\"log\":\"%u.%u\",\"place\":", i > 0 ? "," : "", place->generation, place->core);
        if (place->place == LEDGER_ALL_OF_IT)
            dro_builder_text(out, "\"end\"}");
        else
            json_put(out, "\"%016llx\",\"index\":%u}", (unsigned long long)place->place, place->index);
    }
    dro_builder_text(out, "]");
}

/* GET /v1/charging, of core 0. */
void api_charging_get(core *core, const call *call)
{
    const ledger_state *said = ledger_said(core, LEDGER_CHARGING);
    dro_builder out = dro_builder_over(core->scratch, SCRATCH_BYTES);
    if (!charging_is_on(core)) {
        dro_builder_text(&out, "{\"enabled\":false}");
        call_reply(core, call, 200, UINT64_MAX, NULL, &out);
        return;
    }
    json_put(&out, "{\"enabled\":true,\"state\":\"%s\",\"backlog_bytes\":%llu,\"gaps\":%llu,\"failures\":%llu",
             said->session != 0 ? "writing" : said->error[0] != '\0' ? "failed" : "starting",
             (unsigned long long)core_count_all(core, COUNT_CHARGING_BACKLOG), (unsigned long long)core_count_all(core, COUNT_CHARGING_GAPS),
             (unsigned long long)said->failures);
    if (said->error[0] != '\0') {
        dro_builder_text(&out, ",\"error\":");
        json_string(&out, said->error);
    }
    if (said->session != 0) {
        json_put(&out, ",\"series\":\"%016llx\",\"records\":%llu,\"open\":{\"number\":%llu,\"bytes\":%llu,\"since\":",
                 (unsigned long long)said->series, (unsigned long long)said->sequence - 1, (unsigned long long)said->number,
                 (unsigned long long)said->length);
        if (said->length > 0)
            json_time(&out, said->opened_ms);
        else
            dro_builder_text(&out, "null");
        dro_builder_text(&out, "}");
        places_json(core, &out);
        files_json(core, &out);
    }
    dro_builder_text(&out, "}");
    call_reply(core, call, 200, UINT64_MAX, NULL, &out);
}

void charging_metrics(const core *core, dro_builder *out)
{
    const ledger_state *said = ledger_said(core, LEDGER_CHARGING);
    const struct { const char *name, *kind, *help; uint64_t value; } rows[] = {
        { "dromio_charging_is_writing", "gauge", "1: the charging files can be written.", said->session != 0 },
        { "dromio_charging_records_total", "counter", "Charging records in files, of all starts.", said->sequence > 0 ? said->sequence - 1 : 0 },
        { "dromio_charging_files_total", "counter", "Charging files closed, of all starts.", said->number > 0 ? said->number - 1 : 0 },
        { "dromio_charging_failures_total", "counter", "Times the charging files could not be written.", said->failures },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_put(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name, rows[i].kind, rows[i].name,
                 (unsigned long long)rows[i].value);
}
