/* libcurl's multi interface on the gate's own loop: its sockets and its one timer. */
#pragma once

#include <curl/curl.h>

#include "gate/loop.h"

typedef struct curl_loop {
    loop *loop;
    CURLM *multi;
    loop_timer timer;
    void (*on_done)(void *context, CURL *curl, CURLcode code); /* it is out of the multi already */
    void *context;
} curl_loop;

DRO_CHECKED dro_err curl_loop_init(curl_loop *made, loop *home, void (*on_done)(void *context, CURL *curl, CURLcode code), void *context);
/* Handles that are still in it have been taken out before. */
void curl_loop_fini(curl_loop *gone);
