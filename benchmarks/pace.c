/* The open load: messages leave at a fixed rate, whether or not replies have come.
 *
 * pace WHERE PATH CONNECTIONS RATE SECONDS WARMUP PIDS EXPECTED EXTENSIONS < TAPE
 *
 * The k-th message is to leave at k / RATE, by the connections in turn; with PATH /room by one more
 * connection, to /publish, while all others listen (see load.c). The latency of a reply counts from
 * that moment, not from when the message really left: if the server stalls, or does not keep up, all
 * messages that should have left meanwhile wait, and their waiting counts. What was not answered two
 * seconds after the last message counts with the time that it has waited by then.
 *
 * It never sleeps. Prints replies, seconds, the share of its polls that found nothing, CPU seconds of
 * PIDS; and of the latencies the median, the 99th and 99.9th percentile and the largest, in
 * microseconds; and by how much 99 % of the messages left late at most, which is the load's own fault.
 */
#include "ws.h"

#define CHUNK (1 << 20)
#define PATIENCE 2.0 /* seconds */

struct peer {
    int fd;
    struct reader reader;
    uint64_t due, out; /* messages that should have left, and that have */
    size_t sent;       /* bytes of the next one */
    uint64_t replies;
};

static struct peer *peers;
static int connections, poll_fd, room;
static double rate, began;
static uint64_t first, last; /* the messages that count, from and before which */
static float *latencies, *lateness;
static uint64_t taken;

static double intended(uint64_t number) { return began + number / rate; }

static void push(struct peer *p) {
    while (p->out < p->due) {
        size_t begin = edges[p->out % batches], size = edges[p->out % batches + 1] - begin;
        ssize_t n = put(p->fd, tape + begin + p->sent, size - p->sent);
        if (n < 0 && errno == EAGAIN) return; /* again before the next one leaves here */
        if (n < 0) die("send");
        p->sent += n;
        if (p->sent < size) continue;
        p->out++, p->sent = 0;
    }
}

static void count(struct peer *p, double t) {
    uint64_t number = room ? p->replies : p->replies * connections + (p - peers);
    if (number >= first && number < last) latencies[taken++] = (t - intended(number)) * 1e6;
    p->replies++;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static float quantile(const float *sorted, uint64_t size, double share) {
    uint64_t at = size * share;
    return sorted[at < size ? at : size - 1];
}

static void open_peer(struct peer *p, int port, const char *path, const char *extensions) {
    p->fd = dial(port, path, extensions);
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = p};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, p->fd, &want);
}

int main(int argc, char **argv) {
    if (argc != 10) fail("nine arguments");
    const char *other = strchr(argv[1], ',');
    int port = port_of(argv[1]);
    connections = atoi(argv[3]), rate = atof(argv[4]), room = !strcmp(argv[2], "/room");
    first = rate * atof(argv[6]), last = first + rate * atof(argv[5]);
    expected = strtoull(argv[8], NULL, 10);
    if (last <= first) fail("not even one message");
    read_tape(1);
    uint64_t wanted = (last - first) * (room ? connections : 1);
    latencies = calloc(wanted, sizeof *latencies), lateness = calloc(last - first, sizeof *lateness);
    peers = calloc(connections + 1, sizeof *peers);
    poll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i++) open_peer(peers + i, port, argv[2], argv[9]);
    if (room) open_peer(peers + connections, other ? atoi(other + 1) : port, "/publish", argv[9]);
    if (other) usleep(200000);
    unsigned char *buffer = malloc(CHUNK);
    uint64_t polls = 0, idle = 0, number = 0;
    double start = 0, cpu = 0, took = 0, busy = 0, t = began = now();
    while (taken < wanted && t < intended(last) + PATIENCE) {
        for (int i = 0; i < 64 && number < last && (t = now()) >= intended(number); i++, number++) {
            if (number == first) start = t, cpu = cpu_of(argv[7]), polls = idle = 0;
            if (number >= first) lateness[number - first] = (t - intended(number)) * 1e6;
            struct peer *p = peers + (room ? connections : (int)(number % connections));
            p->due++;
            push(p);
        }
        if (number == last && !took) took = (t = now()) - start, busy = cpu_of(argv[7]) - cpu;
        struct epoll_event got[256];
        int n = epoll_wait(poll_fd, got, 256, 0);
        polls++;
        idle += !n;
        if (!n) t = now();
        for (int i = 0; i < n; i++) {
            struct peer *p = got[i].data.ptr;
            ssize_t size = take(p->fd, buffer, CHUNK);
            if (size < 0 && errno == EAGAIN) continue;
            if (size <= 0) die("the server dropped a connection");
            t = now();
            for (int messages = feed(&p->reader, buffer, size); messages; messages--) count(p, t);
            push(p);
        }
    }
    uint64_t answered = taken;
    for (int i = 0; i < connections; i++)
        while (taken < wanted && peers[i].replies < (room ? last : last / connections + 1)) count(peers + i, t);
    if (!took) fail("the load cannot send as fast");
    if (!answered) fail("no reply");
    qsort(latencies, taken, sizeof *latencies, compare);
    qsort(lateness, last - first, sizeof *lateness, compare);
    printf("%llu %.6f %.4f %.6f %.1f %.1f %.1f %.1f %.1f\n", (unsigned long long)answered, took,
           (double)idle / polls, busy, quantile(latencies, taken, 0.5), quantile(latencies, taken, 0.99),
           quantile(latencies, taken, 0.999), latencies[taken - 1],
           quantile(lateness, last - first, 0.99));
    return 0;
}
