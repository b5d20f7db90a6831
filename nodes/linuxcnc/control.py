"""One life of LinuxCNC as a child: a folder of its own, started as a plain user, nothing left behind.

LinuxCNC refuses root, allows one instance per computer (fixed keys of shared memory, a lock file), and cleans up only
when its foreground program ends by itself. Ours ends with the pipe it reads, so also when this process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from bus.poll import readable

PROGRAM = "linuxcnc"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
APT = "apt-get install -y --no-install-recommends linuxcnc-uspace procps psmisc"
LOCK = Path("/tmp/linuxcnc.lock")
MEMORY = Path("/proc/sysvipc/shm")
KEYS = frozenset({1001, 1002, 1003, 1004, 1005, 100, 0x48414C32, 0x48484C50, 0x48534230, 0x90280A48})
"""of its shared memory: NML's buffers, motion, HAL, sampler, RTAPI"""
PARTS = ("linuxcncsvr", "io", "halui", "milltask", "rtapi_app")
"""its processes, by the names that the kernel knows them by"""
VITAL = frozenset({"milltask", "rtapi_app"})
"""without them nothing moves, and its script does not notice"""
LOOK_EVERY = 5
"""waits of 0.2 s between two looks for them"""
START_WAITS = 75
"""it is up after a second; one that is not after so many never will be, or died before it was seen"""
NOISE = ("libnml/", "Note: Using POSIX non-realtime", "link (updating variable file)", "Found file(")
LATE = "task: main loop took"
END_S = 8.0
PREFIX = "rise-linuxcnc-"
"""of the folders it is run in"""
IPC_RMID = 0
LINE_MOST = 400


class NotPossible(Exception):
    """LinuxCNC cannot run here now; the text says why and what to do."""


def installed() -> bool:
    return shutil.which(PROGRAM, path=PATH) is not None


def parts() -> dict[int, str]:
    """LinuxCNC's processes that run on this computer, by their ids."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                name = (folder / "comm").read_text().strip()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                ours = name != "io" or b"-ini" in (folder / "cmdline").read_bytes()
                if name in PARTS and ours and state != "Z":
                    found[int(folder.name)] = name
    return found


def clear_leftovers() -> None:
    """Remove what a LinuxCNC that was killed left: its lock, its shared memory, a folder. Only when no part of it runs.

    Raises:
        NotPossible: one runs, or what is left belongs to somebody else.
    """
    if running := parts():
        pid, name = next(iter(running.items()))
        raise NotPossible(f"LinuxCNC runs already ({name}, process {pid}): there can be one on a computer")
    libc = ctypes.CDLL(None, use_errno=True)
    for row in MEMORY.read_text().splitlines()[1:]:
        key, number, attached = (int(row.split()[n]) for n in (0, 1, 6))
        if key & 0xFFFFFFFF in KEYS and not attached and libc.shmctl(number, IPC_RMID, None):
            raise NotPossible(f"cannot remove LinuxCNC's shared memory {key:#x}: {os.strerror(ctypes.get_errno())}")
    try:
        LOCK.unlink(missing_ok=True)
    except OSError as error:
        raise NotPossible(f"cannot remove {LOCK}: {error.strerror}") from None
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Control:
    """LinuxCNC with one configuration."""

    def __init__(self, ini: Path, user: str) -> None:
        """`user`: who runs it when this process is root's; else it is whoever runs this process.

        Raises:
            NotPossible
        """
        if not installed():
            raise NotPossible(f"LinuxCNC is not installed; install it with: {APT}")
        if not ini.is_file():
            raise NotPossible(f"{ini} is no file")
        try:
            account = pwd.getpwnam(user) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        except KeyError:
            raise NotPossible(f"there is no user {user!r}") from None
        if account.pw_uid == 0:
            raise NotPossible("LinuxCNC refuses to run as root: give another user")
        self._ini, self._account = ini, account
        self.late_cycles = 0
        """of its task, told by it: this computer was too busy"""
        self.gone = threading.Event()
        """nothing of it runs"""
        self.gone.set()

    def lines(self, end: threading.Event) -> Iterator[str]:
        """Start it, give what it says, until it ends, or until `end` is set: then it is asked to end, and waited for.

        Raises:
            NotPossible
        """
        clear_leftovers()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.gone.clear()
        try:
            self._fill(folder)
            process = self._start(folder)
            try:
                yield from self._said(process, end)
            finally:
                self._finish(process)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.gone.set()

    def _fill(self, folder: Path) -> None:
        shutil.copytree(self._ini.parent, folder, dirs_exist_ok=True)
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        folder.chmod(0o700)

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        # no DISPLAY: all dialogs of its script hang on that; -r: it writes to our pipe
        return subprocess.Popen(
            [PROGRAM, "-r", str(folder / self._ini.name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": str(folder), "USER": self._account.pw_name, "LANG": "C.UTF-8", "PATH": PATH},
            start_new_session=True,
            restore_signals=False,  # SIGPIPE stays ignored: its script cleans up although nobody reads it any more
            user=self._account.pw_uid,
            group=self._account.pw_gid,
            extra_groups=[] if os.geteuid() == 0 else None,
        )

    def _said(self, process: subprocess.Popen[bytes], end: threading.Event) -> Iterator[str]:
        assert process.stdout is not None
        output = process.stdout.fileno()
        rest, waits, came_up = b"", 0, False
        while not end.is_set() and process.poll() is None:
            if not readable([output], 0.2):
                waits += 1
                if not came_up or waits % LOOK_EVERY == 0:
                    lives = set(parts().values()) >= VITAL
                    if not lives and (came_up or waits > START_WAITS):
                        return
                    came_up = came_up or lives
                continue
            data = os.read(output, 8192)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LINE_MOST:]
            for line in lines:
                text = line.decode(errors="replace").strip()[:LINE_MOST]
                if text.startswith(LATE):
                    self.late_cycles += 1
                elif text and not text.startswith(NOISE):
                    yield text

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            process.stdin.close()
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()  # a full pipe would keep it from ending
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # killed, or its script was: what it had started lives on
            for pid in parts():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            drain.join(1.0)
