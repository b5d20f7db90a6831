"""What touches LinuxCNC: a process for its HAL and one for its task, each beside the driver, each for one life of it.

Run by the system's Python as `python3 -I helper.py hal FD SAMPLER` or `... task FD`: LinuxCNC's modules are built for
that one, they hold the interpreter for 20 to 80 ms in every command, and they end the process when shared memory is
not what they expect. None of this may reach the node. It imports no package of ours.

FD is a SOCK_SEQPACKET socket; when its other end is gone, the process ends. Its datagrams begin with a letter:

    from hal    H          attached: the pins are linked, rows follow
                R          rows: number of the first (u64), then float32, row after row; the numbers count the servo
                           periods, so that a gap shows what the sampler's queue could not hold
    from task   S          JSON: the fields of the status, when one changed, and ten times a second
                E          JSON: a text of the control for its operator
                A          JSON: a command went out, or could not: {"do": ..., "text": ...}
    from both   X          text: why it ends
    to hal      h s q      set the pins: hold, stop, spindle off
                c          clear them, and the guard
                b          a beat: the pin of the watchdog toggles, and the guard goes on
                g          guard off
                l          simulated load, float64
    to task     JSON       {"do": ..., "arg": ...}: a row of COMMANDS
"""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

APT = "apt-get install -y --no-install-recommends linuxcnc-uspace procps psmisc"
HAL_KEY = 0x48414C32
"""of HAL's shared memory, "HAL2"; its owner is whoever runs LinuxCNC"""
FOUND_PAUSE_S, EMPTY_PAUSE_S = 0.0009, 0.0001
"""after a row the next one is due in a servo period; looked for so often from shortly before"""
ROWS_MOST = 256
STATUS_S = 0.0015
LIFE_EVERY = 66
"""looks at the status between two signs of life"""
TEXT_MOST = 400
PROGRAM_BYTES_MOST = 16 << 20

PINS = {"hold": "HAL_BIT", "stop": "HAL_BIT", "spindle-off": "HAL_BIT", "beat": "HAL_BIT", "guard": "HAL_BIT"}


class NotThere(Exception):
    """LinuxCNC does not run, or not as it is expected to; the text says what to do."""


def owner_of_hal() -> int:
    """The user who runs LinuxCNC.

    Raises:
        NotThere: nobody does.
    """
    with open("/proc/sysvipc/shm") as table:
        next(table)
        for line in table:
            cells = line.split()
            if int(cells[0]) == HAL_KEY and int(cells[6]) > 0:
                return int(cells[7])
    raise NotThere("LinuxCNC does not run")


def become(uid: int) -> None:
    """Whoever runs LinuxCNC: what root makes in shared memory its next start could not use, and its end could not
    end us."""
    if os.geteuid() == uid:
        return
    if os.geteuid() != 0:
        raise NotThere(f"LinuxCNC runs as user {uid}: this node must run as the same, or as root")
    import pwd

    os.setgroups([])
    os.setgid(pwd.getpwuid(uid).pw_gid)
    os.setuid(uid)


def task_of(uid: int) -> int:
    """The process of LinuxCNC's task.

    Raises:
        NotThere: there is none.
    """
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/comm") as comm:
                    ours = comm.read().strip() == "milltask" and os.stat(f"/proc/{name}").st_uid in (uid, 0)
            except OSError:
                continue
            # one of an earlier life may be dead and still listed, when whoever started it does not look after it
            if ours and state_of(int(name)) not in "ZX":
                return int(name)
    raise NotThere("LinuxCNC's task (milltask) does not run")


# --- HAL --------------------------------------------------------------------------------------------------------------


def run_hal(line: socket.socket, types: str) -> None:
    """Rows out, pins in, until one side ends."""
    become(owner_of_hal())
    import hal

    name = f"rise-{os.getpid()}"
    component = hal.component(name)
    try:
        if others := readers(pin["NAME"] for pin in hal.get_info_pins()):
            raise NotThere(f"process {others[0]} reads this LinuxCNC already: its sampler has one reader")
        pins = {pin: component.newpin(pin, getattr(hal, kind), hal.HAL_IO) for pin, kind in PINS.items()}
        signals = {s["NAME"] for s in hal.get_info_signals()}
        if lacking := [f"rise-{pin}" for pin in PINS if f"rise-{pin}" not in signals]:
            raise NotThere(f"HAL has no signal {', '.join(lacking)}: the machine's INI file lacks HALFILE = rise.hal")
        if simulated := "rise-sim-load" in signals:
            pins["load"] = component.newpin("load", hal.HAL_FLOAT, hal.HAL_IO)
        component.ready()
        for pin in PINS:
            hal.connect(f"{name}.{pin}", f"rise-{pin}")
        if simulated:
            hal.connect(f"{name}.load", "rise-sim-load")
        try:
            stream = hal.stream(component, hal.sampler_base, types)
        except hal.error as error:
            raise NotThere(f"the sampler is not as the driver expects, cfg={types}: {error}") from None
        while stream.read() is not None:
            pass  # what was taken before we were there
        line.send(b"H")
        exchange(line, stream, Pins(pins), len(types))
    finally:
        component.exit()


