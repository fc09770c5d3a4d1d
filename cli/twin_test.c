/* dromio twin test: recorded frames against what they shall bring, without a server. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

#include "twin_build.h"
#include "twin_file.h"
#include "twin_local.h"
#include "twin_recording.h"

enum { RECORDINGS_MAX = 256 };
enum { EXIT_PASSED = 0, EXIT_DIFFERS = 1, EXIT_WRONG_USE = 2 };

typedef struct test_run {
    const char *twin;                    /* image or folder */
    const char *next;                    /* image a "move" goes to, or NULL */
    char *paths[RECORDINGS_MAX];
    int path_count;
    bool is_json, is_record;
    char image[TWIN_PATH_MAX];           /* built for this run, "" when it was given */
    int passed, failed;
    yyjson_mut_doc *document;            /* -o json */
    yyjson_mut_val *files;
} test_run;

static const char help[] =
    "usage: dromio twin test TWIN [RECORDING...] [options]\n"
    "\n"
    "Runs recorded events through a twin, exactly as the host would, and compares what\n"
    "each brings: properties, downlinks, timers, events, tickets. TWIN is an image\n"
    "(NAME.wasm) or the folder to build it from; RECORDING a file or a folder of *.json,\n"
    "TWIN/test when none is said. The format: docs/twins.md.\n"
    "\n"
    "  --record       write what came into the recordings instead; then read the difference in git\n"
    "  --next IMAGE   the build a step \"move\" takes the twin's state to; without it, the same\n"
    "  -o table|json  how to print the result\n"
    "\n"
    "exit code: 0 all as expected, 1 something differs, 2 wrong usage\n"
    "\n"
    "examples:\n"
    "  dromio twin test examples/thermo\n"
    "  dromio twin test thermo.wasm examples/thermo/test/sequence.json\n";

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool add_path(test_run *run, const char *path)
{
    if (run->path_count == RECORDINGS_MAX)
        return twin_say("more than %d recordings at once", RECORDINGS_MAX);
    run->paths[run->path_count] = strdup(path);
    return run->paths[run->path_count++] != NULL || twin_say("no memory");
}

