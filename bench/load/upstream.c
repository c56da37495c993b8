/* An upstream of chat completions: what to send is told by the prompt, as "[load rate=20 events=200 id=7]".
 *
 *   rate    events per second of this stream; 0 sends as fast as the socket takes them
 *   events  content deltas, or stamps of a whole reply
 *   hold    1 sends the first delta and then nothing until the client leaves
 *   id      a number that names the stream in the list of streams the client left early
 *
 * GET /stats answers with the counts since the last GET /reset.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define REQUEST_LIMIT (4U << 20)
#define FLOOD_WRITE (32U << 10)
#define FLOOD_TURNS 4
#define LEFT_ROOM 8192
#define BATCH 256

enum doing { WAITING, PACED, HELD, FLOODING, FLUSHING };

struct conn {
    int fd;
    enum doing doing;
    enum dialect dialect;
    bool wants_out, timed, dead;
    unsigned events, sent;
    uint64_t id, period, due;
    char *in, *out;
    size_t in_size, in_room, out_size, out_at;
};

static struct {
    uint64_t requests, streams, wholes, finished, left, events, stalled, left_count;
    uint64_t left_id[LEFT_ROOM], left_at[LEFT_ROOM];
    struct hist late;
} stats;

static int poll_fd;
static struct timers timers;
static char scratch[FLOOD_WRITE + 4 * SSE_ROOM];
static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static uint64_t random64(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void watch(struct conn *conn, bool out)
{
    if (conn->wants_out == out)
        return;
    conn->wants_out = out;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (out ? EPOLLOUT : 0U), .data.ptr = conn};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static void release(struct conn *conn)
{
    free(conn->in);
    free(conn->out);
    free(conn);
}

static void hang_up(struct conn *conn)
{
    if (conn->doing != WAITING) {
        if (stats.left_count < LEFT_ROOM) {
            stats.left_id[stats.left_count] = conn->id;
            stats.left_at[stats.left_count++] = now_ns();
        }
        stats.left++;
    }
    close(conn->fd);
    conn->dead = true;
    if (!conn->timed)
        release(conn);
}

/* False if the connection is gone (and freed, unless a timer still knows it). What the socket does not take is kept. */
static bool say(struct conn *conn, const char *data, size_t size)
{
    size_t done = 0, count;
    while (conn->out_size == 0 && done < size) {
        enum io io = net_write(conn->fd, data + done, size - done, &count);
        if (io == IO_END) {
            hang_up(conn);
            return false;
        }
        if (io == IO_LATER)
            break;
        done += count;
    }
    if (done < size) {
        conn->out = realloc(conn->out, conn->out_size + size - done);
        if (conn->out == NULL)
            die("out of memory");
        memcpy(conn->out + conn->out_size, data + done, size - done);
        conn->out_size += size - done;
        watch(conn, true);
    }
    return true;
}

/* One frame as an HTTP chunk of its own, as model servers write them. */
static size_t as_chunk(char *into, const char *frame, size_t size)
{
    size_t at = (size_t)sprintf(into, "%zx\r\n", size);
    memcpy(into + at, frame, size);
    memcpy(into + at + size, "\r\n", 2);
    return at + size + 2;
}

static size_t put_delta(struct conn *conn, char *into, uint64_t stamp)
{
    char frame[SSE_ROOM];
    conn->sent++;
    stats.events++;
    return as_chunk(into, frame, sse_delta(conn->dialect, frame, stamp));
}

static size_t put_end(struct conn *conn, char *into)
{
    char frame[SSE_ROOM];
    size_t size = as_chunk(into, frame, sse_end(conn->dialect, frame, conn->events));
    memcpy(into + size, "0\r\n\r\n", 5);
    return size + 5;
}

/* The reply's last byte has been handed to the socket. */
static void ended(struct conn *conn)
{
    stats.finished++;
    conn->doing = WAITING;
}

static void schedule(struct conn *conn)
{
    conn->timed = true;
    timers_add(&timers, conn->due, conn);
}

static void paced_tick(struct conn *conn)
{
    uint64_t now = now_ns();
    size_t size = 0;
    hist_add(&stats.late, now - conn->due);
    conn->due += conn->period;
    if (conn->out_size > 0) {
        stats.stalled++;
        schedule(conn);
        return;
    }
    if (conn->sent < conn->events)
        size = put_delta(conn, scratch, now);
    bool last = conn->sent == conn->events;
    if (last)
        size += put_end(conn, scratch + size);
    if (!say(conn, scratch, size))
        return;
    if (!last)
        schedule(conn);
    else if (conn->out_size > 0)
        conn->doing = FLUSHING;
    else
        ended(conn);
}

