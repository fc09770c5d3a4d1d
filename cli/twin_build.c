/* dromio twin build: a Thing Model and C become an image. */
#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

#include "sdk_files.h"
#include "twin/model.h"
#include "twin_build.h"
#include "twin_file.h"
#include "twin_header.h"
#include "twin_local.h"
#include "twin_wasm.h"

enum {
    SOURCES_MAX = 16,
    DEFINES_MAX = 16,
    STACK_DEFAULT = 4096,
    STACK_MIN = 1024,
    STACK_MAX = 65536,
    MEMORY_MAX = 1024 * 1024, /* ADMIT_MEMORY_MAX */
    LINKERS_FIRST = 14,       /* wasm-ld-14 ... where plain wasm-ld is missing */
    LINKERS_LAST = 22,
};

enum { EXIT_BUILT = 0, EXIT_NOT_BUILT = 1, EXIT_WRONG_USE = 2 };

typedef struct build {
    const char *folder;                /* the twin's */
    char model_path[TWIN_PATH_MAX];
    const char *sources[SOURCES_MAX];
    char found_source[TWIN_PATH_MAX];
    int source_count;
    const char *defines[DEFINES_MAX];
    int define_count;
    const char *headers;               /* folder for them, or NULL */
    char out[TWIN_PATH_MAX];
    unsigned stack;
    bool is_json, is_headers_only, is_quiet;
    bool computes;                     /* known once it was compiled: it exports dromio_compute */
    char *json;                        /* the Thing Model */
    size_t json_length;
    model model;
    char prefix[TWIN_PREFIX_MAX];
    char work[TWIN_PATH_MAX];          /* temporary folder */
} build;

static const char help[] =
    "usage: dromio twin build [FOLDER] [options]\n"
    "\n"
    "Makes an image of a twin: FOLDER (this one, when not said) holds NAME.tm.json, a\n"
    "W3C Thing Model, and NAME.c. Needs clang and wasm-ld (Debian: clang lld).\n"
    "\n"
    "  --out FILE          the image (NAME.wasm in the current folder)\n"
    "  --model FILE        another model\n"
    "  --source FILE       another source; may be said more than once\n"
    "  --define NAME[=V]   for the compiler; may be said more than once\n"
    "  --stack BYTES       of stack: 4096, at most 65536\n"
    "  --headers FOLDER    also write NAME.h and the SDK's headers there, for editors and native builds\n"
    "  --headers-only      only that, without clang\n"
    "  -o table|json       how to print what was built\n"
    "\n"
    "examples:\n"
    "  dromio twin build examples/thermo --out thermo.wasm\n"
    "  dromio image push thermo.wasm\n";

/* ---- What to build ---- */

static const char *next_value(int argc, char **argv, int *at)
{
    if (*at + 1 < argc)
        return argv[++*at];
    twin_say("%s wants a value; see --help", argv[*at]);
    return NULL;
}

static bool put_path(char path[TWIN_PATH_MAX], const char *value)
{
    if (snprintf(path, TWIN_PATH_MAX, "%s", value) < TWIN_PATH_MAX)
        return true;
    return twin_say("%s: the path is too long", value);
}

static bool take_stack(build *build, const char *value)
{
    char *end;
    unsigned long bytes = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || bytes < STACK_MIN || bytes > STACK_MAX || bytes % 16 != 0)
        return twin_say("--stack %s: is %d to %d bytes, in steps of 16", value, STACK_MIN, STACK_MAX);
    build->stack = (unsigned)bytes;
    return true;
}

static bool take_format(build *build, const char *value)
{
    build->is_json = strcmp(value, "json") == 0;
    if (!build->is_json && strcmp(value, "table") != 0)
        return twin_say("-o %s: is table or json", value);
    return true;
}

static bool take_one_more(const char **list, int *count, int most, const char *option, const char *value)
{
    if (*count == most)
        return twin_say("%s: may be said %d times", option, most);
    list[(*count)++] = value;
    return true;
}

