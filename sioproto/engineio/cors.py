"""Origins: who may use the server from a browser, and the headers that tell the browser so.

Two different things, kept apart. CORS headers (Fetch standard, "CORS protocol") let a page *read* our responses;
browsers enforce them, and not for WebSockets. Whether we *serve* an origin is decided by ``origin_allowed`` on every
request of both transports: a page that a user happens to visit must not drive a session with that user's cookies. The
reference server leaves that to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sioproto.config import CorsPolicy, EngineConfig
    from sioproto.engineio.request import Headers, Request

DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def cors_headers(request: Request, config: EngineConfig) -> Headers:
    """Returns the CORS headers for any response of ours to ``request``, refusals included; none without a policy."""
    policy = config.cors
    if policy is None:
        return []
    return origin_headers(policy, request.header("origin"))


def preflight_headers(request: Request, policy: CorsPolicy) -> Headers:
    """Returns the headers of the answer to a preflight. An origin that is not listed gets no permission in them."""
    headers = origin_headers(policy, request.header("origin"))
    headers.append(("Access-Control-Allow-Methods", ",".join(policy.methods)))
    if policy.headers is not None:
        allowed = ",".join(policy.headers)
    else:
        # Echoed, so the answer depends on the question, and caches must know.
        headers.append(("Vary", "Access-Control-Request-Headers"))
        allowed = request.header("access-control-request-headers") or ""
    if allowed and is_field_value(allowed):
        headers.append(("Access-Control-Allow-Headers", allowed))
    if policy.max_age is not None:
        headers.append(("Access-Control-Max-Age", str(policy.max_age)))
    return headers


def origin_headers(policy: CorsPolicy, origin: str | None) -> Headers:
    """Returns what preflights and other responses have in common."""
    headers: Headers = []
    if policy.origins == "*" and not policy.credentials:
        headers.append(("Access-Control-Allow-Origin", "*"))
    else:
        # "*" is not honoured together with credentials; the origin itself is. It comes from the peer: only a clean one.
        if origin is not None and is_listed(policy, origin) and is_field_value(origin):
            headers.append(("Access-Control-Allow-Origin", origin))
        headers.append(("Vary", "Origin"))
    if policy.credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if policy.expose:
        headers.append(("Access-Control-Expose-Headers", ",".join(policy.expose)))
    return headers


def origin_allowed(origin: str, fields: Mapping[str, str], config: EngineConfig, *, secure: bool) -> bool:
    """Whether a request with this ``Origin`` is served: listed by the policy, or from a page of the server's own host.

    ``fields`` are the request's headers by lower-case name; ``secure`` says that the request itself came over TLS.
    """
    if config.cors is not None and is_listed(config.cors, origin):
        return True
    # Browsers set this one and scripts cannot (Fetch metadata); it stays true behind a proxy that rewrites Host.
    if fields.get("sec-fetch-site") == "same-origin":
        return True
    return same_host(origin, fields.get("host", ""), secure=secure)


def same_host(origin: str, host: str, *, secure: bool) -> bool:
    """Whether ``origin`` names the host and port of a ``Host`` header, default ports written or not.

    A proxy may have taken the TLS off, so a ``Host`` without a port stands for the default port of the origin's scheme;
    but when the request came over TLS, a page that did not is another origin.
    """
    scheme, _, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if port is None or (secure and scheme == "http"):
        return False
    named = authority.removesuffix(port)
    return named != "" and named == host.strip().lower().removesuffix(port)


def is_listed(policy: CorsPolicy, origin: str) -> bool:
    """Whether the policy lets pages of ``origin`` in: compared whole, as browsers write it."""
    return policy.origins == "*" or origin in policy.origins


def is_field_value(text: str) -> bool:
    """Whether ``text`` may stand in a header field (RFC 9110, section 5.5): visible latin-1, space and tab."""
    if text.isascii() and text.isprintable():
        return True
    return all(" " <= char <= "~" or "\x80" <= char <= "\xff" or char == "\t" for char in text)
