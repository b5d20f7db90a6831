"""A process that takes names in the runtime directory, for test_discovery: `registrant.py ROOT CALL ARGUMENT...`."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path

from bus import ofd
from bus.discovery import Directory, Entry, NameTaken


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def entry(name: str, *endpoints: str) -> Entry:
    return Entry(
        name,
        pid=os.getpid(),
        host=os.uname().nodename,
        publisher_id=int.from_bytes(os.urandom(8), "little"),
        started_ns=time.time_ns(),
        pub=endpoints,
    )


def node(root: Path, name: str) -> None:
    """Take a name with a listening socket; leave cleanly at the end of standard input."""
    directory = Directory("cell", root)
    path = directory.socket_path()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()
        try:
            registration = directory.register(entry(name, f"ipc://{path}"))
        except NameTaken as error:
            say("taken", error)
            return
        say("there", os.getpid())
        sys.stdin.read()
        os.unlink(path)
        registration.close()
        directory.close()


def crowd(root: Path, count: str) -> None:
    """Fork a node per name, without exec; wait for all of them to end."""
    children = []
    for n in range(int(count)):
        pid = os.fork()
        if pid == 0:
            node(root, f"vmc{n}/core")
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def parent(root: Path, name: str) -> None:
    """Take a name, then fork a child that lives on and does nothing with it, not even by `close`."""
    directory = Directory("cell", root)
    directory.watch()
    directory.anchor_ns()
    registration = directory.register(entry(name))
    if os.fork() == 0:
        registration.close()
        directory.close()
        say("child", os.getpid())
        signal.pause()
    say("there", os.getpid())
    signal.pause()


def rival(root: Path, turns: str) -> None:
    """Take a name over and over, leaving in one of three ways, and check that it was nobody else's meanwhile."""
    for turn in range(int(turns)):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            continue
        # a number above that of the name's lock: at death Linux lets go of the highest first, and this one has to be
        # free whenever the name is
        witness = ofd.LockFile(root / "witness")
        low, witness.fd = witness.fd, fcntl.fcntl(witness.fd, fcntl.F_DUPFD_CLOEXEC, 100)
        os.close(low)
        directory = Directory("cell", root)
        mine = entry("prize")
        try:
            registration = directory.register(mine)
        except NameTaken:
            directory.entries()
            os._exit(0)
        if not witness.lock(ofd.EXCLUSIVE, 0):
            say("two held the name at once")
        if directory.entries() != {"prize": registration.entry} or not registration.intact:
            say("a living node's entry was removed")
        say("won")
        if turn % 3 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if turn % 3 == 1:
            witness.close()
            registration.close()
            directory.close()
        os._exit(0)


def guest(root: Path, turns: str) -> None:
    """Come into the domain and leave it, over and over, often as the only one."""
    for turn in range(int(turns)):
        directory = Directory("cell", root)
        directory.watch()
        path = directory.socket_path()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)
            registration = directory.register(entry(f"guest{os.getpid()}", f"ipc://{path}"))
            if not registration.intact or entry_names(root) < {registration.entry.name}:
                say("the folder went while somebody was in it")
            os.unlink(path)
        for leaving in (registration, directory)[:: 1 if turn % 2 else -1]:
            leaving.close()
    say("done")


def entry_names(root: Path) -> set[str]:
    return {*Directory("cell", root).entries()}


if __name__ == "__main__":
    calls = {"node": node, "crowd": crowd, "parent": parent, "rival": rival, "guest": guest}
    calls[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