static bool take_option(build *build, int argc, char **argv, int *at)
{
    const char *option = argv[*at];
    if (strcmp(option, "--headers-only") == 0) {
        build->is_headers_only = true;
        return true;
    }
    static const char *const with_value[] = { "--out",   "--model",   "--source", "--define",
                                              "--stack", "--headers", "-o" };
    bool is_known = false;
    for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++)
        is_known = is_known || strcmp(option, with_value[i]) == 0;
    if (!is_known)
        return twin_say("%s: no such option; see --help", option);
    const char *value = next_value(argc, argv, at);
    if (value == NULL)
        return false;
    switch (option[2]) {
    case 'o': return put_path(build->out, value);
    case 'm': return put_path(build->model_path, value);
    case 'd': return take_one_more(build->defines, &build->define_count, DEFINES_MAX, option, value);
    case 'h': build->headers = value; return true;
    case '\0': return take_format(build, value);
    default:
        if (strcmp(option, "--stack") == 0)
            return take_stack(build, value);
        return take_one_more(build->sources, &build->source_count, SOURCES_MAX, option, value);
    }
}

static bool take_options(build *build, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            if (!take_option(build, argc, argv, &i))
                return false;
        } else if (build->folder == NULL) {
            build->folder = argv[i];
        } else {
            return twin_say("%s: one folder at a time; see --help", argv[i]);
        }
    }
    if (build->folder == NULL)
        build->folder = ".";
    if (build->is_headers_only && build->headers == NULL)
        return twin_say("--headers-only wants --headers FOLDER as well");
    return true;
}

/* The one *.tm.json of the folder. */
static bool find_model(build *build)
{
    int found = 0;
    if (build->model_path[0] != '\0')
        return true;
    DIR *folder = opendir(build->folder);
    if (folder == NULL)
        return twin_say("%s: cannot be read: %s", build->folder, strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length <= 8 || strcmp(entry->d_name + length - 8, ".tm.json") != 0)
            continue;
        found++;
        if (!twin_path(build->model_path, build->folder, entry->d_name))
            break;
    }
    closedir(folder);
    if (found == 1)
        return true;
    return twin_say(found == 0 ? "%s: has no *.tm.json; write a Thing Model there or say --model FILE (docs/twins.md)"
                               : "%s: has more than one *.tm.json; say --model FILE", build->folder);
}

/* NAME.c beside NAME.tm.json, and NAME.wasm here. */
static bool find_source_and_out(build *build)
{
    size_t length = strlen(build->model_path);
    size_t stem = length > 8 && strcmp(build->model_path + length - 8, ".tm.json") == 0 ? length - 8 : length;
    const char *name = strrchr(build->model_path, '/');
    name = name == NULL ? build->model_path : name + 1;
    int name_length = (int)(build->model_path + stem - name);
    if (build->out[0] == '\0' &&
        snprintf(build->out, sizeof build->out, "%.*s.wasm", name_length, name) >= TWIN_PATH_MAX)
        return twin_say("%s: the path is too long", build->model_path);
    if (build->source_count > 0 || build->is_headers_only)
        return true;
    if (snprintf(build->found_source, TWIN_PATH_MAX, "%.*s.c", (int)stem, build->model_path) >= TWIN_PATH_MAX)
        return twin_say("%s: the path is too long", build->model_path);
    if (access(build->found_source, R_OK) != 0)
        return twin_say("%s: %s; write it or say --source FILE (docs/twins.md)", build->found_source, strerror(errno));
    build->sources[build->source_count++] = build->found_source;
    return true;
}

static void tell_reason(void *context, const char *reason)
{
    const build *build = context;
    twin_say("%s: %s", build->model_path, reason);
}

static bool read_model(build *build)
{
    build->json = twin_file_read(build->model_path, MODEL_JSON_MAX, &build->json_length);
    if (build->json == NULL)
        return false;
    dro_err err = model_parse(&build->model, build->json, build->json_length, tell_reason, build);
    if (err == DRO_NOMEM)
        return twin_say("%s: no memory", build->model_path);
    twin_header_prefix(&build->model, build->prefix);
    return err == DRO_OK;
}

/* ---- Headers ---- */

static bool write_header(const build *build, const char *folder)
{
    char path[TWIN_PATH_MAX], name[TWIN_PREFIX_MAX + 2], *text = NULL;
    size_t length = 0;
    snprintf(name, sizeof name, "%s.h", build->prefix);
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return twin_say("no memory");
    twin_header_write(out, &build->model, build->json, build->json_length);
    bool is_written = fclose(out) == 0 && twin_path(path, folder, name) && twin_file_write(path, text, length);
    free(text);
    return is_written;
}

