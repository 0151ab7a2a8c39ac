"""Whole runs that publish, to a folder and to a stand-in of the Hub, killed and refused."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import datasets
import pytest

from synth.records import derive_seed
from tests.hub_stand_in import TOKEN, HubStandIn
from tests.publishing.runs import GrowingRun, rows_of, twice

pytestmark = pytest.mark.slow

# In files of ten rows, and whatever is final at once.
PUBLISHER = """
import sys
from synth.publishing import publisher
from synth.schedule import publishing
publisher.INTERVAL_S, publisher.SHARE, publishing.POLL_S, publishing.PAUSES_S = 0.0, 0.0, 0.1, (0.1,)
publisher.ROWS_PER_FILE = 10
"""
EXPORT = PUBLISHER + "from synth import export\nsys.exit(export.main(sys.argv[1:]))"
RUN = PUBLISHER + "from synth import run\nsys.exit(run.main(sys.argv[1:]))"
SMALL = ["+strategy=magpie", "engine=simulated", "engine.median_tokens=20", "shard_size=8", "num_records=60"]


@pytest.fixture
def hub():
    with HubStandIn({}) as hub:
        yield hub


def of_the_hub(hub, home, token=TOKEN, offline="0"):
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline, "HF_HUB_DISABLE_XET": "1"}
    return os.environ | env | {"HF_TOKEN": token}


def begun(script, *arguments, env=None):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def streamed(hub, home):
    """The ids that a reader gets from the Hub by streaming."""
    script = """
import datasets, json
print(json.dumps([row["id"] for row in datasets.load_dataset("me/mine", split="train", streaming=True)]))
"""
    code, out, err = ended(begun(script, env=of_the_hub(hub, home)))
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def finished(tmp_path):
    run = GrowingRun(tmp_path / "run", num_records=22)
    run.commit_all()
    return run


def test_what_a_run_has_not_published_is_published_by_hand_as_a_private_dataset_that_streams(hub, finished, tmp_path):
    command = (EXPORT, finished.folder.path, "--publish", "hub:me/mine")
    code, out, err = ended(begun(*command, env=of_the_hub(hub, tmp_path)))
    assert (code, out) == (0, "22 rows are published at hub:me/mine\n"), err
    assert hub.private == {"me/mine"}
    files = hub.repositories["me/mine"]
    assert rows_of(files) == finished.merged()
    assert streamed(hub, tmp_path / "reader") == [str(number) for number in range(22)]
    sent = list(hub.uploads)
    assert ended(begun(*command, env=of_the_hub(hub, tmp_path)))[0] == 0
    assert hub.uploads == sent, "a file was sent twice"


def test_an_upload_to_the_hub_that_is_killed_halfway_goes_on_from_there(hub, finished, tmp_path):
    command = (EXPORT, finished.folder.path, "--publish", "hub:me/mine")
    process = begun(*command, env=of_the_hub(hub, tmp_path))
    hub.halfway = process.kill
    assert ended(process)[0] == -9
    hub.halfway = None
    there = rows_of(hub.repositories["me/mine"])
    assert there == finished.merged()[: len(there)] and len(there) < 22
    code, _, err = ended(begun(*command, env=of_the_hub(hub, tmp_path)))
    assert code == 0, err
    assert rows_of(hub.repositories["me/mine"]) == finished.merged()


def test_a_process_that_is_killed_at_any_write_to_a_folder_leaves_a_first_part_that_streams(finished, tmp_path):
    there = tmp_path / "there"
    killed = """
import os, signal
from synth.publishing.destinations import Store
calls, last, send, replace = [0], int(sys.argv.pop(1)), Store._send, os.replace
def at(change, *given):
    calls[0] += 1
    if calls[0] == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return change(*given)
