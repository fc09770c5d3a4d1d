/* dromio charging: how far charging records are written; and closed files checked as a consumer should. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"

enum { LINE_MAX_BYTES = 1024 * 1024, WHY_MAX = 160, NAME_MAX_BYTES = 256 };

/* ---- closed files ---- */

typedef struct checking {
    struct cli *cli;
    uint64_t first, last;      /* numbers seen; 0: none */
    uint64_t records, files, gaps;
    char series[24];
    char place[NAME_MAX_BYTES + 32]; /* of what is wrong */
    char why[WHY_MAX];         /* "": nothing is */
} checking;

static bool is_closed(const char *name)
{
    size_t length = strlen(name);
    return strncmp(name, "charging-", 9) == 0 && length > 6 && length < NAME_MAX_BYTES && strcmp(name + length - 6, ".jsonl") == 0;
}

static int only_closed(const struct dirent *entry)
{
    return is_closed(entry->d_name);
}

__attribute__((format(printf, 4, 5))) static bool wrong(checking *to, const char *name, uint64_t line, const char *format, ...)
{
    va_list values;
    snprintf(to->place, sizeof to->place, "%s:%" PRIu64, name, line);
    va_start(values, format);
    vsnprintf(to->why, sizeof to->why, format, values);
    va_end(values);
    return false;
}

/* The series is what its id begins with. */
static bool check_series(checking *to, const char *id)
{
    size_t length = strcspn(id, "-");
    if (length == 0 || length >= sizeof to->series)
        return false;
    if (to->series[0] == '\0')
        memcpy(to->series, id, length);
    return strncmp(to->series, id, length) == 0 && to->series[length] == '\0';
}

static bool check_record(checking *to, const char *name, uint64_t line, yyjson_val *record)
{
    uint64_t number = yyjson_get_uint(yyjson_obj_get(record, "localSequenceNumber"));
    if (number == 0 || !yyjson_is_str(yyjson_obj_get(record, "recordType")))
        return wrong(to, name, line, "is no charging record");
    if (!check_series(to, member_text(record, "id")))
        return wrong(to, name, line, "is of another series: files of two hosts, or of a directory made anew");
    if (to->last != 0 && number != to->last + 1)
        return wrong(to, name, line, number > to->last ? "record %" PRIu64 " comes after %" PRIu64 ": those between are missing"
                                                       : "record %" PRIu64 " comes after %" PRIu64 ": twice, or out of order", number, to->last);
    to->first = to->first == 0 ? number : to->first;
    to->last = number;
    to->records++;
    to->gaps += strcmp(member_text(record, "recordType"), "Gap") == 0;
    return true;
}

static bool check_line(checking *to, const char *name, uint64_t line, char *text, size_t length)
{
    if (length == 0 || text[length - 1] != '\n')
        return wrong(to, name, line, "the last line has no end");
    yyjson_doc *doc = yyjson_read(text, length, 0);
    bool is_fine = doc != NULL ? check_record(to, name, line, yyjson_doc_get_root(doc)) : wrong(to, name, line, "is no JSON");
    yyjson_doc_free(doc);
    return is_fine;
}

/* False: something is wrong, and to->why says what. */
static bool check_file(checking *to, const char *directory, const char *name)
{
    struct buffer path = { 0 };
    buffer_text(&path, directory);
    buffer_text(&path, "/");
    buffer_text(&path, name);
    FILE *file = fopen(buffer_string(&path), "r");
    buffer_fini(&path);
    if (file == NULL)
        return wrong(to, name, 0, "cannot be opened: error %" PRIu64, (uint64_t)errno);
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    bool is_fine = true;
    for (uint64_t line = 1; is_fine && (length = getline(&text, &room, file)) > 0; line++)
        is_fine = length <= LINE_MAX_BYTES ? check_line(to, name, line, text, (size_t)length) : wrong(to, name, line, "is too long");
    if (is_fine && ferror(file))
        is_fine = wrong(to, name, 0, "cannot be read");
    free(text);
    fclose(file);
    to->files++;
    return is_fine;
}

