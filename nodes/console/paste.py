"""Commands to paste: whatever the width, what stands on the screen is what a shell reads."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len

INDENT = "  "


@dataclass(frozen=True, slots=True)
class Shell:
    """Where the reader is, who pastes."""

    rise: str = "rise"
    domain: str = "default"
    cwd: str = field(default_factory=os.getcwd)
    home: str = field(default_factory=lambda: os.path.expanduser("~"))

    def asks(self, *words: str) -> list[str]:
        """The words of a `rise` command that speaks with the running cell."""
        return [self.rise, *words, *(["--domain", self.domain] if self.domain != "default" else [])]

    def short(self, path: str) -> str:
        """A path from where the reader stands, when it lies below."""
        return path[len(self.cwd) + 1 :] if path.startswith(f"{self.cwd}/") and self.cwd != "/" else path

    def folded(self, words: Sequence[str], width: int) -> list[str]:
        """The command in lines of at most `width` cells: broken between words, within one only where that is longer."""
        lines = [""]
        for word in words:
            quoted = self.quoted(word)
            if not lines[-1]:
                lines[-1] = quoted
            elif cell_len(lines[-1]) + 1 + cell_len(quoted) + 2 <= width:
                lines[-1] += f" {quoted}"
            else:
                lines[-1] += " \\"
                lines.append(INDENT + quoted)
            if cell_len(lines[-1]) + 2 > width:
                lines[-1:] = self._broken(word, lines[-1][: -len(quoted)], width)
        return lines

    def quoted(self, word: str) -> str:
        """As a shell reads it: the home folder as `~`, which it knows too."""
        if word.startswith(f"{self.home}/") and self.home != "/":
            return "~/" + shlex.quote(word[len(self.home) + 1 :])
        return shlex.quote(word)

    def _broken(self, word: str, before: str, width: int) -> list[str]:
        """A word longer than a line: a backslash at the very end joins it with what begins the next line."""
        lines: list[str] = []
        start = len(self.home) + 1 if self.quoted(word).startswith("~/") else 0
        line, piece = before + ("~/" if start else ""), ""
        for c in word[start:]:
            if piece and cell_len(line + shlex.quote(piece + c)) + 2 > width:
                lines.append(f"{line}{shlex.quote(piece)}\\")
                line, piece = "", ""
            piece += c
        return [*lines, line + shlex.quote(piece)]
