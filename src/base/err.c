#include "base/err.h"

const char *dro_err_text(dro_err err)
{
    switch (err) {
    case DRO_OK: return "ok";
    case DRO_NOMEM: return "out of memory";
    case DRO_TRUNCATED: return "ends too early";
    case DRO_MALFORMED: return "malformed";
    case DRO_LIMIT: return "limit reached";
    case DRO_RANGE: return "out of range";
    case DRO_NOT_FOUND: return "not found";
    case DRO_EXISTS: return "exists already";
    case DRO_AGAIN: return "not now";
    case DRO_IO: return "input/output error";
    case DRO_CORRUPT: return "stored bytes are damaged";
    case DRO_DENIED: return "not allowed";
    case DRO_UNSUPPORTED: return "not supported";
    case DRO_FULL: return "the disk is full: make space";
    }
    return "unknown error";
}
