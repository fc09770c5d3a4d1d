/* Building an image from other code than the command line. */
#pragma once

#include <stdbool.h>

/* Builds the twin in `folder` into the file `out` and prints nothing but what is wrong. */
bool twin_build_folder(const char *folder, const char *out);
