"""Credentials that run out: Google's access tokens, made from a service account's key or a person's own login.

A token is made in a thread, since the library that signs and asks for it blocks, and kept until shortly before its end.
Keys that never change are plain headers (``catalog.credential_headers``).
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import UpstreamRequest
from millstream.providers.base import Reply, Transport

_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_MARGIN_S: Final = 300.0
"""A token is renewed this long before it ends: a request may take its time, and clocks differ."""

_TIMEOUT_S: Final = 20.0
_UNAUTHENTICATED: Final = 401


class Tokens(Protocol):
    """Gives bearer tokens."""

    async def token(self) -> str:
        """One that is good for a while. Raises ``UpstreamFault`` if none is to be had."""
        ...

    def forget(self) -> None:
        """The one given last was refused."""
        ...


class GoogleTokens:
    """Access tokens of Google Cloud for ``owner``, the provider whose errors are told.

    ``key`` is a credentials file's path, or its content: a service account's key, or what ``gcloud auth
    application-default login`` leaves behind. ``now`` is Unix time.
    """

    def __init__(self, owner: str, key: str, now: Callable[[], float] = time.time) -> None:
        self._owner = owner
        self._key = key
        self._now = now
        self._credentials: Any = None
        """Of a class of the library's, which is loaded only where it is needed."""
        self._token = ""
        self._good_until = 0.0
        self._renewing = asyncio.Lock()

    async def token(self) -> str:
        if self._now() >= self._good_until:
            async with self._renewing:
                if self._now() >= self._good_until:
                    await asyncio.to_thread(self._renew)
        return self._token

    def forget(self) -> None:
        self._good_until = 0.0

    def _renew(self) -> None:
        """In a thread: a client that leaves meanwhile takes nothing from those who come after it."""
        try:
            import requests
            from google.auth.exceptions import GoogleAuthError, TransportError
            from google.auth.transport.requests import Request
        except ImportError as error:
            message = f"{self._owner} needs Google's library here: pip install 'millstream[vertex]'"
            raise UpstreamFault(message, Kind.PERMISSION, retryable=False) from error
        self._credentials = self._credentials or self._load()
        try:
            with requests.Session() as session:
                self._credentials.refresh(partial(Request(session), timeout=_TIMEOUT_S))
        except TransportError as error:
            message = f"could not reach the token endpoint of {self._owner}"
            raise UpstreamFault(message, Kind.UNREACHABLE) from error
        except (GoogleAuthError, ValueError) as error:
            message = f"the credentials of {self._owner} give no token: {_first_line(error)}"
            raise UpstreamFault(message, Kind.AUTHENTICATION, retryable=False) from error
        ends: datetime.datetime = self._credentials.expiry  # naive, in UTC
        self._token = self._credentials.token
        self._good_until = ends.replace(tzinfo=datetime.UTC).timestamp() - _MARGIN_S

    def _load(self) -> Any:
        from google.oauth2.credentials import Credentials as PersonsOwn
        from google.oauth2.service_account import Credentials as ServiceAccount

        makers: dict[object, Any] = {
            "service_account": ServiceAccount.from_service_account_info,
            "authorized_user": PersonsOwn.from_authorized_user_info,
        }
        try:
            text = self._key if self._key.lstrip().startswith("{") else Path(self._key).expanduser().read_text()
            info = msgspec.json.decode(text, type=dict[str, Any])
            maker = makers.get(info.get("type"), _unknown_type)
            return maker(info, scopes=_SCOPES)
        except OSError as error:
            message = f"cannot read the credentials of {self._owner}: {error.strerror}"
            raise UpstreamFault(message, Kind.AUTHENTICATION, retryable=False) from error
        except (ValueError, msgspec.MsgspecError) as error:
            message = f"the credentials of {self._owner} cannot be used: {_first_line(error)}"
            raise UpstreamFault(message, Kind.AUTHENTICATION, retryable=False) from error


def _unknown_type(info: dict[str, Any], **_: object) -> Any:
    raise ValueError(f"their type is {info.get('type')!r}, neither 'service_account' nor 'authorized_user'")


def _first_line(error: Exception) -> str:
    """Without the response's body, which may come along as a second argument."""
    return str(error.args[0] if error.args else error).partition("\n")[0][:200]


class Authorized:
    """A transport that shows a fresh token with each request. Implements ``providers.base.Transport``."""

    def __init__(self, transport: Transport, tokens: Tokens) -> None:
        self._transport = transport
        self._tokens = tokens

    async def open(self, request: UpstreamRequest, *, stream: bool) -> Reply:
        headers = {**request.headers, "authorization": f"Bearer {await self._tokens.token()}"}
        reply = await self._transport.open(replace(request, headers=headers), stream=stream)
        if reply.status == _UNAUTHENTICATED:
            self._tokens.forget()
        return reply

    async def aclose(self) -> None:
        await self._transport.aclose()