static int is_recording(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static bool add_recordings(test_run *run, const char *path)
{
    struct dirent **entries = NULL;
    char inside[TWIN_PATH_MAX];
    if (!is_folder(path))
        return add_path(run, path);
    int count = scandir(path, &entries, is_recording, alphasort);
    bool is_good = count > 0 || twin_say("%s: has no *.json", path);
    for (int i = 0; i < count; i++) {
        is_good = is_good && twin_path(inside, path, entries[i]->d_name) && add_path(run, inside);
        free(entries[i]);
    }
    free(entries);
    return is_good;
}

static bool take_argument(test_run *run, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    if (strcmp(word, "--record") == 0) {
        run->is_record = true;
        return true;
    }
    if (strcmp(word, "--next") == 0 && *at + 1 < argc) {
        run->next = argv[++*at];
        return true;
    }
    if (strcmp(word, "-o") == 0 && *at + 1 < argc) {
        const char *format = argv[++*at];
        run->is_json = strcmp(format, "json") == 0;
        return run->is_json || strcmp(format, "table") == 0 || twin_say("-o %s: is table or json", format);
    }
    if (word[0] == '-')
        return twin_say("%s: no such option, or it wants a value; see --help", word);
    if (run->twin == NULL) {
        run->twin = word;
        return true;
    }
    return add_recordings(run, word);
}

static bool take_arguments(test_run *run, int argc, char **argv)
{
    char inside[TWIN_PATH_MAX];
    for (int i = 1; i < argc; i++)
        if (!take_argument(run, argc, argv, &i))
            return false;
    if (run->twin == NULL)
        return twin_say("which twin? see --help");
    if (run->path_count > 0)
        return true;
    if (!is_folder(run->twin))
        return twin_say("%s: which recordings? see --help", run->twin);
    return twin_path(inside, run->twin, "test") && add_recordings(run, inside);
}

static twin_runner *make_runner(test_run *run)
{
    if (!is_folder(run->twin))
        return twin_runner_cell_new(run->twin, run->next);
    const char *temporary = getenv("TMPDIR");
    if (!twin_path(run->image, temporary != NULL ? temporary : "/tmp", "dromio-test-XXXXXX"))
        return NULL;
    int file = mkstemp(run->image);
    if (file < 0) {
        twin_say("%s: cannot be made: %s", run->image, strerror(errno));
        run->image[0] = '\0';
        return NULL;
    }
    close(file);
    return twin_build_folder(run->twin, run->image) ? twin_runner_cell_new(run->image, run->next) : NULL;
}

static void note_file(test_run *run, const char *path, bool is_passed, const recording_report *report,
                      const char *differences)
{
    yyjson_mut_val *file = yyjson_mut_obj(run->document);
    yyjson_mut_obj_add_strcpy(run->document, file, "file", path);
    yyjson_mut_obj_add_bool(run->document, file, "passed", is_passed);
    yyjson_mut_obj_add_uint(run->document, file, "steps", report->steps);
    yyjson_mut_obj_add_uint(run->document, file, "differ", report->failed);
    yyjson_mut_obj_add_int(run->document, file, "context", report->context_most);
    yyjson_mut_obj_add_strcpy(run->document, file, "differences", differences);
    yyjson_mut_arr_append(run->files, file);
}

static void run_file(test_run *run, twin_runner *runner, const char *path)
{
    recording_report report = { .steps = 0 };
    char *differences = NULL;
    size_t length = 0;
    FILE *out = run->is_json ? open_memstream(&differences, &length) : stdout;
    if (out == NULL) {
        twin_say("no memory");
        run->failed++;
        return;
    }
    bool is_passed = recording_run(runner, path, run->is_record, out, &report) && report.failed == 0;
    run->passed += is_passed;
    run->failed += !is_passed;
    if (run->is_json) {
        fclose(out);
        note_file(run, path, is_passed, &report, differences);
        free(differences);
        return;
    }
    printf("%s %s: %u steps", run->is_record ? "wrote" : is_passed ? "ok   " : "FAIL ", path, report.steps);
    if (report.context_most >= 0)
        printf(", context at most %lld bytes", (long long)report.context_most);
    printf("\n");
}

static void print_result(test_run *run)
{
    if (!run->is_json) {
        printf("%d passed, %d failed\n", run->passed, run->failed);
        return;
    }
    yyjson_mut_val *root = yyjson_mut_obj(run->document);
    yyjson_mut_doc_set_root(run->document, root);
    yyjson_mut_obj_add_int(run->document, root, "passed", run->passed);
    yyjson_mut_obj_add_int(run->document, root, "failed", run->failed);
    yyjson_mut_obj_add_val(run->document, root, "files", run->files);
    char *text = yyjson_mut_write(run->document, YYJSON_WRITE_PRETTY, NULL);
    puts(text == NULL ? "{}" : text);
    free(text);
}

int command_twin_test(int argc, char **argv)
{
    static test_run run;
    run = (test_run){ .document = yyjson_mut_doc_new(NULL) };
    run.files = yyjson_mut_arr(run.document);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            yyjson_mut_doc_free(run.document);
            return EXIT_PASSED;
        }
    int code = EXIT_WRONG_USE;
    if (take_arguments(&run, argc, argv)) {
        twin_runner *runner = make_runner(&run);
        code = EXIT_DIFFERS;
        for (int i = 0; runner != NULL && i < run.path_count; i++)
            run_file(&run, runner, run.paths[i]);
        if (runner != NULL) {
            print_result(&run);
            code = run.failed == 0 ? EXIT_PASSED : EXIT_DIFFERS;
            runner->free(runner);
        }
    }
    if (run.image[0] != '\0')
        unlink(run.image);
    for (int i = 0; i < run.path_count; i++)
        free(run.paths[i]);
    yyjson_mut_doc_free(run.document);
    return code;
}
