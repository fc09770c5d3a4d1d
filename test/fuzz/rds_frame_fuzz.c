/* Frames of the Reliable Data Service: what can be read is written again and read the same. */
#include <assert.h>
#include <string.h>

#include "wire/rds/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void managed_again(const rds_manage *manage, size_t length)
{
    uint8_t bytes[1 + RDS_PORTS_MAX * (3 + RDS_APPLICATION_MAX)];
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    rds_manage again;
    rds_manage_put(&out, manage);
    assert(out.err == DRO_OK && dro_builder_length(&out) == length);
    assert(rds_manage_read(bytes, length, &again) == RDS_GOOD && again.count == manage->count && again.action == manage->action);
    for (int i = 0; i < again.count; i++)
        assert(again.ports[i].length == manage->ports[i].length &&
               (again.ports[i].length == 0 || memcmp(again.ports[i].application, manage->ports[i].application, again.ports[i].length) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[RDS_HEADER_MAX + RDS_N201];
    rds_frame frame, again;
    rds_manage manage;
    rds_fault fault = rds_read(data, size, &frame);
    assert(strlen(rds_fault_text(fault)) > 0);
    if (fault != RDS_GOOD)
        return 0;
    assert(frame.length <= RDS_N201 && frame.length < size);
    dro_builder out = dro_builder_over(bytes, sizeof bytes);
    rds_put(&out, &frame);
    assert(out.err == DRO_OK && dro_builder_length(&out) == size);
    assert(rds_read(bytes, size, &again) == RDS_GOOD && again.type == frame.type && again.length == frame.length);
    assert(memcmp(again.fields, frame.fields, sizeof frame.fields) == 0);
    assert(frame.length == 0 || memcmp(again.information, frame.information, frame.length) == 0);
    if (frame.type == RDS_U && frame.fields[RDS_FIELD_M] == RDS_MANAGE_PORT && rds_manage_read(frame.information, frame.length, &manage) == RDS_GOOD)
        managed_again(&manage, frame.length);
    return 0;
}
