/* The load: raw sockets, frames built beforehand, replies checked by their headers.
 *
 * load WHERE PATH CONNECTIONS IN_FLIGHT SECONDS WARMUP PIDS EXPECTED EXTENSIONS < TAPE
 *
 * Each connection sends the tape's messages in turn, IN_FLIGHT at a time, again and again; with
 * PATH /room the connections only listen, and one more, to /publish, sends a message whenever
 * all of them have got one; it may have a port of its own, after a comma, of a server that has to hear
 * of the members first.
 *
 * It never sleeps: a peer that sleeps makes every send of the server dearer by a wake-up, and then
 * one measures that. Prints messages, seconds, the share of its polls that found nothing, CPU
 * seconds of PIDS, bytes of the replies' payloads, and how many replies were compressed. A share
 * well above zero means that the server was the limit, not the load.
 */
#include "ws.h"

#define CHUNK (1 << 20)

struct peer {
    int fd;
    struct reader reader;
    int waiting;   /* replies still to come before the next batch */
    int batch;     /* which one is under way */
    size_t sent;   /* bytes of it that are out */
    int is_served; /* whether its first batch has been answered */
    uint64_t got;  /* messages that came; session-resume acknowledges their number */
};

static int poll_fd;

static void push(struct peer *p) {
    size_t begin = edges[p->batch], size = edges[p->batch + 1] - begin;
    while (p->sent < size) {
        ssize_t n = put(p->fd, tape + begin + p->sent, size - p->sent);
        if (n < 0 && errno != EAGAIN) die("send");
        if (n < 0) break;
        p->sent += n;
    }
    if (size <= 32768 && p->sent == size) return; /* such a batch always fits */
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = p};
    if (p->sent < size) want.events |= EPOLLOUT;
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, p->fd, &want);
}

static int is_out(struct peer *p) { return p->sent == edges[p->batch + 1] - edges[p->batch]; }

static void next(struct peer *p) {
    p->batch = (p->batch + 1) % batches;
    p->sent = 0;
    push(p);
}

/* What session-resume asks of a client: say after 64 messages how many have come. */
static void acknowledge(struct peer *p, int messages) {
    uint64_t before = p->got;
    p->got += messages;
    if (before / 64 == p->got / 64) return;
    unsigned char ack[14] = {0x8B, 0x88}; /* opcode 0xB, 8 bytes, masked with zeros */
    for (int i = 0; i < 8; i++) ack[6 + i] = p->got >> (56 - 8 * i);
    if (put(p->fd, ack, sizeof ack) != sizeof ack) die("acknowledge");
}

static void open_peer(struct peer *p, int port, const char *path, const char *extensions) {
    p->fd = dial(port, path, extensions);
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = p};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, p->fd, &want);
}

int main(int argc, char **argv) {
    if (argc != 10) fail("nine arguments");
    int port = port_of(argv[1]), connections = atoi(argv[3]), in_flight = atoi(argv[4]);
    int room = !strcmp(argv[2], "/room"), acknowledges = !!strstr(argv[9], "session-resume");
    double seconds = atof(argv[5]), warmup = atof(argv[6]);
    expected = strtoull(argv[8], NULL, 10);
    read_tape(room ? 1 : in_flight);
    struct peer *peers = calloc(connections + 1, sizeof *peers), *publisher = peers + connections;
    poll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i++) open_peer(peers + i, port, argv[2], argv[9]);
    const char *other = strchr(argv[1], ',');
    if (room) open_peer(publisher, other ? atoi(other + 1) : port, "/publish", argv[9]);
    if (other) usleep(200000);
    unsigned char *buffer = malloc(CHUNK);
    uint64_t polls = 0, idle = 0, all = 0, due = connections; /* room: deliveries so far, and to come */
    double opened = now(), began = opened, start = 0, cpu = 0, t = opened;
    int unserved = room ? 1 : connections; /* the warm-up begins when all are served */
    for (int i = 0; i < connections && !room; i++) {
        peers[i].waiting = in_flight;
        push(peers + i);
    }
    if (room) push(publisher);
    for (int i = 1; i < in_flight && room; i++) next(publisher);
    for (;;) {
        struct epoll_event got[256];
        int n = epoll_wait(poll_fd, got, 256, 0);
        polls++;
        idle += !n;
        if (!n || (polls & 63) == 0) {
            t = now();
            if (unserved) began = t;
            if (t - began > warmup + seconds + 10 || began - opened > 60) fail("the replies stopped coming");
            if (!start && t - began > warmup) {
                start = t;
                cpu = cpu_of(argv[7]);
                polls = idle = 0;
                total = (struct totals){0};
            }
            if (start && t - start > seconds && total.messages) break; /* a busy machine may be late */
        }
        for (int i = 0; i < n; i++) {
            struct peer *p = got[i].data.ptr;
            if (got[i].events & EPOLLOUT) push(p);
            if (!(got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t size = take(p->fd, buffer, CHUNK);
            if (size < 0 && errno == EAGAIN) continue;
            if (size <= 0) die("the server dropped a connection");
            int messages = feed(&p->reader, buffer, size);
            if (acknowledges) acknowledge(p, messages);
            if (room) {
                for (all += messages; all >= due; due += connections) next(publisher), unserved = 0;
            } else if ((p->waiting -= messages) <= 0 && is_out(p)) {
                p->waiting += in_flight;
                unserved -= !p->is_served;
                p->is_served = 1;
                next(p);
            }
        }
    }
    if (!total.messages) fail("no reply");
    printf("%llu %.6f %.4f %.6f %llu %llu\n", (unsigned long long)total.messages, t - start,
           (double)idle / polls, cpu_of(argv[7]) - cpu, (unsigned long long)total.bytes,
           (unsigned long long)total.compressed);
    return 0;
}
