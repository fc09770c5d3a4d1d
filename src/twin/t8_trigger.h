/* DeviceTriggering of T8 (TS 29.122, 5.7) as a table. The tags of its members are API_FIELD_* of ring/message.h. */
#pragma once

#include "twin/t8.h"

extern const t8_api t8_trigger;
enum { TRIGGER_PRIORITY_NONE, TRIGGER_PRIORITY_HIGH }; /* places among the options of `priority` */
