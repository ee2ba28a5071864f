// The load generator of the measurements: one thread, one epoll, exact latencies.
//
//   load closed HOST PORT PATH CONNECTIONS SECONDS [options]   each connection asks again at once
//   load open   HOST PORT PATH CONNECTIONS SECONDS RATE [..]   RATE requests a second, whatever the
//                   answers do; latency counts from the moment a request was due, not from when it
//                   was sent, so a stalled proxy cannot hide its stall
//   load hold   HOST PORT PATH STREAMS [options]               opens silent event streams, keeps
//                   them until its standard input ends, reports how many were cut
// options: -b TOKEN (Authorization: Bearer TOKEN)  -t (TLS, certificate not checked)  -w SECONDS
// (warm-up, default 1)  -H HOST (Host header)  -p VERSION (MCP-Protocol-Version)  -a COUNT (connect
// from so many addresses, 127.0.1.0 and up)  -u PORT [-c CERTIFICATE.pem KEY.pem] (be the upstream, too)
//
// With -u the closed loop never sleeps: client and upstream take turns on their core. A sleeping peer
// would have to be woken by the proxy's sends, at a cost that says more about the machine's idle
// states than about the proxy, and that a slower proxy pays more often.
//
// Prints one JSON object a line: {"event":"measuring"} when the connections stand and the warm-up is
// over, then the result. Only answers 200 with a whole body count; anything else is an error.

#define _GNU_SOURCE
#include "upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum phase { connecting, handshaking, idle, waiting, dead };

struct connection {
  int fd;
  SSL *ssl;
  enum phase phase;
  int64_t due;  // when the request under way should have been sent, ns
  int status;
  int head_done, chunked;
  int64_t body_left;
  size_t held;
  char *buffer;
};

#define BUFFER 8192

static struct connection *connections;
static int connection_count, epoll_fd, use_tls, hold, source_count;
static SSL_CTX *tls;
static struct sockaddr_in target;
static char request[4096];
static size_t request_count;

