/* Enhanced coverage of a device (ECRControl of T8). */
#pragma once

typedef struct core core;
typedef struct call call;

void api_coverage(core *core, const call *call); /* API_COVERAGE_QUERY, API_COVERAGE_CONFIGURE */
