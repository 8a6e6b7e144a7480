/* What a WebSocket's bytes travel through: TCP, TLS, or a stream of HTTP/2.
 *
 * WHERE is a port, with tls:, resume: (TLS, with the session before) or http2: before it where that
 * is spoken. TLS needs -DWITH_TLS.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

static inline void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* CPU seconds that the processes of a comma list have used so far, all their threads. */
static double cpu_of(const char *pids) {
    double total = 0;
    for (const char *at = pids; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(atoi(at), &clock) || clock_gettime(clock, &t)) continue;
        total += t.tv_sec + t.tv_nsec / 1e9;
    }
    return total;
}

static struct sockaddr_in address(int port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
}

static enum { PLAIN, TLS, HTTP2 } transport;
static int resumes; /* TLS: whether with the session of the connection before */

/* The port of WHERE; sets the transport. */
static int port_of(const char *where) {
    const char *colon = strchr(where, ':');
    resumes = !strncmp(where, "resume:", 7);
    transport = !colon ? PLAIN : resumes || !strncmp(where, "tls:", 4) ? TLS : HTTP2;
    return atoi(colon ? colon + 1 : where);
}

#ifdef WITH_TLS
static SSL *secured[65536]; /* by descriptor */
static SSL_SESSION *kept;   /* the last one that a server gave, if it is to be resumed */

static inline int keep(SSL *s, SSL_SESSION *session) {
    (void)s;
    if (kept) SSL_SESSION_free(kept);
    return kept = session, 1;
}

/* The client's end of TLS, before its handshake. */
static inline void secure(int fd) {
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
        if (resumes) SSL_CTX_sess_set_new_cb(context, keep);
    }
    SSL *s = secured[fd] = SSL_new(context);
    SSL_set_fd(s, fd);
    if (resumes && kept) SSL_set_session(s, kept);
    SSL_set_connect_state(s);
}

/* Before a descriptor is closed. */
static inline void release(int fd) {
    if (transport != TLS) return;
    SSL_set_shutdown(secured[fd], SSL_SENT_SHUTDOWN); /* or its session could not be resumed */
    SSL_free(secured[fd]);
}

static inline ssize_t outcome(SSL *s, int result) {
    int error = SSL_get_error(s, result);
    errno = EAGAIN;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return -1;
    errno = ECONNRESET;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}
#else
static inline void secure(int fd) { (void)fd, fail("it was compiled without TLS"); }
static inline void release(int fd) { (void)fd; }
#endif

