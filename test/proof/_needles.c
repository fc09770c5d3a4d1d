/* Looks for many needles in much: memory of processes and files.
 *
 *   needles NEEDLES            reads lines from standard input: "pid N" (all that can be read of its memory) or "file PATH"; for
 *                              each finding a line "WHERE OFFSET NUMBER MAPPING", behind each process "read PID BYTES", for each
 *                              mapping with pages that could not be read "unread PID BYTES MAPPING"; at the end "done BYTES"
 *
 * NEEDLES: for each needle a length byte (8 to 255) and its bytes. Of each needle the first 8 bytes are in a table; a filter of a bit for
 * each hash of 8 bytes is asked first, at every offset. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 8, PIECE = 1 << 22, OVERLAP = 256, FILTER_BITS = 24, FOUND_MAX = 1000, KNOWN_MAX = 4096 };

struct needle { uint64_t first; const uint8_t *bytes; uint32_t next; uint8_t length; };

static struct needle *needles;
static uint32_t count, *table, mask;
static uint64_t *filter;
static uint8_t piece[OVERLAP + PIECE];
static uint64_t seen, unread;
static unsigned told;

static uint64_t mix(uint64_t x)
{
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 32;
}

static uint64_t window(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void needles_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat stat;
    if (file == NULL || fstat(fileno(file), &stat) != 0)
        exit(2);
    uint8_t *all = malloc((size_t)stat.st_size);
    if (all == NULL || fread(all, 1, (size_t)stat.st_size, file) != (size_t)stat.st_size)
        exit(2);
    fclose(file);
    for (off_t at = 0; at < stat.st_size; at += 1 + all[at])
        count++;
    for (mask = 1; mask < 2 * count; mask *= 2)
        ;
    needles = calloc(count + 1, sizeof *needles);
    table = calloc(mask, sizeof *table);
    filter = calloc((1u << FILTER_BITS) / 64, sizeof *filter);
    if (needles == NULL || table == NULL || filter == NULL)
        exit(2);
    mask--;
    uint32_t number = 0;
    for (off_t at = 0; at < stat.st_size; at += 1 + all[at]) {
        struct needle *needle = &needles[++number];
        *needle = (struct needle){ .bytes = all + at + 1, .length = all[at] };
        if (needle->length < WINDOW)
            exit(2);
        needle->first = window(needle->bytes);
        uint64_t hash = mix(needle->first);
        needle->next = table[hash & mask];
        table[hash & mask] = number;
        filter[(hash >> 40) / 64] |= 1ull << (hash >> 40) % 64;
    }
}

static void look(const uint8_t *bytes, size_t length, size_t from, const char *where, uint64_t offset, const char *what)
{
    for (size_t at = from; at + WINDOW <= length; at++) {
        uint64_t first = window(bytes + at), hash = mix(first);
        if (!(filter[(hash >> 40) / 64] >> (hash >> 40) % 64 & 1))
            continue;
        for (uint32_t number = table[hash & mask]; number != 0; number = needles[number].next)
            if (needles[number].first == first && at + needles[number].length <= length &&
                memcmp(bytes + at, needles[number].bytes, needles[number].length) == 0 && told++ < FOUND_MAX)
                printf("%s %llx %u %s\n", where, (unsigned long long)(offset + at), number - 1, what);
    }
}

/* A needle that lies over the end of a piece is found in the next one, which begins before it. */
static void scan(int fd, uint64_t from, uint64_t to, const char *where, const char *what)
{
    size_t kept = 0;
    for (uint64_t at = from; at < to;) {
        size_t wanted = to - at < PIECE ? (size_t)(to - at) : PIECE;
        ssize_t got = pread(fd, piece + kept, wanted, (off_t)at);
        if (got <= 0 && errno == EINTR && got < 0)
            continue;
        if (got <= 0) {
            unread += wanted;
            kept = 0;
            at += wanted < 4096 ? wanted : 4096; /* a page that cannot be read: secret memory, or none behind it */
            unread -= wanted < 4096 ? 0 : wanted - 4096;
            continue;
        }
        seen += (uint64_t)got;
        look(piece, kept + (size_t)got, 0, where, at - kept, what);
        at += (uint64_t)got;
        size_t all = kept + (size_t)got;
        kept = all < OVERLAP ? all : OVERLAP;
        memmove(piece, piece + all - kept, kept);
    }
}

