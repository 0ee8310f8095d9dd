"""What all tests share: where things lie, repeatable settings, and a way to run a program without a network."""

from __future__ import annotations

import ctypes
import errno
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run and machine; no deadline, since a busy machine is not a defect.
hypothesis.settings.register_profile("leadline", deadline=None, derandomize=True)
hypothesis.settings.load_profile("leadline")

# Where the suite runs in the background, a shell has it ignore Ctrl-C, and all that it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

OfflineRun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Folder of real scans beside the source tree, `../shared/real`; the test is skipped where it is absent.

    Their licences do not allow the project to carry them.
    """
    folder = ROOT.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip("needs the real scans in ../shared/real")
    return folder


@pytest.fixture(scope="session")
def offline_run() -> OfflineRun:
    """`subprocess.run` for a program that the kernel kills when it opens a socket to anywhere.

    Not a patched `socket` module: the filter binds native code as well, such as a telemetry client inside a
    runtime's shared library, and every child process. A program that lives to its end has tried no connection.

    Returns:
        `run(command, **options) -> CompletedProcess`, text mode, output captured; `returncode` is
        `-signal.SIGSYS` when the program opened a socket.
    """
    if sys.platform != "linux" or platform.machine() not in _SOCKET_CALL:
        pytest.skip("needs Linux's system call filter on x86-64 or arm64")

    def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command], preexec_fn=_forbid_sockets, capture_output=True, text=True, **options
        )

    probe = [sys.executable, "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"]
    assert run(probe).returncode == -signal.SIGSYS, "the filter lets sockets through"
    return run


# Machine -> (its AUDIT_ARCH constant, number of the system call `socket`).
_SOCKET_CALL = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP = 425  # the same number everywhere; sockets can be opened through it too


def _forbid_sockets() -> None:
    """Install a seccomp filter in this process: opening any socket but AF_UNIX kills it."""
    arch, socket_call = _SOCKET_CALL[platform.machine()]
    load, equal, ret = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    kill, allow = 0x80000000, 0x7FFF0000  # SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW
    program = [  # (operation, jump if true, jump if false, operand); jumps count instructions after the next
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 0, 6, arch),  # not native: allow
        (load, 0, 0, 0),  # seccomp_data.nr
        (equal, 3, 0, _IO_URING_SETUP),
        (equal, 0, 3, socket_call),
        (load, 0, 0, 16),  # low half of args[0], the address family
        (equal, 1, 0, 1),  # AF_UNIX
        (ret, 0, 0, kill),
        (ret, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    filter_ = Program(len(program), ctypes.addressof(code))
    set_no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    for arguments in ((set_no_new_privileges, 1, 0, 0, 0), (set_seccomp, mode_filter, ctypes.byref(filter_), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), errno.errorcode.get(ctypes.get_errno(), "prctl"))
