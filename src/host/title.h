/* The process's name as ps shows it. */
#pragma once

void title_init(int argc, char **argv); /* once, in main */
void title_set(const char *room);       /* "dromiod: <room>" */
