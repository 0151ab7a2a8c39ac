"""A run's dataset on the Hugging Face Hub, in Parquet, by the Hub's own client.

Promises: a repository that is made here is private, one that is there stays as open as it is. The token is the
client's own business (HF_TOKEN, or `hf auth login`): it is no argument and is written nowhere. What the Hub has
already is not sent again, so a push that broke off goes on from there. The run's folder stays as it is.
"""

import shutil
import sys

from synth.storage.export import DATA_FILES, Unexportable, export
from synth.storage.run_folder import RunFolder


class Unpushable(ValueError):
    """A dataset that can't be pushed to where it should go. The message says why, in one line."""


def dataset_name(name: str) -> str:
    """The name itself. Raises ValueError where the Hub has no such names."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        name = ""
    if "/" not in name:
        raise ValueError("must be user/name, of letters, digits, -, _ and .")
    return name


def make_ready(name: str) -> None:
    """Make the repository, where it is not there. Raises Unpushable if the Hub will not take what is pushed.

    A Hub that does not answer is no reason: it may by the time that there is something to push.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if constants.is_offline_mode():
        raise Unpushable("HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, which keeps the Hub out of reach")
    if get_token() is None:
        raise Unpushable("there is no token for the Hub; set HF_TOKEN or log in by hf auth login")
    try:
        _make(name)
    except HfHubHTTPError as error:
        if 400 <= error.response.status_code < 500:
            raise Unpushable(f"the Hub refuses {name!r}: {_one_line(error)}") from None
    except Exception:  # of whichever library the client connects with
        return


def push(folder: RunFolder, name: str) -> str:
    """Push the dataset of a run whose lock is held, and return its address. Raises Unpushable and Unexportable."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    unsent = folder.path / ".push"
    shutil.rmtree(unsent, ignore_errors=True)  # of a process that was killed
    try:
        export(folder, "parquet", str(unsent), name)
        address = _make(name)
        HfApi().upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=unsent,
            commit_message="Made by Synth",
            delete_patterns=DATA_FILES,  # of a dataset that had more of them
        )
        return address
    except Unexportable:
        raise
    except Exception as error:  # of the client, of the libraries below it, of the disk
        again = f"python -m synth.export {folder.path} --push-to-hub {name} goes on with it"
        raise Unpushable(f"the push to {name}: {_one_line(error)}; nothing is lost, {again}") from error
    finally:
        shutil.rmtree(unsent, ignore_errors=True)


def _make(name: str) -> str:
    from huggingface_hub import HfApi

    return str(HfApi().create_repo(name, repo_type="dataset", private=True, exist_ok=True))


def _one_line(error: BaseException) -> str:
    """What the client says, and what it says was the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = getattr(error, "server_message", None) or (lines[0] if lines else type(error).__name__)
    return f"{told} {_one_line(error.__cause__)}" if error.__cause__ and not hasattr(error, "response") else told
