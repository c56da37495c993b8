/* Opens streams, reads them and measures: a ramp, then a time to settle, then the window that counts, then the end.
 *
 * Each phase's beginning is a line of JSON on standard output; the last line is the result. "%%%%%%%%" in the body
 * becomes the request's number.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define READ_ROOM (256U << 10)
#define BATCH 256
#define LEFT_ROOM 8192
#define HEADERS_ROOM 16
#define PIDS_ROOM 64
static const char placeholder[] = "%%%%%%%%";

enum phase { RAMP, SETTLE, WINDOW, LEAVING, REST, OVER };
static const char *const phase_names[] = {"ramp", "settle", "window", "leaving", "rest", "over"};
enum doing { CLOSED, CONNECTING, ASKING, READING };

struct stream {
    int fd;
    enum doing doing;
    bool any;                    /* this reply's first event has come */
    uint64_t id, asked_at;
    size_t sent;                 /* bytes of the request, while asking */
    char *request;
    struct reply reply;
};

static struct {
    const char *host, *path, *marker, *body_file;
    const char *headers[HEADERS_ROOM];
    int port;
    int pids[PIDS_ROOM], upstream;
    unsigned pid_count, header_count, streams, ramp, tick_ms, expect;
    double settle, window, rest, leave_gap_ms;
    bool again, leave;
} want = {.host = "127.0.0.1", .path = "/v1/chat/completions", .streams = 1, .ramp = 3, .tick_ms = 10, .settle = 0.5,
          .window = 2, .rest = 10, .leave_gap_ms = 1};

static struct {
    uint64_t opened, ok, events, bytes, replies, held, unfinished;
    uint64_t no_connection, bad_status, cut, broken, no_marker, wrong_count;
    struct sample start, window_began, window_ended;
    uint64_t left_id[LEFT_ROOM], left_at[LEFT_ROOM], left;
    struct hist delay, first, reply_time;
    char first_failure[512];
} seen;

static int poll_fd;
static enum phase phase = RAMP;
static struct stream *streams;
static char *request_text;
static size_t request_size, id_at;
static unsigned open_now, begun, with_event;
static uint64_t next_id = 1, read_at, phase_due;
static char read_buffer[READ_ROOM];

static void failure(uint64_t *counter, const char *what, const struct stream *stream)
{
    ++*counter;
    if (seen.first_failure[0] != '\0')
        return;
    char *into = seen.first_failure;
    size_t at = (size_t)snprintf(into, sizeof seen.first_failure, "request %llu: %s, status %d, %u events: ",
                                 (unsigned long long)stream->id, what, stream->reply.status, stream->reply.events);
    const char *text = stream->reply.status != 200 ? stream->reply.head : stream->reply.tail;
    size_t size = stream->reply.status != 200 ? stream->reply.head_size : stream->reply.tail_size;
    for (size_t from = 0; text != NULL && from < size && at < sizeof seen.first_failure - 1; from++)
        into[at++] = text[from] >= ' ' && text[from] != '"' && text[from] != '\\' && text[from] > 0 ? text[from] : ' ';
    into[at] = '\0';
}

static void watch(struct stream *stream, int operation, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0U), .data.ptr = stream};
    epoll_ctl(poll_fd, operation, stream->fd, &event);
}

static void drop(struct stream *stream)
{
    close(stream->fd);
    stream->fd = -1;
    stream->doing = CLOSED;
    open_now--;
}

static void connect_stream(struct stream *stream)
{
    stream->asked_at = now_ns();
    stream->fd = net_connect(want.host, want.port);
    seen.opened++;
    open_now++;
    if (stream->fd < 0) {
        failure(&seen.no_connection, "no connection", stream);
        stream->doing = CLOSED;
        open_now--;
        return;
    }
    stream->doing = CONNECTING;
    watch(stream, EPOLL_CTL_ADD, true);
}

