"""A process beside the hub that plays one bag to one page: what the page sends on its standard input, what it is sent
on its standard output, each as a length (4 bytes, little-endian) and so many bytes.

Who reads slowly is played to slowly: a pipe that is full holds the player up, and nothing is lost. It ends with its
input.
"""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bus.bag import BadBag, BagReader
from web import play_words, protocol
from web.play_words import Pause, Play, PlayRequest, Seek
from web.playback import Playback
from web.protocol import BadRequest, Ping, Subscribe, Unsubscribe

LENGTH = struct.Struct("<I")
TICK_S = 0.02
TELL_S = 0.1
SLIPS_S = 0.5
"""later than this it is not caught up with"""
WAITING_MAX = 1000
NICE = 3
"""whoever protects a machine goes first; and yet it must not starve beside a busy shop"""
Requests = queue.Queue[bytes | None]


def frames(pipe: IO[bytes]) -> Iterator[bytes]:
    """What comes, until the pipe ends; a frame that is cut off is none."""
    while len(head := pipe.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        data = pipe.read(size)
        if len(data) < size:
            return
        yield data


class Player:
    """Plays to one page.

    Args:
        asked: what the page sends; None when it is gone.
        say: sends it something, and waits while there is no room.
        clock_s: a clock that never steps.
    """

    def __init__(
        self, playback: Playback, asked: Requests, say: Callable[[bytes], object],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.playback = playback
        self.speed = 1.0
        self.paused = True
        self.slipped_s = 0.0
        self._asked = asked
        self._say = say
        self._clock_s = clock_s
        self._due: tuple[float, int] = (0.0, 0)
        """a moment, and where in the bag it was then"""
        self._told_s = 0.0
        self._gone = False
        self._seek_ns: int | None = None
        """where it is asked to go next"""
        self._going_ns: int | None = None
        """where it is on its way to"""

    def run(self) -> None:
        """Play until the page is gone."""
        self._say(self.playback.hello())
        while self._hear(TICK_S):
            if self._seek_ns is not None:
                self._seek()
            self._play()
            if self._clock_s() - self._told_s >= TELL_S:
                self._tell()

    def _hear(self, wait_s: float) -> bool:
        """Take all that was asked, waiting a little for the first; False when the page is gone."""
        try:
            while (data := self._asked.get(wait_s > 0, wait_s)) is not None:
                self._take(data)
                wait_s = 0.0
        except queue.Empty:
            return not self._gone
        self._gone = True
        return False

    def _take(self, data: bytes) -> None:
        try:
            self._do(play_words.decode(data))
        except BadRequest as error:
            self._say(protocol.error(str(error), error.id))

    def _do(self, request: PlayRequest) -> None:
        match request:
            case Ping(n):
                self._say(protocol.pong(n, self.playback.at_ns))
            case Subscribe() | Unsubscribe():
                self.playback.want(request)
                here_ns = self.playback.at_ns if self._going_ns is None else self._going_ns
                self._seek_ns = here_ns if self._seek_ns is None else self._seek_ns
            case Seek(at_ns):
                self._seek_ns = at_ns
            case Pause():
                self.paused = True
                self._tell_unless_going()
            case Play(speed):
                self.speed, self.paused = speed, False
                if self.playback.at_ns > self.playback.end_ns:
                    self._seek_ns = self.playback.start_ns
                self._anchor()
                self._tell_unless_going()

    def _tell_unless_going(self) -> None:
        """On its way to a moment it says nothing of itself: a page takes that for the end of the way."""
        if self._seek_ns is None and self._going_ns is None:
            self._tell()

    def _seek(self) -> None:
        """Go there, unless another place is asked for on the way."""
        at_ns, self._seek_ns = self._seek_ns, None
        assert at_ns is not None
        self._going_ns = at_ns
        for frame in self.playback.seek(at_ns):
            self._say(frame)
            if not self._asked.empty() and (not self._hear(0.0) or self._seek_ns is not None):
                return
        self._going_ns = None
        self._anchor()
        self._tell()

    def _anchor(self) -> None:
        self._due = (self._clock_s(), self.playback.at_ns)

    def _play(self) -> None:
        if self.paused or self._seek_ns is not None:
            return
        playback = self.playback
        since_s, from_ns = self._due
        now_s = self._clock_s()
        until_ns = from_ns + round((now_s - since_s) * self.speed * 1e9)
        late_s = (until_ns - playback.at_ns) / 1e9 / self.speed - TICK_S
        if late_s > SLIPS_S:
            self.slipped_s += late_s
            until_ns = playback.at_ns + round(TICK_S * self.speed * 1e9)
        until_ns = min(until_ns, playback.end_ns + 1)
        for frame in playback.play(until_ns):
            self._say(frame)
        if late_s > SLIPS_S:
            self._anchor()
        if playback.at_ns > playback.end_ns:
            self.paused = True
            self._tell()

    def _tell(self) -> None:
        self._told_s = self._clock_s()
        playback = self.playback
        self._say(
            play_words.position(
                playback.at_ns, playback.start_ns, playback.end_ns,
                speed=self.speed, paused=self.paused, slipped_s=round(self.slipped_s, 3),
            )
        )  # fmt: skip


def _forward(pipe: IO[bytes], asked: Requests) -> None:
    for data in frames(pipe):
        asked.put(data)  # waits while there is no room: the hub closes a page that asks so much
    asked.put(None)


def main(path: str) -> None:
    """Play a bag to whoever is on the other end of the pipes."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(NICE)

    def say(data: bytes) -> None:
        own.write(LENGTH.pack(len(data)) + data)
        own.flush()

    try:
        bag = BagReader(Path(path))
        if not bag.info.messages:
            raise BadBag(path, "holds no message")
    except BadBag as error:
        say(protocol.error(str(error)))
        return
    asked: Requests = queue.Queue(WAITING_MAX)
    threading.Thread(target=_forward, args=(sys.stdin.buffer, asked), name="asked", daemon=True).start()
    try:
        Player(Playback(bag), asked, say).run()
    except BrokenPipeError:
        pass  # the hub has ended
    except BadBag as error:
        say(protocol.error(str(error)))


if __name__ == "__main__":
    main(sys.argv[1])