static uint32_t *samples;  // tenths of a microsecond
static size_t sample_count, sample_room;
static int64_t measuring_from = INT64_MAX, measuring_until = INT64_MAX;
static uint64_t errors, answered, cut, streaming, received;
static int *idle_stack, idle_count;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void dial(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) {
    perror("socket");
    exit(1);
  }
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (source_count) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(0x7f000100u + (uint32_t)((c - connections) % source_count));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source)) perror("bind");
  }
  c->phase = connecting;
  c->held = 0;
  c->head_done = 0;
  if (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS) {
    perror("connect");
    exit(1);
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void hang_up(struct connection *c) {
  if (c->ssl) SSL_free(c->ssl);
  c->ssl = NULL;
  close(c->fd);
  c->fd = -1;
}

static void lost(struct connection *c) {
  if (hold) {
    if (c->phase == waiting && c->head_done) streaming--;
    cut++;
    hang_up(c);
    c->phase = dead;
    return;
  }
  if (c->phase == waiting || c->phase == connecting || c->phase == handshaking) errors++;
  for (int i = 0; i < idle_count; i++)
    if (&connections[idle_stack[i]] == c) idle_stack[i--] = idle_stack[--idle_count];
  hang_up(c);
  dial(c);
}

static void ask(struct connection *c, int64_t due) {
  c->due = due;
  c->phase = waiting;
  c->head_done = 0;
  c->held = 0;
  ssize_t n = c->ssl ? SSL_write(c->ssl, request, (int)request_count)
                     : send(c->fd, request, request_count, MSG_NOSIGNAL);
  if (n != (ssize_t)request_count) lost(c);
}

static void record(int64_t from, int64_t at) {
  if (from < measuring_from || at > measuring_until) return;
  if (sample_count == sample_room) {
    sample_room = sample_room ? sample_room * 2 : 1 << 20;
    samples = realloc(samples, sample_room * sizeof *samples);
  }
  int64_t tenths = (at - from) / 100;
  samples[sample_count++] = tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int open_loop;

static void free_for_work(struct connection *c) {
  c->phase = idle;
  if (hold) return ask(c, now());
  if (open_loop)
    idle_stack[idle_count++] = (int)(c - connections);
  else
    ask(c, now());
}

static void finished(struct connection *c) {
  int64_t at = now();
  if (c->status == 200) {
    // In the open loop a request belongs to the moment it was due.
    int64_t counts_from = open_loop ? c->due : at;
    if (counts_from >= measuring_from && at <= measuring_until) answered++;
    record(c->due, at);
  } else if (at >= measuring_from) {
    errors++;
  }
  free_for_work(c);
}

// Something came on a silent stream: a heartbeat, whose regularity is counted.
static void heartbeat(struct connection *c) {
  int64_t at = now();
  if (c->due) record(c->due, at);
  c->due = at;
  received += c->held;
  c->held = 0;
}

// Takes in what arrived; 0 when the connection must be given up.
static int digest(struct connection *c) {
  if (!c->head_done) {
    char *end = memmem(c->buffer, c->held, "\r\n\r\n", 4);
    if (!end) return c->held < BUFFER;
    size_t head = (size_t)(end - c->buffer) + 4;
    c->status = c->held > 12 ? atoi(c->buffer + 9) : 0;
    c->body_left = 0;
    c->chunked = 0;
    for (char *line = memmem(c->buffer, head, "\r\n", 2); line && line < end;
         line = memmem(line, (size_t)(end - line) + 2, "\r\n", 2)) {
      line += 2;
      if (!strncasecmp(line, "content-length:", 15)) c->body_left = atoll(line + 15);
      if (!strncasecmp(line, "transfer-encoding:", 18)) c->chunked = 1;
    }
    c->head_done = 1;
    if (hold) {
      if (c->status != 200) return 0;
      streaming++;
      c->due = 0;
    }
    c->held -= head;
    memmove(c->buffer, c->buffer + head, c->held);
  }
  if (hold) {
    if (c->held) heartbeat(c);
    return 1;
  }
  if (c->chunked) {
    if (c->held >= 5 && !memcmp(c->buffer + c->held - 5, "0\r\n\r\n", 5)) {
      c->held = 0;
      finished(c);
    } else if (c->held > BUFFER / 2) {
      memmove(c->buffer, c->buffer + c->held - 8, 8);
      c->held = 8;
    }
    return 1;
  }
  if ((int64_t)c->held > c->body_left) return 0;
  c->body_left -= (int64_t)c->held;
  c->held = 0;
  if (c->body_left == 0) finished(c);
  return 1;
}

static void event_on(struct connection *c, uint32_t events) {
  if (c->phase == dead) return;
  if (c->phase == connecting) {
    if (events & (EPOLLERR | EPOLLHUP)) return lost(c);
    if (!(events & EPOLLOUT)) return;
    if (use_tls) {
      c->ssl = SSL_new(tls);
      SSL_set_fd(c->ssl, c->fd);
      SSL_set_tlsext_host_name(c->ssl, "localhost");
      SSL_set_connect_state(c->ssl);
      c->phase = handshaking;
    } else {
      free_for_work(c);
    }
  }
  if (c->phase == handshaking) {
    int n = SSL_do_handshake(c->ssl);
    if (n == 1) {
      free_for_work(c);
    } else {
      int e = SSL_get_error(c->ssl, n);
      ERR_clear_error();
      if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) return lost(c);
      return;
    }
  }
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))) return;
  for (;;) {
    size_t room = BUFFER - c->held;
    ssize_t n;
    if (c->ssl) {
      n = SSL_read(c->ssl, c->buffer + c->held, (int)room);
      if (n <= 0) {
        int e = SSL_get_error(c->ssl, (int)n);
        ERR_clear_error();
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return;
        return lost(c);
      }
    } else {
      n = recv(c->fd, c->buffer + c->held, room, 0);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n <= 0) return lost(c);
    }
    if (c->phase != waiting) return lost(c);
    c->held += (size_t)n;
    int fd = c->fd;
    if (!digest(c)) return lost(c);
    if (c->fd != fd) return;
    if (!c->ssl && (size_t)n < room) return;
  }
}

