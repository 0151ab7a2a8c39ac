"""Two HTTP clients for a server: aiohttp itself, and OpenAI's own client.

The first has the least overhead per request, which matters for a local server with hundreds of concurrent requests. The
second is what paid APIs are built for and tested with. Neither retries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's response, with its Retry-After header."""

    status: int
    text: str
    retry_after: str | None = None


class Transport(Protocol):
    """Create and close it inside an event loop. Uses proxies from the environment, and follows no redirects, which
    could send a prompt, or the key, to an unexpected host."""

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """Raises ConnectionError if there is no response."""
        ...

    async def close(self) -> None: ...


class Aiohttp:
    """Requests below `base_url`, each with the key as bearer token."""

    def __init__(self, base_url: str, key: str):
        self._base_url = base_url
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
            proxy=None if _is_direct(base_url) else getproxies().get(urlsplit(base_url).scheme),
        )

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        url = self._base_url + path
        try:
            async with self._session.request(method, url, json=body, allow_redirects=False) as response:
                text = await response.text(errors="replace")
                return Reply(response.status, text, response.headers.get("Retry-After"))
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        await self._session.close()


class OpenAIClient:
    """The `openai` package over aiohttp: with several hundred concurrent requests its default, httpx, takes several
    times as long for each."""

    def __init__(self, base_url: str, key: str):
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

        unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self._response = httpx2.Response
        self._options: Any = {} if key else {"headers": {"Authorization": Omit()}}
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=key,  # an empty key is used as it is, whatever the environment has
            timeout=None,
            max_retries=0,
            http_client=DefaultAioHttpClient(
                limits=unlimited, timeout=None, follow_redirects=False, trust_env=not _is_direct(base_url)
            ),
            _enforce_credentials=False,
        )

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        from openai import APIConnectionError, APIStatusError

        try:
            if method == "GET":
                response = await self._client.get(path, cast_to=self._response, options=self._options)
            else:
                response = await self._client.post(path, body=body, cast_to=self._response, options=self._options)
        except APIStatusError as error:
            response = error.response
        except (APIConnectionError, aiohttp.ClientError, OSError) as error:
            message = str(error.__cause__ or error) or type(error.__cause__ or error).__name__
            raise ConnectionError(message) from error
        return Reply(response.status_code, response.text, response.headers.get("retry-after"))

    async def close(self) -> None:
        await self._client.close()


def _is_direct(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host in LOOPBACK or bool(proxy_bypass(host))
