"""A seccomp filter for bubblewrap: system calls that no program in the sandbox may make.

Namespaces hide files, processes and the network; the filter closes the rest: new processes (a limit on their number
does not bind root), sockets (AF_VSOCK has no namespace), memory that is not accounted (System V, message queues), and
calls that most sandbox escapes used. Threads are allowed. Filters are classic BPF, see man 2 seccomp, for x86-64 and
AArch64.
"""

import errno
import platform
import struct

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435  # a filter can't see its flags; without it libc uses clone
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
_DENIED = {
    "x86_64": {
        *(57, 58),  # fork, vfork
        *(41, 101, 310, 311),  # socket, ptrace, process_vm_readv, process_vm_writev
        *(29, 30, 31, 64, 68, 71, 240),  # shmget, shmat, shmctl, semget, msgget, msgctl, mq_open
        *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
        *(248, 249, 250, 298, 321, 323),  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
        *(425, 426, 427, 428, 429, 430, 432, 434, 438, 442),  # io_uring_*, mount's new calls, pidfd_open, pidfd_getfd
        *(62, 200, 234, 424, 129, 297),  # kill, tkill, tgkill, pidfd_send_signal, rt_sigqueueinfo, rt_tgsigqueueinfo
    },
    "aarch64": {
        *(198, 117, 270, 271),
        *(194, 195, 196, 190, 186, 187, 180),
        *(41, 51, 40, 39, 97, 268),
        *(217, 218, 219, 241, 280, 282),
        *(425, 426, 427, 428, 429, 430, 432, 434, 438, 442),
        *(129, 130, 131, 424, 138, 240),
    },
}
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FLAGS_AT = 0, 4, 16  # in struct seccomp_data


def supported() -> bool:
    return platform.machine() in _ARCHITECTURE


def filter_program() -> bytes:
    """For this machine. Raises KeyError on another architecture."""
    machine = platform.machine()
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in sorted(_DENIED[machine]):
        lines += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    lines += [
        (_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_IF_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, _FLAGS_AT),
        (_IF_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