static int smaller(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double quantile(double q) {
  if (!sample_count) return 0;
  size_t at = (size_t)(q * (double)(sample_count - 1) + 0.5);
  return samples[at] / 10.0;
}

static int spinning;

static void turn(int64_t until) {
  struct epoll_event events[512];
  int64_t wait = until - now();
  if (wait < 0 || spinning) wait = 0;
  if (spinning) upstream_turn(0);
  struct timespec t = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
  int n = epoll_pwait2(epoll_fd, events, 512, &t, NULL);
  for (int i = 0; i < n; i++)
    if (events[i].data.ptr) event_on(events[i].data.ptr, events[i].events);
    else upstream_turn(0);
}

static void hold_streams(void) {
  int64_t deadline = now() + 120 * 1000000000ll;
  int dialled = 0;
  while (streaming + cut < (uint64_t)connection_count && now() < deadline) {
    while (dialled < connection_count && (uint64_t)dialled < streaming + cut + 256)
      dial(&connections[dialled++]);
    turn(now() + 100000000);
  }
  printf("{\"event\":\"holding\",\"streams\":%lu,\"failed\":%lu}\n", streaming, cut);
  fflush(stdout);
  for (;;) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    if (poll(&input, 1, 0) != 0) {
      char c;
      if (read(0, &c, 1) <= 0) break;
    }
    turn(now() + 50000000);
  }
  qsort(samples, sample_count, sizeof *samples, smaller);
  printf("{\"streams\":%lu,\"cut\":%lu,\"bytes\":%lu,\"gaps\":%zu,\"gap_p1_ms\":%.1f,"
         "\"gap_p50_ms\":%.1f,\"gap_p99_ms\":%.1f}\n",
         streaming, cut, received, sample_count, quantile(.01) / 1e3, quantile(.5) / 1e3,
         quantile(.99) / 1e3);
}