static bool write_headers(const build *build, const char *folder)
{
    char path[TWIN_PATH_MAX];
    if (!twin_folder_make(folder) || !twin_path(path, folder, "wasm") || !twin_folder_make(path))
        return false;
    for (size_t i = 0; i < sdk_file_count; i++)
        if (strncmp(sdk_files[i].name, "template/", 9) != 0 &&
            (!twin_path(path, folder, sdk_files[i].name) ||
             !twin_file_write(path, sdk_files[i].bytes, sdk_files[i].length)))
            return false;
    return write_header(build, folder);
}

/* ---- Compiler and linker ---- */

static bool compile(const build *build, const char *source, bool is_runtime, const char *object)
{
    char define[DEFINES_MAX][TWIN_PATH_MAX], string_folder[TWIN_PATH_MAX];
    const char *clang = getenv("CLANG");
    twin_words words = { .count = 0 };
    if (!twin_path(string_folder, build->work, "wasm"))
        return false;
    twin_words_put(&words, clang != NULL ? clang : "clang");
    /* The least that every host's validator knows; the generic processor of newer clangs wants more. */
    static const char *const flags[] = { "--target=wasm32", "-mcpu=mvp",    "-msign-ext", "-O2",     "-std=gnu11",
                                         "-ffreestanding",  "-nostdlibinc", "-Wall",      "-Wextra", "-c" };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        twin_words_put(&words, flags[i]);
    if (build->computes) { /* the second time: what there is to warn of was told */
        twin_words_put(&words, "-msimd128");
        twin_words_put(&words, "-w");
    }
    if (is_runtime) /* else memcpy would become a call of itself */
        twin_words_put(&words, "-fno-builtin");
    twin_words_put(&words, "-iquote"); /* not -I: a model may be called acme/string */
    twin_words_put(&words, build->work);
    twin_words_put(&words, "-isystem");
    twin_words_put(&words, string_folder);
    for (int i = 0; i < build->define_count; i++) {
        snprintf(define[i], sizeof define[i], "-D%s", build->defines[i]);
        twin_words_put(&words, define[i]);
    }
    twin_words_put(&words, source);
    twin_words_put(&words, "-o");
    twin_words_put(&words, object);
    int code = twin_run(&words);
    if (code < 0)
        return twin_say("%s: %s; install clang and lld, or say where it is with CLANG=PATH", words.words[0],
                        strerror(errno));
    return code == 0 || twin_say("%s: does not compile (see above)", source);
}

/* wasm-ld itself: clang 14 with -O2 would run a wasm-opt it finds in PATH. */
static int run_linker(twin_words *words)
{
    const char *linker = getenv("WASM_LD");
    char numbered[32];
    words->words[0] = linker != NULL ? linker : "wasm-ld";
    int code = twin_run(words);
    for (int i = LINKERS_FIRST; linker == NULL && code < 0 && errno == ENOENT && i <= LINKERS_LAST; i++) {
        snprintf(numbered, sizeof numbered, "wasm-ld-%d", i);
        words->words[0] = numbered;
        code = twin_run(words);
    }
    return code;
}

static bool link_image(const build *build, char objects[][TWIN_PATH_MAX], int count, const char *image)
{
    char stack[32];
    twin_words words = { .count = 0 };
    snprintf(stack, sizeof stack, "stack-size=%u", build->stack);
    const char *const flags[] = { "wasm-ld", "--no-entry", "--stack-first", "-z", stack, "--gc-sections", "--strip-all",
                                  "--export=__heap_base", "-O2" };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        twin_words_put(&words, flags[i]);
    for (int i = 0; i < count; i++)
        twin_words_put(&words, objects[i]);
    twin_words_put(&words, "-o");
    twin_words_put(&words, image);
    int code = run_linker(&words);
    if (code < 0)
        return twin_say("wasm-ld: %s; install lld, or say where it is with WASM_LD=PATH", strerror(errno));
    return code == 0 || twin_say("the image does not link (see above); a twin has no C library, only the SDK");
}

