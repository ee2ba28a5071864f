// Linux calls that the C library's module lacks, and macros as inline functions. Compiled without
// _GNU_SOURCE, as the C library's own module is, so that both see the same structures.
#pragma once
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int fds[2], int flags);
extern long syscall(long number, ...);

enum { bindery_sock_stream = SOCK_STREAM };

/// struct ucred, which <sys/socket.h> hides from strict compilations.
struct bindery_ucred {
  int pid;
  unsigned int uid;
  unsigned int gid;
};

/// The facts of one loaded object, as <link.h> has them for GNU compilations.
struct bindery_loaded_object {
  unsigned long address;
  const char *name;
  const Elf64_Phdr *headers;
  unsigned short header_count;
};
extern int dl_iterate_phdr(
    int (*visit)(struct bindery_loaded_object *object, unsigned long size, void *context),
    void *context);

/// send(2) and recv(2) as they are. The C library's own, in a process with threads, first make the call
/// a cancellation point, which costs two atomic writes; nobody cancels our threads.
static inline long bindery_send(int descriptor, const void *bytes, size_t count, int flags) {
  return syscall(SYS_sendto, descriptor, bytes, count, flags, (void *)0, 0);
}
static inline long bindery_recv(int descriptor, void *bytes, size_t count, int flags) {
  return syscall(SYS_recvfrom, descriptor, bytes, count, flags, (void *)0, (void *)0);
}

/// The 64 bits that epoll hands back with an event; `epoll_event` is packed, so Swift sees a union.
static inline void bindery_epoll_set_data(struct epoll_event *event, unsigned long long data) {
  event->data.u64 = data;
}
static inline unsigned long long bindery_epoll_data(const struct epoll_event *event) {
  return event->data.u64;
}
static inline int bindery_gettid(void) { return (int)syscall(SYS_gettid); }
/// prctl with one argument used.
static inline int bindery_prctl(int option, unsigned long argument) {
  return prctl(option, argument, 0UL, 0UL, 0UL);
}
