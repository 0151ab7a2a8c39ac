"""A JSON API over HTTP, asked patiently: what a server can't do now is asked of it again.

Promises: a request that meets a rate limit (429, or 503 with Retry-After) waits with all others of this server, and is
sent again until it is answered (synth/engines/rate_limit.py). A failing server (5xx), or none at all, is asked again
after a pause that grows and varies. What remains is one line: ValueError for what is wrong with this one request,
EngineError for what is wrong with the server. The key is in no line and no exception.

Knows nothing of what is asked.
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
# In the words of OpenAI, Azure and OpenRouter.
_FILTERED = re.compile("content_filter|content_policy_violation|ResponsibleAIPolicyViolation|flagged_input")
# In those of OpenAI and vLLM, Anthropic, llama.cpp, Mistral, Gemini and Together.
_TOO_LONG = re.compile(
    r"context_length_exceeded|(maximum|available|model's) context (length|size|window)|prompt is too long"
    r"|exceed_context_size|too large for model with \d+ maximum|input token count .{0,40}exceeds the maximum"
    r"|`inputs` tokens \+ `max_new_tokens` must be",
    re.IGNORECASE,
)
_SPENT = "insufficient_quota"  # OpenAI's word for an account without money, which has the status of a rate limit


class Withheld(ValueError):
    """A filter of the server's has refused this request for what it says."""


class TooLong(ValueError):
    """The prompt, with what may be answered, is longer than the model's context."""


class PatientHTTP:
    """Requests to the server at `base_url`, by a transport that has the `key`, none longer than `timeout_s` seconds."""

    def __init__(self, base_url: str, key: str, timeout_s: float, limit: RateLimit, transport: Transport):
        self._base_url, self._key, self._timeout_s = base_url, key, timeout_s
        self._limit, self._transport = limit, transport
        self._answers = 0

    async def get(self, path: str, retries: int) -> Any:
        return await self._ask("GET", path, None, retries)

    async def post(self, path: str, body: Mapping[str, Any], retries: int) -> Any:
        """The JSON of the answer, after as many tries as it takes and `retries` allows.

        Raises ValueError where the server refuses this request, Withheld and TooLong among them, RuntimeError where it
        answers others and fails at this one, EngineError where it is of no use.
        """
        return await self._ask("POST", path, body, retries)

    async def close(self) -> None:
        await self._transport.close()

    def line(self, text: str) -> str:
        """The server's words in one line, without the key, should it have been repeated."""
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
                # Once more, as it may have been lost on the way. After that it is the limit that is too low.
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
                if status == 500 and self._answers > answers:  # others were answered meanwhile
                    raise RuntimeError(f"the server fails at this request: {self.line(reply.text)}")
                answered = f"answers {status} to the last of {failures} tries" if status else "can't be reached"
                raise Unavailable(f"{url} {answered}: {self.line(reply.text)}")
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1)) * random.uniform(0.5, 1)
            await asyncio.sleep(pause if wait is None else wait + pause / 4)

    async def _sent(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[Any, Reply]:
        """A reply and its JSON. Some gateways tell of a failure behind them in an answer whose own status is 200."""
        async with asyncio.timeout(self._timeout_s):
            reply = await self._transport.send(method, path, body)
        if reply.status != 200:
            return None, reply
        try:
            answer = json.loads(reply.text)
        except ValueError:
            told = f"{self._base_url}{path} answers with something that is no JSON: {self.line(reply.text)}"
            raise EngineError(told) from None
        failure = answer.get("error") if isinstance(answer, dict) and not answer.get("choices") else None
        if not failure:
            return answer, reply
        code = str(failure.get("code")) if isinstance(failure, dict) else ""
        return None, Reply(int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500, reply.text, reply.retry_after)

    def _refusal(self, method: str, path: str, reply: Reply) -> Exception:
        told = self.line(reply.text)
        if _FILTERED.search(reply.text):
            return Withheld(told)
        if method == "POST" and reply.status in _OF_THE_REQUEST:
            if _TOO_LONG.search(reply.text):
                return TooLong(told)
            return ValueError(f"the server refuses the request: {told}")
        hint = ""
        if reply.status in (401, 403):
            hint = "; is the key in the environment the right one?" if self._key else "; it wants a key"
        elif reply.status == 404:
            hint = "; does engine.base_url end as it should, for most servers with /v1?"
        kind = Unusable if method == "GET" else EngineError  # what is asked at the start is answered so again
        return kind(f"{self._base_url}{path} answers {reply.status}: {told}{hint}")


def _is_limited(reply: Reply, wait: float | None) -> bool:
    asks_to_wait = reply.status in _LIMITED or (reply.status == 503 and wait is not None)
    return asks_to_wait and _SPENT not in reply.text


def retry_after_s(retry_after: str | None) -> float | None:
    """Seconds to wait, given as a number or as a date."""
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
