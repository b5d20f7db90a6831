"""From the node's thread to the worker."""

from __future__ import annotations

import select

from nodes.sensory_cortex.orders import ORDERS_MAX, Do, Order, Orders


def test_orders_wake_whoever_waits_and_are_bounded() -> None:
    orders = Orders()
    orders.put(Order(Do.CONNECT))
    with orders as fd:
        assert select.select([fd], [], [], 0)[0]
        assert orders.wait(0.0) == Order(Do.CONNECT)
        orders.seen()
        assert orders.wait(0.0) is None
        for n in range(1000):
            orders.put(Order(Do.SEND, b"%d" % n))
        orders.seen()
    left = 0
    while orders.get() is not None:
        left += 1
    assert left == ORDERS_MAX