/* False if the connection is gone. */
static bool send_request(struct stream *stream)
{
    while (stream->sent < request_size) {
        size_t count;
        enum io io = net_write(stream->fd, stream->request + stream->sent, request_size - stream->sent, &count);
        if (io == IO_LATER)
            return true;
        if (io == IO_END) {
            failure(&seen.no_connection, "no connection", stream);
            drop(stream);
            return false;
        }
        stream->sent += count;
    }
    stream->doing = READING;
    watch(stream, EPOLL_CTL_MOD, false);
    return true;
}

static bool ask(struct stream *stream)
{
    char digits[sizeof placeholder];
    if (stream->request == NULL) {
        stream->request = must_alloc(request_size, 1);
        memcpy(stream->request, request_text, request_size);
    }
    stream->id = next_id++;
    if (id_at != 0) {
        snprintf(digits, sizeof digits, "%08llu", (unsigned long long)(stream->id % 100000000));
        memcpy(stream->request + id_at, digits, sizeof placeholder - 1);
    }
    reply_reset(&stream->reply);
    stream->any = false;
    stream->sent = 0;
    stream->doing = ASKING;
    return send_request(stream);
}

static void on_event(void *context, uint64_t stamp)
{
    struct stream *stream = context;
    uint64_t delay = read_at > stamp ? read_at - stamp : 0;
    if (!stream->any) {
        stream->any = true;
        with_event++;
        hist_add(&seen.first, read_at - stream->asked_at);
    }
    if (phase == WINDOW) {
        seen.events++;
        hist_add(&seen.delay, delay);
    }
}

static void judge(struct stream *stream)
{
    const struct reply *reply = &stream->reply;
    if (reply->status != 200)
        failure(&seen.bad_status, "refused", stream);
    else if (want.marker != NULL && !reply_tail_has(reply, want.marker))
        failure(&seen.no_marker, "no end marker", stream);
    else if (want.expect != 0 && reply->events != want.expect)
        failure(&seen.wrong_count, "wrong number of events", stream);
    else {
        seen.ok++;
        if (phase == WINDOW) {
            seen.replies++;
            hist_add(&seen.reply_time, read_at - stream->asked_at);
        }
    }
}

static void reply_over(struct stream *stream)
{
    bool more = want.again && phase <= WINDOW;
    if (stream->reply.state == REPLY_BROKEN)
        failure(&seen.broken, "not HTTP", stream);
    else
        judge(stream);
    bool reusable = stream->reply.state == REPLY_DONE && !stream->reply.close && stream->reply.status == 200;
    if (more && reusable) {
        stream->asked_at = read_at;
        seen.opened++;
        ask(stream);
        return;
    }
    drop(stream);
    if (more)
        connect_stream(stream);
}

static void readable(struct stream *stream)
{
    size_t count;
    enum io io = net_read(stream->fd, read_buffer, sizeof read_buffer, &count);
    if (io == IO_LATER)
        return;
    read_at = now_ns();
    if (io == IO_END) {
        reply_eof(&stream->reply);
        if (stream->reply.state == REPLY_DONE) {
            reply_over(stream);
            return;
        }
        failure(&seen.cut, "cut", stream);
        drop(stream);
        if (want.again && phase <= WINDOW)
            connect_stream(stream);
        return;
    }
    if (phase == WINDOW)
        seen.bytes += count;
    reply_feed(&stream->reply, read_buffer, count, on_event, stream);
    if (stream->reply.state == REPLY_DONE || stream->reply.state == REPLY_BROKEN)
        reply_over(stream);
}

static void handle(struct stream *stream, uint32_t events)
{
    if (stream->doing == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            failure(&seen.no_connection, strerror(error), stream);
            drop(stream);
        } else
            ask(stream);
    } else if (stream->doing == ASKING && (events & EPOLLOUT))
        send_request(stream);
    else if (stream->doing != CLOSED)
        readable(stream);
}

static void announce(enum phase entered, uint64_t now, double seconds)
{
    phase = entered;
    phase_due = now + (uint64_t)(seconds * 1e9);
    printf("{\"phase\":\"%s\",\"at\":%llu,\"open\":%u}\n", phase_names[entered], (unsigned long long)now, open_now);
    fflush(stdout);
}

