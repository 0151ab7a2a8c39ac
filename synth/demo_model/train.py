"""Trains the demonstration model from nothing: `python -m synth.demo_model.train`, about 14 minutes on two slow cores.

The grammar writes the text as it is read, so no conversation is seen twice. Loss is over all tokens, user turns and
system prompts too, so that the model can speak for the user, as Magpie needs; only the project's own prompts are not
learned, or the model's users would speak in them. Each conversation is a row of its own, from position 0.

Promises: the same seed, steps, threads and machine type give the same weights.
"""

import argparse
import time
from collections.abc import Iterator
from random import Random

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from synth.demo_model import PATH
from synth.demo_model.grammar import Conversation, conversation
from synth.demo_model.tokenizer import train_tokenizer
from synth.paths import argument

VOCABULARY, CONTEXT = 2048, 2048
LONGEST = 1024  # tokens of a training conversation; longer ones are left out
STEP_TOKENS, ROW_TOKENS = 4096, 1024  # of one optimizer step, and of one forward pass: few, to stay in cache
Row = tuple[list[int], int]  # token ids, and how many of them are not to be learned


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output-dir", type=argument, default=PATH)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--steps", type=int, default=800)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    if given.output_dir != PATH and given.output_dir.exists() and list(given.output_dir.iterdir()):
        arguments.error(f"--output-dir: {given.output_dir} is not empty")
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    logging.disable_progress_bar()

    sample = Random(f"{given.seed} tokenizer")
    texts = (turn["content"] for _ in range(8000) for turn in conversation(sample).messages)
    tokenizer = train_tokenizer(texts, VOCABULARY)
    model = new_model(tokenizer)
    print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters")
    train(model, rows(Random(f"{given.seed} text"), tokenizer), given.steps)
    model.bfloat16().save_pretrained(given.output_dir)
    tokenizer.save_pretrained(given.output_dir)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=64,  # one that every attention kernel knows
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def rows(rng: Random, tokenizer: PreTrainedTokenizerFast) -> Iterator[Row]:
    """Conversations without end, as token ids."""
    while True:
        for drawn in [conversation(rng) for _ in range(64)]:
            ids, unlearned = encode(drawn, tokenizer)
            if len(ids) <= LONGEST:
                yield ids, unlearned


def encode(drawn: Conversation, tokenizer: PreTrainedTokenizerFast) -> Row:
    def render(count: int, answering: bool) -> str:
        text = tokenizer.apply_chat_template(drawn.messages[:count], tokenize=False, add_generation_prompt=answering)
        assert isinstance(text, str)
        return text

    ids = tokenizer.encode(render(len(drawn.messages), False))
    # A prompt's tokens are the first of the conversation's: the special tokens around turns keep merges apart.
    return ids, len(tokenizer.encode(render(1, True))) if drawn.template else 1


def train(model: LlamaForCausalLM, source: Iterator[Row], steps: int) -> None:
    """In float32, which every processor multiplies fast, as not all do bfloat16."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    optimizers = [
        Muon(matrices, lr=0.02),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]

    started, read, average = time.monotonic(), 0, 0.0
    for step in range(steps):
        batches, learned = next_step(source)
        total = 0.0
        for ids, labels in batches:
            loss = summed_loss(model, ids, labels) / learned
            loss.backward()
            total += loss.item()
            read += ids.numel()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        average = total if step == 0 else 0.95 * average + 0.05 * total
        if step % 20 == 19 or step == steps - 1:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{steps}  loss {average:.3f}  {read:,} tokens  {seconds:.0f} s", flush=True)


class Muon(torch.optim.Optimizer):  # type: ignore[misc]  # torch is not read by mypy
    """Momentum made orthogonal by Newton-Schulz steps (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    torch.optim.Muon does the same in bfloat16, which costs more than all the rest where a processor has none.
    """

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                direction = orthogonal(weight.grad.lerp(average, group["momentum"]))
                weight.sub_(direction, alpha=group["lr"] * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with all its singular values near 1."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    near = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        square = near @ near.T
        near = 3.4445 * near + (-4.775 * square + 2.0315 * square @ square) @ near
    return near


def rate(step: int, steps: int) -> float:
    """The learning rate as a share of its peak: up over 20 steps, level, then down to nothing over the last 60 %."""
    return min(1.0, (step + 1) / 20, (1 - step / steps) / 0.6)


def next_step(source: Iterator[Row]) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], int]:
    """The rows of one step in batches of like lengths, so that little is padded; and the number of learned tokens."""
    drawn: list[Row] = []
    while sum(len(ids) for ids, _ in drawn) < STEP_TOKENS:
        drawn.append(next(source))
    drawn.sort(key=lambda row: len(row[0]))
    batches: list[list[Row]] = [[]]
    for row in drawn:
        if len(row[0]) * (len(batches[-1]) + 1) > ROW_TOKENS:
            batches.append([])
        batches[-1].append(row)
    tensors = []
    for batch in batches:
        width = len(batch[-1][0])
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        labels = torch.full((len(batch), width), -100)
        for i, (tokens, unlearned) in enumerate(batch):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            labels[i, unlearned : len(tokens)] = torch.tensor(tokens[unlearned:])
        tensors.append((ids, labels))
    return tensors, sum(len(ids) - unlearned for ids, unlearned in drawn)


def summed_loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    # Padding is on the right, where causal attention never looks, so there is no mask.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    keep = wanted != -100
    return F.cross_entropy(model.lm_head(hidden[keep]).float(), wanted[keep], reduction="sum")


if __name__ == "__main__":
    main()
