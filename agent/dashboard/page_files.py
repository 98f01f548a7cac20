"""The dashboard's static files, read once at start."""

import mimetypes
from hashlib import blake2b
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A browser may keep a file, but asks whether it is still the same.
    "Cache-Control": "no-cache",
}


class PageFiles:
    """Serves the files of one flat folder from memory, with entity tags."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(folder.iterdir()):
            data = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            if kind == "application/javascript":
                kind = "text/javascript"  # RFC 9239; Python up to 3.11 says otherwise
            self._files[path.name] = (data, kind, f'"{blake2b(data, digest_size=8).hexdigest()}"')

    async def index(self, request: web.Request) -> web.Response:
        """`GET /`."""
        return self._answer(request, INDEX)

    async def file(self, request: web.Request) -> web.Response:
        """`GET /dashboard/page/{file}`."""
        return self._answer(request, request.match_info["file"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound(text=f"the dashboard has no file {name[:80]!r}")
        data, kind, tag = found
        headers = {**_HEADERS, "ETag": tag}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=data, content_type=kind, charset=charset, headers=headers)
