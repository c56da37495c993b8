#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

void reply_reset(struct reply *reply)
{
    char *head = reply->head;
    *reply = (struct reply){.head = head};
}

void reply_free(struct reply *reply)
{
    free(reply->head);
    reply->head = NULL;
}

static void keep_tail(struct reply *reply, const char *data, size_t size)
{
    if (size >= REPLY_TAIL) {
        memcpy(reply->tail, data + size - REPLY_TAIL, REPLY_TAIL);
        reply->tail_size = REPLY_TAIL;
        return;
    }
    size_t kept = reply->tail_size + size > REPLY_TAIL ? REPLY_TAIL - size : reply->tail_size;
    memmove(reply->tail, reply->tail + reply->tail_size - kept, kept);
    memcpy(reply->tail + kept, data, size);
    reply->tail_size = (unsigned)(kept + size);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void find_stamps(struct reply *reply, const char *data, size_t size, on_stamp found, void *context)
{
    const char *at = data, *end = data + size;
    while (at < end) {
        if (reply->stamp_at == 0) {
            at = memchr(at, '@', (size_t)(end - at));
            if (at == NULL)
                return;
            at++;
            reply->stamp_at = 1;
            reply->stamp = 0;
            continue;
        }
        char c = *at;
        int value = digit(c);
        if (reply->stamp_at <= STAMP_DIGITS && value >= 0) {
            reply->stamp = reply->stamp << 4 | (unsigned)value;
            reply->stamp_at++;
            at++;
        } else {
            bool whole = reply->stamp_at == STAMP_DIGITS + 1 && c == ';';
            reply->stamp_at = 0;
            if (whole) {
                reply->events++;
                found(context, reply->stamp);
                at++;
            }
        }
    }
}

static void body(struct reply *reply, const char *data, size_t size, on_stamp found, void *context)
{
    reply->body_bytes += size;
    keep_tail(reply, data, size);
    if (reply->status == 200) {
        find_stamps(reply, data, size, found, context);
        return;
    }
    size_t room = REPLY_HEAD_ROOM - 1 - reply->head_size;
    size_t kept = size < room ? size : room;
    memcpy(reply->head + reply->head_size, data, kept);
    reply->head_size += (unsigned)kept;
}

static void read_head(struct reply *reply)
{
    char *line = reply->head, *saved = NULL;
    bool chunked = false, sized = false;
    if (sscanf(line, "HTTP/1.%*d %d", &reply->status) != 1) {
        reply->state = REPLY_BROKEN;
        return;
    }
    reply->close = strncmp(line, "HTTP/1.0", 8) == 0;
    for (line = strtok_r(line, "\r\n", &saved); line != NULL; line = strtok_r(NULL, "\r\n", &saved)) {
        if (strncasecmp(line, "transfer-encoding:", 18) == 0 && strcasestr(line, "chunked") != NULL)
            chunked = true;
        else if (strncasecmp(line, "content-length:", 15) == 0) {
            reply->rest = strtoull(line + 15, NULL, 10);
            sized = true;
        } else if (strncasecmp(line, "connection:", 11) == 0 && strcasestr(line, "close") != NULL)
            reply->close = true;
    }
    reply->head_size = 0;
    if (chunked) {
        reply->rest = 0;
        reply->state = REPLY_CHUNK_SIZE;
    } else if (sized)
        reply->state = reply->rest ? REPLY_LENGTH : REPLY_DONE;
    else {
        reply->close = true;
        reply->state = REPLY_UNTIL_CLOSE;
    }
}

/* Bytes of `data` that belong to the head. */
static size_t take_head(struct reply *reply, const char *data, size_t size)
{
    if (reply->head == NULL)
        reply->head = must_alloc(REPLY_HEAD_ROOM, 1);
    for (size_t taken = 0; taken < size; taken++) {
        if (reply->head_size == REPLY_HEAD_ROOM - 1) {
            reply->state = REPLY_BROKEN;
            return taken;
        }
        reply->head[reply->head_size++] = data[taken];
        if (data[taken] == '\n' && reply->head_size >= 4
            && memcmp(reply->head + reply->head_size - 4, "\r\n\r\n", 4) == 0) {
            reply->head[reply->head_size] = '\0';
            read_head(reply);
            return taken + 1;
        }
    }
    return size;
}

static void chunk_size_byte(struct reply *reply, char c)
{
    int value = digit((char)(c >= 'A' && c <= 'F' ? c + 32 : c));
    if (value >= 0)
        reply->rest = reply->rest << 4 | (unsigned)value;
    else if (c == '\n')
        reply->state = reply->rest ? REPLY_CHUNK : REPLY_TRAILER;
    else if (c != '\r')
        reply->state = REPLY_BROKEN;
}

void reply_feed(struct reply *reply, const char *data, size_t size, on_stamp found, void *context)
{
    const char *end = data + size;
    while (data < end) {
        size_t left = (size_t)(end - data), part = left < reply->rest ? left : (size_t)reply->rest;
        switch (reply->state) {
        case REPLY_HEAD:
            data += take_head(reply, data, left);
            break;
        case REPLY_CHUNK_SIZE:
            chunk_size_byte(reply, *data++);
            break;
        case REPLY_CHUNK:
        case REPLY_LENGTH:
            body(reply, data, part, found, context);
            data += part;
            reply->rest -= part;
            if (reply->rest == 0)
                reply->state = reply->state == REPLY_CHUNK ? REPLY_CHUNK_END : REPLY_DONE;
            break;
        case REPLY_CHUNK_END:
            if (*data++ == '\n')
                reply->state = REPLY_CHUNK_SIZE;
            break;
        case REPLY_TRAILER: /* no trailers: the empty line that ends the reply */
            if (*data++ == '\n')
                reply->state = REPLY_DONE;
            break;
        case REPLY_UNTIL_CLOSE:
            body(reply, data, left, found, context);
            data = end;
            break;
        case REPLY_DONE:
        case REPLY_BROKEN:
            reply->state = REPLY_BROKEN;
            return;
        }
    }
}

void reply_eof(struct reply *reply)
{
    if (reply->state == REPLY_UNTIL_CLOSE)
        reply->state = REPLY_DONE;
    else if (reply->state != REPLY_DONE)
        reply->state = REPLY_BROKEN;
}

bool reply_tail_has(const struct reply *reply, const char *marker)
{
    return memmem(reply->tail, reply->tail_size, marker, strlen(marker)) != NULL;
}
