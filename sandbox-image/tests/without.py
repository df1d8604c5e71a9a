"""Runs a Python program as on a machine that lacks something: `without.py landlock,mounts PROGRAM …`."""

import ctypes
import errno
import os
import sys

ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO
SYSTEM_CALLS = {
    "landlock": (errno.ENOSYS, ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]),
    "mounts": (errno.EPERM, ["mount", "unshare"]),
}

library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ALLOW)))
for number, names in (SYSTEM_CALLS[missing] for missing in sys.argv[1].split(",")):
    for name in names:
        resolved = library.seccomp_syscall_resolve_name(name.encode())
        if library.seccomp_rule_add(rules, ctypes.c_uint32(REFUSE | number), resolved, 0) != 0:
            sys.exit(f"{name} cannot be switched off")
if library.seccomp_load(rules) != 0:
    sys.exit("no filter could be set")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
