"""Commands in namespaces of their own. Where this user may not have them the test is skipped, saying why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def without_inotify(command: Sequence[str]) -> list[str]:
    """In a user namespace whose inotify instances are used up: the limit of others is not touched."""
    no_instance = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    return _allowed(["unshare", "--user", "--map-root-user", "sh", "-c", no_instance, "-"], command)


def without_rights(command: Sequence[str]) -> list[str]:
    """As root of a user namespace, who is nobody to the scheduler."""
    return _allowed(["prlimit", "--rtprio=0", "unshare", "--user", "--map-root-user"], command)


def with_small_disk(folder: Path, command: Sequence[str], size_mb: int = 1) -> list[str]:
    """With a disk of so many MB at `folder`, for this command only; others find it below /proc/<pid>/root."""
    mount = f'mount -t tmpfs -o size={size_mb}m none "$0" && exec "$@"'
    return _allowed(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)], command)


def own_pids(command: Sequence[str]) -> list[str]:
    """As process 1 of a pid namespace; it ends with `unshare`."""
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    return _allowed(["unshare", *as_root, "--pid", "--fork", "--kill-child", "--mount-proc"], command)


def _allowed(wrapper: list[str], command: Sequence[str]) -> list[str]:
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"`{' '.join(wrapper)}` is not allowed here: {tried.stderr.strip()}")
    return [*wrapper, *command]
