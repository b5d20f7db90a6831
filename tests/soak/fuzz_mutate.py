"""Inputs that are nearly right: bytes flipped, cut and spliced, and trees (msgpack, JSON) with one thing wrong in them.

Random bytes seldom get past the first check of a parser. What breaks one is a message that is well formed up to the one
value that nobody thought of, so most inputs are seeds in which a value was replaced, removed, doubled or nested.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgpack

Kind = Literal["bytes", "text", "msgpack", "json"]


class Grammar(NamedTuple):
    """How a target's input is built: `head` raw bytes, then what `kind` says."""

    kind: Kind = "bytes"
    head: int = 0
    words: tuple[bytes, ...] = ()
    """put in where they may hurt"""


BYTES = Grammar()
MAX_BYTES = 10_000
TREE_MAX_BYTES = 1 << 18
MAX_DEPTH = 1200
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32, -(2**31), 2**53, 2**62, 2**63 - 1, 2**63,
    2**64 - 1, -(2**63), 0.0, -0.0, 0.5, 1e-300, 1e300, 1e308, float("nan"), float("inf"), -float("inf"),
)  # fmt: skip
TEXTS: tuple[Any, ...] = (
    "", "\0", "\n", "*", "/", "..", "a/b", "é", "٣", "²", "\ud800", "\U0001f600", "nan", "true", "null", "-1", "1e999",
    "x" * 300, "a" * 3000, "NaN", "<f4", "<f8", "O", "(1,", "S2", "M8[s]",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, False, b"", b"\0", b"\xff" * 9, b"x" * 300, [], {}, [[]], {"": []}, [None] * 40)
BIG_NUMBERS: tuple[Any, ...] = (10**30, -(10**30), 10**400, 10**4200, float("1e5"))
INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(8))


class Mutator:
    """Endless inputs from seeds; the same for the same seed of `rng`.

    Args:
        pool: the seeds; at least one.
    """

    def __init__(self, rng: random.Random, grammar: Grammar, pool: Sequence[bytes]) -> None:
        self.rng = rng
        self.grammar = grammar
        self.pool = list(pool)
        read: dict[Kind, Callable[[bytes], Any]] = {"msgpack": _read_msgpack, "json": _read_json}
        self._read = read.get(grammar.kind)
        self._write = _write_msgpack if grammar.kind == "msgpack" else _write_json
        self._odd = (*NUMBERS, *TEXTS, *OTHERS, *(BIG_NUMBERS if grammar.kind == "json" else ()))
        self._trees = [tree for seed in self.pool if (tree := self._tree(seed)) is not None]

    def next(self) -> bytes:
        """One more input."""
        return self.mutate(self.rng.choice(self.pool))

    def mutate(self, data: bytes) -> bytes:
        """An input near this one."""
        rng = self.rng
        if self._read is not None and rng.random() < 0.8:
            tree = self._tree(data)
            if tree is None and self._trees:
                tree = rng.choice(self._trees)
            if tree is not None:
                head = bytearray(data[: self.grammar.head].ljust(self.grammar.head, b"\0"))
                if head and rng.random() < 0.3:
                    head[rng.randrange(len(head))] = rng.randrange(256)
                for _ in range(rng.choice((1, 1, 1, 2, 3))):
                    tree = self._wrong(tree)
                written = self._write(tree)
                data = bytes(head) + written
                if rng.random() < 0.8 and len(data) <= TREE_MAX_BYTES:
                    return data
        return self.mutate_bytes(data)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def mutate_bytes(self, data: bytes) -> bytes:
        """A few changes to bytes."""
        rng = self.rng
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            at = rng.randrange(len(out) + 1)
            match rng.randrange(9):
                case 0 if out:
                    at = min(at, len(out) - 1)
                    out[at] ^= 1 << rng.randrange(8)
                case 1 if out:
                    out[min(at, len(out) - 1)] = rng.randrange(256)
                case 2:
                    del out[at : at + rng.choice((1, 1, 2, 4, 16, 200))]
                case 3:
                    out[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 16)))
                case 4:
                    word = rng.choice(INTERESTING)
                    out[at : at + len(word)] = word
                case 5 if self.grammar.words:
                    word = rng.choice(self.grammar.words)
                    out[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
                case 6 if out:
                    piece = out[at : at + rng.choice((1, 4, 30, 200))]
                    out[at:at] = piece * rng.choice((1, 1, 2, 50))
                case 7:
                    other = rng.choice(self.pool)
                    cut = rng.randrange(len(other) + 1)
                    out[at:] = other[cut:]
                case _:
                    del out[at:]
        return bytes(out[:MAX_BYTES])

    # --- trees ------------------------------------------------------------------------------------------------------

    def _tree(self, data: bytes) -> Any:
        if self._read is None:
            return None
        try:
            return self._read(data[self.grammar.head :])
        except Exception:  # whatever the library says of bytes that are none
            return None

    def _wrong(self, tree: Any) -> Any:
        """The tree with one thing wrong at a random place."""
        rng = self.rng
        if isinstance(tree, dict) and tree and rng.random() < 0.85:
            key = rng.choice(list(tree))
            out = dict(tree)
            what = rng.random()
            if what < 0.75:
                out[key] = self._wrong(tree[key])
            elif what < 0.85:
                del out[key]
            elif what < 0.92:
                out[rng.choice(TEXTS)] = out[key]
            else:
                out[key] = self._anything()
            return out
        if isinstance(tree, list) and tree and rng.random() < 0.85:
            at = rng.randrange(len(tree))
            rest = list(tree)
            what = rng.random()
            if what < 0.7:
                rest[at] = self._wrong(tree[at])
            elif what < 0.8:
                del rest[at]
            elif what < 0.95:
                rest[at:at] = [tree[at]] * rng.choice((1, 1, 3, 100))
            else:
                rest.reverse()
            return rest
        return self._value(tree)

    def _value(self, value: Any) -> Any:
        rng = self.rng
        what = rng.random()
        if type(value) in (int, float) and what < 0.4:
            return value + rng.choice((1, -1, 255)) if what < 0.2 else -value
        if isinstance(value, str) and what < 0.4:
            at = rng.randrange(len(value) + 1)
            return value[:at] + rng.choice(TEXTS[:18]) + value[at + rng.randrange(2) :]
        if isinstance(value, bytes) and what < 0.5:
            return self.mutate_bytes(value)
        return self._anything()

    def _anything(self) -> Any:
        rng = self.rng
        what = rng.random()
        if what < 0.8:
            return rng.choice(self._odd)
        if what < 0.83:
            return _nested(rng.choice((3, 3, 60, 60, 400, MAX_DEPTH)), rng.random() < 0.5)
        return rng.choice(self._trees) if self._trees else None


def _nested(depth: int, maps: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if maps else [value]
    return value


def _read_msgpack(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")


def _read_json(data: bytes) -> Any:
    return json.loads(data)


def _write_msgpack(tree: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(tree, unicode_errors="surrogatepass")
    except (OverflowError, ValueError, TypeError):
        return b"\x91" * 2000  # too deep, or a number beyond 64 bits
    return packed


def _write_json(tree: Any) -> bytes:
    try:
        return json.dumps(tree, default=lambda value: value.hex()).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError):
        return b"[" * 3000