def readers(pins: Iterable[str]) -> list[int]:
    """Processes beside a driver, other than this one, that are attached and alive."""
    named = {int(n) for pin in pins for n in re.findall(r"^rise-(\d+)\.hold$", pin)} - {os.getpid()}
    return sorted(pid for pid in named if os.path.exists(f"/proc/{pid}") and state_of(pid) not in "ZX")


class Pins:
    """What is asked of the machine, each a write of a pin: no lock, no call that waits."""

    def __init__(self, pins: dict[str, Any]) -> None:
        self.pins = pins
        self.cleared = False
        """the watchdog must see its enable low for a servo period before it begins anew: until the second beat"""

    def do(self, datagram: bytes) -> None:
        pins, letter = self.pins, datagram[:1]
        if letter == b"h":
            pins["hold"].value = True
        elif letter == b"s":
            pins["stop"].value = True
        elif letter == b"b":
            pins["beat"].value = not pins["beat"].value
            pins["guard"].value = not self.cleared
            self.cleared = False
        elif letter == b"q":
            pins["spindle-off"].value = True
        elif letter == b"c":
            self.cleared = True
            for pin in ("guard", "hold", "stop", "spindle-off"):
                pins[pin].value = False
        elif letter == b"g":
            pins["guard"].value = False
        elif letter == b"l" and len(datagram) == 9 and "load" in pins:
            (pins["load"].value,) = struct.unpack("<d", datagram[1:])


def exchange(line: socket.socket, stream: Any, pins: Pins, width: int) -> None:
    """Every servo period: its row out, right after it was taken; what is asked in, at once."""
    pack = struct.Struct(f"<{width}f").pack
    pause_s = EMPTY_PAUSE_S
    while True:
        ready, _, _ = select.select([line], [], [], pause_s)
        if ready:
            datagram = line.recv(64)
            if not datagram:
                return
            pins.do(datagram)
            continue
        rows: list[bytes] = []
        first = 0
        while len(rows) < ROWS_MOST and (row := stream.read()) is not None:
            if not rows:
                # the sampler numbers what it could queue; what it could not is counted apart
                first = stream.sampleno + stream.num_overruns
            rows.append(pack(*row))
        pause_s = FOUND_PAUSE_S if rows else EMPTY_PAUSE_S
        if rows:
            tell(line, b"R" + struct.pack("<Q", first) + b"".join(rows))


# --- task -------------------------------------------------------------------------------------------------------------


def commands(linuxcnc: Any, command: Any) -> dict[str, Callable[[Any], object]]:
    """What the task may be asked; each returns when the task has seen it, which takes 20 to 80 ms."""
    return {
        "estop_reset": lambda arg: command.state(linuxcnc.STATE_ESTOP_RESET),
        "on": lambda arg: command.state(linuxcnc.STATE_ON),
        "manual": lambda arg: command.mode(linuxcnc.MODE_MANUAL),
        "auto": lambda arg: command.mode(linuxcnc.MODE_AUTO),
        "home": lambda arg: command.home(-1),
        "open": lambda arg: command.program_open(str(arg)),
        "run": lambda arg: command.auto(linuxcnc.AUTO_RUN, 0),
        "pause": lambda arg: command.auto(linuxcnc.AUTO_PAUSE),
        "resume": lambda arg: command.auto(linuxcnc.AUTO_RESUME),
        "abort": lambda arg: command.abort(),
    }


class Program:
    """The text of the blocks: the status has only their numbers."""

    def __init__(self) -> None:
        self.path = ""
        self.lines: list[str] = []

    def block(self, path: str, number: int) -> str:
        if path != self.path:
            self.path = path
            try:
                with open(path, "rb") as file:
                    self.lines = file.read(PROGRAM_BYTES_MOST).decode("latin-1").splitlines()
            except OSError:
                self.lines = []
        return self.lines[number - 1].strip()[:TEXT_MOST] if 0 < number <= len(self.lines) else ""


def fields(stat: Any, program: Program) -> dict[str, Any]:
    """What of the status travels, by the names that status.py reads."""
    return {
        "task_state": stat.task_state,
        "task_mode": stat.task_mode,
        "interp_state": stat.interp_state,
        "exec_state": stat.exec_state,
        "paused": bool(stat.task_paused),
        "homed": all(stat.homed[: stat.joints]),
        "ini": stat.ini_filename,
        "file": stat.file,
        "line": stat.motion_line,
        "block": program.block(stat.file, stat.motion_line),
        "feed_word": stat.settings[1],
        "stop_word": stat.mcodes[1],
        "units_per_mm": stat.linear_units,
    }


