"""A real Chromium without a window, told what to do over its DevTools protocol: tests of pages, and screenshots.

`python -m tests.report.chromium PAGE FOLDER` writes screenshots of a page in four looks: desktop and phone, light and
dark.
"""

import asyncio
import base64
import contextlib
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import aiohttp

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-port=0"
).split()
DESKTOP, PHONE = (1280, 900), (375, 760)


class Page:
    """One tab. `requests` are the addresses that it asked for, `errors` what its console and policy complained of."""

    def __init__(self, socket):
        self._socket, self._numbers, self._answers = socket, itertools.count(1), {}
        self.requests, self.errors = [], []
        self._loaded = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def open(self, address):
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.tell(f"{domain}.enable")
        self._loaded.clear()
        await self.tell("Page.navigate", url=str(address))
        await asyncio.wait_for(self._loaded.wait(), 60)

    async def look(self, size=DESKTOP, dark=False):
        width, height = size
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])

    async def run(self, script):
        """The value of an expression in the page."""
        answer = await self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def screenshot(self, path, whole=True):
        answer = await self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(answer["data"]))

    async def tell(self, method, **params):
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._answers[number], 60)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    async def _read(self):
        async for message in self._socket:
            result = message.json()
            if "id" in result:
                self._answers.pop(result["id"]).set_result(result)
                continue
            match result["method"], result["params"]:
                case "Page.loadEventFired", _:
                    self._loaded.set()
                case "Network.requestWillBeSent", params:
                    self.requests.append(params["request"]["url"])
                case "Runtime.exceptionThrown", params:
                    self.errors.append(params["exceptionDetails"]["text"])
                case "Log.entryAdded", params:
                    self.errors.append(params["entry"]["text"])


@contextlib.asynccontextmanager
async def chromium():
    """A browser with one tab, in a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="synth-chromium-", ignore_cleanup_errors=True) as profile:
        browser = await asyncio.create_subprocess_exec(
            PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.DEVNULL
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tab = next(one for one in await answer.json() if one["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            browser.kill()
            await browser.wait()


async def _port(path):
    for _ in range(600):
        if path.exists() and (lines := path.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise TimeoutError("Chromium does not start")


async def _screenshots(address, folder):
    async with chromium() as page:
        await page.open(address)
        for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
            for dark in (False, True):
                await page.look(size, dark)
                await page.screenshot(folder / f"{device}-{'dark' if dark else 'light'}.png")


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(_screenshots(Path(sys.argv[1]).absolute().as_uri(), target))
