"""The system calls that an attempt may make, built by libseccomp and loaded by the kernel's own call.

Three groups. What ordinary Python needs is allowed. What leads out of the sandbox answers EPERM, which
Python turns into a PermissionError that `explain.py` puts into words. Everything else, also calls that do
not exist yet, answers ENOSYS: C libraries fall back to an older call instead of failing at random.
Where only an argument tells good from bad, its good values are listed, never the bad ones. Another
architecture's calls (i386, x32) kill the process.
"""

import ctypes
import errno
import os
import struct

from sandbox import linux

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_EPERM = 0x00050000 | errno.EPERM
_ENOSYS = 0x00050000 | errno.ENOSYS
_EOPNOTSUPP = 0x00050000 | errno.EOPNOTSUPP
_PRETEND = 0x00050000  # errno 0: success without the deed

_ATTRIBUTE_BAD_ARCHITECTURE = 2
_ATTRIBUTE_OPTIMIZE = 8
_BINARY_TREE = 2

_NOT_EQUAL, _EQUAL, _MASKED_EQUAL = 1, 4, 7

_OWN_PID = 0x7FFFFF01  # stands for the child's pid, above any real one; `load` puts the real one in
_JUMP_IF_EQUAL = 0x15
_INSTRUCTION = struct.Struct("=HBBI")
_SECCOMP_MODE_FILTER = 2

ALLOWED = """
    read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 lseek sendfile copy_file_range
    creat close dup dup2 dup3 pipe pipe2 flock umask
    stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat
    getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    link linkat symlink symlinkat mknod mknodat ftruncate fadvise64 readahead
    fsync fdatasync sync_file_range
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 munlock munlockall membarrier
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times alarm setitimer getitimer
    timer_create timer_settime timer_gettime timer_getoverrun timer_delete
    timerfd_create timerfd_settime timerfd_gettime
    getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid
    getrusage getrlimit setrlimit uname sysinfo getcpu getrandom
    sched_yield sched_get_priority_max sched_get_priority_min
    exit exit_group wait4 waitid set_tid_address set_robust_list rseq futex futex_waitv futex_wait futex_wake
    futex_requeue arch_prctl restart_syscall
    rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack pause
    signalfd signalfd4
    select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old
    epoll_pwait epoll_pwait2 eventfd eventfd2
    shutdown getsockname getpeername
""".split()

DENIED = """
    socket connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg setsockopt
    fork vfork execve execveat setsid setpgid
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp
    pidfd_open pidfd_getfd pidfd_send_signal tkill rt_sigqueueinfo rt_tgsigqueueinfo
    mount umount umount2 move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr
    pivot_root chroot unshare setns
    bpf io_uring_setup io_uring_enter io_uring_register perf_event_open userfaultfd seccomp
    keyctl add_key request_key
    kexec_load kexec_file_load init_module finit_module delete_module create_module reboot
    swapon swapoff acct quotactl quotactl_fd syslog vhangup nfsservctl lookup_dcookie
    settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname iopl ioperm modify_ldt
    setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset personality
    name_to_handle_at open_by_handle_at fanotify_init fanotify_mark
    memfd_create memfd_secret shmget shmat shmdt shmctl semget semop semctl semtimedop
    msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_notify mq_timedsend mq_timedreceive mq_getsetattr
    migrate_pages move_pages ioprio_set sched_setscheduler sched_setparam sched_setattr mlockall
""".split()

# Landlock does not govern these, so they reach every file of the same user.
METADATA = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
""".split()

# A thread as C libraries start one: it shares memory, folder, signals and, above all, descriptors, whose
# number is limited for each table of them. The rest are notes of its id, which are free.
_CLONE_THREAD = 0x00010000
_CLONE_SHARED = 0x00000F00 | _CLONE_THREAD
_CLONE_FREE = 0x00040000 | 0x00080000 | 0x00100000 | 0x00200000 | 0x00400000 | 0x01000000
_CLOSE_RANGE_UNSHARE = 2

# Those that take the id of a process, or 0 for oneself, first. Who asks of others, or would change them, is
# told that there is no such call, which C libraries take for an answer.
_OF_ONESELF = """
    sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity prlimit64
