"""Messages as the recorder hears them, without a bus."""

from __future__ import annotations

from pathlib import Path

from bus.bag.check import check
from bus.node import Raw
from nodes.recorder.recording import Recording
from nodes.recorder.settings import Happened, Identity, Settings
from schemas.base import M, Topic
from schemas.codec import codec
from schemas.grammar import type_hash
from tests.bus.bag.bags import START_NS

WHO = Identity("recorder", 9, "here", "test", "0")


class Voice:
    """Numbers messages per topic, as one publisher does."""

    def __init__(self, namespace: str = "vmc1", publisher_id: int = 77) -> None:
        self.namespace = namespace
        self.publisher_id = publisher_id
        self.seqs: dict[str, int] = {}

    def say(self, topic: Topic[M], message: M, at_ns: int, *, skip: int = 0, lost: int = 0) -> Raw:
        name = topic.name[1:] if topic.name.startswith("/") else f"{self.namespace}/{topic.name}"
        first = self.seqs.get(name, 0) + 1
        seq = self.seqs[name] = first + skip + max(0, lost - 1)
        return Raw(
            name,
            f"{self.namespace}/sensory_cortex",
            self.publisher_id,
            seq,
            at_ns - 1000,
            at_ns,
            b"" if lost else codec(type(message)).encode(message),
            type(message).__name__,
            type_hash(type(message)),
            topic.qos.name,
            lost_first=first if lost else 0,
        )


def recording(folder: Path, happened: list[Happened], **settings: object) -> Recording:
    plain = {"keep_free_bytes": 0, "reduce_idle": False, **settings}
    return Recording(Settings(folder, **plain), WHO, happened.append)  # type: ignore[arg-type] # keywords of the tests


def problems(path: str | Path) -> list[str]:
    return [p.text for p in check(path).problems]


__all__ = ["START_NS", "WHO", "Voice", "problems", "recording"]