static bool flood(struct conn *conn)
{
    for (int turn = 0; turn < FLOOD_TURNS && conn->out_size == 0; turn++) {
        uint64_t now = now_ns();
        size_t size = 0;
        while (conn->sent < conn->events && size < FLOOD_WRITE)
            size += put_delta(conn, scratch + size, now);
        bool last = conn->sent == conn->events;
        if (last)
            size += put_end(conn, scratch + size);
        if (!say(conn, scratch, size))
            return false;
        if (last) {
            conn->doing = FLUSHING;
            break;
        }
    }
    if (conn->doing == FLUSHING && conn->out_size == 0)
        ended(conn);
    watch(conn, conn->doing != WAITING);
    return true;
}

static uint64_t option(const char *text, const char *name, uint64_t otherwise)
{
    char key[32];
    snprintf(key, sizeof key, " %s=", name);
    const char *found = strstr(text, key);
    return found ? strtoull(found + strlen(key), NULL, 10) : otherwise;
}

static bool start_stream(struct conn *conn, bool hold)
{
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    char frame[SSE_ROOM];
    size_t size = sizeof head - 1;
    memcpy(scratch, head, size);
    size += as_chunk(scratch + size, frame, sse_start(conn->dialect, frame));
    stats.streams++;
    conn->sent = 0;
    if (conn->period == 0 && !hold) {
        conn->doing = FLOODING;
        while (conn->sent < conn->events && size < FLOOD_WRITE)
            size += put_delta(conn, scratch + size, now_ns());
        return say(conn, scratch, size) && flood(conn);
    }
    size += put_delta(conn, scratch + size, now_ns());
    conn->doing = hold ? HELD : PACED;
    if (!say(conn, scratch, size))
        return false;
    if (!hold) {
        conn->due = now_ns() + random64() % conn->period;
        schedule(conn);
    }
    return true;
}

static bool answer(struct conn *conn, const char *status, const char *body, size_t size)
{
    char head[256];
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", status, size);
    if (conn->out_size + (size_t)head_size + size <= sizeof scratch) {
        memcpy(scratch, head, (size_t)head_size);
        memcpy(scratch + head_size, body, size);
        return say(conn, scratch, (size_t)head_size + size);
    }
    return say(conn, head, (size_t)head_size) && say(conn, body, size);
}

static bool answer_whole(struct conn *conn)
{
    size_t size;
    char *body = whole_reply(conn->dialect, conn->events, now_ns(), &size);
    stats.wholes++;
    stats.events += conn->events;
    conn->doing = FLUSHING;
    bool alive = answer(conn, "200 OK", body, size);
    free(body);
    if (alive && conn->out_size == 0)
        ended(conn);
    return alive;
}

