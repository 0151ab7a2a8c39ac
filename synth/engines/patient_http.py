"""A JSON API over HTTP, asked patiently: what a server can't do now is asked of it again.

Promises: a request that meets no room (429), a failing server (5xx) or none at all is sent again, after as long as
the server asks for (Retry-After) or a pause that grows and varies. What remains is one line: ValueError for what is
wrong with this one request, EngineError for what is wrong with the server. The key is in no line and no exception.

Knows nothing of what is asked.
"""

import asyncio
import itertools
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from synth.engines import EngineError, Unavailable, Unusable

FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_WAIT_S = 0.5, 60.0, 600.0
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_OF_THE_REQUEST = {400, 413, 422}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PatientHTTP:
    """Requests below `base_url`, each with the key as bearer token, none longer than `timeout_s` seconds.

    To be made and closed inside an event loop. Uses the proxies that the environment names.
    """

    def __init__(self, base_url: str, key: str, timeout_s: float):
        self._base_url, self._key, self._timeout_s = base_url, key, timeout_s
        url = urlsplit(base_url)
        host = url.hostname or ""
        direct = host in _LOOPBACK or proxy_bypass(host)
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
            proxy=None if direct else getproxies().get(url.scheme),
        )
        self._answers = 0

    async def get(self, path: str, retries: int) -> Any:
        return await self._ask("GET", path, None, retries)

    async def post(self, path: str, body: Mapping[str, Any], retries: int) -> Any:
        """The JSON of the answer, after as many tries as it takes and `retries` allows.

        Raises ValueError where the server refuses this request, RuntimeError where it answers others and fails at
        this one, EngineError where it is of no use.
        """
        return await self._ask("POST", path, body, retries)

    async def close(self) -> None:
        await self._session.close()

    def line(self, text: str) -> str:
        """The server's words in one line, without the key, should it have been repeated."""
        found = re.search(r'"(?:message|detail)"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
        text = " ".join((found[1] if found else text).split()) or "no words"
        return (text.replace(self._key, "***") if self._key else text)[:300]

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, retries: int) -> Any:
        answers, url = self._answers, self._base_url + path
        for attempt in itertools.count():
            wait: float | None = None
            try:
                # A redirect would send the prompt, and perhaps the key, to a place that nobody configured.
                async with self._session.request(method, url, json=body, allow_redirects=False) as response:
                    status, text = response.status, await response.text(errors="replace")
                    wait = _seconds(response.headers.get("Retry-After"))
                    if status == 200:
                        self._answers += 1
                        return await response.json(content_type=None)
            except TimeoutError:
                # Once more, as it may have been lost on the way. After that it is the limit that is too low.
                status, text = 0, f"no answer within engine.timeout_s={self._timeout_s:g}"
                retries = min(retries, 1)
            except aiohttp.ClientError as error:
                status, text = 0, str(error) or type(error).__name__
            except ValueError:
                raise EngineError(f"{url} answers with something that is no JSON: {self.line(text)}") from None
            if status and status not in _AGAIN:
                raise self._refusal(method, path, status, text)
            if attempt >= retries:
                if status == 500 and self._answers > answers:  # others were answered meanwhile
                    raise RuntimeError(f"the server fails at this request: {self.line(text)}")
                answered = f"answers {status} to the last of {attempt + 1} tries" if status else "can't be reached"
                raise Unavailable(f"{url} {answered}: {self.line(text)}")
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt) * random.uniform(0.5, 1)
            # All who were told the same time to wait don't come back in the same moment.
            await asyncio.sleep(pause if wait is None else min(wait, LONGEST_WAIT_S) + pause / 4)

    def _refusal(self, method: str, path: str, status: int, text: str) -> Exception:
        if method == "POST" and status in _OF_THE_REQUEST:
            return ValueError(f"the server refuses the request: {self.line(text)}")
        hint = ""
        if status in (401, 403):
            hint = "; is the key in the environment the right one?" if self._key else "; it wants a key"
        elif status == 404:
            hint = "; does engine.base_url end as it should, for most servers with /v1?"
        kind = Unusable if method == "GET" else EngineError  # what is asked at the start is answered so again
        return kind(f"{self._base_url}{path} answers {status}: {self.line(text)}{hint}")


def _seconds(retry_after: str | None) -> float | None:
    """Seconds to wait, given as a number or as a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
