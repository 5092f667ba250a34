"""What stands before every request: names, origins, rates, numbers, and the token.

A plain ASGI layer, so that WebSockets pass through the same checks as requests.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from igs.config.serve import LOOPBACK, ServeConfig

logger = logging.getLogger(__name__)

_ADDRESSES = 10_000
_READING = ("GET", "HEAD", "OPTIONS")
_PRIVATE = ("/metrics",)  # read, but not part of watching


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served; `key` is its label in the metrics."""

    status: int
    key: str
    reason: str


class RateLimiter:
    """So many events a second for each address, after a burst.

    Args:
        rate: events a second.
        burst: events at once.
        clock: seconds.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, address: str) -> bool:
        """Count one event; whether it is within the limit."""
        now = self._clock()
        left, then = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, now)
        while len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return allowed


class Guard:
    """Refuses what the configuration does not allow, with a status and a reason.

    Attributes:
        requests: number by kind (`http`, `websocket`).
        refused: number by reason.
        open: requests and connections that are served now.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self.app, self.config = app, config
        limits = config.limits
        self._rates = RateLimiter(limits.requests_per_second, limits.request_burst)
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        self.requests[scope["type"]] += 1
        refusal = self._check(scope)
        if refusal is not None:
            self.refused[refusal.key] += 1
            await _refuse(refusal, scope, receive, send)
            return
        self.open += 1
        try:
            await self.app(scope, receive, _with_headers(send))
        finally:
            self.open -= 1

    def _check(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        address = (scope.get("client") or ("", 0))[0]
        limits = self.config.limits
        if not self._host_is_ours(headers.get("host", "")):
            return Refusal(421, "host", "this server does not go by that name; see `hosts`")
        if not self._rates.allow(address):
            return Refusal(429, "rate", f"more than {limits.requests_per_second:g} requests/s")
        if self.open >= limits.connections:
            return Refusal(503, "connections", f"{limits.connections} connections are open")
        changes = scope["type"] == "http" and scope["method"] not in _READING
        if (changes or scope["type"] == "websocket") and not self._origin_is_ours(headers):
            return Refusal(403, "origin", "pages of other servers may not do this; see `origins`")
        if _length(headers) > limits.body_bytes:
            return Refusal(413, "body", f"the body is larger than {limits.body_bytes} bytes")
        if (changes or scope["path"] in _PRIVATE) and not self._may(headers):
            return Refusal(401, "token", "needs the header `Authorization: Bearer TOKEN`")
        return None

    def _host_is_ours(self, host: str) -> bool:
        allowed = self.config.hosts or (LOOPBACK if self.config.is_loopback else ())
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # such as half of an IPv6 address
            return False
        return not allowed or name in allowed or name == self.config.host

    def _origin_is_ours(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or origin in self.config.origins:
            return True
        return origin.partition("://")[2] == headers.get("host")

    def _may(self, headers: Headers) -> bool:
        token = self.config.token
        if token is None:
            return self.config.is_loopback
        kind, _, given = headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.strip().encode(), token.encode())
        return kind.lower() == "bearer" and right


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "1"} if refusal.status in (429, 503) else {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = JSONResponse({"detail": refusal.reason}, refusal.status, headers)
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", []),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
            ]
        await send(message)

    return sent
