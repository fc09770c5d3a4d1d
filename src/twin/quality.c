#include "twin/quality.h"

const char *quality_text(quality quality)
{
    switch (quality) {
    case QUALITY_GOOD: return "good";
    case QUALITY_CORRECTED: return "corrected";
    case QUALITY_ESTIMATED: return "estimated";
    case QUALITY_STALE: return "stale";
    }
    return "unknown";
}

const char *source_text(source source)
{
    switch (source) {
    case SOURCE_DEVICE: return "device";
    case SOURCE_TWIN: return "twin";
    case SOURCE_APPLICATION: return "application";
    }
    return "unknown";
}