def run_task(line: socket.socket) -> None:
    """Status out, commands in, until one side ends."""
    uid = owner_of_hal()
    become(uid)
    pid = task_of(uid)
    ended = os.pidfd_open(pid)
    # the tool table is a file below its HOME; without it the status cannot be read
    os.environ["HOME"] = home_of(pid)
    linuxcnc: Any = importlib.import_module("linuxcnc")  # a launch file has the same name

    linuxcnc.nmlfile = nml_file(pid)
    stat, command, errors = linuxcnc.stat(), linuxcnc.command(), linuxcnc.error_channel()
    known = commands(linuxcnc, command)
    program = Program()
    told: dict[str, Any] = {}
    looks = quiet = 0
    while True:
        ready, _, _ = select.select([line.fileno(), ended], [], [], STATUS_S)
        if ended in ready:
            raise NotThere("LinuxCNC's task ended")
        if line.fileno() in ready:
            datagram = line.recv(4096)
            if not datagram:
                return
            tell(line, b"A" + json.dumps(obey(datagram, known, linuxcnc.error)).encode())
        stat.poll()
        if not stat.linear_units:
            continue  # the task is only starting
        now = fields(stat, program)
        looks, quiet = looks + 1, quiet + 1
        if now != told or quiet >= LIFE_EVERY:
            if quiet >= LIFE_EVERY:
                quiet = 0
                for text in operator_texts(errors):
                    tell(line, b"E" + json.dumps({"text": text}).encode())
                if not runs(pid):
                    continue  # a task that was stopped tells an old status
            told = now if tell(line, b"S" + json.dumps({**now, "looks": looks}).encode()) else {}


def home_of(pid: int) -> str:
    with open(f"/proc/{pid}/environ", "rb") as file:
        words = file.read().decode(errors="replace").split("\0")
    return next((word[5:] for word in words if word.startswith("HOME=")), "/")


def nml_file(task_pid: int) -> str:
    """The file of the channels that this LinuxCNC uses: of its INI file, which stands in the task's command."""
    with open(f"/proc/{task_pid}/cmdline", "rb") as file:
        words = file.read().decode(errors="replace").split("\0")
    ini = next((words[n + 1] for n, word in enumerate(words[:-1]) if word == "-ini"), "")
    section = ""
    with open(ini, errors="replace") as lines:
        for text in lines:
            text = text.strip()
            if text.startswith("["):
                section = text
            key, equals, value = text.partition("=")
            if equals and key.strip() == "NML_FILE" and section in ("[EMC]", "[LINUXCNC]"):
                return os.path.join(os.path.dirname(ini), value.strip())
    return "/usr/share/linuxcnc/linuxcnc.nml"


def runs(pid: int) -> bool:
    """Whether it is neither stopped nor dead."""
    return state_of(pid) not in "TtZX"


def state_of(pid: int) -> str:
    """The letter of its state; Z and X are dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def obey(datagram: bytes, known: Mapping[str, Callable[[Any], object]], error: type[Exception]) -> dict[str, str]:
    asked = json.loads(datagram)
    do, text = str(asked.get("do")), ""
    try:
        known[do](asked.get("arg"))
    except KeyError:
        text = "is not known"
    except error as why:
        text = str(why)
    return {"do": do, "text": text[:TEXT_MOST]}


def operator_texts(errors: Any) -> Iterator[str]:
    for _ in range(8):
        told = errors.poll()
        if not told:
            return
        yield str(told[1])[:TEXT_MOST]


# --- both -------------------------------------------------------------------------------------------------------------


def tell(line: socket.socket, datagram: bytes) -> bool:
    """Never wait for who listens: what is asked must come through. Rows that are dropped here show by their numbers."""
    try:
        line.send(datagram, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


def main(words: list[str]) -> int:
    role, descriptor, *rest = words
    # a node with many descriptors hands over a high one, and select, which counts in microseconds, takes none over 1023
    line = socket.socket(fileno=os.dup(int(descriptor)))
    os.close(int(descriptor))
    if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        # attaching takes a spin lock that a process of lower priority may hold; who started us raises us afterwards
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    # LinuxCNC ends its components with SIGTERM, and waits until they have left HAL; its module answers it so, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    why = ""
    try:
        if role == "hal":
            run_hal(line, *rest)
        else:
            run_task(line)
    except NotThere as error:
        why = str(error)
    except ImportError as error:
        why = f"LinuxCNC is not installed ({error}); install it with: {APT}"
    except KeyboardInterrupt:
        why = "LinuxCNC ends"
    except OSError as error:
        why = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    except Exception as error:  # the libraries' own
        why = f"{type(error).__name__}: {error}"
    try:
        line.send(b"X" + why.encode()[:TEXT_MOST])
    except OSError:
        return 1  # nobody is left to be told
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
