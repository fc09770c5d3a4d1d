/* The commands of `dromio twin` that need no host. argv[0] is the command's own last
 * word ("build"); each prints its --help itself and gives an exit code of the CLI:
 * 0 ok, 1 failed or differs, 2 usage. */
#pragma once

int command_twin_new(int argc, char **argv);
int command_twin_build(int argc, char **argv);
int command_twin_test(int argc, char **argv);
