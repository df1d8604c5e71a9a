"""Runs a Python program as on an older kernel, without Landlock: `without_landlock.py PROGRAM ARGUMENTS…`."""

import ctypes
import errno
import os
import sys

ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
SYSTEM_CALLS = (b"landlock_create_ruleset", b"landlock_add_rule", b"landlock_restrict_self")

library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ALLOW)))
for name in SYSTEM_CALLS:
    number = library.seccomp_syscall_resolve_name(name)
    if library.seccomp_rule_add(rules, ctypes.c_uint32(REFUSE | errno.ENOSYS), number, 0) != 0:
        sys.exit(f"{name.decode()} cannot be switched off")
if library.seccomp_load(rules) != 0:
    sys.exit("no filter could be set")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
