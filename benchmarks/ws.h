/* What the clients share: an opening handshake, what is sent, a parser of frame headers. */
#ifndef WS_H
#define WS_H
#include "transport.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455, with its answer */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static int request(char *text, int port, const char *path, const char *extensions) {
    int size = sprintf(text,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: " KEY "\r\n",
                       path, port);
    if (*extensions) size += sprintf(text + size, "Sec-WebSocket-Extensions: %s\r\n", extensions);
    return size + sprintf(text + size, "\r\n");
}

static void check_response(const char *text, const char *extensions) {
    if (memcmp(text + 8, " 101", 4)) fail("the answer to the handshake is not 101");
    if (!strstr(text, ACCEPT)) fail("Sec-WebSocket-Accept is wrong or absent");
    if (!strncmp(extensions, "permessage-deflate", 18) && !strstr(text, "permessage-deflate"))
        fail("permessage-deflate was not agreed");
}

/* An open WebSocket, for put() and take(). */
static inline int dial(int port, const char *path, const char *extensions) {
    struct sockaddr_in where = address(port);
    char text[4096] = "", *at = text;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, (struct sockaddr *)&where, sizeof where) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (transport == HTTP2) return h2_dial(fd, port, path, extensions), fd;
    if (transport == TLS) secure(fd);
    int size = request(text, port, path, extensions);
    if (transport == TLS ? put(fd, text, size) != size : write(fd, text, size) != size) die("handshake");
    memset(text, 0, sizeof text);
    while (at - text < 4095) { /* byte by byte, so that no frame is swallowed */
        ssize_t n = transport == TLS ? take(fd, at, 1) : read(fd, at, 1);
        if (n != 1) die("handshake");
        at++;
        if (at - text > 4 && !memcmp(at - 4, "\r\n\r\n", 4)) break;
    }
    check_response(text, extensions);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* What is sent: a count, that many sizes (32 bits each), and the frames, in batches that go together. */
static unsigned char *tape;
static size_t *edges; /* where each batch begins; the last is the end of the tape */
static int batches;

static inline void read_tape(int in_flight) {
    static uint32_t sizes[4096];
    const size_t largest = 1 << 27;
    uint32_t count;
    if (fread(&count, 4, 1, stdin) != 1 || count > 4096 || count % in_flight) fail("bad tape");
    if (fread(sizes, 4, count, stdin) != count) fail("bad tape");
    tape = malloc(largest);
    size_t size = fread(tape, 1, largest, stdin), at = 0;
    batches = count / in_flight;
    edges = calloc(batches + 1, sizeof *edges);
    for (uint32_t i = 0; i < count; i++) {
        if (i % in_flight == 0) edges[i / in_flight] = at;
        at += sizes[i];
    }
    if (at != size) fail("bad tape");
    edges[batches] = at;
}

/* What has come: messages, bytes of their payloads on the wire, how many were compressed. */
static struct totals { uint64_t messages, bytes, compressed; } total;
static uint64_t expected; /* payload size of every reply; 0: any */

struct reader {
    uint64_t left;          /* payload bytes of the current frame still to come */
    uint64_t size;          /* payload bytes of the current message so far */
    unsigned char head[14]; /* a header that came in pieces */
    int have, started;
};

/* A frame has ended: 1 if it was a message's last one. */
static int ended(struct reader *r) {
    int first = r->head[0], opcode = first & 15;
    r->have = 0;
    if (opcode == 8) fail("the server closed a session");
    if (opcode > 8) return 0;
    if (opcode != (r->started ? 0 : 1)) fail("a reply is not text");
    if (!r->started && first & 0x40) total.compressed++;
    r->started = !(first & 0x80);
    if (r->started) return 0;
    if (expected && r->size != expected) fail("a reply has the wrong size");
    total.bytes += r->size;
    total.messages++;
    r->size = 0;
    return 1;
}

/* How many messages end in these bytes. */
static inline int feed(struct reader *r, const unsigned char *data, size_t size) {
    size_t at = 0;
    int messages = 0;
    while (at < size) {
        if (r->left) {
            size_t take = size - at < r->left ? size - at : r->left;
            r->left -= take;
            at += take;
            if (!r->left) messages += ended(r);
            continue;
        }
        r->head[r->have++] = data[at++];
        int need = 2;
        if (r->have >= 2) need += r->head[1] == 126 ? 2 : r->head[1] == 127 ? 8 : 0;
        if (r->have < 2 || r->have < need) continue;
        r->left = r->head[1];
        if (need > 2) r->left = 0;
        for (int i = 2; i < need; i++) r->left = r->left << 8 | r->head[i];
        if (r->head[1] & 0x80) fail("a reply is masked");
        if ((r->head[0] & 15) < 8) r->size += r->left;
        if (!r->left) messages += ended(r);
    }
    return messages;
}
#endif
