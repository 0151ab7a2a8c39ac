"""What a run tells while it goes on: to Prometheus, and to trackers of experiments."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

import pytest

from synth.report import tracking as module
from synth.report.tracking import Tracking
from synth.run import main
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.error_lines import check_line

SIMULATED = ["+strategy=magpie", "engine=simulated", "engine.tokens_per_second=2000", "engine.median_tokens=20"]
SLOW = [*SIMULATED, "engine.tokens_per_second=100", "engine.max_num_seqs=8", "num_records=100000"]
LINE = re.compile(r"^ray_synth_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scrape(port):
    """Synth's metrics by (name, step)."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = {}
        for name, labels, value in LINE.findall(answer.read().decode()):
            told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            assert told["run"] == "mine"
            found[name, told.get("step")] = float(value)
        return found
    return {}


@pytest.mark.slow
def test_prometheus_reads_the_numbers_of_a_run_at_the_port_that_was_asked_for(tmp_path):
    port = free_port()
    words = [*SLOW, f"output_dir={tmp_path / 'mine'}", f"cluster.metrics_port={port}"]
    env = os.environ | {"RAY_metrics_report_interval_ms": "3000"}
    process = subprocess.Popen([sys.executable, "-m", "synth.run", *words], env=env, stderr=subprocess.PIPE)
    found = {}
    until = time.monotonic() + 600
    while time.monotonic() < until and not (found.get(("kept", None)) and ("step_calls_total", "magpie") in found):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.5)
        found = scrape(port)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert found["replicas_ready", None] == 1
    assert found["step_calls_total", "magpie"] >= 2 * found["made_total", None] > 0
    assert 0 < found["step_engine_seconds_total", "magpie"] <= found["engine_seconds_total", None]
    assert found["engine_seconds_total", None] <= found["replica_seconds_total", None]
    lines = [json.loads(line) for line in (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()]
    assert found["kept", None] in {line["kept"] for line in lines}


def test_a_port_that_is_taken_is_said_before_anything_is_started(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*SIMULATED, f"output_dir={tmp_path}", f"cluster.metrics_port={port}"]) == 2
    expected = f"error: cluster.metrics_port: cannot listen on port {port} (Address already in use)\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("kind", "package"), [("wandb", "wandb"), ("mlflow", "mlflow-skinny")])
def test_a_tracker_that_is_not_installed_is_said_before_anything_is_started(
    tmp_path, monkeypatch, capsys, kind, package
):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert main([*SIMULATED, f"output_dir={tmp_path / 'run'}", f"tracking={kind}"]) == 2
    check_line(capsys.readouterr().err, "error: tracking", kind, f"pip install {package}")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_wandb_leaves_is_not_wandb(tmp_path, monkeypatch):
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(module.ConfigError, match="mlflow is not installed"):
        module.refuse_missing("mlflow")


class Noting:
    """A tracker that writes down what it hears; a run is known to it by one id. `fails` says for how many lines."""

    opened: list
    fails = 0

    def __init__(self, folder, config, id):
        self.id, self.heard = id or "abc", []
        self.opened.append((id, self))

    def log(self, values, seconds):
        if len(self.heard) < self.fails:
            self.heard.append(None)
            raise RuntimeError("no answer\nat all")
        self.heard.append((values, seconds))

    def close(self, code):
        self.heard.append(code)


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Starts tracking by a Noting: `track(fails)` gives both."""
    monkeypatch.setitem(module.KINDS, "wandb", Noting)
    monkeypatch.setattr(Noting, "opened", [], raising=False)
    folder, manifest = RunFolder(tmp_path), Manifest({}, {}, {}, 1, created="2026-01-01T00:00:00+00:00")

    def track(fails=0):
        monkeypatch.setattr(Noting, "fails", fails)
        return Tracking("wandb", folder, manifest, {"seed": 1})

    return track


LINE_OF_METRICS = {"time": 1767225610.0, "kept": 3, "spent": {"judge#2": {"calls": 4}}, "cost": None, "name": "x"}


def test_a_tracker_hears_all_numbers_by_their_path_and_how_the_run_ended(track):
    tracking = track()
    tracking(LINE_OF_METRICS)
    tracking.end(3)
    ((_, tracker),) = Noting.opened
    assert tracker.heard == [({"time": 1767225610.0, "kept": 3, "spent/judge#2/calls": 4}, 10), 3]


def test_a_run_that_goes_on_is_the_same_run_to_its_tracker(track):
    for _ in range(2):
        tracking = track()
        tracking(LINE_OF_METRICS)
        tracking.end(0)
    assert [id for id, _ in Noting.opened] == [None, "abc"]


def test_a_tracker_that_fails_is_one_warning_and_is_asked_again(track, caplog):
    tracking = track(fails=2)
    for _ in range(3):
        tracking(LINE_OF_METRICS)
    tracking.end(0)
    ((_, tracker),) = Noting.opened
    assert len(tracker.heard) == 4 and tracker.heard[-1] == 0
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "tracking: wandb: no answer; the run goes on"
    ]


def test_a_tracker_that_hangs_holds_nobody_up(track, monkeypatch, caplog):
    monkeypatch.setattr(module, "LAST_LINES_S", 0.05)
    answered = threading.Event()
    monkeypatch.setattr(Noting, "log", lambda self, values, seconds: answered.wait(60))
    tracking = track()
    for _ in range(1000):
        tracking(LINE_OF_METRICS)
    tracking.end(0)
    answered.set()
    assert "does not answer" in caplog.text


@pytest.mark.slow
def test_a_run_and_its_resumption_are_one_run_of_mlflows(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking", exc_type=ImportError)
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for records in (20, 40):
        assert main([*SIMULATED, f"output_dir={tmp_path / 'run'}", "tracking=mlflow", f"num_records={records}"]) == 0
    client = tracking.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("synth").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.metrics["kept"] >= 40
    assert run.data.metrics["spent/magpie/calls"] > 0
    assert run.data.tags["num_records"] == "40"


@pytest.mark.slow
def test_a_run_and_its_resumption_have_one_id_at_wandb_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb", exc_type=ImportError)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for records in (20, 40):
        assert main([*SIMULATED, f"output_dir={tmp_path / 'run'}", "tracking=wandb", f"num_records={records}"]) == 0
    (id,) = {path.name.rpartition("-")[2] for path in (tmp_path / "run" / "wandb").glob("offline-run-*")}
    assert json.loads((tmp_path / "run" / "tracking.json").read_text()) == {"wandb": id}


@pytest.mark.slow
def test_a_run_goes_on_without_a_tracker_that_has_no_key(tmp_path):
    pytest.importorskip("wandb", exc_type=ImportError)
    words = [*SIMULATED, f"output_dir={tmp_path / 'run'}", "tracking=wandb", "num_records=20"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | {"HOME": str(tmp_path)}
    # A process of its own, because the library reads its settings once.
    done = subprocess.run([sys.executable, "-m", "synth.run", *words], env=env, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "tracking: wandb: No API key configured. Use `wandb login` to log in.; the run goes on" in done.stderr