/* As send() and recv() that do not wait, through what is below the WebSocket. */
static inline ssize_t put(int fd, const void *data, size_t size) {
#ifdef WITH_TLS
    if (transport == TLS) {
        int n = SSL_write(secured[fd], data, size);
        return n > 0 ? n : outcome(secured[fd], n);
    }
#endif
    return send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* HTTP/2, one stream for each connection. The windows are never full: one message is under way. */
static struct h2 {
    uint32_t left;          /* payload bytes of the current frame still to come */
    unsigned char head[17]; /* the frame's header, and the start of its payload if it is a PING */
    int have;
} streams[65536];

static inline uint32_t h2_size(const unsigned char *head) { return head[0] << 16 | head[1] << 8 | head[2]; }

/* A control frame has come: some have to be acknowledged. */
static inline void h2_answer(int fd, unsigned char *head) {
    static const char settings[] = "\0\0\0\4\1\0\0\0\0";
    if (head[3] == 3 || head[3] == 7) fail("the server reset the stream or goes away");
    if (head[3] == 4 && !(head[4] & 1)) send(fd, settings, 9, MSG_NOSIGNAL);
    if (head[3] == 6 && !(head[4] & 1)) head[4] = 1, send(fd, head, 17, MSG_NOSIGNAL);
}

/* Leaves what DATA frames carried; gives how many bytes that are. */
static inline size_t h2_unframe(int fd, unsigned char *data, size_t size) {
    struct h2 *h = streams + fd;
    size_t at = 0, out = 0;
    while (at < size) {
        if (h->have < 9) {
            h->head[h->have++] = data[at++];
            if (h->have < 9) continue;
            h->left = h2_size(h->head);
        } else {
            size_t take = size - at < h->left ? size - at : h->left;
            if (h->head[3] == 0) memmove(data + out, data + at, take), out += take;
            for (size_t i = 0; i < take && h->head[3] == 6; i++) h->head[h->have++] = data[at + i];
            h->left -= take, at += take;
        }
        if (h->left) continue;
        if (h->head[3] == 0 && h->head[4] & 9) fail("the stream ended, or DATA is padded");
        if (h->head[3]) h2_answer(fd, h->head);
        h->have = 0;
    }
    return out;
}

static inline ssize_t take(int fd, void *buffer, size_t size) {
#ifdef WITH_TLS
    if (transport == TLS) { /* to the end: what OpenSSL has read already, epoll does not see */
        size_t got = 0;
        int n = 1;
        while (got < size && (n = SSL_read(secured[fd], (char *)buffer + got, size - got)) > 0) got += n;
        return got ? (ssize_t)got : outcome(secured[fd], n);
    }
#endif
    ssize_t n = recv(fd, buffer, size, MSG_DONTWAIT);
    if (transport != HTTP2 || n <= 0) return n;
    n = h2_unframe(fd, buffer, n);
    return n ? n : (errno = EAGAIN, -1);
}

static inline void read_all(int fd, unsigned char *data, size_t size) {
    for (ssize_t n; size; data += n, size -= n)
        if ((n = read(fd, data, size)) <= 0) die("handshake");
}

static inline char *h2_text(char *at, const char *text) {
    *at++ = strlen(text); /* not compressed; less than 127 */
    return stpcpy(at, text);
}

/* The handshake of RFC 8441: extended CONNECT, its fields as literals. */
static inline void h2_dial(int fd, int port, const char *path, const char *extensions) {
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\6\4\0\0\0\0\0\0\4\177\377\377\377" /* the streams' windows */
                                "\0\0\4\10\0\0\0\0\0\177\376\0\0";       /* the connection's */
    unsigned char head[17], data[1 << 14];
    char request[1024], authority[32], *at = request + 9;
    if (write(fd, hello, sizeof hello - 1) != sizeof hello - 1) die("handshake");
    for (int asked = 0;;) {
        read_all(fd, head, 9);
        uint32_t size = h2_size(head);
        if (size > sizeof data) fail("a frame is too large");
        read_all(fd, data, size);
        if (head[3] == 6) memcpy(head + 9, data, 8);
        if (head[3] == 1) break;
        if (head[3] == 0) fail("DATA before the answer");
        h2_answer(fd, head);
        if (head[3] != 4 || asked++) continue;
        sprintf(authority, "127.0.0.1:%d", port);
        *at++ = 2, at = h2_text(at, "CONNECT"); /* names of the static table: :method, :path ... */
        *at++ = 0, at = h2_text(h2_text(at, ":protocol"), "websocket");
        *at++ = (char)0x86; /* :scheme http */
        *at++ = 4, at = h2_text(at, path);
        *at++ = 1, at = h2_text(at, authority);
        *at++ = 0, at = h2_text(h2_text(at, "sec-websocket-version"), "13");
        if (*extensions) *at++ = 0, at = h2_text(h2_text(at, "sec-websocket-extensions"), extensions);
        size = at - request - 9;
        memcpy(request, (char[]){0, size >> 8, size, 1, 4, 0, 0, 0, 1}, 9);
        if (write(fd, request, at - request) != at - request) die("handshake");
    }
    unsigned char *status = data;
    while ((*status & 0xe0) == 0x20) status++; /* sizes of the table */
    if (*status != 0x88) fail("the answer to the handshake is not 200");
}

#endif
