"""The page's static files, read once at start."""

import mimetypes
from hashlib import blake2b
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
_SECURITY = {
    # No script, style or connection but our own.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Permissions-Policy": "microphone=(self), autoplay=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_EMBEDDED = {
    # Other sites load the element's modules: module scripts and their styles need CORS.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class PageFiles:
    """Serves the files of one flat folder from memory, with entity tags."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.is_file():
                data = path.read_bytes()
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                if kind == "application/javascript":
                    kind = "text/javascript"  # RFC 9239; Python up to 3.11 says otherwise
                self._files[path.name] = (data, kind, f'"{blake2b(data, digest_size=8).hexdigest()}"')

    def __bool__(self) -> bool:
        return INDEX in self._files

    async def index(self, request: web.Request) -> web.Response:
        """`GET /`."""
        return self._answer(request, INDEX, _SECURITY)

    async def file(self, request: web.Request) -> web.Response:
        """`GET /page/{file}`."""
        return self._answer(request, request.match_info["file"], _EMBEDDED)

    def _answer(self, request: web.Request, name: str, extra: dict[str, str]) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound(text=f"the page has no file {name[:80]!r}")
        data, kind, tag = found
        # no-cache: the browser may keep a file, but asks whether it is still the same.
        headers = {"ETag": tag, "Cache-Control": "no-cache", **extra}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=data, content_type=kind, charset=charset, headers=headers)