Store._send = lambda *given: at(send, *given)
os.replace = lambda *given: at(replace, *given)
"""
    script = EXPORT.replace("from synth import export", killed + "from synth import export")
    command = (finished.folder.path, "--publish", there)
    rng = random.Random(derive_seed(0, "kills"))
    call, kills = 2, 0
    while (code := ended(begun(script, call, *command))[0]) != 0:
        assert code == -9
        kills += 1
        if (there / "data/train-000000.parquet").exists():
            ids = [row["id"] for row in datasets.load_dataset(str(there), split="train", streaming=True)]
            assert ids == [str(number) for number in range(len(ids))]
        call = rng.randint(call, call + 6)
    assert kills > 2
    files = {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert rows_of(files) == finished.merged()
    assert not [name for name in files if "unfinished" in name]


def test_a_hub_that_takes_nothing_is_one_line_that_says_how_to_go_on(hub, finished, tmp_path):
    hub.full = True
    code, out, err = ended(
        begun(EXPORT, finished.folder.path, "--publish", "hub:me/mine", env=of_the_hub(hub, tmp_path))
    )
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("failed: hub:me/mine: ") and "storage limit reached" in err
    assert TOKEN not in err and not (finished.folder.path / ".publish").exists()


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"token": ""}, "no token for the Hub was found; set HF_TOKEN or run hf auth login"),
        ({"token": "hf_of_somebody"}, "the Hub refuses 'me/mine': Invalid user token."),
        ({"offline": "1"}, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it to reach the Hub"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_before_anything_starts(hub, tmp_path, keys, why):
    command = ["synth.run", *SMALL, f"output_dir={tmp_path / 'run'}", "publish='hub:me/mine'"]
    done = subprocess.run(
        [sys.executable, "-m", *command], env=of_the_hub(hub, tmp_path, **keys), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, f"error: publish: hub:me/mine: {why}\n")
    assert not hub.repositories and not (tmp_path / "run").exists()


def test_a_run_publishes_while_it_goes_on_and_what_then_fails_is_published_later(hub, tmp_path):
    env = of_the_hub(hub, tmp_path)
    words = [*SMALL, "engine.tokens_per_second=60", f"output_dir={tmp_path / 'run'}", "publish='hub:me/mine'"]
    process = begun(RUN, *words, env=env)
    while process.poll() is None and not rows_of(dict(hub.repositories.get("me/mine", {}))):
        time.sleep(0.1)
    assert process.poll() is None, "nothing was published before its end"
    hub.full = True
    ids = streamed(hub, tmp_path / "reader")
    assert ids and not twice([{"id": id} for id in ids])
    code, _, err = ended(process)
    assert code == 1, err
    dataset = datasets.load_from_disk(str(tmp_path / "run/dataset")).to_list()
    assert len(dataset) == 60 and rows_of(hub.repositories["me/mine"]) != dataset
    again = re.search(r"run python -m synth\.export (\S+) --publish (\S+) to continue", err)
    hub.full = False
    assert ended(begun(EXPORT, again[1], "--publish", again[2], env=env))[0] == 0
    assert rows_of(hub.repositories["me/mine"]) == dataset
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path


def test_a_run_that_is_killed_again_and_again_publishes_its_dataset_once(tmp_path):
    there, rng = tmp_path / "there", random.Random(derive_seed(0, "kills of runs"))
    words = [*SMALL, "engine.tokens_per_second=100", f"output_dir={tmp_path / 'run'}", f"publish={there}"]

    def files():
        found = {}
        for path in there.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(there))] = path.read_bytes()
        return found

    for _ in range(2):
        process = begun(RUN, *words)
        before = len(files())
        while process.poll() is None and len(files()) <= before + 1:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not twice(rows_of(files()))
    code, _, err = ended(begun(RUN, *words))
    assert code == 0, err
    dataset = datasets.load_from_disk(str(tmp_path / "run/dataset")).to_list()
    assert rows_of(files()) == dataset and len(dataset) == 60


def test_a_finished_run_that_is_extended_leaves_the_bytes_of_what_is_published(tmp_path):
    there = tmp_path / "there"
    words = [*SMALL, "engine.tokens_per_second=1000", f"output_dir={tmp_path / 'run'}", f"publish={there}"]
    files = []
    for records in (21, 38):
        code, _, err = ended(begun(RUN, *words, f"num_records={records}"))
        assert code == 0, err
        files.append({str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()})
        assert rows_of(files[-1]) == datasets.load_from_disk(str(tmp_path / "run/dataset")).to_list()
    before, after = files
    assert {name for name in before if before[name] != after[name]} == {"README.md", "published.json"}
    assert len(rows_of(after)) == 38 and not twice(rows_of(after))
    code, _, err = ended(begun(RUN, *words, "num_records=21"))
    assert code == 2 and err.startswith(f"error: publish: {there} has 38 rows of this run")
