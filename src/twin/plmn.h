/* Networks: mobile country code and mobile network code (TS 23.003 2.2), as the five or six digits
 * that an IMSI begins with, or as the three octets of Visited-PLMN-Id. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLMN_BYTES = 3, PLMN_DIGITS_MAX = 6, PLMN_REALM_MAX = 64 };

/* Five or six digits? */
bool plmn_is_valid(const char *digits);
/* A place in a network, as locationArea of T8 has it here: "001-01-0a1b2c3", the network, then so many hexadecimal digits. */
enum { PLACE_CELL_DIGITS = 7, PLACE_AREA_DIGITS = 4, PLACE_ENODEB_DIGITS = 6 };
bool plmn_place_read(const char *text, size_t length, size_t digits, uint8_t network[PLMN_BYTES], uint32_t *value);
/* From octets; false: no digits there. The sixth is left out where its place is filled with 0xf. */
bool plmn_read(const uint8_t bytes[PLMN_BYTES], char out[PLMN_DIGITS_MAX + 1]);
void plmn_write(const char *digits, uint8_t out[PLMN_BYTES]);
/* Is it the network that the IMSI is of? */
bool plmn_is_of(const char *digits, const char *imsi);
/* The realm of its nodes (TS 23.003 19.2): "epc.mnc001.mcc001.3gppnetwork.org". */
void plmn_realm(const char *digits, char out[PLMN_REALM_MAX]);