static int print_checked(const checking *to)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    yyjson_mut_doc_set_root(doc, root);
    bool is_whole = root != NULL && yyjson_mut_obj_add_bool(doc, root, "intact", to->why[0] == '\0') &&
                    yyjson_mut_obj_add_uint(doc, root, "files", to->files) && yyjson_mut_obj_add_uint(doc, root, "records", to->records) &&
                    yyjson_mut_obj_add_uint(doc, root, "first", to->first) && yyjson_mut_obj_add_uint(doc, root, "last", to->last) &&
                    yyjson_mut_obj_add_str(doc, root, "series", to->series) && yyjson_mut_obj_add_uint(doc, root, "gaps", to->gaps);
    if (is_whole && to->why[0] != '\0')
        is_whole = yyjson_mut_obj_add_str(doc, root, "place", to->place) && yyjson_mut_obj_add_str(doc, root, "problem", to->why);
    yyjson_doc *made = is_whole ? yyjson_mut_doc_imut_copy(doc, NULL) : NULL;
    int code = EXIT_FAILED;
    if (made == NULL)
        cli_fail(EXIT_FAILED, "out of memory");
    else
        code = to->cli->format == OUTPUT_TABLE ? cli_print_members(to->cli, yyjson_doc_get_root(made)) : cli_print_json(to->cli, made, NULL);
    yyjson_doc_free(made);
    yyjson_mut_doc_free(doc);
    return code;
}

static int verify(struct cli *cli, const char *directory)
{
    struct dirent **names = NULL;
    checking to = { .cli = cli };
    int count = scandir(directory, &names, only_closed, alphasort); /* numbers have ten digits: in their order */
    if (count < 0)
        return cli_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "%s: %s", directory, strerror(errno));
    bool is_fine = true;
    for (int i = 0; i < count; i++) {
        is_fine = is_fine && check_file(&to, directory, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    int code = print_checked(&to);
    if (code != EXIT_OK || is_fine)
        return code;
    return cli_fail(EXIT_FAILED, "%s %s", to.place, to.why);
}

/* ---- the host ---- */

/* Lists have tables of their own, under the other members. */
static int print_state(struct cli *cli, yyjson_doc *doc)
{
    static const list_columns logs = { .member = "logs", .count = 3, .names = { "log", "place", "index" }, .heads = { "LOG", "READ TO", "RECORD" },
                                       .empty = "no log is read yet" };
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t index, max;
    yyjson_val *name, *value;
    yyjson_mut_doc *made = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *plain = yyjson_mut_obj(made);
    yyjson_mut_doc_set_root(made, plain);
    yyjson_obj_foreach(root, index, max, name, value)
    {
        if (!yyjson_is_arr(value))
            yyjson_mut_obj_add(plain, yyjson_val_mut_copy(made, name), yyjson_val_mut_copy(made, value));
    }
    yyjson_doc *kept = yyjson_mut_doc_imut_copy(made, NULL);
    yyjson_mut_doc_free(made);
    int code = kept == NULL ? cli_fail(EXIT_FAILED, "no memory") : cli_print_members(cli, yyjson_doc_get_root(kept));
    yyjson_doc_free(kept);
    if (code != EXIT_OK || yyjson_obj_get(root, "logs") == NULL)
        return code;
    fprintf(cli->out, "\n");
    return cli_print_list(cli, doc, &logs);
}

int charging_show(struct cli *cli)
{
    static const list_columns files = { .member = "files", .count = 2, .names = { "name", "bytes" }, .heads = { "FILE", "BYTES" },
                                        .empty = "no closed file yet" };
    const char *directory = invocation_option(cli->in, "--verify");
    yyjson_doc *doc;
    if (directory != NULL)
        return verify(cli, directory);
    if (invocation_has(cli->in, "--files"))
        return cli_list(cli, "/v1/charging", &files);
    int code = cli_get(cli, "/v1/charging", &doc);
    if (code != EXIT_OK)
        return code;
    const yyjson_val *root = yyjson_doc_get_root(doc);
    code = cli->format == OUTPUT_TABLE ? print_state(cli, doc) : cli_print_json(cli, doc, NULL);
    if (code == EXIT_OK && strcmp(member_text(root, "state"), "failed") == 0)
        cli_note("the charging files cannot be written; the host's log says why");
    yyjson_doc_free(doc);
    return code;
}
