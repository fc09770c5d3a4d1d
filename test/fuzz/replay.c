/* Feeds every file of the directories given to a fuzz target: so each corpus is
 * an ordinary test, without a fuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8 * 1024 * 1024 };

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size_t length = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *exact = malloc(length > 0 ? length : 1); /* so that a sanitizer sees every byte past the end */
    for (size_t i = 0; exact != NULL && i < length; i++)
        exact[i] = bytes[i];
    free(bytes);
    LLVMFuzzerTestOneInput(exact, length);
    free(exact);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        struct dirent *entry;
        while (directory != NULL && (entry = readdir(directory)) != NULL) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            count += replay_file(path);
        }
        if (directory != NULL)
            closedir(directory);
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
