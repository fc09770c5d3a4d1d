/* dromio twin new: a folder with a model, a source and a recording to begin with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk_files.h"
#include "twin/model.h"
#include "twin_file.h"
#include "twin_header.h"
#include "twin_local.h"

enum { EXIT_MADE = 0, EXIT_NOT_MADE = 1, EXIT_WRONG_USE = 2 };

static const char help[] =
    "usage: dromio twin new MAKER/NAME [FOLDER]\n"
    "\n"
    "Makes FOLDER (NAME, when not said) with a small twin that builds and passes its\n"
    "test, to change into yours: NAME.tm.json, NAME.c, test/first.json.\n"
    "\n"
    "example:\n"
    "  dromio twin new acme/pump && dromio twin test pump\n";

/* What a template's @WORD@s stand for. */
typedef struct words {
    char maker[MODEL_NAME_MAX + 1], name[MODEL_NAME_MAX + 1], prefix[TWIN_PREFIX_MAX];
} words;

static const char *meaning(const words *words, const char *at, size_t *length)
{
    const struct { const char *word, *text; } known[] = {
        { "@MAKER@", words->maker }, { "@NAME@", words->name }, { "@PREFIX@", words->prefix },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        *length = strlen(known[i].word);
        if (strncmp(at, known[i].word, *length) == 0)
            return known[i].text;
    }
    return NULL;
}

static bool write_filled(const char *path, const sdk_file *file, const words *words)
{
    char *text = NULL, *copy = strndup(file->bytes, file->length);
    size_t length = 0, skip;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL || copy == NULL) {
        if (out != NULL)
            fclose(out);
        free(text);
        free(copy);
        return twin_say("no memory");
    }
    for (const char *at = copy; *at != '\0';) {
        const char *word = *at == '@' ? meaning(words, at, &skip) : NULL;
        fputs(word != NULL ? word : (char[]){ *at, '\0' }, out);
        at += word != NULL ? skip : 1;
    }
    bool is_written = fclose(out) == 0 && twin_file_write(path, text, length);
    free(text);
    free(copy);
    return is_written;
}

static bool fill(const char *folder, const char *name, const char *template, const words *words)
{
    char path[TWIN_PATH_MAX];
    if (!twin_path(path, folder, name))
        return false;
    if (access(path, F_OK) == 0)
        return twin_say("%s: is there already", path);
    for (size_t i = 0; i < sdk_file_count; i++)
        if (strcmp(sdk_files[i].name, template) == 0)
            return write_filled(path, &sdk_files[i], words);
    return twin_say("%s: no such template", template);
}

static bool make(const char *folder, const words *words)
{
    char model[MODEL_NAME_MAX + 16], source[MODEL_NAME_MAX + 16], test[TWIN_PATH_MAX];
    snprintf(model, sizeof model, "%s.tm.json", words->prefix);
    snprintf(source, sizeof source, "%s.c", words->prefix);
    return twin_folder_make(folder) && twin_path(test, folder, "test") && twin_folder_make(test) &&
           fill(folder, model, "template/twin.tm.json", words) && fill(folder, source, "template/twin.c", words) &&
           fill(test, "first.json", "template/first.json", words);
}

/* The rules for names are the model's: a model with this name is tried. */
static bool take_name(words *words, const char *text)
{
    static model model;
    char json[256];
    const char *slash = strchr(text, '/');
    if (slash == NULL || strlen(text) > MODEL_NAME_MAX || strpbrk(text, "\"\\") != NULL)
        return twin_say("%s: is not MAKER/NAME in lower case, like acme/pump", text);
    int length = snprintf(json, sizeof json, "{\"dromio:model\":\"%s\",\"version\":{\"model\":\"1\"}}", text);
    if (model_parse(&model, json, (size_t)length, NULL, NULL) != DRO_OK)
        return twin_say("%s: is not MAKER/NAME in lower case, like acme/pump", text);
    snprintf(words->maker, sizeof words->maker, "%.*s", (int)(slash - text), text);
    snprintf(words->name, sizeof words->name, "%s", slash + 1);
    twin_header_prefix(&model, words->prefix);
    return true;
}

int command_twin_new(int argc, char **argv)
{
    words words;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_MADE;
        }
    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        fputs(help, stderr);
        return EXIT_WRONG_USE;
    }
    if (!take_name(&words, argv[1]))
        return EXIT_WRONG_USE;
    const char *folder = argc == 3 ? argv[2] : words.prefix;
    if (!make(folder, &words))
        return EXIT_NOT_MADE;
    printf("%s: made; next: dromio twin test %s\n", folder, folder);
    return EXIT_MADE;
}
