#include "command.h"
#include "commands.h"
#include "twin_local.h"

#define OPTION_WAIT                                                                                                    \
    { "--wait", 0, "STATE", "answer only when the device has it, or has confirmed it", "delivered reported" },         \
    {                                                                                                                  \
        "--timeout", 0, "TIME", "how long to wait, such as 500ms, 10s or 2m (default 10s); then exit code 6", NULL    \
    }
#define OPTION_IF_MATCH { "--if-match", 0, "REVISION", "only if the twin still has this revision; else exit code 4", NULL }
#define OPTION_KEY { "--idempotency-key", 0, "KEY", "the same key with the same content is done once within 24 h", NULL }
#define OPTION_LIMIT { "--limit", 0, "N", "at most so many", NULL }

const struct option global_options[] = {
    { "--host", 0, "URL", "the host's address (default $DROMIO_HOST, else http://127.0.0.1:8080)", NULL },
    { "--token", 0, "TOKEN", "who is asking; better --token-file, since others can see a command line", NULL },
    { "--token-file", 0, "FILE", "file with the token (default $DROMIO_TOKEN, else the file $DROMIO_TOKEN_FILE, else .demo/admin.token)", NULL },
    { "--ca", 0, "FILE", "trust these certificates (PEM) for https (default $DROMIO_CA, else the system's)", NULL },
    { "--output", 'o', "FORMAT", "table (default), json as the host answered, or ndjson: one line for each thing", "table json ndjson" },
    { "--help", 'h', NULL, "this help, also for each command", NULL },
    { "--version", 0, NULL, "the version", NULL },
    { NULL, 0, NULL, NULL, NULL },
};

