"""`uvicorn web.app:app` without a launch: the hub's node in a thread of the web server's process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.discovery import Directory
from bus.executor import Executor, Failed, log_line
from bus.host import Spec
from schemas.system import LogLevel
from web.desk import web_folder
from web.node import FanucApi
from web.people import People

if TYPE_CHECKING:
    from web.door import Authority
    from web.hub import Hub

START_WITHIN_S = 10.0
END_WITHIN_S = 3.0


def start(hub: Hub, authority: Authority) -> Callable[[], None]:
    """Take part in the bus; the function that ends it.

    Raises:
        RuntimeError: the node did not come up; says why.
    """
    people = authority if isinstance(authority, People) else None
    if people is not None:
        people.move_in(web_folder(Directory().domain))
    behind = type(
        "FanucApi", (FanucApi,), {"hub": hub, "serves": False, "authority": people, "__module__": FanucApi.__module__}
    )
    up = threading.Event()
    executor: list[Executor] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with Executor([Spec(behind, "fanuc_api")]) as made:
                executor.append(made)
                made.start()
                up.set()
                made.run()
        except Failed as error:
            log_line(LogLevel.ERROR, str(error))
            failed.append(error)
        except Exception as error:  # told to whoever waits
            failed.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run, name="bus", daemon=True)
    thread.start()
    if not up.wait(START_WITHIN_S) or failed:
        why = failed[0] if failed else f"it was not ready within {START_WITHIN_S:g} s"
        raise RuntimeError(f"the hub cannot take part in the bus: {why}")

    if key := authority.url_key():
        log_line(LogLevel.INFO, f"there are no users yet: put /{key} behind the address, once")

    def stop() -> None:
        executor[0].stop()
        thread.join(END_WITHIN_S)

    return stop
