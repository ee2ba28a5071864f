// The upstream of the measurements: an MCP server reduced to what costs nothing.
//
// One thread, one epoll. A POST is answered by a JSON-RPC reply of about 277 bytes that carries the
// request's id; a GET opens an event stream that stays silent until somebody closes it. Keep-alive
// always. It must never be the bottleneck, and every measured proxy faces this same process.
// It trusts its peers: no limits worth the name, loopback only. Not a server to copy from.
//
// Part of the load generator's process, so that both can spin on one core; also a program:
// usage: upstream ADDRESS PORT [CERTIFICATE.pem KEY.pem]     (port 0 picks one; prints it)

#define _GNU_SOURCE
#include "upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MAX 65536

struct connection {
  int fd;
  SSL *ssl;
  char *held;  // bytes of an incomplete request, kept between readiness events
  size_t held_count;
};

static SSL_CTX *tls;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void close_connection(struct connection *c) {
  if (c->ssl) SSL_free(c->ssl);
  close(c->fd);
  free(c->held);
  free(c);
}

// Bytes read, 0 when nothing is there now, -1 when the connection is over.
static ssize_t receive(struct connection *c, char *into, size_t room) {
  if (c->ssl) {
    int n = SSL_read(c->ssl, into, (int)room);
    if (n > 0) return n;
    int e = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }
  ssize_t n = recv(c->fd, into, room, 0);
  if (n > 0) return n;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return -1;
}

// Replies are far smaller than a socket buffer: a short write is an error here.
static int transmit(struct connection *c, const char *bytes, size_t count) {
  if (c->ssl) return SSL_write(c->ssl, bytes, (int)count) == (int)count ? 0 : -1;
  return send(c->fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count ? 0 : -1;
}

// The value of "id" in a JSON-RPC request, as it stands there; NULL for a notification.
static const char *request_id(const char *body, size_t count, size_t *length) {
  const char *at = memmem(body, count, "\"id\":", 5);
  if (!at) return NULL;
  at += 5;
  const char *end = body + count;
  while (at < end && *at == ' ') at++;
  const char *stop = at;
  while (stop < end && *stop != ',' && *stop != '}') stop++;
  *length = (size_t)(stop - at);
  return at;
}

static int answer(struct connection *c, const char *body, size_t count) {
  static const char text[] =
      "The quick brown fox jumps over the lazy dog while forty-two benchmark clients wait for "
      "their answer; none of them reads it, all of them count it, and this sentence goes on "
      "until the reply is long enough!!";
  char reply[1024], json[768];
  size_t id_length = 0;
  const char *id = request_id(body, count, &id_length);
  if (!id || id_length > 64) {
    static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    return transmit(c, accepted, sizeof accepted - 1);
  }
  int n;
  if (memmem(body, count, "\"initialize\"", 12))
    n = snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"protocolVersion\":\"2025-06-18\","
                 "\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"upstream\","
                 "\"version\":\"1\"}}}",
                 (int)id_length, id);
  else if (memmem(body, count, "\"tools/list\"", 12))
    n = snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"tools\":[{\"name\":\"echo\","
                 "\"description\":\"says it again\",\"inputSchema\":{\"type\":\"object\"}}]}}",
                 (int)id_length, id);
  else
    n = snprintf(json, sizeof json,
                 "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"content\":[{\"type\":\"text\","
                 "\"text\":\"%s\"}]}}",
                 (int)id_length, id, text);
  int head = snprintf(reply, sizeof reply,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: %d\r\n\r\n",
                      n);
  memcpy(reply + head, json, (size_t)n);
  return transmit(c, reply, (size_t)(head + n));
}

static int open_stream(struct connection *c) {
  static const char head[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  return transmit(c, head, sizeof head - 1);
}

// Handles each whole request in the bytes; says how many bytes were used, -1 to close.
static ssize_t serve(struct connection *c, const char *bytes, size_t count) {
  size_t used = 0;
  while (used < count) {
    const char *start = bytes + used;
    const char *end = memmem(start, count - used, "\r\n\r\n", 4);
    if (!end) break;
    size_t head = (size_t)(end - start) + 4, left = count - used - head, body = 0;
    const char *line = memmem(start, head, "\r\n", 2);
    int chunked = 0;
    while (line && line + 2 < end) {
      line += 2;
      if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
      if (!strncasecmp(line, "transfer-encoding:", 18)) chunked = 1;
      line = memmem(line, (size_t)(end - line) + 2, "\r\n", 2);
    }
    const char *payload = start + head;
    if (chunked) {
      const char *last = memmem(payload, left, "0\r\n\r\n", 5);
      if (!last) break;
      body = (size_t)(last - payload) + 5;
    } else if (left < body) {
      break;
    }
    int failed = *start == 'P' ? answer(c, payload, body) : open_stream(c);
    if (failed) return -1;
    used += head + body;
  }
  return (ssize_t)used;
}

static void ready(struct connection *c) {
  static char shared[INPUT_MAX];
  for (;;) {
    size_t kept = c->held_count;
    if (kept) memcpy(shared, c->held, kept);
    if (kept == sizeof shared) return close_connection(c);
    ssize_t got = receive(c, shared + kept, sizeof shared - kept);
    if (got < 0) return close_connection(c);
    if (got == 0) return;
    size_t count = kept + (size_t)got;
    ssize_t used = serve(c, shared, count);
    if (used < 0) return close_connection(c);
    c->held_count = count - (size_t)used;
    free(c->held);
    c->held = NULL;
    if (c->held_count) {
      c->held = malloc(c->held_count);
      memcpy(c->held, shared + used, c->held_count);
    }
    if (!c->ssl && (size_t)got < sizeof shared - kept) return;
  }
}

static int listener, epoll;

int upstream_listen(const char *host, int port, const char *certificate, const char *key) {
  if (certificate) {
    tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
      ERR_print_errors_fp(stderr);
      exit(1);
    }
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
  }
  int one = 1;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  if (bind(listener, (struct sockaddr *)&address, sizeof address)) die("bind");
  if (listen(listener, 4096)) die("listen");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  return epoll;
}

void upstream_turn(int milliseconds) {
  struct epoll_event events[256];
  int count = epoll_wait(epoll, events, 256, milliseconds), one = 1;
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr) {
      ready(events[i].data.ptr);
      continue;
    }
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      struct connection *c = calloc(1, sizeof *c);
      c->fd = fd;
      if (tls) {
        c->ssl = SSL_new(tls);
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
      }
      struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }
}

#ifndef EMBEDDED
int main(int argc, char **argv) {
  if (argc != 3 && argc != 5) {
    fprintf(stderr, "usage: upstream ADDRESS PORT [CERTIFICATE.pem KEY.pem]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  upstream_listen(argv[1], atoi(argv[2]), argc == 5 ? argv[3] : NULL, argc == 5 ? argv[4] : NULL);
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) upstream_turn(-1);
}
#endif
