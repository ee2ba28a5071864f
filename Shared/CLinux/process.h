// Starting child processes, and what the C library's module hides about processes.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern long syscall(long number, ...);

/// The cores that this process may run on; 0 when the kernel does not say.
static inline int bindery_usable_cores(void) {
  unsigned long mask[128];
  long size = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  int cores = 0;
  for (long i = 0; i < size / (long)sizeof(unsigned long); i++)
    cores += __builtin_popcountl(mask[i]);
  return cores;
}

/// An anonymous file in memory, closed on exec and open to seals (flags 1 and 2); its number or -1.
static inline int bindery_memory_file(const char *name) {
  return (int)syscall(SYS_memfd_create, name, 3U);
}

/// Makes a memory file that nobody can change any more (all four F_SEALs); 0 or -1.
static inline int bindery_seal_memory_file(int descriptor) {
  return fcntl(descriptor, 1033 /* F_ADD_SEALS */, 0x1 | 0x2 | 0x4 | 0x8);
}

/// Starts `path` in a process group of its own, with descriptor 0 on /dev/null, 1 and 2 on our
/// standard error, and `descriptors[i]` as number 3 + i; nothing else of ours stays open there.
/// The child is killed when the calling thread's process dies. Between fork and exec there are
/// only calls that are safe in a process with threads. Gives the process id, or -1.
static inline int bindery_spawn(const char *path, char *const arguments[], char *const variables[],
                                const int *descriptors, int count) {
  int parent = getpid();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return -1;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int child = fork();
  if (child == 0) {
    for (int number = 1; number < 65; number++) signal(number, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) _exit(127);
    // First out of the way of the numbers to come, then into place.
    int moved[64];
    if (count > 64) _exit(127);
    for (int i = 0; i < count; i++) {
      moved[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 3 + count);
      if (moved[i] < 0) _exit(127);
    }
    if (dup2(null, 0) < 0 || dup2(2, 1) < 0) _exit(127);
    for (int i = 0; i < count; i++)
      if (dup2(moved[i], 3 + i) < 0) _exit(127);
    syscall(436 /* close_range */, 3 + count, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, 0);
    execve(path, arguments, variables);
    _exit(127);
  }
  int failure = errno;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  close(null);
  errno = failure;
  return child;
}

/// Sets an open-file lock (F_WRLCK) on one byte, or lifts it (F_UNLCK); does not wait; 0 or -1.
static inline int bindery_set_byte_lock(int descriptor, long long byte, int kind) {
  struct flock lock = {.l_type = (short)kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
  return fcntl(descriptor, 37 /* F_OFD_SETLK */, &lock);
}
