"""A fake of a server that speaks OpenAI's API, over real HTTP: it keeps what it was sent, and answers with whatever a
test has put in line."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

KEY = "sk-very-secret"
VLLM_CARD = {"id": "synth-demo", "owned_by": "vllm", "max_model_len": 100}


class FakeServer:
    """`replies` are (status, JSON or text, headers) for the next requests (status 0: the connection breaks); after that
    all are answered well. `cards` are its models, None: it lists none. `at` are the times at which requests came."""

    def __init__(self):
        self.cards = [VLLM_CARD]
        self.replies, self.bodies, self.keys, self.at = [], [], [], []
        self.delay_s, self.in_flight, self.most_in_flight = 0.0, 0, 0
        self.holds = {"json", "choice"}
        self.refuses = {}  # fields, with the words that refuse them
        self.refuses_values = {}  # fields, with a value and the words that refuse it
        self.greetings = []
        self.usage = {"prompt_tokens": 7, "completion_tokens": 2}

    async def models(self, request):
        self.keys.append(request.headers.get("Authorization"))
        if self.cards is None:
            return web.Response(status=404, text="no such page")
        return web.json_response({"object": "list", "data": self.cards})

    async def completions(self, request):
        body = await request.json()
        if "held" in str(body):  # what a client asks at its start
            form = "json" if "response_format" in body else "choice"
            held = {"json": '"held to a form"', "choice": "held to a form"}
            return web.json_response(answer(held[form] if form in self.holds else "words"))
        return await self.reply(request, body, answer())

    async def chat(self, request):
        body = await request.json()
        refusal_line = str(body)
        if refused := next((words for name, words in self.refuses.items() if name in body), None):
            return web.json_response({"error": {"message": refused, "code": 400}}, status=400)
        for name, (value, words) in self.refuses_values.items():
            if body.get(name) == value:
                return web.json_response({"error": {"message": words, "code": 400}}, status=400)
        if "held to a form" in refusal_line:
            return self.tried(body)
        if body["messages"][-1]["content"] == "Hello":
            self.greeting = body
            self.greetings.append(body)
            return web.json_response(said("Hello.") | {"usage": self.usage})
        return await self.reply(request, body, said() | {"usage": self.usage})

    def tried(self, body):
        """`holds` has `json` for any schema, `object` for strict ones of objects, as OpenAI."""
        if "structured_outputs" in body:
            return web.json_response(said("held to a form" if "choice" in self.holds else "words"))
        form = body["response_format"]["json_schema"]
        if "object" in self.holds:
            if form["schema"]["type"] != "object":
                return web.json_response({"error": {"message": "schema must be of type object"}}, status=400)
            return web.json_response(said('{"form": "held to a form"}' if form.get("strict") else "words"))
        return web.json_response(said('"held to a form"' if "json" in self.holds else "words"))

    async def reply(self, request, body, well):
        self.bodies.append(body)
        self.at.append(time.monotonic())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.delay_s)
        self.in_flight -= 1
        status, reply, headers = self.replies.pop(0) if self.replies else (200, well, {})
        if not status:
            request.transport.abort()
        if isinstance(reply, str):
            return web.Response(status=status or 200, text=reply, headers=headers)
        return web.json_response(reply, status=status, headers=headers)


@contextmanager
def serving_in_a_thread(cards):
    """The same for what has no event loop, or one of its own, with these models."""
    ready, over, found = threading.Event(), asyncio.Event(), []

    async def serve():
        async with serving() as fake:
            fake.cards = cards
            found.append((fake, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    (fake, loop) = found[0]
    yield fake
    loop.call_soon_threadsafe(over.set)
    thread.join()


@asynccontextmanager
async def serving():
    """One that listens on the loopback address, as its `url` says."""
    fake = FakeServer()
    app = web.Application(client_max_size=2**26)
    app.add_routes([web.get("/v1/models", fake.models), web.post("/v1/completions", fake.completions)])
    app.add_routes([web.post("/v1/chat/completions", fake.chat)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield fake
    await runner.cleanup()


def answer(text="words", finish_reason="stop", **more):
    """Of the completions API."""
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish_reason, **more}], "usage": {}}


def said(content="words", finish_reason="stop", **more):
    """Of the chat API."""
    message = {"role": "assistant", "content": content, **more}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def error(status, words="", **headers):
    result = {"error": {"message": words, "code": status}}
    return status, result, {name.replace("_", "-"): value for name, value in headers.items()}
