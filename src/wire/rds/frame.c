#include "wire/rds/frame.h"

#include "base/cursor.h"
#include "wire/rds/table.h"

const char *rds_fault_text(rds_fault fault)
{
    static const char *const texts[RDS_FAULTS] = {
        [RDS_GOOD] = "good",
        [RDS_EMPTY] = "it is empty",
        [RDS_FOREIGN] = "its protocol discriminator is not that of RDS",
        [RDS_UNKNOWN_TYPE] = "it is no I, S, UI or U frame",
        [RDS_TRUNCATED] = "it is shorter than its header",
        [RDS_UNKNOWN_FUNCTION] = "its function is unknown",
        [RDS_UNEXPECTED_INFORMATION] = "an S frame carries no information",
        [RDS_TOO_LONG] = "it carries more than N201 octets",
        [RDS_BAD_PORTS] = "the ports in it cannot be read",
    };
    return (unsigned)fault < RDS_FAULTS ? texts[fault] : "unknown";
}

const char *rds_type_text(enum rds_type type)
{
    return (unsigned)type < RDS_TYPES ? rds_shapes[type].name : "?";
}

/* Where the octet of a field is once the port octet may be missing; false: it is that octet. */
static bool octet_at(const rds_frame *frame, uint8_t octet, size_t *at)
{
    uint8_t port_octet = rds_shapes[frame->type].port_octet;
    bool has_ports = frame->fields[RDS_FIELD_ADS] != 0;
    *at = octet > port_octet && !has_ports ? octet - 1u : octet;
    return octet != port_octet || has_ports;
}

static size_t header_length(const rds_frame *frame)
{
    return rds_shapes[frame->type].octets - (frame->fields[RDS_FIELD_ADS] == 0 ? 1u : 0u);
}

static bool type_of(uint8_t first, enum rds_type *type)
{
    for (size_t i = 0; i < rds_row_count; i++) {
        const struct rds_row *row = &rds_rows[i];
        if (row->field != RDS_FIELD_TYPE || (first >> row->shift & row->mask) != row->value)
            continue;
        *type = (enum rds_type)row->type;
        return true;
    }
    return false;
}

static bool is_function(uint8_t function)
{
    for (size_t i = 0; i < rds_function_count; i++)
        if (rds_functions[i] == function)
            return true;
    return false;
}

static rds_fault information_fault(const rds_frame *frame)
{
    if (frame->type == RDS_U && !is_function(frame->fields[RDS_FIELD_M]))
        return RDS_UNKNOWN_FUNCTION;
    if (frame->type == RDS_S && frame->length > 0)
        return RDS_UNEXPECTED_INFORMATION;
    return frame->length > RDS_N201 ? RDS_TOO_LONG : RDS_GOOD;
}

rds_fault rds_read(const uint8_t *bytes, size_t length, rds_frame *out)
{
    *out = (rds_frame){ 0 };
    if (length == 0)
        return RDS_EMPTY;
    if ((bytes[0] & rds_pd_bit) != 0)
        return RDS_FOREIGN;
    if (!type_of(bytes[0], &out->type))
        return RDS_UNKNOWN_TYPE;
    out->fields[RDS_FIELD_ADS] = (bytes[0] & rds_ads_bit) != 0;
    size_t header = header_length(out), at;
    if (length < header)
        return RDS_TRUNCATED;
    for (size_t i = 0; i < rds_row_count; i++) {
        const struct rds_row *row = &rds_rows[i];
        if (row->type == out->type && row->field != RDS_FIELD_X && octet_at(out, row->octet, &at))
            out->fields[row->field] = bytes[at] >> row->shift & row->mask;
    }
    out->length = length - header;
    out->information = out->length > 0 ? bytes + header : NULL;
    return information_fault(out);
}

void rds_put(dro_builder *out, const rds_frame *frame)
{
    uint8_t header[RDS_HEADER_MAX] = { 0 };
    size_t at;
    for (size_t i = 0; i < rds_row_count; i++) {
        const struct rds_row *row = &rds_rows[i];
        if (row->type != frame->type || !octet_at(frame, row->octet, &at))
            continue;
        unsigned value = row->value != RDS_ANY_VALUE ? (unsigned)row->value : frame->fields[row->field];
        header[at] = (uint8_t)(header[at] | (value & row->mask) << row->shift);
    }
    dro_builder_bytes(out, header, header_length(frame));
    dro_builder_bytes(out, frame->information, frame->length);
}

/* ---- MANAGE_PORT ---- */

rds_fault rds_manage_read(const uint8_t *bytes, size_t length, rds_manage *out)
{
    dro_cursor in = dro_cursor_over(bytes, length);
    *out = (rds_manage){ 0 };
    uint8_t first = (uint8_t)dro_cursor_be(&in, 1);
    out->action = first >> 4;
    out->status = first & 0x0f;
    if (in.err != DRO_OK || out->action < RDS_RESERVE || out->action > RDS_NOTIFY)
        return RDS_BAD_PORTS;
    while (dro_cursor_left(&in) > 0 && out->count < RDS_PORTS_MAX) {
        rds_port *port = &out->ports[out->count++];
        uint8_t pair = (uint8_t)dro_cursor_be(&in, 1);
        port->source = pair >> 4;
        port->destination = pair & 0x0f;
        port->formats = (uint8_t)dro_cursor_be(&in, 1);
        port->length = (uint8_t)dro_cursor_be(&in, 1);
        port->application = (const char *)dro_cursor_bytes(&in, port->length);
        if (in.err != DRO_OK || port->length > RDS_APPLICATION_MAX)
            return RDS_BAD_PORTS;
    }
    return dro_cursor_left(&in) > 0 ? RDS_BAD_PORTS : RDS_GOOD;
}

void rds_manage_put(dro_builder *out, const rds_manage *manage)
{
    dro_builder_be(out, (uint8_t)(manage->action << 4 | (manage->status & 0x0f)), 1);
    for (uint8_t i = 0; i < manage->count; i++) {
        const rds_port *port = &manage->ports[i];
        dro_builder_be(out, (uint8_t)(port->source << 4 | (port->destination & 0x0f)), 1);
        dro_builder_be(out, port->formats, 1);
        dro_builder_be(out, port->length, 1);
        dro_builder_bytes(out, port->application, port->length);
    }
}
