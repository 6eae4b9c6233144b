"""Who may talk to the server: the page that it served itself, and whoever knows the token.

Other pages in the same browser can send requests to this machine, and a host name that they control can lead here. So
a request needs the token, the address that was printed as its `Host`, and, to change anything, that as its `Origin`.
"""

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # The browser keeps no photo: `bolid forget` does not reach its cache.
    "cache-control": "no-store",
}


class Guard:
    """Wraps an application. `token` is secret; `port` is where it is served on this machine."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"bolid-review-{port}"  # browsers send cookies to every port of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if self._is_token(request.query_params.get("token")) and message["status"] == 200:
                    headers["set-cookie"] = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await send(message)

        refusal = self._refusal(request)
        if refusal:
            await PlainTextResponse(f"{refusal}\n", status_code=403)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refusal(self, request: Request) -> str | None:
        headers: Headers = request.headers
        host = headers.get("host", "")
        if host not in self._hosts:
            return "this server is for this machine alone"
        given = (
            request.query_params.get("token") if request.url.path == "/" else None,
            request.cookies.get(self._cookie),
            headers.get("authorization", "").removeprefix("Bearer "),
        )
        if not any(map(self._is_token, given)):
            return "open the address that `bolid review` printed, with its token"
        if request.method not in ("GET", "HEAD") and headers.get("origin") != f"http://{host}":
            return "only the page itself may change anything"
        return None

    def _is_token(self, text: str | None) -> bool:
        return text is not None and secrets.compare_digest(text.encode(), self._token.encode())
