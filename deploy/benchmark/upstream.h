// The upstream as a part of another program: it listens, and does what is to do when it is told.
#pragma once

/// Listens, with TLS when a certificate is given; gives the epoll that becomes readable.
int upstream_listen(const char *host, int port, const char *certificate, const char *key);

/// Serves what is ready, after waiting for it at most so long (-1: for ever).
void upstream_turn(int milliseconds);