static bool answer_stats(struct conn *conn)
{
    char *text = NULL;
    size_t size = 0;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        die("out of memory");
    fprintf(out, "{\"requests\":%llu,\"streams\":%llu,\"wholes\":%llu,\"finished\":%llu,\"left\":%llu,\"events\":%llu,"
                 "\"stalled\":%llu,\"cpu_s\":%.3f,\"late_us\":",
            (unsigned long long)stats.requests, (unsigned long long)stats.streams, (unsigned long long)stats.wholes,
            (unsigned long long)stats.finished, (unsigned long long)stats.left, (unsigned long long)stats.events,
            (unsigned long long)stats.stalled,
            (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
                + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    hist_print(out, &stats.late);
    fputs(",\"left_at\":{", out);
    for (uint64_t at = 0; at < stats.left_count; at++)
        fprintf(out, "%s\"%llu\":%llu", at ? "," : "", (unsigned long long)stats.left_id[at],
                (unsigned long long)stats.left_at[at]);
    fputs("}}\n", out);
    fclose(out);
    bool alive = answer(conn, "200 OK", text, size);
    free(text);
    return alive;
}

static bool answer_reset(struct conn *conn)
{
    struct hist late = stats.late;
    hist_reset(&late);
    memset(&stats, 0, sizeof stats);
    stats.late = late;
    return answer(conn, "200 OK", "{}", 2);
}

static bool serve(struct conn *conn, char *head, const char *body)
{
    if (strncmp(head, "GET /stats", 10) == 0)
        return answer_stats(conn);
    if (strncmp(head, "GET /reset", 10) == 0)
        return answer_reset(conn);
    bool anthropic = strncmp(head, "POST /v1/messages", 17) == 0;
    if (!anthropic && strncmp(head, "POST /v1/chat/completions", 25) != 0)
        return answer(conn, "404 Not Found", "{\"error\":{\"message\":\"no such path\"}}", 36);
    const char *wanted = strstr(body, "[load "), *flag = strstr(body, "\"stream\":");
    if (wanted == NULL)
        return answer(conn, "400 Bad Request", "{\"error\":{\"message\":\"no [load ...]\"}}", 37);
    stats.requests++;
    conn->dialect = anthropic ? ANTHROPIC : OPENAI_CHAT;
    conn->events = (unsigned)option(wanted, "events", 20);
    conn->id = option(wanted, "id", 0);
    uint64_t rate = option(wanted, "rate", 0);
    conn->period = rate ? NS_PER_S / rate : 0;
    if (flag != NULL && *(flag + 9 + strspn(flag + 9, " ")) == 't')
        return start_stream(conn, option(wanted, "hold", 0) != 0);
    return answer_whole(conn);
}

/* Serves the first request in the buffer if it is complete. False if the connection is gone. */
static bool take_request(struct conn *conn, bool *again)
{
    char *head_end = memmem(conn->in, conn->in_size, "\r\n\r\n", 4);
    *again = false;
    if (head_end == NULL)
        return true;
    *head_end = '\0';
    char *sized = strcasestr(conn->in, "\ncontent-length:");
    size_t body_size = sized ? strtoull(sized + 16, NULL, 10) : 0;
    char *body = head_end + 4;
    size_t whole = (size_t)(body - conn->in) + body_size;
    if (whole > conn->in_size) {
        *head_end = '\r';
        return true;
    }
    char after = conn->in[whole];
    conn->in[whole] = '\0';
    if (!serve(conn, conn->in, body))
        return false;
    conn->in[whole] = after;
    memmove(conn->in, conn->in + whole, conn->in_size - whole);
    conn->in_size -= whole;
    *again = conn->doing == WAITING && conn->in_size > 0;
    return true;
}

static bool readable(struct conn *conn)
{
    for (;;) {
        if (conn->in_room - conn->in_size < 4096) {
            conn->in_room = conn->in_room ? conn->in_room * 2 : 8192;
            if (conn->in_room > REQUEST_LIMIT || (conn->in = realloc(conn->in, conn->in_room)) == NULL)
                die("a request is larger than %u bytes", REQUEST_LIMIT);
        }
        size_t count, room = conn->in_room - conn->in_size - 1;
        enum io io = net_read(conn->fd, conn->in + conn->in_size, room, &count);
        if (io == IO_END) {
            hang_up(conn);
            return false;
        }
        conn->in_size += count;
        if (io == IO_LATER || count < room)
            break;
    }
    bool again = conn->doing == WAITING && conn->in_size > 0;
    while (again)
        if (!take_request(conn, &again))
            return false;
    return true;
}

static bool writable(struct conn *conn)
{
    while (conn->out_at < conn->out_size) {
        size_t count;
        enum io io = net_write(conn->fd, conn->out + conn->out_at, conn->out_size - conn->out_at, &count);
        if (io == IO_END) {
            hang_up(conn);
            return false;
        }
        if (io == IO_LATER)
            return true;
        conn->out_at += count;
    }
    conn->out_at = conn->out_size = 0;
    if (conn->doing == FLOODING)
        return flood(conn);
    watch(conn, false);
    if (conn->doing == FLUSHING)
        ended(conn);
    return true;
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        struct conn *conn = must_alloc(1, sizeof *conn);
        net_prepare(fd);
        conn->fd = fd;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void run_timers(void)
{
    struct timer timer;
    uint64_t now = now_ns();
    while (timers_due(&timers, now, &timer)) {
        struct conn *conn = timer.owner;
        conn->timed = false;
        if (conn->dead)
            release(conn);
        else
            paced_tick(conn);
    }
}

static void wait_once(int listener, uint64_t limit)
{
    struct epoll_event events[BATCH];
    uint64_t now = now_ns(), next = timers_next(&timers), until = next && next < limit ? next : limit;
    uint64_t rest = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(rest / NS_PER_S), .tv_nsec = (long)(rest % NS_PER_S)};
    int count = epoll_pwait2(poll_fd, events, BATCH, &timeout, NULL);
    for (int at = 0; at < count; at++) {
        struct conn *conn = events[at].data.ptr;
        if (conn == NULL) {
            accept_all(listener);
            continue;
        }
        if ((events[at].events & (EPOLLHUP | EPOLLERR))) {
            hang_up(conn);
            continue;
        }
        if ((events[at].events & (EPOLLIN | EPOLLRDHUP)) && !readable(conn))
            continue;
        if (events[at].events & EPOLLOUT)
            writable(conn);
    }
}

int upstream_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"limit", required_argument, NULL, 'l'}, {0}};
    int port = 0, choice;
    uint64_t limit = 3600;
    while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (choice == 'p')
            port = atoi(optarg);
        else if (choice == 'l')
            limit = strtoull(optarg, NULL, 10);
        else
            die("usage: load upstream --port PORT [--limit SECONDS]");
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1000); /* the default of 50 us would be the largest part of what is measured */
    hist_init(&stats.late);
    int listener = net_listen(port);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    uint64_t until = now_ns() + limit * NS_PER_S;
    while (!stopping && now_ns() < until) {
        wait_once(listener, until);
        run_timers();
    }
    return 0;
}
