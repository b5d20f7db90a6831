"""Every bag in this folder is a test, without a line of Python: see bus/replay/pytest_plugin.py."""

from bus.replay.pytest_plugin import pytest_collect_file  # noqa: F401  pytest finds the hook by its name
