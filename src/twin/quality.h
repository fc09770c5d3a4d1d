/* How far a value can be trusted, and who set it. */
#pragma once

typedef enum quality { QUALITY_GOOD, QUALITY_CORRECTED, QUALITY_ESTIMATED, QUALITY_STALE } quality;
typedef enum source { SOURCE_DEVICE, SOURCE_TWIN, SOURCE_APPLICATION } source;

const char *quality_text(quality quality); /* "good", "corrected", "estimated", "stale" */
const char *source_text(source source);    /* "device", "twin", "application" */
