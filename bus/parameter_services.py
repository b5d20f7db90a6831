"""The two services about parameters that every node has: describe them, set one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bus.node import BadParameter
from bus.trace import Kind
from schemas import topics
from schemas.system import (
    Done,
    ParameterDescription,
    ParameterEvent,
    ParametersReply,
    ParametersRequest,
    SetParameterRequest,
)

if TYPE_CHECKING:
    from bus.host import Host


def describe(host: Host, request: ParametersRequest) -> ParametersReply:
    """Every parameter with its value, default, unit and bounds."""
    return ParametersReply(
        parameters=tuple(
            ParameterDescription(
                name=name,
                json_value=json.dumps(host.node.__dict__[name]),
                json_default=json.dumps(p.default),
                type=p.type_name,
                unit=p.unit,
                doc=p.doc,
                ge=float(p.ge),
                le=float(p.le),
            )
            for name, p in host.node.interface.parameters.items()
        )
    )


def change(host: Host, request: SetParameterRequest) -> Done:
    """Check and set one, tell the node and everybody; a value that does not fit changes nothing."""
    node = host.node
    declared = node.interface.parameters.get(request.name)
    if declared is None:
        return Done(ok=False, text=f"{host.name} has no parameter {request.name!r}")
    try:
        value = declared.check(json.loads(request.json_value))
    except (BadParameter, ValueError, RecursionError) as error:
        return Done(ok=False, text=str(error))
    old, new = json.dumps(node.__dict__[request.name]), json.dumps(value)
    node.__dict__[request.name] = value
    if host.trace is not None:
        host.trace.record(Kind.PARAMETER, request.name, host.now_ns(), payload=request.json_value.encode())
    node.on_parameter(request.name)
    event = ParameterEvent(
        stamp_ns=host.now_ns(), node=host.name, name=request.name, json_old=old, json_new=new,
        changed_by=request.changed_by,
    )  # fmt: skip
    host.publish(topics.NODE_PARAMETERS, host.resolve(topics.NODE_PARAMETERS.name), event)
    return Done(ok=True, text=f"{request.name} = {new}{' ' + declared.unit if declared.unit else ''}")