static bool compile_all(const build *build, const char *image)
{
    char objects[SOURCES_MAX + 1][TWIN_PATH_MAX], name[32], runtime[TWIN_PATH_MAX];
    for (int i = 0; i < build->source_count; i++) {
        snprintf(name, sizeof name, "%d.o", i);
        if (!twin_path(objects[i], build->work, name) || !compile(build, build->sources[i], false, objects[i]))
            return false;
    }
    return twin_path(runtime, build->work, "dromio_runtime.c") &&
           twin_path(objects[build->source_count], build->work, "runtime.o") &&
           compile(build, runtime, true, objects[build->source_count]) &&
           link_image(build, objects, build->source_count + 1, image);
}

/* ---- The image ---- */

static bool check_image(const build *build, const twin_wasm *wasm)
{
    bool is_good = true;
    if (!twin_wasm_exports(wasm, "dromio_event"))
        is_good = twin_say("%s: has no dromio_event; write: int32_t dromio_event(uint32_t kind, uint32_t id, "
                           "uint32_t length)", build->sources[0]);
    if (twin_wasm_exports(wasm, "dromio_export_state") != twin_wasm_exports(wasm, "dromio_import_state"))
        is_good = twin_say("%s: dromio_export_state and dromio_import_state go together", build->sources[0]);
    for (uint32_t i = 0; wasm->has_foreign_import && i < wasm->import_count; i++)
        if (strchr(wasm->imports[i].text, '.') != NULL)
            is_good = twin_say("%s: imports %s; the host has the functions of dromio_abi.h only", build->sources[0],
                               wasm->imports[i].text);
    if (wasm->heap_base > MEMORY_MAX)
        is_good = twin_say("%s: wants %lld bytes of memory, at most %d are given; make its static data smaller",
                           build->sources[0], (long long)wasm->heap_base, MEMORY_MAX);
    return is_good;
}

static void digest_text(const uint8_t *bytes, size_t length, char text[72])
{
    unsigned char digest[32] = { 0 };
    EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL);
    memcpy(text, "sha256:", 8);
    for (int i = 0; i < 32; i++)
        snprintf(text + 7 + 2 * i, 3, "%02x", digest[i]);
}

static void print_table(const build *build, const twin_wasm *wasm, size_t length, const char *digest)
{
    const model *model = &build->model;
    printf("model    %s %s: %u properties, %u actions, %u events, %u secrets\n", model->name, model->version,
           model->property_count, model->action_count, model->event_count, model->secret_count);
    printf("image    %s: %zu bytes\n         %s\n", build->out, length, digest);
    printf("memory   %u page%s, %lld bytes used: stack %u, data %lld\n", wasm->pages, wasm->pages == 1 ? "" : "s",
           (long long)wasm->heap_base, build->stack, (long long)wasm->heap_base - build->stack);
    if (build->computes)
        printf("computes with vectors, in whole pages\n");
    printf("imports ");
    for (uint32_t i = 0; i < wasm->import_count; i++)
        printf(" %s", wasm->imports[i].text);
    printf("\n");
}

static void print_json(const build *build, const twin_wasm *wasm, size_t length, const char *digest)
{
    yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(document), *memory = yyjson_mut_obj(document);
    yyjson_mut_val *imports = yyjson_mut_arr(document);
    yyjson_mut_doc_set_root(document, root);
    yyjson_mut_obj_add_str(document, root, "image", digest);
    yyjson_mut_obj_add_str(document, root, "file", build->out);
    yyjson_mut_obj_add_uint(document, root, "bytes", length);
    yyjson_mut_obj_add_str(document, root, "model", build->model.name);
    yyjson_mut_obj_add_str(document, root, "version", build->model.version);
    yyjson_mut_obj_add_uint(document, memory, "pages", wasm->pages);
    yyjson_mut_obj_add_int(document, memory, "used", wasm->heap_base);
    yyjson_mut_obj_add_uint(document, memory, "stack", build->stack);
    yyjson_mut_obj_add_val(document, root, "memory", memory);
    yyjson_mut_obj_add_bool(document, root, "computes", build->computes);
    for (uint32_t i = 0; i < wasm->import_count; i++)
        yyjson_mut_arr_add_str(document, imports, wasm->imports[i].text);
    yyjson_mut_obj_add_val(document, root, "imports", imports);
    char *text = yyjson_mut_write(document, YYJSON_WRITE_PRETTY, NULL);
    puts(text == NULL ? "{}" : text);
    free(text);
    yyjson_mut_doc_free(document);
}

