#include "bench/http.h"

static int on_body(llhttp_t *parser, const char *bytes, size_t length)
{
    http_reader *reader = parser->data;
    if (reader->on_body != NULL)
        reader->on_body(reader->owner, bytes, length);
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    http_reader *reader = parser->data;
    if (parser->status_code < 200)
        return 0; /* 100 Continue: the answer is still to come */
    if (!llhttp_should_keep_alive(parser))
        reader->is_last = true;
    reader->on_response(reader->owner, parser->status_code);
    return 0;
}

void http_reader_init(http_reader *reader)
{
    llhttp_settings_init(&reader->settings);
    reader->settings.on_body = on_body;
    reader->settings.on_message_complete = on_complete;
    llhttp_init(&reader->parser, HTTP_RESPONSE, &reader->settings);
    reader->parser.data = reader;
    reader->is_last = false;
}

dro_err http_reader_feed(http_reader *reader, const char *bytes, size_t length)
{
    return llhttp_execute(&reader->parser, bytes, length) == HPE_OK ? DRO_OK : DRO_MALFORMED;
}

dro_err http_reader_end(http_reader *reader)
{
    return llhttp_finish(&reader->parser) == HPE_OK ? DRO_OK : DRO_TRUNCATED;
}
