"""A process that speaks to its guard like a node and misbehaves as it is told. Started by path, stdlib only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

READY = int(os.environ["RISE_READY_FD"])


def say(word: str) -> None:
    os.write(READY, word.encode() + b"\n")


def main(how: str) -> None:
    asked = threading.Event()
    sys.stdout.write(f"{how} {os.getpid()}\n")
    sys.stdout.flush()
    if how == "crash":
        sys.exit(3)
    if how == "finish":
        say("READY")
        sys.exit(0)
    if how == "silent":
        asked.wait()
    if how == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGINT, lambda *_: asked.set())
    if how == "chatty":
        sys.stdout.write("".join(f"line {n} {'x' * 90}\n" for n in range(3000)) + "y" * 10_000 + "\nsaid\n")
        sys.stdout.flush()
    if how == "parent":
        # a grandchild that has left its parent's group, and a child that ignores being asked
        code = "import os, signal; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); "
        code += (
            "pid = os.fork(); os.setsid() if not pid else None; print('child', os.getpid(), flush=True); signal.pause()"
        )
        subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
    if how == "odd":
        for word in ("PID", "PID x", "PID 1e9", "PID " + "9" * 3000, "\udcff\0", "SCHED", "LOG", ""):
            os.write(READY, word.encode("utf-8", "surrogateescape") + b"\n")
    say("READY vmc1/other" if how == "lonely" else "READY")
    while not asked.wait(0.05):
        if how != "mute":
            say("BEAT")
    sys.stdout.write("asked to end\n")
    if how == "slow":
        threading.Event().wait(1.0)  # it writes its file to the end


if __name__ == "__main__":
    main(sys.argv[1])
