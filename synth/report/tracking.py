"""Sends the numbers of metrics.jsonl to Weights & Biases or MLflow.

Promises: a tracker is called in its own thread; the run waits for it only at the end, for a limited time. A failure is
a single warning, and the run goes on. A resumed run continues as one run there: its id is in tracking.json. Server,
project and key are the libraries' own settings, in the environment.
"""

import importlib.util
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from queue import Full, Queue
from typing import Any, Protocol

from synth.errors import ConfigError, reason
from synth.exit_codes import DONE, STOPPED
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder, atomic_write

log = logging.getLogger("synth")

LINES_KEPT = 100  # for a tracker that does not answer
LAST_LINES_S = 30.0
MOST_TAGS = 100  # MLflow's limit per call


class Tracker(Protocol):
    """A destination for numbers. `id` is the run's id there."""

    id: str

    def log(self, values: Mapping[str, float], seconds: int) -> None:
        """`seconds` since the run began, over all processes."""
        ...

    def close(self, code: int) -> None: ...


class Wandb:
    """Settings: WANDB_PROJECT (default `synth`), WANDB_MODE and the library's others."""

    def __init__(self, folder: RunFolder, config: Mapping[str, Any], id: str | None):
        import wandb

        settings = wandb.Settings(silent=True, console="off", disable_git=True)
        wandb.setup(settings=settings)  # silent: it would prompt for a key within the display
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "synth"),
            name=folder.path.resolve().name,
            id=id,
            resume="allow",
            dir=str(folder.path),
        )
        self.id = self._run.id
        self._run.config.update(dict(config), allow_val_change=True)
        self._run.define_metric("*", step_metric="seconds")

    def log(self, values: Mapping[str, float], seconds: int) -> None:
        self._run.log({**values, "seconds": seconds})

    def close(self, code: int) -> None:
        self._run.finish(exit_code=code)


class Mlflow:
    """Settings: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME (default `synth`)."""

    def __init__(self, folder: RunFolder, config: Mapping[str, Any], id: str | None):
        from mlflow.entities import RunTag
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = MlflowClient()
        if id is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "synth")
            experiment = self._client.get_experiment_by_name(name)
            there = experiment.experiment_id if experiment else self._client.create_experiment(name)
            id = self._client.create_run(there, run_name=folder.path.resolve().name).info.run_id
        self.id = id
        self._client.update_run(self.id, status="RUNNING")
        tags = [RunTag(_plain(key), str(value)[:5000]) for key, value in _flat(config, ".")]
        self._client.log_batch(self.id, tags=tags[:MOST_TAGS])

    def log(self, values: Mapping[str, float], seconds: int) -> None:
        from mlflow.entities import Metric

        moment = round(1000 * values["time"])
        metrics = [Metric(_plain(name), value, moment, seconds) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self, code: int) -> None:
        self._client.set_terminated(self.id, {DONE: "FINISHED", STOPPED: "KILLED"}.get(code, "FAILED"))


KINDS: dict[str, type[Wandb] | type[Mlflow]] = {"wandb": Wandb, "mlflow": Mlflow}
PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny"}


def refuse_missing(kind: str) -> None:
    """Raises ConfigError if the library is not installed. A folder of its name, such as wandb's output, does not
    count."""
    found = importlib.util.find_spec(kind)
    if found is None or found.origin is None:
        raise ConfigError(f"tracking: {kind} is not installed; pip install {PACKAGES[kind]}")


class Tracking:
    """Called with lines of metrics.jsonl, until `end`."""

    def __init__(self, kind: str, folder: RunFolder, manifest: Manifest, config: Mapping[str, Any]):
        self._kind, self._folder, self._config = kind, folder, config
        self._begun = datetime.fromisoformat(manifest.created).timestamp()
        self._lines: Queue[Mapping[str, Any] | int] = Queue(LINES_KEPT)
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def __call__(self, line: Mapping[str, Any]) -> None:
        with suppress(Full):
            self._lines.put_nowait(line)

    def end(self, code: int) -> None:
        """The run ended with this exit code. Returns when the tracker has finished, or after a timeout."""
        with suppress(Full):
            self._lines.put(code, timeout=LAST_LINES_S)
        self._thread.join(LAST_LINES_S)
        if self._thread.is_alive():
            log.warning("tracking: %s does not answer; the end of the run is missing there", self._kind)

    def _work(self) -> None:
        tracker: Tracker | None = None
        while True:
            line = self._lines.get()
            try:
                if isinstance(line, int):
                    if tracker:
                        tracker.close(line)
                    return
                tracker = tracker or self._open()
                values = {name: value for name, value in _flat(line, "/") if isinstance(value, int | float)}
                tracker.log(values, max(0, round(line["time"] - self._begun)))
                self._failing = False
            except Exception as error:  # of a third-party library
                if not self._failing:
                    log.warning("tracking: %s: %s; the run goes on", self._kind, reason(error))
                self._failing = True
                if isinstance(line, int):
                    return

    def _open(self) -> Tracker:
        path = self._folder.tracking
        ids: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        tracker = KINDS[self._kind](self._folder, self._config, ids.get(self._kind))
        if ids.get(self._kind) != tracker.id:
            with atomic_write(path) as unfinished:
                unfinished.write_text(json.dumps(ids | {self._kind: tracker.id}) + "\n")
        return tracker


def _flat(node: Mapping[str, Any], dot: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, dot, f"{prefix}{key}{dot}")
        else:
            yield f"{prefix}{key}", value


def _plain(name: str) -> str:
    """MLflow accepts letters, digits and some punctuation."""
    return "".join(one if one.isalnum() or one in "_-. /" else "_" for one in name)
