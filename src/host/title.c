#include "host/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *area;
static size_t area_length;

/* The arguments and the environment lie behind each other: that is the room there
 * is. The environment moves away first. */
void title_init(int argc, char **argv)
{
    extern char **environ;
    if (argc == 0)
        return;
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    for (int i = 0; environ[i] != NULL; i++)
        if (environ[i] == end)
            end += strlen(environ[i]) + 1;
    for (int i = 0; environ[i] != NULL; i++)
        environ[i] = strdup(environ[i]);
    area = argv[0];
    area_length = (size_t)(end - argv[0]);
}

void title_set(const char *room)
{
    char name[64];
    snprintf(name, sizeof name, "dromiod: %s", room);
    prctl(PR_SET_NAME, name);
    if (area == NULL || area_length < 2)
        return;
    memset(area, 0, area_length);
    snprintf(area, area_length, "%s", name);
}
