// What the process sandbox needs of the kernel: Landlock's three calls, the seccomp filter and
// the numbers of the calls that no service ever makes. Debian 12's <linux/landlock.h> is older
// than the kernels we meet, so the structures are filled by hand.
#pragma once
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern long syscall(long number, ...);

static inline int bindery_landlock_create(const void *attribute, unsigned long size,
                                          unsigned int flags) {
  return (int)syscall(444, attribute, size, flags);
}
static inline int bindery_landlock_add(int ruleset, int type, const void *attribute) {
  return (int)syscall(445, ruleset, type, attribute, 0U);
}
static inline int bindery_landlock_restrict(int ruleset) {
  return (int)syscall(446, ruleset, 0U);
}

/// The architecture that the filter's first test compares with; 0 where we have no filter.
static inline unsigned int bindery_audit_architecture(void) {
#if defined(__x86_64__)
  return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  return AUDIT_ARCH_AARCH64;
#else
  return 0;
#endif
}

/// The calls to deny, one by one, then -1: starting programs, looking into other processes,
/// changing what the machine is, and wide doors into the kernel that we have no use for.
static inline int bindery_denied_call(int index) {
  static const int calls[] = {
      SYS_execve,          SYS_execveat,        SYS_ptrace,         SYS_process_vm_readv,
      SYS_process_vm_writev, SYS_kcmp,          SYS_mount,          SYS_umount2,
      SYS_pivot_root,      SYS_chroot,          SYS_setns,          SYS_unshare,
      SYS_init_module,     SYS_finit_module,    SYS_delete_module,  SYS_kexec_load,
      SYS_reboot,          SYS_swapon,          SYS_swapoff,        SYS_sethostname,
      SYS_settimeofday,    SYS_clock_settime,   SYS_adjtimex,       SYS_acct,
      SYS_bpf,             SYS_perf_event_open, SYS_userfaultfd,    SYS_keyctl,
      SYS_add_key,         SYS_request_key,     SYS_personality,    SYS_open_by_handle_at,
      SYS_name_to_handle_at, SYS_quotactl,      SYS_syslog,         SYS_vhangup,
      SYS_io_setup,        425 /* io_uring_setup */, 426 /* io_uring_enter */,
      427 /* io_uring_register */, 428 /* open_tree */, 429 /* move_mount */,
      430 /* fsopen */,    438 /* pidfd_getfd */,
  };
  return index < (int)(sizeof(calls) / sizeof(calls[0])) ? calls[index] : -1;
}

/// Installs a filter of `count` instructions for this thread and those it starts.
static inline int bindery_seccomp(struct sock_filter *instructions, unsigned short count) {
  struct sock_fprog program = {count, instructions};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0UL, 0UL);
}

/// A system call by its number, for the tests that try what the sandbox denies.
static inline long bindery_call(long number, long first, long second, long third) {
  return syscall(number, first, second, third, 0L, 0L);
}