""".split()
_PRIO_PROCESS = 0

# fcntl without F_SETOWN and F_SETSIG, which send signals to others, and F_SETPIPE_SZ, which takes memory of
# the kernel's: descriptors, flags, locks
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 36, 37, 38, 1030, 1032, 1033, 1034)
# TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FICLONE
_IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450, 0x40049409)
# PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA
_PRCTL_OPTIONS = (2, 3, 15, 16, 23, 0x53564D41)
_AF_UNIX = 1
_SOCKET_TYPE_MASK, _SOCK_STREAM = 0xF, 1  # a datagram pair could be sent to any socket's address
# What asyncio and multiprocessing do with a pair of sockets, and no more: bytes go through it, but no
# descriptors (these would count for nobody), no urgent bytes, and its buffers stay as they are.
_SEND_FLAGS = 0x40 | 0x80 | 0x4000 | 0x8000  # MSG_DONTWAIT, MSG_EOR, MSG_NOSIGNAL, MSG_MORE
_RECEIVE_FLAGS = (
    0x02 | 0x20 | 0x40 | 0x100 | 0x4000
)  # MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL
_SOL_SOCKET = 1
# SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN
_SOCKET_OPTIONS = (3, 4, 7, 8, 30, 38, 39)
_ALL_BITS = 0xFFFFFFFF


class _Comparison(ctypes.Structure):
    """`argument` `operation` `a` (`b`): see libseccomp's scmp_arg_cmp."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


class Unavailable(Exception):
    """Why there is no filter, in words that say what to do."""


