"""A process beside the hub that reads bags: what lies in one, and what a node would have decided with other parameters.

It stays warm, so that an answer costs no start of Python, and knows no socket: questions come as lines of JSON on its
standard input, each answered by one line on its standard output. It ends with its input.

    {"ask": "about", "bag": PATH}
    {"ask": "replay", "bag": PATH, "node": "vmc1/impact_cortex", "parameters": ["limit_pct=120"], "around": 12.4}

    {"said": {...}} | {"status": 422, "text": "why not"} | {"stale": true}

Stale: its code has changed since it was loaded. It has not answered, and another one is to be asked.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from bus.bag import BadBag, BagReader
from web.about import about


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What is said to a question; never raises for what a bag, a node or a parameter may be."""
    from bus.cli.replay import BadInput

    try:
        if question["ask"] == "about":
            return {"said": about(Path(question["bag"]))}
        return {"said": _replayed(question)}
    except BadInput as error:
        return {"status": 422, "text": error.message}
    except BadBag as error:
        return {"status": 422, "text": error.reason}
    except FileNotFoundError as error:
        return {"status": 404, "text": str(error)}
    except (Exception, SystemExit) as error:  # the recorded node's own code runs here
        return {"status": 500, "text": f"{type(error).__name__}: {error}"}


def _replayed(question: Mapping[str, Any]) -> dict[str, Any]:
    from bus.cli.replay import BadInput, ask, report, window_of

    bag = Path(question["bag"])
    window = window_of(question["around"])
    try:
        reader = _open(bag)
    except BadBag as error:
        raise BadInput(f"{bag.name}: {error.reason}") from None
    asked = ask(question["node"], (bag,), question["parameters"], window, reader=reader)
    assert asked is not None  # no debugger was asked for
    return report(*asked)


_opened: dict[tuple[Path, int, int], BagReader] = {}
"""the bag that was asked last: whoever moves a slider asks it again"""


def _open(path: Path) -> BagReader:
    about = path.stat()
    key = (path, about.st_size, about.st_mtime_ns)
    if key not in _opened:
        reader = BagReader(path)
        while _opened:
            _opened.popitem()[1].close()
        _opened[key] = reader
    return _opened[key]


def changed_since(loaded_ns: int) -> bool:
    """Whether a file of a module that is loaded was written after this moment (wall time)."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        try:
            if file and os.stat(file).st_mtime_ns > loaded_ns:
                return True
        except OSError:
            continue  # inside an archive, or moved away
    return False


def serve(questions: Iterable[bytes], answers: IO[bytes], loaded_ns: int) -> None:
    """Answer until the questions end."""
    for line in questions:
        stale = changed_since(loaded_ns)
        said = {"stale": True} if stale else answer(json.loads(line))
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()
        if stale:
            return


if __name__ == "__main__":
    began_ns = time.time_ns()
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a node prints is no answer
    for needed in ("bus.cli.replay", "bus.replay"):  # before the first question
        importlib.import_module(needed)
    serve(sys.stdin.buffer, own, began_ns)
