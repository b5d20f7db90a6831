"""Every bag in this folder is a test: `rise bag cut RUN --node vmc1/spindle_watch --around 12 -o tests/bags/a.mcap`."""

from bus.replay.pytest_plugin import pytest_collect_file  # noqa: F401  pytest finds the hook by its name
