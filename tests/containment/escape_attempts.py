"""Run in a contained process: tries every escape, and prints as JSON what each call answered.

``python tests/containment/escape_attempts.py ROLE FOLDER PORT OTHER_PORT``. The folder holds ``allowed``
(with a ``file``, which most roles may read), ``writable`` (where a worker may write) and ``secret`` (which
nobody may read). At both ports somebody listens. A puller may connect to the first.
"""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401  # a contained process imports nothing more
import errno
import faulthandler
import fcntl
import importlib
import json
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.containment import ContainmentMode, ProcessRole, contain
from edge.containment.role import fingerprint, puller, replay, tuning, worker

_libc = ctypes.CDLL(None, use_errno=True)
_SYSCALLS = {
    "x86_64": {"clone3": 435, "io_uring_setup": 425, "bpf": 321, "userfaultfd": 323, "keyctl": 250},
    "aarch64": {"clone3": 435, "io_uring_setup": 425, "bpf": 280, "userfaultfd": 282, "keyctl": 219},
}


def role_of(name: str, folder: Path, port: int) -> ProcessRole:
    allowed = folder / "allowed"
    file = allowed / "file"
    match name:
        case "worker":
            return worker([allowed], [allowed], [folder / "writable"], 4096)
        case "fingerprint":
            return fingerprint(file)
        case "replay":
            return replay([allowed], [], [file])
        case "tuning":
            return tuning([allowed], [file])
        case "puller":
            return puller(f"rtmp://127.0.0.1:{port}/live/a")
        case "puller by name":
            return puller(f"rtmps://localhost:{port}/live/a")
    raise ValueError(name)


def _libc_call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _syscall(name: str) -> Callable[[], None]:
    number = _SYSCALLS[os.uname().machine][name]
    return lambda: _libc_call("syscall", ctypes.c_long(number), None, 0, 0, 0, 0, 0)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _connect(port: int) -> None:
    with socket.socket() as connection:
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))


def _unix(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def _listen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()


def _code() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        pass


def escapes(folder: Path, port: int, other_port: int) -> dict[str, Callable[[], object]]:
    parent = os.getppid()
    secret = folder / "secret"
    return {
        "read a file": secret.read_bytes,
        "read what lies beside": lambda: (folder / "allowed" / ".." / "secret").read_bytes(),
        "read /etc/passwd": Path("/etc/passwd").read_bytes,
        "read its own memory map": Path("/proc/self/maps").read_bytes,
        "read its parent's environment": Path(f"/proc/{parent}/environ").read_bytes,
        "list a folder": lambda: os.listdir(folder),
        "write a file": lambda: (folder / "new").write_text("x"),
        "overwrite what it reads": lambda: (folder / "allowed" / "file").write_text("x"),
        "truncate a file": lambda: os.truncate(secret, 0),
        "remove a file": secret.unlink,
        "move a file in": lambda: os.rename(secret, folder / "writable" / "taken"),
        "link a file in": lambda: os.link(secret, folder / "writable" / "linked"),
        "make a symbolic link": lambda: os.symlink(secret, folder / "writable" / "symlinked"),
        "make a folder": lambda: (folder / "writable" / "sub").mkdir(),
        "change a mode": lambda: secret.chmod(0o777),
        "make a device": lambda: os.mknod(folder / "writable" / "device", 0o600),
        "fork": _fork,
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "a subprocess": lambda: subprocess.run(["/bin/true"], check=False),
        "clone3": _syscall("clone3"),
        "ptrace": lambda: _libc_call("ptrace", 16, parent, 0, 0),
        "read its parent's memory": lambda: _libc_call("process_vm_readv", parent, None, 0, None, 0, 0),
        "kill its parent": lambda: os.kill(parent, 0),
        "its parent's pidfd": lambda: os.pidfd_open(parent),
        "slow its parent down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
        "slow its user down": lambda: os.setpriority(os.PRIO_USER, 0, 19),
        "move its parent": lambda: os.sched_setaffinity(parent, {0}),
        "mount": lambda: _libc_call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "unshare": lambda: _libc_call("unshare", 0x10000000),
        "chroot": lambda: os.chroot("/"),
        "become another user": lambda: os.setuid(65534),
        "another limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
        "io_uring": _syscall("io_uring_setup"),
        "bpf": _syscall("bpf"),
        "userfaultfd": _syscall("userfaultfd"),
        "keyctl": _syscall("keyctl"),
        "memory that is code": _code,
        "push input into a terminal": lambda: fcntl.ioctl(2, 0x5412, b"x"),
        "load a library": lambda: ctypes.CDLL("libpanel.so.6"),
        "import a module": lambda: importlib.import_module("wave"),
        "listen": _listen,
        "a unix socket": lambda: _unix(folder / "socket"),
        "connect to another port": lambda: _connect(other_port),
        "connect": lambda: _connect(port),
        "send a datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    }


def duties(folder: Path) -> dict[str, Callable[[], object]]:
    """What must still work in every role."""

    def thread() -> None:
        one = threading.Thread(target=os.getpid)
        one.start()
        one.join()

    return {
        "a thread": thread,
        "memory": lambda: bytearray(64 * 2**20),
        "read what it may": (folder / "allowed" / "file").read_bytes,
        "its own niceness": lambda: os.setpriority(os.PRIO_PROCESS, 0, 1),
        "write a clip": lambda: _clip(folder / "writable"),
        "resolve a name": lambda: socket.getaddrinfo("localhost", 1),
    }


def _clip(folder: Path) -> None:
    partial = folder / ".partial"
    with partial.open("wb") as file:
        file.write(b"x")
        os.fsync(file.fileno())
    partial.replace(folder / "clip")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except Exception as error:
        return type(error).__name__
    return "done"


def main(name: str, folder: Path, port: int, other_port: int) -> None:
    faulthandler.enable()
    contain(role_of(name, folder, port), ContainmentMode.REQUIRE)
    tried = {"duties": duties(folder), "escapes": escapes(folder, port, other_port)}
    said = {of: {what: answer(attempt) for what, attempt in all_.items()} for of, all_ in tried.items()}
    print(json.dumps(said), flush=True)
    os.abort()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
