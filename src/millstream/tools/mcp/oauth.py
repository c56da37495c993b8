"""Tokens for servers that want OAuth: by the SDK's flows, kept in a file of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import httpx2
import msgspec
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.oauth2 import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl, ValidationError

from millstream.tools.mcp.settings import Address, OAuth


class Login(Protocol):
    """How a person is brought to the server's page, and back to us."""

    redirect_uri: str

    async def show(self, url: str) -> None: ...

    async def answer(self) -> AuthorizationCodeResult:
        """What the page sent the browser back with."""
        ...


def authorization(server: str, address: Address, login: Login | None) -> httpx2.Auth | None:
    """What signs requests to ``address``. Raises ``OAuthFlowError`` where somebody has to log in and nobody can."""
    oauth = address.oauth
    if oauth is None:
        return None
    tokens = TokenFile(oauth)
    if oauth.grant == "client_credentials":
        return ClientCredentialsOAuthProvider(
            address.url, tokens, oauth.client_id or "", oauth.client_secret or "", scope=oauth.scope
        )
    if login is None and not tokens.has_token:
        raise OAuthFlowError(f"it wants you to log in: millstream tools login {server}")
    metadata = OAuthClientMetadata(
        client_name="millstream",
        redirect_uris=[AnyUrl(login.redirect_uri if login is not None else "http://127.0.0.1/callback")],
        scope=oauth.scope,
    )

    async def nobody(*_: Any) -> AuthorizationCodeResult:
        raise OAuthFlowError(f"its login has run out: millstream tools login {server}")

    async def no_page(_: str) -> None:
        await nobody()

    return OAuthClientProvider(
        address.url,
        metadata,
        tokens,
        redirect_handler=login.show if login is not None else no_page,
        callback_handler=login.answer if login is not None else nobody,
    )


class TokenFile:
    """The SDK's storage: one JSON file for one server, which only its owner may read, written whole or not at all."""

    def __init__(self, oauth: OAuth) -> None:
        self._oauth = oauth
        self._path: Path = oauth.tokens

    @property
    def has_token(self) -> bool:
        return "token" in self._read()

    async def get_tokens(self) -> OAuthToken | None:
        try:
            return OAuthToken.model_validate(self._read()["token"])
        except (KeyError, ValidationError):
            return None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._write(token=tokens.model_dump(mode="json", exclude_none=True))

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """The client that the configuration names, else the one that registered itself before."""
        if self._oauth.client_id is not None:
            return OAuthClientInformationFull(
                client_id=self._oauth.client_id,
                client_secret=self._oauth.client_secret,
                token_endpoint_auth_method="client_secret_basic" if self._oauth.client_secret else "none",
                redirect_uris=None,
            )
        try:
            return OAuthClientInformationFull.model_validate(self._read()["client"])
        except (KeyError, ValidationError):
            return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._write(client=client_info.model_dump(mode="json", exclude_none=True))

    def forget(self) -> None:
        """Before a new login: a registration is bound to the address that the browser came back to."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _write(self, **changed: Any) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._path.with_suffix(f".{os.getpid()}.new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode({**self._read(), **changed}))
        beside.replace(self._path)
