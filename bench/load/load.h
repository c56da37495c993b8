/* Load generator for streams of chat completions: an upstream that emits them and a client that reads them.
 *
 * Every event carries the time it was sent (CLOCK_MONOTONIC, nanoseconds) inside its text, so that whatever stands
 * between the two may re-frame and translate: the client finds the stamp in any dialect. Linux only (epoll, timerfd).
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL

/* Stamp: '@', 16 lower-case hexadecimal digits of nanoseconds, ';'. No JSON writer escapes any of them. */
#define STAMP_DIGITS 16
#define STAMP_SIZE (STAMP_DIGITS + 2)

uint64_t now_ns(void);
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *must_alloc(size_t count, size_t size);

/* --- net.c: non-blocking TCP on loopback or elsewhere, Nagle off --- */
int net_listen(int port);
int net_connect(const char *host, int port);
void net_prepare(int fd);
/* How a read or write ended; bytes are in *count. */
enum io { IO_SOME, IO_LATER, IO_END };
enum io net_read(int fd, char *into, size_t room, size_t *count);
enum io net_write(int fd, const char *from, size_t size, size_t *count);

/* --- hist.c: log-linear histogram of nanoseconds, under 1 % wide buckets --- */
struct hist {
    uint64_t count, sum, max;
    uint64_t *buckets;
};
void hist_init(struct hist *hist);
void hist_add(struct hist *hist, uint64_t ns);
void hist_reset(struct hist *hist);
/* A JSON object of count, mean and percentiles in microseconds. */
void hist_print(FILE *out, const struct hist *hist);

/* --- timers.c: a heap of due times --- */
struct timer {
    uint64_t due;
    void *owner;
};
struct timers {
    struct timer *heap;
    size_t count, room;
};
void timers_add(struct timers *timers, uint64_t due, void *owner);
bool timers_due(struct timers *timers, uint64_t now, struct timer *found);
/* 0 if none. */
uint64_t timers_next(const struct timers *timers);

/* --- sse.c: what the upstream says, in two dialects --- */
enum dialect { OPENAI_CHAT, ANTHROPIC };
/* Each writes into `into` and returns the bytes written; none writes more than SSE_ROOM. */
#define SSE_ROOM 1024
size_t sse_start(enum dialect dialect, char *into);
size_t sse_delta(enum dialect dialect, char *into, uint64_t stamp);
size_t sse_end(enum dialect dialect, char *into, unsigned events);
/* A whole JSON reply with `events` stamps; the caller frees it. */
char *whole_reply(enum dialect dialect, unsigned events, uint64_t stamp, size_t *size);

/* --- reply.c: an HTTP response read piece by piece --- */
#define REPLY_HEAD_ROOM 4096
#define REPLY_TAIL 96
enum reply_state { REPLY_HEAD, REPLY_CHUNK_SIZE, REPLY_CHUNK, REPLY_CHUNK_END, REPLY_TRAILER, REPLY_LENGTH,
                   REPLY_UNTIL_CLOSE, REPLY_DONE, REPLY_BROKEN };
struct reply {
    enum reply_state state;
    int status;
    bool close;                  /* the server will close the connection after this reply */
    uint64_t rest;               /* bytes of the current chunk or of the body still to come */
    unsigned stamp_at;           /* how much of a stamp has been seen: 0 none, 1 '@', then digits */
    uint64_t stamp;
    unsigned events;
    uint64_t body_bytes;
    unsigned head_size, tail_size;
    char *head;                  /* only while the head arrives, then the start of an error's body */
    char tail[REPLY_TAIL];       /* the body's last bytes: the dialect's end marker is looked for here */
};
typedef void (*on_stamp)(void *context, uint64_t stamp);
void reply_reset(struct reply *reply);
void reply_free(struct reply *reply);
/* Takes `size` bytes in, calls `found` for each stamp. Bytes after the reply's end make it REPLY_BROKEN. */
void reply_feed(struct reply *reply, const char *data, size_t size, on_stamp found, void *context);
/* The connection closed; the reply's end if it is told by closing. */
void reply_eof(struct reply *reply);
bool reply_tail_has(const struct reply *reply, const char *marker);

/* --- sample.c: what the kernel says of processes and cores --- */
#define SAMPLED_CORES 2
struct sample {
    uint64_t at, subject, subject_kernel, upstream, own, resident, cores[SAMPLED_CORES]; /* ns, and clock ticks */
};
struct sample sample_take(const int *pids, unsigned count, int upstream);
/* A JSON object of what passed between the two, in seconds, and the memory at the end. */
void sample_print(FILE *out, const struct sample *from, const struct sample *to);

int upstream_main(int argc, char **argv);
int client_main(int argc, char **argv);

#endif