static struct sample sample(void)
{
    return sample_take(want.pids, want.pid_count, want.upstream);
}

static void leave_one(struct stream *stream)
{
    if (stream->doing == CLOSED)
        return;
    if (seen.left < LEFT_ROOM) {
        seen.left_id[seen.left] = stream->id;
        seen.left_at[seen.left] = now_ns();
    }
    seen.left++;
    drop(stream);
}

static void next_phase(uint64_t now)
{
    switch (phase) {
    case RAMP:
        for (unsigned at = 0; at < want.ramp && begun < want.streams; at++)
            connect_stream(&streams[begun++]);
        phase_due += want.tick_ms * NS_PER_MS;
        if (begun == want.streams)
            announce(SETTLE, now, want.settle);
        break;
    case SETTLE:
        seen.window_began = sample();
        announce(WINDOW, seen.window_began.at, want.window);
        break;
    case WINDOW:
        seen.window_ended = sample();
        seen.held = open_now;
        announce(want.leave ? LEAVING : REST, now, want.leave ? 0 : want.rest);
        begun = 0;
        break;
    case LEAVING:
        if (begun < want.streams) {
            leave_one(&streams[begun++]);
            phase_due = now + (uint64_t)(want.leave_gap_ms * 1e6);
        } else
            announce(REST, now, want.rest);
        break;
    case REST:
    case OVER:
        phase = OVER;
        break;
    }
}

static void print_result(void)
{
    printf("{\"phase\":\"result\",\"opened\":%llu,\"ok\":%llu,\"events\":%llu,\"bytes\":%llu,\"replies\":%llu,"
           "\"held\":%llu,\"with_event\":%u,\"unfinished\":%llu,\"resident_before\":%llu,\"window\":",
           (unsigned long long)seen.opened, (unsigned long long)seen.ok, (unsigned long long)seen.events,
           (unsigned long long)seen.bytes, (unsigned long long)seen.replies, (unsigned long long)seen.held, with_event,
           (unsigned long long)seen.unfinished, (unsigned long long)seen.start.resident);
    sample_print(stdout, &seen.window_began, &seen.window_ended);
    printf(",\"failed\":{\"no_connection\":%llu,\"bad_status\":%llu,\"cut\":%llu,\"broken\":%llu,\"no_marker\":%llu,"
           "\"wrong_count\":%llu},\"first_failure\":\"%s\",\"delay_us\":",
           (unsigned long long)seen.no_connection, (unsigned long long)seen.bad_status, (unsigned long long)seen.cut,
           (unsigned long long)seen.broken, (unsigned long long)seen.no_marker, (unsigned long long)seen.wrong_count,
           seen.first_failure);
    hist_print(stdout, &seen.delay);
    fputs(",\"first_us\":", stdout);
    hist_print(stdout, &seen.first);
    fputs(",\"reply_us\":", stdout);
    hist_print(stdout, &seen.reply_time);
    fputs(",\"left_at\":{", stdout);
    uint64_t listed = seen.left < LEFT_ROOM ? seen.left : LEFT_ROOM;
    for (uint64_t at = 0; at < listed; at++)
        printf("%s\"%llu\":%llu", at ? "," : "", (unsigned long long)seen.left_id[at],
               (unsigned long long)seen.left_at[at]);
    puts("}}");
    fflush(stdout);
}