/* The parts of a mapping that are in memory or swapped: sparse gigabytes cost nothing. */
static void mapping(int fd, int pages, uint64_t from, uint64_t to, const char *where, const char *what)
{
    static uint64_t entries[1 << 16];
    uint64_t run = 0;
    for (uint64_t at = from; at < to;) {
        uint64_t wanted = (to - at) / 4096 < sizeof entries / 8 ? (to - at) / 4096 : sizeof entries / 8;
        ssize_t got = pread(pages, entries, wanted * 8, (off_t)(at / 4096 * 8));
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got / 8; i++, at += 4096) {
            if (entries[i] >> 62 != 0) {
                run = run != 0 ? run : at;
            } else if (run != 0) {
                scan(fd, run, at, where, what);
                run = 0;
            }
        }
    }
    if (run != 0)
        scan(fd, run, to, where, what);
}

/* Memory that rooms share is looked through once. */
static bool is_known(const char *device, unsigned long long inode, uint64_t offset, uint64_t bytes)
{
    static struct { char device[16]; unsigned long long inode; uint64_t offset, bytes; } known[KNOWN_MAX];
    static int many;
    for (int i = 0; i < many; i++)
        if (known[i].inode == inode && known[i].offset == offset && known[i].bytes == bytes && strcmp(known[i].device, device) == 0)
            return true;
    if (many < KNOWN_MAX) {
        snprintf(known[many].device, sizeof known[many].device, "%s", device);
        known[many].inode = inode;
        known[many].offset = offset;
        known[many++].bytes = bytes;
    }
    return false;
}

static int of_process(int pid, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    return open(path, O_RDONLY);
}

static void process(int pid)
{
    char line[4600], where[32];
    uint64_t seen_before = seen;
    snprintf(where, sizeof where, "pid-%d", pid);
    int list = of_process(pid, "maps"), memory = of_process(pid, "mem"), pages = of_process(pid, "pagemap");
    FILE *maps = list < 0 ? NULL : fdopen(list, "r");
    while (maps != NULL && memory >= 0 && pages >= 0 && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long from, to, offset, inode;
        char rights[8], device[16], name[4096] = "anonymous";
        bool is_some = sscanf(line, "%llx-%llx %7s %llx %15s %llu %4095s", &from, &to, rights, &offset, device, &inode, name) >= 6 && rights[0] == 'r';
        bool is_once = is_some && inode != 0 && (rights[3] == 's' || rights[1] != 'w') && is_known(device, inode, offset, to - from);
        uint64_t unread_before = unread;
        if (is_some && !is_once && strcmp(name, "[vsyscall]") != 0 && strncmp(name, "[vvar", 5) != 0)
            mapping(memory, pages, from, to, where, name);
        if (unread != unread_before)
            printf("unread %d %llu %s\n", pid, (unsigned long long)(unread - unread_before), name);
    }
    printf("read %d %llu\n", pid, (unsigned long long)(seen - seen_before));
    if (maps == NULL || memory < 0 || pages < 0)
        printf("cannot pid %d\n", pid);
    if (maps != NULL)
        fclose(maps);
    if (memory >= 0)
        close(memory);
    if (pages >= 0)
        close(pages);
}

static void whole_file(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &stat) != 0) {
        if (fd >= 0 || errno != ENOENT) /* a file that is gone has nothing to find */
            printf("cannot file %s\n", path);
        if (fd >= 0)
            close(fd);
        return;
    }
    scan(fd, 0, (uint64_t)stat.st_size, path, "file");
    close(fd);
}

int main(int count_, char **arguments)
{
    char line[4200];
    if (count_ != 2)
        return 2;
    needles_read(arguments[1]);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "pid ", 4) == 0)
            process(atoi(line + 4));
        else if (strncmp(line, "file ", 5) == 0)
            whole_file(line + 5);
    }
    printf("done %llu\n", (unsigned long long)seen);
    return 0;
}
