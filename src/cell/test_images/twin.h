/* The ABI as the test images see it, by hand: so a mistake in a generated header shows. */
#pragma once
#define IMPORT(name) __attribute__((import_module("dromio"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef long long i64;
typedef unsigned long long u64;
IMPORT(property_set_number) void property_set_number(i32 property, double value, i32 quality);
IMPORT(property_set_integer) void property_set_integer(i32 property, i64 value, i32 quality);
IMPORT(property_set_boolean) void property_set_boolean(i32 property, i32 value, i32 quality);
IMPORT(property_set_string) void property_set_string(i32 property, const void *bytes, i32 length, i32 quality);
IMPORT(downlink) void downlink(const void *bytes, i32 length, i32 merge_key, i32 expiry_s);
IMPORT(timer) void timer(i32 number, i64 delay_ms);
IMPORT(notify) void notify(i32 event);
IMPORT(notify_number) void notify_number(i32 event, double value);
IMPORT(notify_string) void notify_string(i32 event, const void *bytes, i32 length);
IMPORT(ticket) void ticket(i64 number, i32 state, const void *reason, i32 length);
IMPORT(contact_at) void contact_at(i64 wall_ms);
IMPORT(trigger) void trigger(u32 number, u32 port, const void *bytes, u32 length, u32 validity_s);
IMPORT(schedule) void schedule(i32 maximum_latency_s, i32 maximum_response_s, i32 packets);
IMPORT(log) void log_line(i32 level, const void *bytes, i32 length);
IMPORT(now) i64 now(void);
IMPORT(random) i64 random_bits(void);
EXPORT(dromio_abi_1) void dromio_abi_1(void) {}
#ifdef COMPUTES
EXPORT(dromio_compute) void dromio_compute(void) {}
#endif
static u8 event_buffer[2048] __attribute__((aligned(16)));
EXPORT(dromio_event_buffer) u8 *dromio_event_buffer(void) { return event_buffer; }
