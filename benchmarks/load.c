/* The load: raw sockets, frames built beforehand, replies counted by their headers.
 *
 * load HOST PORT PATH CONNECTIONS IN_FLIGHT SECONDS WARMUP EXTENSIONS < FRAME
 *
 * It never sleeps: a peer that sleeps makes every send of the server dearer by a wake-up, and then
 * one measures that. Prints messages, seconds, and the share of its polls that found nothing: well
 * above zero means that the server was the limit, not the load.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (1 << 20)
#define LARGEST (1 << 26)

struct peer {
    int fd;
    uint64_t skip;          /* payload bytes of the current frame still to come */
    unsigned char head[14]; /* a header that came in pieces */
    int head_size;
    int waiting;            /* replies still to come before the next batch */
    size_t sent;            /* bytes of the batch that are out */
};

static unsigned char *batch;
static size_t batch_size;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(const char *host, int port, const char *path, const char *extensions) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    char text[4096], *at = text;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    inet_pton(AF_INET, host, &where.sin_addr);
    if (connect(fd, (struct sockaddr *)&where, sizeof where) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    at += sprintf(at, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n", path, host, port);
    at += sprintf(at, "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    at += sprintf(at, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    if (*extensions) at += sprintf(at, "Sec-WebSocket-Extensions: %s\r\n", extensions);
    at += sprintf(at, "\r\n");
    if (write(fd, text, at - text) != at - text) die("handshake");
    for (at = text; at - text < 4095;) { /* byte by byte, so that no frame is swallowed */
        if (read(fd, at, 1) != 1) die("handshake");
        at++;
        if (at - text > 4 && !memcmp(at - 4, "\r\n\r\n", 4)) break;
    }
    if (memcmp(text + 8, " 101", 4)) { fprintf(stderr, "load: %.60s\n", text); exit(1); }
    return fd;
}

/* How many frames end in these bytes. */
static int count(struct peer *p, const unsigned char *data, size_t size) {
    size_t at = 0;
    int frames = 0;
    while (at < size) {
        if (p->skip) {
            size_t take = size - at < p->skip ? size - at : p->skip;
            p->skip -= take;
            at += take;
            if (!p->skip) frames++;
            continue;
        }
        p->head[p->head_size++] = data[at++];
        int need = 2;
        if (p->head_size >= 2) need += p->head[1] == 126 ? 2 : p->head[1] == 127 ? 8 : 0;
        if (p->head_size < 2 || p->head_size < need) continue;
        p->skip = p->head[1];
        if (need == 4) p->skip = p->head[2] << 8 | p->head[3];
        if (need == 10) for (int i = p->skip = 0; i < 8; i++) p->skip = p->skip << 8 | p->head[2 + i];
        if ((p->head[0] & 15) == 8) { fprintf(stderr, "load: the server closed\n"); exit(1); }
        p->head_size = 0;
        if (!p->skip) frames++;
    }
    return frames;
}

static void push(struct peer *p, int poll) {
    while (p->sent < batch_size) {
        ssize_t n = send(p->fd, batch + p->sent, batch_size - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) die("send");
        if (n < 0) break;
        p->sent += n;
    }
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = p};
    if (p->sent < batch_size) want.events |= EPOLLOUT;
    if (batch_size > 32768) epoll_ctl(poll, EPOLL_CTL_MOD, p->fd, &want);
}

int main(int argc, char **argv) {
    if (argc != 9) { fprintf(stderr, "load: eight arguments\n"); return 2; }
    int connections = atoi(argv[4]), in_flight = atoi(argv[5]);
    double seconds = atof(argv[6]), warmup = atof(argv[7]);
    unsigned char *frame = malloc(LARGEST);
    size_t one = fread(frame, 1, LARGEST, stdin);
    batch_size = one * in_flight;
    batch = malloc(batch_size);
    for (int i = 0; i < in_flight; i++) memcpy(batch + i * one, frame, one);
    struct peer *peers = calloc(connections, sizeof *peers);
    int poll = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        peers[i].fd = dial(argv[1], atoi(argv[2]), argv[3], argv[8]);
        struct epoll_event want = {.events = EPOLLIN, .data.ptr = &peers[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, peers[i].fd, &want);
    }
    unsigned char *buffer = malloc(CHUNK);
    uint64_t messages = 0, polls = 0, idle = 0;
    double began = now(), start = 0;
    for (int i = 0; i < connections; i++) {
        peers[i].waiting = in_flight;
        push(&peers[i], poll);
    }
    for (;;) {
        struct epoll_event got[256];
        int n = epoll_wait(poll, got, 256, 0);
        polls++;
        if (!n) {
            idle++;
        }
        if (!n || (polls & 63) == 0) {
            double t = now();
            if (!start && t - began > warmup) { start = t; messages = polls = idle = 0; }
            if (start && t - start > seconds) break;
        }
        for (int i = 0; i < n; i++) {
            struct peer *p = got[i].data.ptr;
            if (got[i].events & EPOLLOUT) push(p, poll);
            if (!(got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t size = recv(p->fd, buffer, CHUNK, MSG_DONTWAIT);
            if (size < 0 && errno == EAGAIN) continue;
            if (size <= 0) die("the server closed a connection");
            int frames = count(p, buffer, size);
            messages += frames;
            p->waiting -= frames;
            if (p->waiting <= 0 && p->sent == batch_size) {
                p->waiting += in_flight;
                p->sent = 0;
                push(p, poll);
            }
        }
    }
    double took = now() - start;
    printf("%llu %.6f %.4f\n", (unsigned long long)messages, took, polls ? (double)idle / polls : 0);
    return 0;
}
