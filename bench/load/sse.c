#include <stdlib.h>
#include <string.h>

#include "load.h"

#define CHAT_HEAD "{\"id\":\"chatcmpl-load0000000000000001\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1763700000,\"model\":\"m\",\"system_fingerprint\":\"fp_load\","
#define CHAT_DELTA "data: " CHAT_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@"
#define CHAT_DELTA_END ";\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
#define CHAT_START "data: " CHAT_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}," \
    "\"logprobs\":null,\"finish_reason\":null}]}\n\n"

#define ANTHROPIC_START "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{" \
    "\"id\":\"msg_load00000000000001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[]," \
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0," \
    "\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n" \
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0," \
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"
#define ANTHROPIC_DELTA "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0," \
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"@"
#define ANTHROPIC_DELTA_END ";\"}}\n\n"

static size_t put(char *into, const char *text, size_t size)
{
    memcpy(into, text, size);
    return size;
}

static size_t put_stamp(char *into, uint64_t stamp)
{
    static const char digits[] = "0123456789abcdef";
    for (int place = STAMP_DIGITS - 1; place >= 0; place--) {
        into[place] = digits[stamp & 15];
        stamp >>= 4;
    }
    return STAMP_DIGITS;
}

size_t sse_start(enum dialect dialect, char *into)
{
    if (dialect == OPENAI_CHAT)
        return put(into, CHAT_START, sizeof CHAT_START - 1);
    return put(into, ANTHROPIC_START, sizeof ANTHROPIC_START - 1);
}

size_t sse_delta(enum dialect dialect, char *into, uint64_t stamp)
{
    size_t size;
    if (dialect == OPENAI_CHAT) {
        size = put(into, CHAT_DELTA, sizeof CHAT_DELTA - 1);
        size += put_stamp(into + size, stamp);
        return size + put(into + size, CHAT_DELTA_END, sizeof CHAT_DELTA_END - 1);
    }
    size = put(into, ANTHROPIC_DELTA, sizeof ANTHROPIC_DELTA - 1);
    size += put_stamp(into + size, stamp);
    return size + put(into + size, ANTHROPIC_DELTA_END, sizeof ANTHROPIC_DELTA_END - 1);
}

size_t sse_end(enum dialect dialect, char *into, unsigned events)
{
    const char *format = dialect == OPENAI_CHAT
        ? "data: " CHAT_HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
          "data: " CHAT_HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%u,"
          "\"total_tokens\":%u}}\n\ndata: [DONE]\n\n"
        : "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
          "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
          "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%u}}\n\n"
          "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    return (size_t)snprintf(into, SSE_ROOM, format, events, events + 12);
}

char *whole_reply(enum dialect dialect, unsigned events, uint64_t stamp, size_t *size)
{
    const char *head = dialect == OPENAI_CHAT
        ? "{\"id\":\"chatcmpl-load0000000000000001\",\"object\":\"chat.completion\",\"created\":1763700000,"
          "\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\""
        : "{\"id\":\"msg_load00000000000001\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
          "\"content\":[{\"type\":\"text\",\"text\":\"";
    const char *end = dialect == OPENAI_CHAT
        ? "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,"
          "\"completion_tokens\":%u,\"total_tokens\":%u}}"
        : "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
          "\"usage\":{\"input_tokens\":12,\"output_tokens\":%u}}";
    char *body = must_alloc((size_t)events * STAMP_SIZE + 2 * SSE_ROOM, 1);
    size_t at = put(body, head, strlen(head));
    for (unsigned event = 0; event < events; event++) {
        body[at++] = '@';
        at += put_stamp(body + at, stamp);
        body[at++] = ';';
    }
    *size = at + (size_t)snprintf(body + at, SSE_ROOM, end, events, events + 12);
    return body;
}
