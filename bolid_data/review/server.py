"""The server of the page: addresses, their answers, and how errors are told."""

import json
import re
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, BusyError, UsageError
from bolid_data.images import BrokenPhotoError
from bolid_data.review import requests
from bolid_data.review.manifest_file import ManifestFile
from bolid_data.review.security import Guard
from bolid_data.review.session import Session
from bolid_data.review.thumbnails import Thumbnails
from bolid_data.review.views import PAGE, ExpiredError, View
from bolid_data.store import LostPhotoError

_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SHA256 = "[0-9a-f]{64}"
_RANGES = 2000  # of selected photos, at most

T = TypeVar("T", bound=BaseModel)
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def application(session: Session, token: str, port: int) -> Guard:
    """The application that serves a session at this port."""
    thumbnails = Thumbnails(session.dataset.store, lambda: session.manifest.current().filter.background)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        yield
        thumbnails.close()

    routes = [
        Route("/", _file("index.html")),
        *(Route(f"/{file.name}", _file(file.name)) for file in sorted(_PAGE.iterdir()) if file.suffix in _TYPES),
        Route("/thumbnail/{sha256}", _picture(thumbnails.thumbnail, "image/webp")),
        Route("/preview/{sha256}", _picture(thumbnails.preview, "image/jpeg")),
        Route("/api/overview", _query(lambda _: session.overview())),
        Route("/api/revision", _query(lambda _: {"revision": session.revision()})),
        Route("/api/stale", _query(lambda _: session.stale())),
        Route("/api/words", _query(lambda _: session.words())),
        Route("/api/suspects", _query(lambda _: session.suspected())),
        Route("/api/thresholds", _query(lambda _: session.thresholds())),
        Route("/api/photo/{sha256}", _query(lambda request: session.photo(request.path_params["sha256"]))),
        Route("/api/view", _query(lambda request: _opened(session.look(_looked(request))))),
        Route("/api/view/{view}", _query(lambda request: _paged(session, request))),
        Route("/api/view/{view}/photos", _query(lambda request: _selected(session, request))),
        Route("/api/view/{view}/next", _query(lambda request: _next(session, request))),
        Route("/api/preview", _change(session.preview, requests.Thresholds), methods=["POST"]),
        Route("/api/decide", _change(session.decide, requests.Decision), methods=["POST"]),
        Route("/api/merge", _change(session.merge, requests.Merge), methods=["POST"]),
        Route("/api/undo", _change(session.undo, requests.Step), methods=["POST"]),
        Route("/api/redo", _change(session.redo, requests.Step), methods=["POST"]),
        Route("/api/caption", _change(session.caption, requests.Captions), methods=["POST"]),
        Route("/api/replace", _change(session.replace, requests.Replacement), methods=["POST"]),
        Route("/api/trigger", _change(session.set_trigger, requests.Trigger), methods=["POST"]),
        Route("/api/apply", _change(session.apply, requests.Applied), methods=["POST"]),
    ]  # fmt: skip
    return Guard(Starlette(routes=routes, lifespan=lifespan), token, port)


def bind(port: int) -> socket.socket:
    """A socket on this machine's own address; port 0 takes a free one. Raises BolidError for a port that is taken."""
    # As TCP by name: otherwise asyncio leaves Nagle's algorithm on, and every answer waits 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or error
        raise BolidError(f"port {port} of this machine cannot be used ({why}); choose another") from None
    return bound


def serve(manifest: ManifestFile, dataset: Dataset, port: int, ready: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C; `ready` gets its address, once it can be opened. Raises UsageError if there is no
    catalog."""
    import uvicorn

    dataset.catalog.require()
    dataset.refuse_unknown_removals()
    bound, token = bind(port), secrets.token_urlsafe(24)
    port = bound.getsockname()[1]
    app = application(Session(manifest, dataset), token, port)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=10
    )
    server = uvicorn.Server(config)
    bound.listen()
    ready(f"http://127.0.0.1:{port}/?token={token}")
    server.run(sockets=[bound])


def _query(answer: Callable[[Request], Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await _answer(lambda: answer(request))

    return endpoint


def _change(change: Callable[[T], Any], model: type[T]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > requests.MAX_BYTES:
                return _json({"error": "the request is too large"}, 413)
        return await _answer(lambda: change(_checked(model, model.model_validate_json, bytes(body))))

    return endpoint


def _picture(make: Callable[[str], Coroutine[Any, Any, bytes]], media_type: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            _require_sha256(request)
            return Response(await make(request.path_params["sha256"]), media_type=media_type)
        except (LostPhotoError, BrokenPhotoError, UsageError) as error:
            return _json({"error": str(error)}, 404)

    return endpoint


def _file(name: str) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        file = _PAGE / name
        return Response(file.read_bytes(), media_type=_TYPES[file.suffix])

    return endpoint


async def _answer(work: Callable[[], Any]) -> Response:
    """What `work` returns, in a thread; an error as its message, with `busy` where it is worth trying again."""
    try:
        return _json(await run_in_threadpool(work))
    except BusyError as error:
        return _json({"error": str(error), "busy": True}, 423)
    except ExpiredError as error:
        return _json({"error": str(error), "expired": True}, 410)
    except BolidError as error:
        return _json({"error": str(error)}, 400 if isinstance(error, UsageError) else 500)
    except OSError as error:
        return _json({"error": f"{error.filename or 'the system'}: {error.strerror or error}"}, 500)


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")


def _checked(model: type[T], check: Callable[[Any], T], value: Any) -> T:
    try:
        return check(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"{'.'.join(map(str, first['loc'])) or model.__name__}: {first['msg']}") from None


def _looked(request: Request) -> requests.Looked:
    return _checked(requests.Looked, requests.Looked.model_validate, dict(request.query_params))


def _opened(view: View) -> dict[str, Any]:
    return {"view": view.id, "total": len(view), "page": PAGE, "photos": view.page(0)}


def _paged(session: Session, request: Request) -> dict[str, Any]:
    start = _number(request, "start")
    return {"start": start, "photos": session.views.get(request.path_params["view"]).page(start)}


def _selected(session: Session, request: Request) -> dict[str, Any]:
    parts = request.query_params.get("ranges", "").split(",")
    try:
        ranges = [(int(first), int(last)) for first, last in (part.split("-") for part in parts[:_RANGES])]
    except ValueError:
        raise UsageError("ranges: are written as 0-9,20-29") from None
    return {"sha256s": session.views.get(request.path_params["view"]).sha256s(ranges)}


def _next(session: Session, request: Request) -> dict[str, Any]:
    return {"place": session.views.get(request.path_params["view"]).next_undecided(_number(request, "after", -1))}


def _number(request: Request, name: str, least: int = 0) -> int:
    try:
        number = int(request.query_params.get(name, least))
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name}: must be a number of at least {least}")
    return number


def _require_sha256(request: Request) -> None:
    if not re.fullmatch(_SHA256, request.path_params["sha256"]):
        raise UsageError("no such photo")
