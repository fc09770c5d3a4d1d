#include "sim/oracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

int oracle_write_line(const device *d, const char *imsi, char out[ORACLE_LINE_MAX])
{
    bool is_reading_out = d->is_head_sent && d->outbox[0].bytes[0] == FRAME_READING;
    uint32_t doubt = d->doubt_before + is_reading_out;
    int n = snprintf(out, ORACLE_LINE_MAX,
                     "{\"imsi\":\"%s\",\"sent\":%u,\"acknowledged\":%u,\"doubt\":%u,\"readings\":%u,\"lost\":%u,"
                     "\"duplicates\":%u,\"late\":%u,",
                     imsi, d->sent, d->acknowledged, doubt, d->expected.readings, d->expected.lost, d->expected.duplicates,
                     d->expected.late);
    size_t left = ORACLE_LINE_MAX - (size_t)n;
    if (d->expected.has_last)
        n += snprintf(out + n, left,
                      "\"sequence\":%u,\"temperature\":%.2f,\"humidity\":%.1f,\"battery\":%.3f,", d->expected.last,
                      d->last.temperature / 100.0, d->last.humidity > 200 ? 100.0 : d->last.humidity / 2.0,
                      d->last.battery / 1000.0);
    else
        n += snprintf(out + n, left, "\"sequence\":null,\"temperature\":null,\"humidity\":null,\"battery\":null,");
    n += snprintf(out + n, ORACLE_LINE_MAX - (size_t)n, "\"next_sequence\":%u,\"period\":%u}\n", d->sequence, d->period_s);
    return n;
}

static uint32_t number(yyjson_val *object, const char *name, uint32_t most, dro_err *err)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > most) {
        *err = DRO_MALFORMED;
        return 0;
    }
    return (uint32_t)yyjson_get_uint(value);
}

static double real(yyjson_val *object, const char *name, dro_err *err)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    if (!yyjson_is_num(value))
        *err = DRO_MALFORMED;
    return yyjson_get_num(value);
}

static void read_last(device *into, yyjson_val *object, dro_err *err)
{
    into->expected.has_last = !yyjson_is_null(yyjson_obj_get(object, "sequence"));
    if (!into->expected.has_last)
        return;
    into->expected.last = (uint8_t)number(object, "sequence", UINT8_MAX, err);
    into->last.sequence = into->expected.last;
    double celsius = real(object, "temperature", err), humidity = real(object, "humidity", err);
    double volts = real(object, "battery", err);
    if (!(celsius > -327 && celsius < 327 && humidity >= 0 && humidity <= 100 && volts >= 0 && volts < 65))
        *err = DRO_MALFORMED;
    if (*err != DRO_OK)
        return;
    into->last.temperature = (int16_t)(celsius * 100 + (celsius < 0 ? -0.5 : 0.5));
    into->last.humidity = (uint8_t)(humidity * 2 + 0.5);
    into->last.battery = (uint16_t)(volts * 1000 + 0.5);
}

dro_err oracle_read_line(device *into, const char *line, size_t length, char imsi[16])
{
    yyjson_doc *document = yyjson_read(line, length, 0);
    yyjson_val *object = document != NULL ? yyjson_doc_get_root(document) : NULL;
    yyjson_val *name = yyjson_obj_get(object, "imsi");
    dro_err err = DRO_OK;
    if (!yyjson_is_str(name) || yyjson_get_len(name) > 15) {
        yyjson_doc_free(document);
        return DRO_MALFORMED;
    }
    memcpy(imsi, yyjson_get_str(name), yyjson_get_len(name) + 1);
    into->sent = number(object, "sent", UINT32_MAX, &err);
    into->acknowledged = number(object, "acknowledged", UINT32_MAX, &err);
    into->doubt_before = number(object, "doubt", UINT32_MAX, &err);
    into->expected = (expect){ .readings = number(object, "readings", UINT32_MAX, &err),
                               .lost = number(object, "lost", UINT32_MAX, &err),
                               .duplicates = number(object, "duplicates", UINT32_MAX, &err),
                               .late = number(object, "late", UINT32_MAX, &err) };
    read_last(into, object, &err);
    into->sequence = (uint8_t)number(object, "next_sequence", UINT8_MAX, &err);
    uint32_t period = number(object, "period", UINT16_MAX, &err);
    if (period > 0)
        into->period_s = (uint16_t)period;
    yyjson_doc_free(document);
    return err;
}

dro_err oracle_load(network *n, const char *path, unsigned *line)
{
    FILE *file = fopen(path, "re");
    *line = 0;
    if (file == NULL)
        return errno == ENOENT ? DRO_OK : DRO_IO;
    dro_err err = DRO_OK;
    char text[ORACLE_LINE_MAX], imsi[16];
    while (err == DRO_OK && fgets(text, sizeof text, file) != NULL) {
        device scratch = { 0 };
        ++*line;
        err = oracle_read_line(&scratch, text, strlen(text), imsi);
        int64_t index = err == DRO_OK ? network_find(n, imsi) : -1;
        if (index < 0)
            continue; /* a device of another run */
        err = oracle_read_line(network_device(n, (uint32_t)index), text, strlen(text), imsi);
    }
    fclose(file);
    return err;
}

dro_err oracle_append(network *n, const char *path)
{
    FILE *file = fopen(path, "ae");
    if (file == NULL)
        return DRO_IO;
    char line[ORACLE_LINE_MAX], imsi[16];
    for (uint32_t i = 0; i < network_device_count(n); i++) {
        network_imsi(n, i, imsi);
        int length = oracle_write_line(network_device(n, i), imsi, line);
        fwrite(line, 1, (size_t)length, file);
    }
    dro_err err = ferror(file) ? DRO_IO : DRO_OK;
    if (fclose(file) != 0)
        err = DRO_IO;
    return err;
}
