"""A server that publishes a small data set, for tests: well behaved, or faulty on request."""

# ruff: noqa: D102, D103 -- names say what they are for

import io
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILES = {
    "README.txt": "Terms of use.\n" * 400,
    "movies.csv": "movieId,title,genres\n1,A (1999),War\n2,B (2001),Drama\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,5\n1,2,3.0,6\n",
    "tags.csv": "userId,movieId,tag,timestamp\n1,1,slow,5\n",
    "links.csv": "movieId,imdbId,tmdbId\n1,1,1\n",
}


def zipped(files: dict[str, str], *, root: str = "ml-tiny") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir(root)
        for name, text in files.items():
            archive.writestr(f"{root}/{name}", text)
    return buffer.getvalue()


class Publisher(ThreadingHTTPServer):
    """Serves `files`; `faults` are used up one per request of a zip file."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.starts: list[int] = []
        self.etag = '"one"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class _Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        name = self.path.removeprefix("/data/")
        asked = self.headers.get("Range", "")
        self.server.requests.append((name, asked))
        body = self.server.files.get(name)
        fault = self.server.faults.pop(0) if name.endswith(".zip") and self.server.faults else ""
        if body is None or fault.isdigit():
            self.send_response(int(fault or 404))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "stall":
            time.sleep(1.5)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(body) and self.headers.get("If-Range") == self.server.etag:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if start and self.headers.get("If-Range") != self.server.etag:
            start = 0
        self.server.starts += [start] if name.endswith(".zip") else []
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if fault == "claims much":
            self.send_header("Content-Length", str(10**9))
        elif fault != "no length":
            self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "truncate" else rest)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
