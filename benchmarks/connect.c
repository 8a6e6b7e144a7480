/* The load of the connect rate: handshake, one echo, close; SLOTS of them at a time.
 *
 * connect WHERE PATH SLOTS SECONDS WARMUP PIDS EXTENSIONS < FRAME
 *
 * Never sleeps. Prints sessions, seconds, the share of polls that found nothing, CPU seconds of PIDS.
 */
#include "ws.h"

enum stage { DIALLING, GREETING, SHAKING, ECHOING, CLOSING };

struct slot {
    int fd;
    enum stage stage;
    int have;
    char text[4096];
};

static char hello[4096], frame[4096];
static const char bye[] = "\x88\x82\1\2\3\4\x02\xea"; /* masked: 1000 */
static int hello_size, frame_size, poll_fd, port;

static void say(struct slot *s, const char *data, int size) {
    if (put(s->fd, data, size) != size) die("send");
    s->have = 0;
}

static void start(struct slot *s) {
    struct sockaddr_in where = address(port);
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    s->stage = DIALLING;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s->fd, (struct sockaddr *)&where, sizeof where) && errno != EINPROGRESS) die("connect");
    struct epoll_event want = {.events = EPOLLOUT, .data.ptr = s};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, s->fd, &want);
}

/* A reset instead of a FIN: no port is left behind in TIME_WAIT. */
static void restart(struct slot *s) {
    struct linger none = {1, 0};
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    release(s->fd);
    close(s->fd);
    start(s);
}

/* Over TLS the request waits for the handshake below it. */
static void greet(struct slot *s) {
    ssize_t n = put(s->fd, hello, hello_size);
    if (n != hello_size && errno != EAGAIN) die("send");
    if (n == hello_size) s->stage = SHAKING;
    s->have = 0;
}

static void dialled(struct slot *s) {
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, s->fd, &want);
    if (transport == TLS) secure(s->fd);
    s->stage = GREETING;
    greet(s);
}

/* 1 when the session has ended as it should. */
static int readable(struct slot *s, const char *extensions) {
    ssize_t n = take(s->fd, s->text + s->have, sizeof s->text - 1 - s->have);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0 && s->stage == CLOSING) return 1; /* closed without an answer */
    if (n <= 0) die("the server dropped a connection");
    s->text[s->have += n] = 0;
    if (s->stage == SHAKING && strstr(s->text, "\r\n\r\n")) {
        check_response(s->text, extensions);
        say(s, frame, frame_size);
        s->stage = ECHOING;
    } else if (s->stage == ECHOING && s->have >= 2 && s->have >= 2 + (s->text[1] & 127)) {
        if ((s->text[0] & 15) != 1) fail("the reply is not text");
        say(s, bye, sizeof bye - 1);
        s->stage = CLOSING;
    } else if (s->stage == CLOSING) {
        if ((s->text[0] & 15) != 8) fail("the answer to a close is something else");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 8) fail("seven arguments");
    port = port_of(argv[1]);
    int slots = atoi(argv[3]);
    double seconds = atof(argv[4]), warmup = atof(argv[5]);
    frame_size = fread(frame, 1, sizeof frame, stdin);
    hello_size = request(hello, port, argv[2], argv[7]);
    poll_fd = epoll_create1(0);
    struct slot *all = calloc(slots, sizeof *all);
    for (int i = 0; i < slots; i++) start(all + i);
    uint64_t polls = 0, idle = 0, sessions = 0;
    double began = now(), begin = 0, cpu = 0, t;
    for (;;) {
        struct epoll_event got[256];
        int n = epoll_wait(poll_fd, got, 256, 0);
        polls++;
        idle += !n;
        t = now();
        if (t - began > warmup + seconds + 10) fail("the server stopped answering");
        if (!begin && t - began > warmup) {
            begin = t;
            cpu = cpu_of(argv[6]);
            polls = idle = sessions = 0;
        }
        if (begin && t - begin > seconds) break;
        for (int i = 0; i < n; i++) {
            struct slot *s = got[i].data.ptr;
            if (s->stage == DIALLING) {
                dialled(s);
            } else if (s->stage == GREETING) {
                greet(s);
            } else if (readable(s, argv[7])) {
                sessions++;
                restart(s);
            }
        }
    }
    if (!sessions) fail("no session");
    printf("%llu %.6f %.4f %.6f\n", (unsigned long long)sessions, t - begin, (double)idle / polls,
           cpu_of(argv[6]) - cpu);
    return 0;
}
