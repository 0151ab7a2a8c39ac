"""Pushes a run's dataset to the Hugging Face Hub as Parquet, with the Hub's own client.

Promises: a repository created here is private; an existing one keeps its visibility. The token is handled by the client
(HF_TOKEN or `hf auth login`): it is no argument and is never written. What the Hub already has is not sent again, so an
interrupted push can be repeated. The run folder is not changed.
"""

import shutil
import sys

from synth.storage.export import Unexportable, export
from synth.storage.parquet import DATA_FILES
from synth.storage.run_folder import RunFolder


class Unpushable(ValueError):
    """A dataset can't be pushed. The message says why, in one line."""


def dataset_name(name: str) -> str:
    """The name itself. Raises ValueError if it is no valid name on the Hub."""
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
    """Create the repository if it does not exist. Raises Unpushable if the Hub will refuse the push.

    An unreachable Hub is no error here: it may be back when there is something to push.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if constants.is_offline_mode():
        raise Unpushable("HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it to reach the Hub")
    if get_token() is None:
        raise Unpushable("no token for the Hub was found; set HF_TOKEN or run hf auth login")
    try:
        _make(name)
    except HfHubHTTPError as error:
        if 400 <= error.response.status_code < 500:
            raise Unpushable(f"the Hub refuses {name!r}: {one_line(error)}") from None
    except Exception:  # of any HTTP library of the client
        return


def push(folder: RunFolder, name: str) -> str:
    """Push the dataset of a locked run and return its URL. Raises Unpushable and Unexportable."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    unsent = folder.path / ".push"
    shutil.rmtree(unsent, ignore_errors=True)  # left by a killed process
    try:
        export(folder, "parquet", str(unsent), name)
        address = _make(name)
        HfApi().upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=unsent,
            commit_message="Made by Synth",
            delete_patterns=DATA_FILES,  # of a former dataset with more files
        )
        return address
    except Unexportable:
        raise
    except Exception as error:  # of the client, its libraries or the disk
        again = f"run python -m synth.export {folder.path} --push-to-hub {name} to continue"
        raise Unpushable(f"the push to {name}: {one_line(error)}; nothing is lost, {again}") from error
    finally:
        shutil.rmtree(unsent, ignore_errors=True)


def _make(name: str) -> str:
    from huggingface_hub import HfApi

    return str(HfApi().create_repo(name, repo_type="dataset", private=True, exist_ok=True))


def one_line(error: BaseException) -> str:
    """The client's error and its cause, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = getattr(error, "server_message", None) or (lines[0] if lines else type(error).__name__)
    return f"{message} {one_line(error.__cause__)}" if error.__cause__ and not hasattr(error, "response") else message