/* The model goes in without its white space. */
static char *compact(const build *build, size_t *length)
{
    yyjson_doc *document = yyjson_read(build->json, build->json_length, YYJSON_READ_NOFLAG);
    char *text = yyjson_write(document, YYJSON_WRITE_NOFLAG, length);
    yyjson_doc_free(document);
    if (text == NULL)
        twin_say("no memory");
    return text;
}

static bool finish(const build *build, const uint8_t *wasm, size_t length)
{
    size_t json_length = 0;
    twin_wasm about;
    char digest[72], *json = compact(build, &json_length);
    uint8_t *image = malloc(length + json_length + 64);
    bool is_done = false;
    if (json == NULL || image == NULL)
        goto done;
    dro_builder out = dro_builder_over(image, length + json_length + 64);
    dro_builder_bytes(&out, wasm, length);
    twin_wasm_write_model(&out, json, json_length);
    dro_err err = twin_wasm_read(&about, image, dro_builder_length(&out));
    if (err != DRO_OK) {
        twin_say("the linker's output is not as expected (%s); is wasm-ld of LLVM 14 to 22?", dro_err_text(err));
        goto done;
    }
    is_done = check_image(build, &about) && twin_file_write(build->out, image, dro_builder_length(&out));
    if (!is_done)
        goto done;
    digest_text(image, dro_builder_length(&out), digest);
    if (!build->is_quiet)
        (build->is_json ? print_json : print_table)(build, &about, dro_builder_length(&out), digest);
done:
    free(image);
    free(json);
    return is_done;
}

/* Compiles; *wasm is malloc'd. An image that says that it computes is compiled again, with vectors. */
static bool link_and_read(build *build, uint8_t **wasm, size_t *length)
{
    char linked[TWIN_PATH_MAX];
    twin_wasm about;
    build->computes = false;
    for (;;) {
        if (!twin_path(linked, build->work, "linked.wasm") || !compile_all(build, linked))
            return false;
        *wasm = (uint8_t *)twin_file_read(linked, TWIN_WASM_MAX, length);
        if (*wasm == NULL || build->computes || twin_wasm_read(&about, *wasm, *length) != DRO_OK ||
            !twin_wasm_exports(&about, "dromio_compute"))
            return *wasm != NULL;
        build->computes = true;
        free(*wasm);
        *wasm = NULL;
    }
}

static bool build_image(build *build)
{
    size_t length = 0;
    const char *temporary = getenv("TMPDIR");
    if (!twin_path(build->work, temporary != NULL ? temporary : "/tmp", "dromio-twin-XXXXXX"))
        return false;
    if (mkdtemp(build->work) == NULL)
        return twin_say("%s: cannot be made: %s", build->work, strerror(errno));
    uint8_t *wasm = NULL;
    bool is_done = write_headers(build, build->work) && link_and_read(build, &wasm, &length) &&
                   finish(build, wasm, length);
    free(wasm);
    twin_folder_remove(build->work);
    return is_done;
}

static bool build_all(build *build)
{
    bool is_done = find_model(build) && find_source_and_out(build) && read_model(build) &&
                   (build->headers == NULL || write_headers(build, build->headers)) &&
                   (build->is_headers_only || build_image(build));
    free(build->json);
    return is_done;
}

bool twin_build_folder(const char *folder, const char *out)
{
    static build build;
    build = (struct build){ .folder = folder, .stack = STACK_DEFAULT, .is_quiet = true };
    return put_path(build.out, out) && build_all(&build);
}

int command_twin_build(int argc, char **argv)
{
    static build build; /* too large for a stack one would like */
    memset(&build, 0, sizeof build);
    build.stack = STACK_DEFAULT;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_BUILT;
        }
    if (!take_options(&build, argc, argv))
        return EXIT_WRONG_USE;
    return build_all(&build) ? EXIT_BUILT : EXIT_NOT_BUILT;
}
