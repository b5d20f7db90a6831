"""The API against what its own OpenAPI says, with requests made up from it: no answer is a server's mistake."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from bus.testing import Domain
from tests.web.rig import people, shop

EXAMPLES = 12
"""per operation"""
# signing on and off would change who asks what follows
LEFT_OUT = {("DELETE", "/api/v1/session"), ("POST", "/api/v1/session")}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("user", ["anna", None], ids=["administrator", "nobody"])
def test_made_up_requests_are_answered(domain: Domain, user: str | None) -> None:
    people(domain)
    with shop(domain, engine=True) as made:
        page = made.browser() if user is None else made.signed_on(user)
        cookie = page.cookies.get("rise_session", "")
        schema = schemathesis.openapi.from_dict(page.get("/api/v1/openapi.json").json())
        schema.config.update(base_url=made.url)
        answered: dict[tuple[str, str], set[int]] = {}

        def ask(case: Any, known: bool) -> None:
            if known and "machine" in (case.path_parameters or {}):
                case.path_parameters["machine"] = "vmc1"  # made up, it would hardly ever be one that is there
            headers = {"Origin": made.url, **({"Cookie": f"rise_session={cookie}"} if cookie else {})}
            answer = case.call(headers=headers)
            answered.setdefault((case.method, case.path), set()).add(answer.status_code)
            # 503 and 504: whom it would ask is not in this shop (a recorder, a launcher, a topology)
            assert answer.status_code < 500 or answer.status_code in (503, 504), answer.text
            if answer.status_code >= 400:
                said = answer.json()
                assert answer.headers["content-type"][0] == "application/problem+json" or case.path == "/readyz", said
                assert case.path == "/readyz" or (said["detail"] and said["status"] == answer.status_code)

        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            if (operation.method.upper(), operation.path) in LEFT_OUT:
                continue
            run = settings(
                max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(_given(operation, ask))  # fmt: skip
            run()
        posted = {key: statuses for key, statuses in answered.items() if key[0].upper() == "POST"}
        assert len(posted) >= 10, posted
        if user is None:
            free = ("/machines/{machine}/stop", "/machines/{machine}/feed_hold")
            for (_, path), statuses in posted.items():
                assert path.endswith(free) or statuses <= {401, 404, 422}, (path, statuses)


def _given(operation: Any, ask: Any) -> Any:
    """A hypothesis test of one operation."""

    @given(case=operation.as_strategy(), known=st.booleans())
    def made_up(case: Any, known: bool) -> None:
        ask(case, known)

    return made_up
