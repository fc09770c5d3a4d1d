/* Known defects for the proof `static`: the analysers that a line names have to complain of it, with the settings that
 * the product's own files are looked at with. No part of anything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    int first, second;
};

int freed_twice(int is_early)
{
    int *value = malloc(sizeof *value);
    if (value == NULL)
        return 0;
    *value = is_early;
    if (is_early > 3)
        free(value);
    int copy = is_early + 1;
    free(value); /* clang-tidy gcc cppcheck */
    return copy;
}

int null_followed(struct pair *pair, int way)
{
    struct pair *chosen = way > 2 ? pair : NULL;
    return chosen->second; /* clang-tidy gcc cppcheck */
}

int file_left_open(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    int first = fgetc(file);
    if (first == 'x') return first; /* clang-tidy gcc cppcheck */
    fclose(file);
    return 0;
}

int past_the_end(int way)
{
    int values[4] = {way, 1, 2, 3};
    return values[way > 0 ? 3 : 0] + values[4]; /* clang-tidy cppcheck */
}

void size_of_pointer(struct pair *pair)
{
    memset(pair, 0, sizeof(pair)); /* clang-tidy cppcheck */
}
