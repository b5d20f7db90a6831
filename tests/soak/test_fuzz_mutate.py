"""The mutator: the same inputs for the same seed, most of them nearly right, all of them bounded."""

from __future__ import annotations

import json
import random

import msgpack
import pytest

from tests.soak.fuzz_mutate import Grammar, Mutator

TREE = {"name": "a", "n": [1, 2.5, None, {"deep": b"bytes"}], "text": "x" * 40}
PLAIN = {"name": "a", "n": [1, 2.5, None, {"deep": "words"}]}
POOLS = {
    "bytes": (Grammar("bytes", 0, (b"word",)), [b"abc" * 20, b""]),
    "text": (Grammar("text", 0, (b"[[",)), [b"a = 1\n"]),
    "msgpack": (Grammar("msgpack", 2), [b"\x01\x02" + msgpack.packb(TREE)]),
    "json": (Grammar("json", 1), [b"\x07" + json.dumps(PLAIN).encode(), b"\x07no json"]),
}


@pytest.mark.parametrize("kind", POOLS)
def test_the_same_seed_gives_the_same_inputs_and_another_one_others(kind: str) -> None:
    grammar, pool = POOLS[kind]
    runs = [[Mutator(random.Random(seed), grammar, pool).next() for _ in range(50)] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("kind", POOLS)
def test_inputs_differ_and_are_bounded(kind: str) -> None:
    grammar, pool = POOLS[kind]
    mutator = Mutator(random.Random(3), grammar, pool)
    made = [mutator.next() for _ in range(2000)]
    assert len(set(made)) > 1000
    assert max(map(len, made)) < 2_000_000


@pytest.mark.parametrize("kind", ["msgpack", "json"])
def test_most_trees_are_well_formed_around_what_is_wrong(kind: str) -> None:
    grammar, pool = POOLS[kind]
    mutator = Mutator(random.Random(4), grammar, pool)
    whole = 0
    for _ in range(1000):
        body = mutator.next()[grammar.head :]
        try:
            json.loads(body) if kind == "json" else msgpack.unpackb(body, strict_map_key=False)
        except (ValueError, RecursionError, msgpack.UnpackException, TypeError):
            continue
        whole += 1
    assert whole > 500
