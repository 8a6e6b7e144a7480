/* The floor: what a C loop does with the same work.
 *
 * floor PORT: echoes on /, sends what /publish gets to all of /room. Replies to what one read
 * brought leave in one write. permessage-deflate is zlib at level 6; a broadcast is compressed once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (1 << 18)
#define HEAD 10 /* the longest header of a reply */

struct bytes {
    unsigned char *data;
    size_t size, room;
};

struct client {
    int fd, is_open, publishes, deflates, forgets;
    struct bytes in, out;
    z_stream inflater, deflater;
    struct client **place; /* where the room has it */
};

static struct client *members[65536];
static int count, poll_fd;
static z_stream shared; /* the room's compressor */
static struct bytes plain, packed;

static unsigned char *space(struct bytes *b, size_t more) {
    if (b->size + more > b->room) b->data = realloc(b->data, b->room = (b->size + more) * 3 / 2 + 64);
    return b->data + b->size;
}

static void start_deflate(z_stream *z) { deflateInit2(z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY); }

static void put_frame(struct bytes *out, int first, const unsigned char *data, size_t size) {
    unsigned char *at = space(out, HEAD + size);
    *at++ = first;
    int wide = size < 126 ? 0 : size < 65536 ? 2 : 8;
    *at++ = wide == 0 ? size : wide == 2 ? 126 : 127;
    for (int i = wide - 1; i >= 0; i--) *at++ = size >> (8 * i);
    memcpy(at, data, size);
    out->size = at + size - out->data;
}

static void pack(z_stream *z, int forget, const unsigned char *data, size_t size, struct bytes *out) {
    out->size = 0;
    space(out, deflateBound(z, size) + 16);
    z->next_in = (unsigned char *)data, z->avail_in = size;
    z->next_out = out->data, z->avail_out = out->room;
    deflate(z, Z_SYNC_FLUSH);
    out->size = out->room - z->avail_out - 4;
    if (forget) deflateReset(z);
}

static int unpack(z_stream *z, unsigned char *data, size_t size, struct bytes *out) {
    static unsigned char end[4] = {0, 0, 255, 255};
    out->size = 0;
    for (int part = 0; part < 2; part++) {
        z->next_in = part ? end : data, z->avail_in = part ? 4 : size;
        do {
            z->next_out = space(out, CHUNK), z->avail_out = CHUNK;
            int result = inflate(z, Z_SYNC_FLUSH);
            if (result != Z_OK && result != Z_BUF_ERROR) return -1;
            out->size += CHUNK - z->avail_out;
        } while (!z->avail_out);
    }
    return 0;
}

static void flush(struct client *c) {
    size_t sent = 0;
    while (sent < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + sent, c->out.size - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += n;
    }
    memmove(c->out.data, c->out.data + sent, c->out.size - sent);
    c->out.size -= sent;
    static struct epoll_event want;
    want = (struct epoll_event){.events = c->out.size ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (c->out.size || sent > 32768) epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &want);
}

static void publish(const unsigned char *data, size_t size) {
    pack(&shared, 1, data, size, &packed);
    for (int i = 0; i < count; i++) {
        struct client *c = members[i];
        if (c->deflates) put_frame(&c->out, 0xC1, packed.data, packed.size);
        else put_frame(&c->out, 0x81, data, size);
        flush(c);
    }
}

static int on_message(struct client *c, int first, unsigned char *data, size_t size) {
    if ((first & 15) == 8) return put_frame(&c->out, 0x88, data, size), flush(c), -1;
    if ((first & 15) > 8) return 0;
    if (first & 0x40) {
        if (unpack(&c->inflater, data, size, &plain)) return -1;
        data = plain.data, size = plain.size;
    }
    if (c->publishes) {
        publish(data, size);
    } else if (c->deflates) {
        pack(&c->deflater, c->forgets, data, size, &packed);
        put_frame(&c->out, 0xC1, packed.data, packed.size);
    } else {
        put_frame(&c->out, first, data, size);
    }
    return 0;
}