int main(int argc, char **argv) {
  const char *usage = "usage: load closed|open|hold HOST PORT PATH COUNT ... (see the source)\n";
  if (argc < 6) return fputs(usage, stderr), 2;
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  open_loop = !strcmp(argv[1], "open");
  hold = !strcmp(argv[1], "hold");
  const char *host = argv[2], *path = argv[4], *bearer = NULL, *host_header = NULL;
  const char *version = "2025-06-18";
  int port = atoi(argv[3]), next = 6;
  connection_count = atoi(argv[5]);
  double seconds = hold ? 0 : atof(argv[next++]), rate = open_loop ? atof(argv[next++]) : 0;
  double warm_up = 1;
  int upstream_port = 0;
  const char *certificate = NULL, *key = NULL;
  for (; next < argc; next++) {
    if (!strcmp(argv[next], "-t")) use_tls = 1;
    else if (!strcmp(argv[next], "-b") && next + 1 < argc) bearer = argv[++next];
    else if (!strcmp(argv[next], "-w") && next + 1 < argc) warm_up = atof(argv[++next]);
    else if (!strcmp(argv[next], "-H") && next + 1 < argc) host_header = argv[++next];
    else if (!strcmp(argv[next], "-u") && next + 1 < argc) upstream_port = atoi(argv[++next]);
    else if (!strcmp(argv[next], "-c") && next + 2 < argc)
      certificate = argv[++next], key = argv[++next];
    else if (!strcmp(argv[next], "-a") && next + 1 < argc) source_count = atoi(argv[++next]);
    else if (!strcmp(argv[next], "-p") && next + 1 < argc) version = argv[++next];
    else return fputs(usage, stderr), 2;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &target.sin_addr);
  char authority[128], authorization[2048] = "";
  if (host_header) snprintf(authority, sizeof authority, "%s", host_header);
  else snprintf(authority, sizeof authority, "%s:%d", host, port);
  if (bearer) snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", bearer);
  static const char body[] =
      "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\","
      "\"arguments\":{\"text\":\"one hundred and thirty bytes here!!\"}}}";
  request_count = (size_t)(
      hold ? snprintf(request, sizeof request,
                      "GET %s HTTP/1.1\r\nHost: %s\r\n%sAccept: text/event-stream\r\n"
                      "MCP-Protocol-Version: %s\r\n\r\n",
                      path, authority, authorization, version)
           : snprintf(request, sizeof request,
                      "POST %s HTTP/1.1\r\nHost: %s\r\n%sAccept: application/json, "
                      "text/event-stream\r\nContent-Type: application/json\r\n"
                      "MCP-Protocol-Version: %s\r\nUser-Agent: load/1\r\n"
                      "Content-Length: %zu\r\n\r\n%s",
                      path, authority, authorization, version, sizeof body - 1, body));
  if (use_tls) {
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (upstream_port) {
    int upstream = upstream_listen("127.0.0.1", upstream_port, certificate, key);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, upstream, &event);
    spinning = !open_loop && !hold;
  }
  connections = calloc((size_t)connection_count, sizeof *connections);
  idle_stack = calloc((size_t)connection_count, sizeof *idle_stack);
  for (int i = 0; i < connection_count; i++) {
    connections[i].fd = -1;
    connections[i].buffer = malloc(BUFFER);
  }
  if (hold) {
    measuring_from = 0;
    return hold_streams(), 0;
  }

  for (int i = 0; i < connection_count; i++) dial(&connections[i]);
  int64_t start = now();
  measuring_from = start + (int64_t)(warm_up * 1e9);
  int64_t nominal_end = measuring_from + (int64_t)(seconds * 1e9);
  // A request due before the end is waited for, so that a stall near the end is counted.
  measuring_until = open_loop ? nominal_end + 5000000000ll : nominal_end;
  int announced = 0;
  int64_t period = open_loop ? (int64_t)(1e9 / rate) : 0, due = start + 100000000;
  uint64_t asked = 0, wanted = 0;
  for (;;) {
    int64_t t = now();
    if (!announced && t >= measuring_from) {
      announced = 1;
      printf("{\"event\":\"measuring\"}\n");
      fflush(stdout);
    }
    if (t >= nominal_end) break;
    if (!open_loop) {
      turn(announced ? nominal_end : measuring_from);
      continue;
    }
    while (due <= now() && idle_count) {
      if (due >= measuring_from) asked++;
      ask(&connections[idle_stack[--idle_count]], due);
      due += period;
    }
    turn(idle_count ? due : now() + 1000000000);
  }
  if (open_loop) {  // what was due and never answered is an error
    wanted = (uint64_t)(seconds * rate);
    int64_t patience = now() + 2000000000;
    while (answered < asked && now() < patience) turn(now() + 10000000);
    if (answered < wanted) errors += wanted > asked ? wanted - asked : 0;
  }
  double spent = (double)(nominal_end - measuring_from) / 1e9, sum = 0;
  qsort(samples, sample_count, sizeof *samples, smaller);
  for (size_t i = 0; i < sample_count; i++) sum += samples[i];
  printf("{\"requests\":%lu,\"errors\":%lu,\"seconds\":%.3f,\"rate\":%.1f,\"mean_us\":%.1f,"
         "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
         answered, errors, spent, (double)answered / spent,
         sample_count ? sum / 10 / (double)sample_count : 0, quantile(.5), quantile(.9),
         quantile(.99), quantile(.999), quantile(1));
  return 0;
}
