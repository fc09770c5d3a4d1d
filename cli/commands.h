/* What the commands do. Each gets the CLI ready to use and gives an exit code. */
#pragma once

#include "cli.h"

int image_push(struct cli *cli);
int image_list(struct cli *cli);
int image_show(struct cli *cli);

int twin_put(struct cli *cli);
int twin_get(struct cli *cli);
int twin_list(struct cli *cli);
int twin_set(struct cli *cli);
int twin_call(struct cli *cli);
int twin_remove(struct cli *cli);
int twin_timeline(struct cli *cli);
int twin_history(struct cli *cli);
int twin_tickets(struct cli *cli);
int twin_description(struct cli *cli);
/* Lines of a file up, their results down: twin put --from, group join --from. */
int cli_bulk(struct cli *cli, const char *url, const char *path);

int group_put(struct cli *cli);
int group_list(struct cli *cli);
int group_show(struct cli *cli);
int group_remove(struct cli *cli);
int group_members(struct cli *cli);
int group_join(struct cli *cli);
int group_leave(struct cli *cli);
int group_get(struct cli *cli);
int group_set(struct cli *cli);
int group_call(struct cli *cli);
int group_tickets(struct cli *cli);
int group_exceptions(struct cli *cli);

int monitoring_list(struct cli *cli);
int monitoring_show(struct cli *cli);
int monitoring_add(struct cli *cli);
int monitoring_remove(struct cli *cli);
int trigger_list(struct cli *cli);
int trigger_show(struct cli *cli);
int trigger_send(struct cli *cli);
int trigger_remove(struct cli *cli);
int parameters_list(struct cli *cli);
int parameters_show(struct cli *cli);
int parameters_add(struct cli *cli);
int parameters_remove(struct cli *cli);

int tail_events(struct cli *cli);
int query_run(struct cli *cli);

int host_top(struct cli *cli);
int host_doctor(struct cli *cli);
int backup_take(struct cli *cli);
int restore_run(struct cli *cli);

int host_status(struct cli *cli);
int host_peers(struct cli *cli);
int peer_trace(struct cli *cli);
int audit_list(struct cli *cli);
int audit_verify(struct cli *cli);
int audit_export(struct cli *cli);
int audit_head(struct cli *cli);
int charging_show(struct cli *cli);
int domain_list(struct cli *cli);
int domain_show(struct cli *cli);
int domain_rotate(struct cli *cli);
int domain_remove(struct cli *cli);
int host_rekey(struct cli *cli);
/* A list that comes page by page, all of it or --limit. */
int cli_list_pages(struct cli *cli, const char *path, const list_columns *columns);
int host_dead_letters(struct cli *cli);
int host_login(struct cli *cli);

int stop_add(struct cli *cli);
int stop_list(struct cli *cli);
int stop_remove(struct cli *cli);
int twin_release(struct cli *cli);

int application_add(struct cli *cli);
int application_set(struct cli *cli);
int application_list(struct cli *cli);
int application_show(struct cli *cli);
int application_remove(struct cli *cli);
int application_token(struct cli *cli);

int print_manual(struct cli *cli);
int print_completion(struct cli *cli);
