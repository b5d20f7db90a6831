"""What a browser gets that asks for a page: the dashboard as it was built, or one that says why there is none."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

DIST = Path(__file__).parent / "dashboard" / "dist"
FAILED = DIST.parent / "build-failed.txt"
"""what the build of the dashboard said last, where it failed"""
SHOWN = 4000
NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Fanuc Rise: no dashboard</title></head>
<body style="font-family: sans-serif; max-width: 50em; margin: 2em auto; line-height: 1.5">
<h1>The dashboard is not built</h1>
<p>The hub runs, and so does the cell: <a href="api/v1/machines">machines</a>,
<a href="api/v1/openapi.json">the API</a>, <a href="healthz">health</a>. The table in the terminal shows what this page
would show.</p>
<p>The page is made of <code>web/dashboard</code> by npm: run <code>make dashboard</code> in the checkout, then load
this page again. It needs Node 20.19 or newer, or takes it from the package index.</p>
<p><strong>Software STOP is not a safety function. The machine's red button always wins.</strong></p>
{why}</body></html>
"""


def install(app: FastAPI, dist: Path = DIST) -> None:
    """Serve the dashboard at `/`; looked up at each request, so that a build needs no restart."""

    @app.get("/{path:path}", include_in_schema=False)
    async def page(path: str) -> Response:
        found = _file(dist, path or "index.html")
        if found is not None:
            # what the build names by its content never changes
            age = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
            return FileResponse(found, headers={"Cache-Control": age})
        if path in ("", "index.html"):
            return HTMLResponse(NOT_BUILT.format(why=_why()), 503, {"Cache-Control": "no-store"})
        from starlette.exceptions import HTTPException

        raise HTTPException(404)


def _file(dist: Path, path: str) -> Path | None:
    """A file of the build; None for whatever else somebody may ask for."""
    try:
        found = (dist / path).resolve()
        return found if found.is_relative_to(dist.resolve()) and found.is_file() else None
    except (OSError, ValueError):  # a name that no file can have: too long, a NUL
        return None


def _why() -> str:
    """What the last build said, as HTML; empty when it said nothing."""
    from html import escape

    try:
        text = FAILED.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return f"<p>The last build failed:</p><pre>{escape(text[-SHOWN:])}</pre>"