static void build_request(void)
{
    FILE *file = fopen(want.body_file, "rb");
    char *body = must_alloc(REPLY_HEAD_ROOM, 256), *id;
    if (file == NULL)
        die("cannot read %s: %s", want.body_file, strerror(errno));
    size_t body_size = fread(body, 1, (size_t)REPLY_HEAD_ROOM * 256 - 1, file);
    fclose(file);
    FILE *out = open_memstream(&request_text, &request_size);
    if (out == NULL)
        die("out of memory");
    fprintf(out, "POST %s HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n",
            want.path, want.host, want.port, body_size);
    for (unsigned at = 0; at < want.header_count; at++)
        fprintf(out, "%s\r\n", want.headers[at]);
    fputs("\r\n", out);
    fwrite(body, 1, body_size, out);
    fclose(out);
    id = memmem(request_text, request_size, placeholder, sizeof placeholder - 1);
    id_at = id ? (size_t)(id - request_text) : 0;
    free(body);
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},   {"host", 1, NULL, 'h'},    {"path", 1, NULL, 'u'},   {"header", 1, NULL, 'H'},
        {"body", 1, NULL, 'b'},   {"streams", 1, NULL, 'c'}, {"ramp", 1, NULL, 'r'},   {"tick-ms", 1, NULL, 't'},
        {"settle", 1, NULL, 's'}, {"window", 1, NULL, 'w'},  {"rest", 1, NULL, 'e'},   {"marker", 1, NULL, 'm'},
        {"expect", 1, NULL, 'n'}, {"again", 0, NULL, 'a'},   {"leave-gap-ms", 1, NULL, 'g'}, {"subject", 1, NULL, 'P'},
        {"upstream", 1, NULL, 'U'}, {0}};
    int choice;
    while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (choice) {
        case 'p': want.port = atoi(optarg); break;
        case 'h': want.host = optarg; break;
        case 'u': want.path = optarg; break;
        case 'H':
            if (want.header_count == HEADERS_ROOM)
                die("more than %d headers", HEADERS_ROOM);
            want.headers[want.header_count++] = optarg;
            break;
        case 'b': want.body_file = optarg; break;
        case 'c': want.streams = (unsigned)atoi(optarg); break;
        case 'r': want.ramp = (unsigned)atoi(optarg); break;
        case 't': want.tick_ms = (unsigned)atoi(optarg); break;
        case 's': want.settle = atof(optarg); break;
        case 'w': want.window = atof(optarg); break;
        case 'e': want.rest = atof(optarg); break;
        case 'm': want.marker = optarg; break;
        case 'n': want.expect = (unsigned)atoi(optarg); break;
        case 'a': want.again = true; break;
        case 'P':
            if (want.pid_count == PIDS_ROOM)
                die("more than %d processes", PIDS_ROOM);
            want.pids[want.pid_count++] = atoi(optarg);
            break;
        case 'U': want.upstream = atoi(optarg); break;
        case 'g':
            want.leave = true;
            want.leave_gap_ms = atof(optarg);
            break;
        default: die("usage: see the options in bench/load/client.c");
        }
    }
    if (want.port == 0 || want.body_file == NULL || want.streams == 0 || want.ramp == 0 || want.tick_ms == 0)
        die("--port, --body, --streams, --ramp and --tick-ms are needed");
}

static void run(void)
{
    struct epoll_event events[BATCH];
    seen.start = sample();
    announce(RAMP, seen.start.at, 0);
    while (phase != OVER) {
        uint64_t now = now_ns();
        if (now >= phase_due) {
            next_phase(now);
            continue;
        }
        if (phase == REST && open_now == 0)
            break;
        uint64_t rest = phase_due - now;
        struct timespec timeout = {.tv_sec = (time_t)(rest / NS_PER_S), .tv_nsec = (long)(rest % NS_PER_S)};
        int count = epoll_pwait2(poll_fd, events, BATCH, &timeout, NULL);
        for (int at = 0; at < count; at++)
            handle(events[at].data.ptr, events[at].events);
    }
}

int client_main(int argc, char **argv)
{
    read_options(argc, argv);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_TIMERSLACK, 1000);
    build_request();
    hist_init(&seen.delay);
    hist_init(&seen.first);
    hist_init(&seen.reply_time);
    poll_fd = epoll_create1(0);
    streams = must_alloc(want.streams, sizeof *streams);
    run();
    seen.unfinished = open_now;
    print_result();
    for (unsigned at = 0; at < want.streams; at++) {
        reply_free(&streams[at].reply);
        free(streams[at].request);
    }
    free(streams);
    return 0;
}
