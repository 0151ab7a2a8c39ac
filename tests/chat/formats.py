"""Small chat templates, each in the format of a well-known family, and tokenizers that hold their control tokens.

The tokenizers are trained on a few lines: `byte_level` is of the kind of GPT-2 and Llama 3, `prepended` and
`metaspace` are SentencePiece-like BPE as in Llama 2 and Mistral v0.3, `unigram` as in T5.
"""

import json
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from synth.chat import ChatTemplate

TEXT = [
    "Which birds sing at night? The nightingale does; user and assistant agree.",
    "system s [INST] < | > Hi.",
] * 3

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def loop(body: str, before: str = "", prompt: str = "") -> str:
    """A template that writes `body` for each message `m`."""
    end = "{% if add_generation_prompt %}" + prompt + "{% endif %}" if prompt else ""
    return before + "{% for m in messages %}" + body + "{% endfor %}" + end


def default_system(text: str) -> str:
    """Messages get a system prompt if they have none."""
    return (
        "{% if messages[0].role != 'system' %}"
        "{% set messages = [{'role': 'system', 'content': '" + text + "'}] + messages %}{% endif %}"
    )


ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must alternate') }}{% endif %}{% endfor %}"
)
FOLD_SYSTEM = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\\n\\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
)
INST = (
    "{% if m.role == 'user' %}{{ '[INST] ' + (system if loop.first else '') + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}"
)
CHATML_TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
CHATML = loop(CHATML_TURN, prompt="{{ '<|im_start|>assistant\\n' }}")
QWEN = default_system("You are Qwen.") + CHATML
QWEN3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    + loop(
        "{% set words = m.content %}{% if m.role == 'assistant' and loop.index0 < ns.last and '</think>' in words %}"
        "{% set words = words.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
        "{{ '<|im_start|>' + m.role + '\\n' + words + '<|im_end|>\\n' }}",
        prompt="{{ '<|im_start|>assistant\\n' }}"
        "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
    )
)
LLAMA3_TURN = "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
LLAMA3_PROMPT = "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
LLAMA3 = loop(LLAMA3_TURN, "{{ bos_token }}", LLAMA3_PROMPT)
LLAMA31 = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% endif %}"
    "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n' }}"
    "{{ 'Today Date: ' + strftime_now('%d %b %Y') + '\\n\\n' + system | default('') + '<|eot_id|>' }}"
    + loop(LLAMA3_TURN, prompt=LLAMA3_PROMPT)
)
GEMMA2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + ALTERNATE
    + loop(
        "{% set role = 'model' if m.role == 'assistant' else m.role %}"
        "{{ '<start_of_turn>' + role + '\\n' + m.content | trim + '<end_of_turn>\\n' }}",
        prompt="{{ '<start_of_turn>model\\n' }}",
    )
)
GEMMA3 = FOLD_SYSTEM + loop(
    "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\\n' + (system if loop.first else '') + m.content | trim + '<end_of_turn>\\n' }}",
    "{{ bos_token }}",
    "{{ '<start_of_turn>model\\n' }}",
)
MISTRAL = FOLD_SYSTEM + ALTERNATE + loop(INST, "{{ bos_token }}")
LLAMA2 = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% endif %}"
    + ALTERNATE
    + loop(
        "{% set words = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m.content if loop.first and system is defined "
        "else m.content %}"
        "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + words | trim + ' [/INST]' }}"
        "{% else %}{{ ' ' + words | trim + ' ' + eos_token }}{% endif %}"
    )
)
PHI3 = loop("{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}", prompt="{{ '<|assistant|>\\n' }}")
ZEPHYR = loop("{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}", prompt="{{ '<|assistant|>\\n' }}")
DEEPSEEK = "{{ bos_token }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}" + loop(
    "{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'assistant' %}"
    "{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}",
    prompt="{{ '<｜Assistant｜><think>\\n' }}",
)
VICUNA = (
    default_system("A curious user talks with an assistant.")
    + "{{ bos_token }}"
    + loop(
        "{% if m.role == 'system' %}{{ m.content + ' ' }}{% elif m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}"
        "{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}",
        prompt="ASSISTANT:",
    )
)
ALPACA = default_system("Below is an instruction.") + loop(
    "{% if m.role == 'system' %}{{ m.content + '\\n\\n' }}"
    "{% elif m.role == 'user' %}{{ '### Instruction:\\n' + m.content + '\\n\\n' }}"
    "{% else %}{{ '### Response:\\n' + m.content + '\\n\\n' }}{% endif %}",
    prompt="{{ '### Response:\\n' }}",
)
COMMAND = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% endif %}{{ bos_token + '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + system | default('Be safe.') "
    "+ '<|END_OF_TURN_TOKEN|>' }}"
    + loop(
        "{{ '<|START_OF_TURN_TOKEN|>' + ('<|USER_TOKEN|>' if m.role == 'user' else '<|CHATBOT_TOKEN|>') "
        "+ m.content + '<|END_OF_TURN_TOKEN|>' }}",
        prompt="{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}",
    )
)
HARMONY = "{{ '<|start|>system<|message|>You are ChatGPT.<|end|>' }}" + loop(
    "{% if m.role == 'system' %}{{ '<|start|>developer<|message|>' + m.content + '<|end|>' }}"
    "{% elif m.role == 'user' %}{{ '<|start|>user<|message|>' + m.content + '<|end|>' }}"
    "{% else %}{% set over = loop.last and not add_generation_prompt %}{% if over and m.thinking %}"
    "{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + m.content "
    "+ ('<|return|>' if over else '<|end|>') }}{% endif %}",
    prompt="{{ '<|start|>assistant' }}",
)
HARMONY_ENDED = HARMONY.replace("<|return|>", "<|end|>")  # as fine-tuners have it
GLM = "[gMASK]<sop>" + loop("{{ '<|' + m.role + '|>\\n' + m.content | trim }}", prompt="{{ '<|assistant|>' }}")
PARTS = loop(
    "{{ '<|im_start|>' + m.role + '\\n' }}{% for part in m.content %}{{ part.text }}{% endfor %}{{ '<|im_end|>\\n' }}",
    prompt="{{ '<|im_start|>assistant\\n' }}",
)

CONTROLS = {
    CHATML: "<|im_start|> <|im_end|>",
    QWEN: "<|im_start|> <|im_end|>",
    QWEN3: "<|im_start|> <|im_end|>",
    PARTS: "<|im_start|> <|im_end|>",
    LLAMA3: "<|start_header_id|> <|end_header_id|> <|eot_id|>",
    LLAMA31: "<|start_header_id|> <|end_header_id|> <|eot_id|>",
    GEMMA2: "<start_of_turn> <end_of_turn>",
    GEMMA3: "<start_of_turn> <end_of_turn>",
    MISTRAL: "[INST] [/INST]",
    PHI3: "<|system|> <|user|> <|assistant|> <|end|>",
    DEEPSEEK: "<｜User｜> <｜Assistant｜>",
    COMMAND: "<|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>",
    HARMONY: "<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|call|> <|return|>",
    HARMONY_ENDED: "<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|call|> <|return|>",
    GLM: "[gMASK] <sop> <|system|> <|user|> <|assistant|>",
}
BOS = {LLAMA3: "<|begin_of_text|>", LLAMA31: "<|begin_of_text|>", GEMMA2: "<bos>", GEMMA3: "<bos>"}
EOS = {
    CHATML: "<|im_end|>",
    QWEN: "<|im_end|>",
    QWEN3: "<|im_end|>",
    PARTS: "<|im_end|>",
    HARMONY: "<|return|>",
    HARMONY_ENDED: "<|return|>",
}


def tokenizer(template: str, kind: str = "byte_level") -> PreTrainedTokenizerFast:
    """One with all control tokens of a template of this file, and with `<think>` and `</think>` as added text."""
    bos, eos = BOS.get(template, "<s>"), EOS.get(template, "</s>")
    controls = tuple(dict.fromkeys([bos, eos, *CONTROLS.get(template, "").split()]))
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(kind, controls)),
        bos_token=bos,
        eos_token=eos,
        unk_token=None if kind == "byte_level" else "<unk>",
        additional_special_tokens=list(controls),
        clean_up_tokenization_spaces=False,
        chat_template=template,
    )
    made.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("<think>", "</think>")])
    return made


def chat(template: str, kind: str = "byte_level", **options) -> ChatTemplate:
    return ChatTemplate(tokenizer(template, kind), **options)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


@cache
def _trained(kind: str, controls: tuple[str, ...]) -> str:
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>", *controls], unk_token="<unk>", show_progress=False
        )
    elif kind == "byte_level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=list(controls),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    else:
        made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        if kind == "prepended":
            made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", *controls, *BYTES], show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    held = json.loads(made.to_str())
    held["added_tokens"] = [token for token in held["added_tokens"] if token["content"] not in BYTES]
    return json.dumps(held)
