/* Doctor: checks one after the other, each with what it found and what to do next. */
#pragma once

#include "cli.h"

enum finding_state { FINDING_WELL, FINDING_NOTE, FINDING_ILL, FINDING_SKIPPED };

typedef struct doctor {
    struct cli *cli;
    yyjson_mut_doc *doc; /* gathers the findings */
    yyjson_mut_val *list;
    unsigned ill;
    /* what the configuration says, "" where it says nothing */
    char data[1024], master_key[1024];
    char certificates[2][1024];
    const char *config_path; /* or NULL */
} doctor;

/* `next` NULL: nothing to do. */
void finding(doctor *doctor, enum finding_state state, const char *check, const char *next, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void doctor_machine(doctor *doctor);
void doctor_configuration(doctor *doctor); /* fills what it says */
void doctor_certificates(doctor *doctor);
void doctor_data(doctor *doctor, const char *directory);