class _Builder:
    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libseccomp.so.2")
        except OSError as error:
            raise Unavailable(
                "libseccomp is missing: install it (Debian: apt-get install libseccomp2; Fedora: dnf install "
                "libseccomp; Alpine: apk add libseccomp)"
            ) from error
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(_ENOSYS)))
        if not self._context:
            raise Unavailable("libseccomp cannot make a filter on this machine")
        self._set(_ATTRIBUTE_BAD_ARCHITECTURE, _KILL_PROCESS)
        # Only speed, and only since libseccomp 2.5: an older library's refusal changes nothing.
        self._library.seccomp_attr_set(self._context, _ATTRIBUTE_OPTIMIZE, ctypes.c_uint32(_BINARY_TREE))

    def _set(self, attribute: int, value: int) -> None:
        if self._library.seccomp_attr_set(self._context, attribute, ctypes.c_uint32(value)) < 0:
            raise Unavailable("libseccomp is too old: version 2.4 or newer is needed")

    def add(self, action: int, name: str, *comparisons: _Comparison) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # not on this architecture, or newer than this libseccomp: stays ENOSYS
        array = (_Comparison * max(len(comparisons), 1))(*comparisons)
        result = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, ctypes.c_uint(len(comparisons)), array
        )
        if result < 0:
            raise Unavailable(f"libseccomp refused the rule for {name}: {os.strerror(-result)}")

    def export(self) -> bytes:
        read_end, write_end = os.pipe()
        try:
            result = self._library.seccomp_export_bpf(self._context, write_end)
            os.close(write_end)
            if result < 0:
                raise Unavailable(f"libseccomp could not export its filter: {os.strerror(-result)}")
            with os.fdopen(read_end, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(read_end)
            self._library.seccomp_release(self._context)


def build(own_uid: bool) -> bytes:
    """The filter as a BPF program in which `_OWN_PID` stands for the process to be; raises Unavailable.

    `own_uid`: the attempt owns no file outside its folder. Where it does (it shares the user's uid), changes
    of modes, owners and times are answered with success and not made: `shutil.copy` works, and no file of
    the user's is touched.
    """
    builder = _Builder()
    for name in ALLOWED:
        builder.add(_ALLOW, name)
    for name in DENIED:
        builder.add(_EPERM, name)

    for name in METADATA:
        builder.add(_ALLOW if own_uid else _PRETEND, name)
    builder.add(_ALLOW if own_uid else _EPERM, "truncate")  # by path; not in Landlock before ABI 3

    # Opening for reading must not truncate; openat2 takes its flags by pointer, like clone3 below.
    for name, argument in (("open", 1), ("openat", 2)):
        builder.add(_ALLOW, name, _Comparison(argument, _MASKED_EQUAL, os.O_TRUNC, 0))
        for mode in (os.O_WRONLY, os.O_RDWR):
            builder.add(_ALLOW, name, _Comparison(argument, _MASKED_EQUAL, mode, mode))

    # clone3 takes its flags by pointer, where no filter can see them: ENOSYS makes libc fall back to clone.
    fixed = _ALL_BITS & ~_CLONE_FREE
    builder.add(_ALLOW, "clone", _Comparison(0, _MASKED_EQUAL, fixed, _CLONE_SHARED))
    builder.add(_EPERM, "clone", _Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
    builder.add(_ALLOW, "close_range", _Comparison(2, _MASKED_EQUAL, _CLOSE_RANGE_UNSHARE, 0))

    for name in ("kill", "tgkill"):
        builder.add(_ALLOW, name, _Comparison(0, _EQUAL, _OWN_PID))
        builder.add(_EPERM, name, _Comparison(0, _NOT_EQUAL, _OWN_PID))
    for name in _OF_ONESELF:
        builder.add(_ALLOW, name, _Comparison(0, _EQUAL, 0))
        builder.add(_ALLOW, name, _Comparison(0, _EQUAL, _OWN_PID))
    for name in ("getpriority", "setpriority"):
        for oneself in (0, _OWN_PID):
            builder.add(_ALLOW, name, _Comparison(0, _EQUAL, _PRIO_PROCESS), _Comparison(1, _EQUAL, oneself))

    # glibc then writes a byte into each block, which takes its time and is seen.
    builder.add(_EOPNOTSUPP, "fallocate")

    builder.add(
        _ALLOW,
        "sendto",
        _Comparison(3, _MASKED_EQUAL, _ALL_BITS & ~_SEND_FLAGS, 0),
        _Comparison(4, _EQUAL, 0),  # to the other end, to no address
    )
    builder.add(_EPERM, "sendto", _Comparison(4, _NOT_EQUAL, 0))
    builder.add(_ALLOW, "recvfrom", _Comparison(3, _MASKED_EQUAL, _ALL_BITS & ~_RECEIVE_FLAGS, 0))
    for option in _SOCKET_OPTIONS:
        builder.add(_ALLOW, "getsockopt", _Comparison(1, _EQUAL, _SOL_SOCKET), _Comparison(2, _EQUAL, option))

    for command in _FCNTL_COMMANDS:
        builder.add(_ALLOW, "fcntl", _Comparison(1, _EQUAL, command))
    for request in _IOCTL_REQUESTS:
        builder.add(_ALLOW, "ioctl", _Comparison(1, _EQUAL, request))
    for option in _PRCTL_OPTIONS:
        builder.add(_ALLOW, "prctl", _Comparison(0, _EQUAL, option))
    builder.add(
        _ALLOW,
        "socketpair",
        _Comparison(0, _EQUAL, _AF_UNIX),
        _Comparison(1, _MASKED_EQUAL, _SOCKET_TYPE_MASK, _SOCK_STREAM),
    )
    return builder.export()


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def load(program: bytes) -> None:
    """Confines the calling process for good: needs no_new_privs and a single thread; raises OSError."""
    pid = os.getpid()
    own = b"".join(
        _INSTRUCTION.pack(code, if_true, if_false, pid)
        if code == _JUMP_IF_EQUAL and constant == _OWN_PID
        else _INSTRUCTION.pack(code, if_true, if_false, constant)
        for code, if_true, if_false, constant in _INSTRUCTION.iter_unpack(program)
    )
    filter_program = _Program(len(own) // _INSTRUCTION.size, own)
    linux.prctl(linux.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(filter_program))
