"""What the failed start of an engine says: whether another try can end differently."""

import pytest

from synth.engines import EngineError, Unavailable, Unusable
from synth.engines.start import classified, kind_of, start_failure


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("no file named model.safetensors"),
        KeyError("a model of an unknown kind"),
        ImportError("no module named of"),
        caused(EngineError("vLLM did not start"), ValueError("of the configuration")),
        EngineError("vLLM did not start: Cannot find any model weights with `/m`"),
        Unusable("as the engine itself says"),
    ],
)
def test_what_stays_as_it_is_can_not_be_used(error):
    assert type(start_failure(error)) is Unusable


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("by the server"),
        TimeoutError("of the server"),
        caused(EngineError("no server"), OSError("We couldn't connect to huggingface.co")),
        ValueError("Free memory on device (3/80 GiB) on startup is less than desired"),
        Unavailable("as the engine itself says"),
    ],
)
def test_what_may_come_is_waited_for(error):
    assert type(start_failure(error)) is Unavailable


@pytest.mark.parametrize("error", [EngineError("its core died"), RuntimeError("CUDA error: unknown")])
def test_of_all_else_nobody_knows(error):
    assert type(start_failure(error)) is EngineError


def test_an_error_of_another_process_is_judged_by_the_line_of_its_log():
    line = "ValueError: To serve at least one request with the models's max seq len (40960), 5.6 GiB KV cache is needed"
    assert kind_of(line) == ["ValueError"]
    assert type(classified(f"did not start ({line})", kind_of(line))) is Unusable
    assert kind_of("torch.OutOfMemoryError: CUDA out of memory") == ["OutOfMemoryError"]
    assert kind_of("all is well") == []