static uint32_t turn(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* SHA-1 of less than 120 bytes: Sec-WebSocket-Accept needs no more. */
static void sha1(const unsigned char *data, size_t size, unsigned char digest[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
    unsigned char text[128] = {0};
    size_t blocks = size < 56 ? 1 : 2;
    memcpy(text, data, size);
    text[size] = 128;
    text[blocks * 64 - 2] = size >> 5, text[blocks * 64 - 1] = size << 3;
    for (size_t b = 0; b < blocks; b++) {
        const unsigned char *at = text + 64 * b;
        uint32_t s[5];
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 16; i++, at += 4)
            w[i] = (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
        for (int i = 16; i < 80; i++) w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20   ? ((s[1] & s[2]) | (~s[1] & s[3])) + 0x5a827999
                         : i < 40 ? (s[1] ^ s[2] ^ s[3]) + 0x6ed9eba1
                         : i < 60 ? ((s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])) + 0x8f1bbcdc
                                  : (s[1] ^ s[2] ^ s[3]) + 0xca62c1d6;
            f += turn(s[0], 5) + s[4] + w[i];
            s[4] = s[3], s[3] = s[2], s[2] = turn(s[1], 30), s[1] = s[0], s[0] = f;
        }
        for (int i = 0; i < 5; i++) h[i] += s[i];
    }
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

/* Sec-WebSocket-Accept for the 24 characters of a key. */
static void accept_of(const char *key, char answer[29]) {
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char text[60], digest[21] = {0};
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(text, 60, digest);
    for (int i = 0; i < 28; i++) {
        int bit = 6 * i, pair = digest[bit / 8] << 8 | (bit / 8 < 20 ? digest[bit / 8 + 1] : 0);
        answer[i] = set[pair >> (10 - bit % 8) & 63];
    }
    answer[27] = '=', answer[28] = 0;
}

static int shake(struct client *c) {
    space(&c->in, 1)[0] = 0;
    char *text = (char *)c->in.data, *end = strstr(text, "\r\n\r\n"), answer[29];
    if (!end) return 0;
    char *key = strcasestr(text, "Sec-WebSocket-Key: ");
    if (!key || end - key < 43) return -1;
    accept_of(key + 19, answer);
    c->deflates = strstr(text, "permessage-deflate") != NULL;
    c->publishes = strstr(text, "GET /publish ") != NULL;
    int in_room = strstr(text, "GET /room ") != NULL;
    c->forgets = in_room || strstr(text, "server_no_context_takeover");
    if (c->deflates) inflateInit2(&c->inflater, -15), start_deflate(&c->deflater);
    unsigned char *at = space(&c->out, 512);
    c->out.size += sprintf((char *)at, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                           "%s%s%s\r\n", answer, c->deflates ? "Sec-WebSocket-Extensions: permessage-deflate" : "",
                           c->deflates && c->forgets ? "; server_no_context_takeover" : "",
                           c->deflates ? "\r\n" : "");
    if (in_room) *(c->place = &members[count++]) = c;
    c->is_open = 1;
    c->in.size -= end + 4 - text;
    memmove(text, end + 4, c->in.size);
    return 0;
}

/* Every whole frame that is there; -1: the connection is over. */
static int take_frames(struct client *c) {
    size_t at = 0;
    while (c->in.size - at >= 2) {
        unsigned char *head = c->in.data + at;
        size_t wide = (head[1] & 127) < 126 ? 0 : (head[1] & 127) == 126 ? 2 : 8, size = head[1] & 127;
        if (c->in.size - at < 6 + wide) break;
        if (wide) size = 0;
        for (size_t i = 0; i < wide; i++) size = size << 8 | head[2 + i];
        if (c->in.size - at < 6 + wide + size) break;
        unsigned char *key = head + 2 + wide, *data = key + 4;
        uint64_t mask, word;
        memcpy(&mask, key, 4), memcpy((char *)&mask + 4, key, 4);
        size_t i = 0;
        for (; i + 8 <= size; i += 8) memcpy(&word, data + i, 8), word ^= mask, memcpy(data + i, &word, 8);
        for (; i < size; i++) data[i] ^= key[i & 3];
        if (on_message(c, head[0], data, size)) return -1;
        at += 6 + wide + size;
    }
    c->in.size -= at;
    if (c->in.size && at) memmove(c->in.data, c->in.data + at, c->in.size);
    return 0;
}

static void drop(struct client *c) {
    if (c->place) (*c->place = members[--count])->place = c->place;
    if (c->deflates) inflateEnd(&c->inflater), deflateEnd(&c->deflater);
    close(c->fd);
    free(c->in.data), free(c->out.data), free(c);
}

static void on_readable(struct client *c) {
    ssize_t n = recv(c->fd, space(&c->in, CHUNK), CHUNK, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return drop(c);
    c->in.size += n;
    if (!c->is_open && shake(c)) return drop(c);
    if (c->is_open && take_frames(c)) return drop(c);
    if (c->out.size) flush(c);
}

int main(int argc, char **argv) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&where, sizeof where) || listen(listener, 1024)) return perror("floor"), 1;
    start_deflate(&shared);
    poll_fd = epoll_create1(0);
    struct epoll_event want = {.events = EPOLLIN}, got[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &want);
    for (;;) {
        int n = epoll_wait(poll_fd, got, 256, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = got[i].data.ptr;
            if (c) {
                if (got[i].events & EPOLLOUT) flush(c);
                if (got[i].events & ~EPOLLOUT) on_readable(c);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                c = calloc(1, sizeof *c);
                c->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                want.data.ptr = c;
                epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &want);
            }
        }
    }
}
