/* Scan: SQLite's virtual table over the rows a view can see. Domains are filtered
 * here, comparisons of numbers, ids and tags are pushed down into loops over
 * chunks, and only the columns a query uses are copied. */
#pragma once

#include <sqlite3.h>

#include "desk/view.h"

/* client data: the view_table. The name resolves without a CREATE. */
extern const sqlite3_module scan_module;