const struct command commands[] = {
    { .name = "image push", .arguments = "FILE", .summary = "upload an image",
      .text = "FILE is a WebAssembly module with its model inside, as dromio twin build makes it; - reads standard input. "
              "A rejected image gives exit code 8 and every reason.",
      .examples = { "dromio image push build/examples/thermo.wasm" }, .run = image_push },
    { .name = "image list", .arguments = "", .summary = "list images",
      .examples = { "dromio image list" }, .run = image_list },
    { .name = "image show", .arguments = "DIGEST", .summary = "show one image: what it imports, its memory, how many twins run it",
      .text = "The sha256: in front may be left out.",
      .examples = { "dromio image show sha256:6c1c0f..." }, .run = image_show },

    { .name = "twin put", .arguments = "[ID]", .summary = "make a twin, or change one",
      .text = "What is not said stays as it is; an empty VALUE removes a tag or secret. The VALUE of a secret is JSON "
              "(0.25, true) or else text; @FILE takes it from a file, so that it is not on the command line. With --from "
              "many twins come from a file with one JSON object a line, each with its \"id\"; if some of them fail the exit "
              "code is 7.",
      .options = { { "--model", 0, "MODEL", "run the newest image of this model", NULL },
                   { "--image", 0, "DIGEST", "run this image", NULL },
                   { "--imsi", 0, "IMSI", "the device's IMSI, 6 to 15 digits", NULL },
                   { "--msisdn", 0, "MSISDN", "the device's number, 5 to 15 digits", NULL },
                   { "--alias", 0, "ID", "one more identifier; may come again", NULL },
                   { "--tag", 0, "NAME=VALUE", "a tag; may come again", NULL },
                   { "--secret", 0, "NAME=VALUE", "a secret of the model; may come again", NULL },
                   { "--from", 0, "FILE", "many twins from NDJSON; - reads standard input", NULL },
                   { "--create", 0, NULL, "only make it: exit code 4 where it is there already", NULL },
                   OPTION_IF_MATCH, OPTION_KEY },
      .examples = { "dromio twin put meter-17@acme.example --model acme/thermo --imsi 001010000000017 --tag site=north",
                    "dromio twin put meter-17@acme.example --secret key=@meter-17.key",
                    "dromio twin put --from meters.ndjson" },
      .run = twin_put },
    { .name = "twin get", .arguments = "ID", .summary = "show one twin: properties, contact, mailbox",
      .options = { { "--property", 0, "NAME", "only this property", NULL } },
      .examples = { "dromio twin get meter-17@acme.example", "dromio twin get meter-17@acme.example --property temperature -o json" },
      .run = twin_get },
    { .name = "twin list", .arguments = "", .summary = "list twins",
      .options = { { "--model", 0, "MODEL", "only this model", NULL }, { "--tag", 0, "NAME=VALUE", "only twins with this tag", NULL },
                   OPTION_LIMIT },
      .examples = { "dromio twin list --model acme/thermo --tag site=north", "dromio twin list -o ndjson --limit 100" },
      .run = twin_list },
    { .name = "twin set", .arguments = "ID PROPERTY VALUE", .summary = "write a property",
      .text = "VALUE is JSON (600, true, \"text\") or else text. The answer is a ticket: the device gets the value at its next contact.",
      .options = { OPTION_WAIT, OPTION_IF_MATCH, OPTION_KEY },
      .examples = { "dromio twin set meter-17@acme.example period 600", "dromio twin set meter-17@acme.example period 600 --wait reported --timeout 60s" },
      .run = twin_set },
    { .name = "twin call", .arguments = "ID ACTION [NAME=VALUE...]", .summary = "call an action",
      .text = "Each NAME=VALUE is a member of the action's input; VALUE as in twin set. The answer is a ticket.",
      .options = { OPTION_WAIT, OPTION_IF_MATCH, OPTION_KEY },
      .examples = { "dromio twin call meter-17@acme.example blink seconds=5" }, .run = twin_call },
    { .name = "twin rm", .arguments = "ID...", .summary = "delete twins",
      .options = { OPTION_IF_MATCH },
      .examples = { "dromio twin rm meter-17@acme.example" }, .run = twin_remove },
    { .name = "twin timeline", .arguments = "ID", .summary = "show a twin's last events: frames, effects, cost",
      .options = { OPTION_LIMIT },
      .examples = { "dromio twin timeline meter-17@acme.example --limit 20" }, .run = twin_timeline },
    { .name = "twin history", .arguments = "ID PROPERTY", .summary = "show recent values of a property, with a small plot",
      .options = { OPTION_LIMIT },
      .examples = { "dromio twin history meter-17@acme.example temperature" }, .run = twin_history },
    { .name = "twin tickets", .arguments = "ID [TICKET]", .summary = "show a twin's tickets: commands and how far they got",
      .examples = { "dromio twin tickets meter-17@acme.example", "dromio twin tickets meter-17@acme.example 12" }, .run = twin_tickets },
    { .name = "twin td", .arguments = "ID", .summary = "print a twin's W3C Thing Description",
      .examples = { "dromio twin td meter-17@acme.example" }, .run = twin_description },
    { .name = "twin build", .arguments = "[FOLDER]", .summary = "make an image of a twin from its model and source; needs no host",
      .text = "FOLDER (this one, when not said) holds NAME.tm.json, a W3C Thing Model, and NAME.c. Needs clang and wasm-ld.",
      .options = { { "--out", 0, "FILE", "the image (default NAME.wasm in the current folder)", NULL },
                   { "--model", 0, "FILE", "another model", NULL },
                   { "--source", 0, "FILE", "another source; may come again", NULL },
                   { "--define", 0, "NAME[=VALUE]", "for the compiler; may come again", NULL },
                   { "--stack", 0, "BYTES", "of stack: 4096, at most 65536", NULL },
                   { "--headers", 0, "FOLDER", "also write NAME.h and the headers of the SDK there, for editors and native builds", NULL },
                   { "--headers-only", 0, NULL, "only that, without clang", NULL },
                   { "-o", 0, "FORMAT", "how to print what was built", "table json" } },
      .examples = { "dromio twin build examples/thermo --out thermo.wasm", "dromio image push thermo.wasm" },
      .run_raw = command_twin_build },
    { .name = "twin test", .arguments = "TWIN [RECORDING...]", .summary = "run recorded events through a twin and compare; needs no host",
      .text = "Each event runs exactly as on the host; what it brings is compared: properties, downlinks, timers, events, "
              "tickets. TWIN is an image (NAME.wasm) or the folder to build it from; RECORDING a file or a folder of *.json, "
              "TWIN/test when none is said. The exit code is 1 where something differs.",
      .options = { { "--record", 0, NULL, "write what came into the recordings instead; then read the difference in git", NULL },
                   { "--next", 0, "IMAGE", "the build a step \"move\" takes the twin's state to; without it, the same", NULL },
                   { "-o", 0, "FORMAT", "how to print the result", "table json" } },
      .examples = { "dromio twin test examples/thermo", "dromio twin test thermo.wasm examples/thermo/test/sequence.json" },
      .run_raw = command_twin_test },

    { .name = "tail", .arguments = "", .summary = "follow what happens, as it happens",
      .text = "Goes on after a lost connection where it stopped; ends with Ctrl-C. Events that were lost show as a gap.",
      .options = { { "--twin", 0, "ID", "only this twin", NULL }, { "--model", 0, "MODEL", "only this model", NULL },
                   { "--property", 0, "NAME", "only this property", NULL },
                   { "--after", 0, "EVENT", "begin after this event: the id said at the end of an earlier tail", NULL },
                   { "--count", 0, "N", "end after so many events", NULL },
                   { "--timeout", 0, "TIME", "end after this time; with --count exit code 6", NULL } },
      .examples = { "dromio tail --model acme/thermo --property temperature", "dromio tail --twin meter-17@acme.example -o ndjson" },
      .run = tail_events },
    { .name = "query", .arguments = "SQL", .summary = "ask all twins with SQL",
      .text = "Every model is a table, \"acme/thermo\", and thermo where that is unique: its properties, id, time, revision, "
              "last_contact, and its tags. - reads SQL from standard input.",
      .examples = { "dromio query \"select count(*), avg(temperature) from thermo where site = 'north'\"" }, .run = query_run },

    { .name = "status", .arguments = "", .summary = "show the host in figures", .examples = { "dromio status" }, .run = host_status },
    { .name = "peers", .arguments = "", .summary = "show Diameter peers", .examples = { "dromio peers" }, .run = host_peers },
    { .name = "dead-letters", .arguments = "", .summary = "show events whose turn failed",
      .options = { OPTION_LIMIT }, .examples = { "dromio dead-letters" }, .run = host_dead_letters },

    { .name = "app add", .arguments = "ID", .summary = "add an application and print its token, this once",
      .options = { { "--domain", 0, "DOMAIN", "a domain whose twins it may use; may come again", NULL },
                   { "--scope", 0, "SCOPE", "what it may do; may come again (default read)", "read write images nidd monitoring trigger parameters" } },
      .examples = { "dromio app add as1 --domain acme.example --scope read --scope write" }, .run = application_add },
    { .name = "app list", .arguments = "", .summary = "list applications", .examples = { "dromio app list" }, .run = application_list },
    { .name = "app show", .arguments = "ID", .summary = "show one application", .examples = { "dromio app show as1" }, .run = application_show },
    { .name = "app rm", .arguments = "ID", .summary = "remove an application; its token ends", .examples = { "dromio app rm as1" }, .run = application_remove },
    { .name = "app token", .arguments = "ID", .summary = "print a new token for an application; the old one ends",
      .examples = { "dromio app token as1" }, .run = application_token },

    { .name = "login", .arguments = "", .summary = "print the web console's address with a login that works once",
      .examples = { "dromio login" }, .run = host_login },
    { .name = "completion", .arguments = "SHELL", .summary = "print completions for bash, zsh or fish",
      .examples = { "source <(dromio completion bash)" }, .is_local = true, .run = print_completion },
    { .name = "manual", .arguments = "", .summary = "print the manual page dromio(1) as roff",
      .examples = { "dromio manual | man -l -" }, .is_local = true, .run = print_manual },
    { .name = NULL },
};
