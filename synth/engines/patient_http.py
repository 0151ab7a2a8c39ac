"""A client for JSON APIs over HTTP, with retries and rate limiting.

Promises: a request that meets a rate limit (429, or 503 with Retry-After) waits together with all others of this
server, and is retried until it is answered (synth/engines/rate_limit.py). On a server error (5xx) or no connection, it
is retried with exponential backoff and jitter. What remains is a one-line error: ValueError if the request is at fault,
EngineError if the server is. The API key is in no message and no exception.
"""

import asyncio
import json
import math
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from synth.engines import EngineError, Unavailable, Unusable
from synth.engines.rate_limit import RateLimit
from synth.engines.transports import Reply, Transport

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
_AGAIN = {408, 409, 425, 500, 502, 503, 504}
_LIMITED = {429, 529}
_OF_THE_REQUEST = {400, 413, 422}
# As OpenAI, Azure and OpenRouter phrase it.
_FILTERED = re.compile("content_filter|content_policy_violation|ResponsibleAIPolicyViolation|flagged_input")
# As OpenAI and vLLM, Anthropic, llama.cpp, Mistral, Gemini and Together phrase it.
_TOO_LONG = re.compile(
    r"context_length_exceeded|(maximum|available|model's) context (length|size|window)|prompt is too long"
    r"|exceed_context_size|too large for model with \d+ maximum|input token count .{0,40}exceeds the maximum"
    r"|`inputs` tokens \+ `max_new_tokens` must be",
    re.IGNORECASE,
)
_SPENT = "insufficient_quota"  # OpenAI's code for an account without credit, with the status of a rate limit


class Withheld(ValueError):
    """A content filter of the server refused this request."""


class TooLong(ValueError):
    """The prompt and the answer together exceed the model's context."""


class PatientHTTP:
    """Requests to the server at `base_url`, by a transport that has the `key`, each with a timeout of `timeout_s`."""

    def __init__(self, base_url: str, key: str, timeout_s: float, limit: RateLimit, transport: Transport):
        self._base_url, self._key, self._timeout_s = base_url, key, timeout_s
        self._limit, self._transport = limit, transport
        self._answers = 0

    async def get(self, path: str, retries: int) -> Any:
        return await self._ask("GET", path, None, retries)

    async def post(self, path: str, body: Mapping[str, Any], retries: int) -> Any:
        """The JSON of the answer, with up to `retries` retries.

        Raises ValueError if the server refuses this request (also Withheld and TooLong), RuntimeError if it answers
        others and fails at this one, EngineError if it is unusable.
        """
        return await self._ask("POST", path, body, retries)

    async def close(self) -> None:
        await self._transport.close()

    def line(self, text: str) -> str:
        """The server's message in one line, with the key removed should it contain it."""
        found = re.search(r'"(?:message|detail)"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
        text = " ".join((found[1] if found else text).split()) or "no words"
        return (text.replace(self._key, "***") if self._key else text)[:300]

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, retries: int) -> Any:
        answers, failures, url = self._answers, 0, self._base_url + path
        asked_before = False
        while True:
            wait: float | None = None
            try:
                async with self._limit.admitted(again=asked_before) as ticket:
                    asked_before = True
                    answer, reply = await self._sent(method, path, body)
                    wait = retry_after_s(reply.retry_after)
                    if _is_limited(reply, wait):
                        self._limit.refused(ticket, wait, self.line(reply.text))
                        continue
            except TimeoutError:
                # Retry once, as the reply may have been lost. After that the timeout is too short.
                reply = Reply(0, f"no answer within engine.timeout_s={self._timeout_s:g}")
                retries = min(retries, 1)
            except ConnectionError as error:
                reply = Reply(0, str(error))
            status = reply.status
            if status == 200:
                self._answers += 1
                self._limit.answered()
                return answer
            if status and status not in _AGAIN:
                raise self._refusal(method, path, reply)
            failures += 1
            if failures > retries:
                if status == 500 and self._answers > answers:  # others have been answered meanwhile
                    raise RuntimeError(f"the server fails at this request: {self.line(reply.text)}")
                answered = f"answers {status} to the last of {failures} tries" if status else "can't be reached"
                raise Unavailable(f"{url} {answered}: {self.line(reply.text)}")
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1)) * random.uniform(0.5, 1)
            await asyncio.sleep(pause if wait is None else wait + pause / 4)

    async def _sent(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[Any, Reply]:
        """A reply and its JSON. Some gateways report an upstream failure in a reply of status 200."""
        async with asyncio.timeout(self._timeout_s):
            reply = await self._transport.send(method, path, body)
        if reply.status != 200:
            return None, reply
        try:
            answer = json.loads(reply.text)
        except ValueError:
            message = f"{self._base_url}{path} answers with something that is not JSON: {self.line(reply.text)}"
            raise EngineError(message) from None
        failure = answer.get("error") if isinstance(answer, dict) and not answer.get("choices") else None
        if not failure:
            return answer, reply
        code = str(failure.get("code")) if isinstance(failure, dict) else ""
        return None, Reply(int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500, reply.text, reply.retry_after)

    def _refusal(self, method: str, path: str, reply: Reply) -> Exception:
        message = self.line(reply.text)
        if _FILTERED.search(reply.text):
            return Withheld(message)
        if method == "POST" and reply.status in _OF_THE_REQUEST:
            if _TOO_LONG.search(reply.text):
                return TooLong(message)
            return ValueError(f"the server refuses the request: {message}")
        hint = ""
        if reply.status in (401, 403):
            hint = "; check the key in the environment" if self._key else "; it needs a key, see engine.api_key_env"
        elif reply.status == 404:
            hint = "; check engine.base_url, which ends with /v1 for most servers"
        kind = Unusable if method == "GET" else EngineError  # at the start another try would fail the same way
        return kind(f"{self._base_url}{path} answers {reply.status}: {message}{hint}")


def _is_limited(reply: Reply, wait: float | None) -> bool:
    asks_to_wait = reply.status in _LIMITED or (reply.status == 503 and wait is not None)
    return asks_to_wait and _SPENT not in reply.text


def retry_after_s(retry_after: str | None) -> float | None:
    """Seconds to wait, from a number or a date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
