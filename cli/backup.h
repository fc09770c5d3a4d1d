/* Backup: what taking, checking and restoring one share. */
#pragma once

#include "cli.h"
#include "stored.h"

/* Reads all of it. False after saying what is wrong; `check` is to be finished either way. */
bool backup_read(int fd, const char *name, archive_check *check);
/* The layout of the directory it was taken of (store/data_layout.h); 0: it does not say. */
uint32_t backup_layout(const archive_check *check);
/* Which one it is, as its manifest says and by its sum, in one line without an end. */
void backup_describe(const archive_check *check, char *out, size_t bytes);
/* After that: a format we know, whole logs, and with `key` (or NULL) that it opens what is sealed.
 * False after saying what is wrong; `files` is to be finished either way. */
bool backup_check(int fd, const char *name, const char *key, const archive_check *check, stored *files, stored_logs *found);
/* dromio backup --verify, dromio restore --dry-run. */
int backup_verify(struct cli *cli, const char *name, const char *key);
