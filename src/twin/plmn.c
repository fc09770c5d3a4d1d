#include "twin/plmn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILLER = 0xf, PLACE_TEXT_MAX = 32 };

bool plmn_is_valid(const char *digits)
{
    size_t length = strspn(digits, "0123456789");
    return digits[length] == '\0' && (length == PLMN_DIGITS_MAX - 1 || length == PLMN_DIGITS_MAX);
}

/* TS 24.008 10.5.1.13: MCC 2 and 1, MNC 3 and MCC 3, MNC 2 and 1. */
bool plmn_read(const uint8_t bytes[PLMN_BYTES], char out[PLMN_DIGITS_MAX + 1])
{
    const uint8_t digits[PLMN_DIGITS_MAX] = { bytes[0] & 0xf, bytes[0] >> 4, bytes[1] & 0xf, bytes[2] & 0xf, bytes[2] >> 4, bytes[1] >> 4 };
    size_t count = digits[PLMN_DIGITS_MAX - 1] == FILLER ? PLMN_DIGITS_MAX - 1 : PLMN_DIGITS_MAX;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] > 9)
            return false;
        out[i] = (char)('0' + digits[i]);
    }
    out[count] = '\0';
    return true;
}

void plmn_write(const char *digits, uint8_t out[PLMN_BYTES])
{
    unsigned last = strlen(digits) == PLMN_DIGITS_MAX ? (unsigned)(digits[5] - '0') : FILLER;
    out[0] = (uint8_t)((digits[1] - '0') << 4 | (digits[0] - '0'));
    out[1] = (uint8_t)(last << 4 | (unsigned)(digits[2] - '0'));
    out[2] = (uint8_t)((digits[4] - '0') << 4 | (digits[3] - '0'));
}

bool plmn_is_of(const char *digits, const char *imsi)
{
    return strncmp(imsi, digits, strlen(digits)) == 0;
}

void plmn_realm(const char *digits, char out[PLMN_REALM_MAX])
{
    bool is_short = strlen(digits) < PLMN_DIGITS_MAX; /* its network code is written with a zero before it */
    snprintf(out, PLMN_REALM_MAX, "epc.mnc%s%.3s.mcc%.3s.3gppnetwork.org", is_short ? "0" : "", digits + 3, digits);
}

bool plmn_place_read(const char *given, size_t length, size_t digits, uint8_t network[PLMN_BYTES], uint32_t *value)
{
    char text[PLACE_TEXT_MAX + 1], plmn[PLMN_DIGITS_MAX + 1];
    if (length > PLACE_TEXT_MAX)
        return false;
    memcpy(text, given, length);
    text[length] = '\0';
    const char *first = strchr(text, '-'), *second = first == NULL ? NULL : strchr(first + 1, '-');
    size_t network_digits = second == NULL ? 0 : (size_t)(second - first - 1);
    if (second == NULL || first - text != 3 || (network_digits != 2 && network_digits != 3) || strlen(second + 1) != digits ||
        strspn(second + 1, "0123456789abcdefABCDEF") != digits)
        return false;
    memcpy(plmn, text, 3);
    memcpy(plmn + 3, first + 1, network_digits);
    plmn[3 + network_digits] = '\0';
    if (!plmn_is_valid(plmn))
        return false;
    plmn_write(plmn, network);
    *value = (uint32_t)strtoul(second + 1, NULL, 16);
    return true;
}
