"""More families of chat models, each with a small template in its format and what must be derived from it.

The templates are our own, in the shape of the published ones: the same headings, ends, defaults and thinking marks.
"""

from dataclasses import dataclass
from typing import Any

from tests.chat import formats
from tests.chat.formats import CHATML_TURN, LLAMA3_PROMPT, LLAMA3_TURN, default_system, loop

NO_THINKING = {"enable_thinking": False}
_EMPTY = "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"


@dataclass(frozen=True)
class Family:
    """A template; its pre-query prompts for the first turn, under the system prompt "Be kind." and after a turn "Hi",
    "Yes"; its stops as words, those of a few characters that are no control token as strings; and without a default.
    """

    template: str
    first: str
    under_system: str | None
    later: str
    query_stop: tuple[str, ...]
    response_stop: tuple[str, ...]
    dropped: str | None = None
    tags: tuple[str, str] = ("<think>", "</think>")
    kwargs: dict[str, Any] | None = None


def _known(template: str, controls: str, bos: str = "<s>", eos: str = "</s>") -> str:
    formats.CONTROLS[template] = controls
    formats.BOS[template], formats.EOS[template] = bos, eos
    return template


_QWEN3_THINKING = _known(
    loop(
        "{% set words = m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' else m.content %}"
        "{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' and loop.last %}"
        "{{ '<think>\\n' + m.reasoning_content | default('') + '\\n</think>\\n\\n' }}{% endif %}"
        "{{ words + '<|im_end|>\\n' }}",
        prompt="{{ '<|im_start|>assistant\\n<think>\\n' }}",
    ),
    "<|im_start|> <|im_end|>",
    eos="<|im_end|>",
)
_DEEPSEEK31 = _known(
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
    + loop(
        "{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'assistant' %}"
        "{{ '<｜Assistant｜></think>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}",
        prompt="{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}",
    ),
    "<｜User｜> <｜Assistant｜>",
)
_GLM45 = _known(
    "[gMASK]<sop>"
    + loop(
        "{{ '<|' + m.role + '|>\\n' }}{% if m.role == 'assistant' %}{% set thoughts = m.reasoning_content %}"
        "{{ '<think>' + thoughts | default('') + '</think>\\n' + m.content.split('</think>')[-1] | trim }}"
        "{% else %}{{ m.content }}{% if m.role == 'user' and enable_thinking is defined and not enable_thinking %}"
        "{{ '/nothink' }}{% endif %}{% endif %}",
        prompt="{{ '<|assistant|>' }}{% if enable_thinking is defined and not enable_thinking %}"
        "{{ '\\n<think></think>' }}{% endif %}",
    ),
    "[gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|>",
)
_MAGISTRAL = _known(
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% else %}{% set system = 'First draft, then answer: [THINK]drafts[/THINK]answer.' %}{% endif %}"
    "{{ bos_token + '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}"
    + loop(
        "{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}"
    ),
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [INST] [/INST] [THINK] [/THINK]",
)
_SMOLLM3 = _known(
    "{{ '<|im_start|>system\\n## Metadata\\n\\nToday Date: ' + strftime_now('%d %B %Y') + '\\n\\n' }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% set messages = messages[1:] %}"
    "{% else %}{{ 'Use <think> Thought </think> Solution.\\n\\n' }}{% endif %}"
    + loop(CHATML_TURN, prompt="{{ '<|im_start|>assistant\\n' }}" + _EMPTY),
    "<|im_start|> <|im_end|>",
    eos="<|im_end|>",
)
_GRANITE = _known(
    default_system("You are Granite.")
    + loop("{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' }}")
    + "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
    "<|start_of_role|> <|end_of_role|>",
    bos="<|end_of_text|>",
    eos="<|end_of_text|>",
)
_COMMAND_R7B = _known(
    "{{ bos_token + '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|># System Preamble\\nBe safe.' }}"
    "{% if messages[0].role == 'system' %}{{ '\\n# Developer Preamble\\n' + messages[0].content }}"
    "{% set messages = messages[1:] %}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}"
    + loop(
        "{% if m.role == 'user' %}{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + m.content + '<|END_OF_TURN_TOKEN|>' }}"
        "{% else %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>' + m.content "
        "+ '<|END_RESPONSE|><|END_OF_TURN_TOKEN|>' }}{% endif %}",
    )
    + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",  # it pays no heed to add_generation_prompt
    "<|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> "
    "<|START_THINKING|> <|END_THINKING|> <|START_RESPONSE|> <|END_RESPONSE|>",
    bos="<BOS_TOKEN>",
    eos="<|END_OF_TURN_TOKEN|>",
)
_GEMMA3_PARTS = _known(
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content[0].text + '\\n\\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    + loop(
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}"
        "{{ system if loop.first else '' }}"
        "{% for part in m.content %}{{ part.text | trim }}{% endfor %}{{ '<end_of_turn>\\n' }}",
        "{{ bos_token }}",
        "{{ '<start_of_turn>model\\n' }}",
    ),
    "<start_of_turn> <end_of_turn>",
    bos="<bos>",
    eos="<eos>",
)
_GEMMA4 = _known(
    "{{ bos_token }}{% if enable_thinking or messages[0].role == 'system' %}{{ '<|turn>system\\n' }}"
    "{% if enable_thinking %}{{ '<|think|>' }}{% endif %}{% if messages[0].role == 'system' %}"
    "{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}{{ '<turn|>\\n' }}{% endif %}"
    + loop(
        "{{ '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<turn|>\\n' }}",
        prompt="{{ '<|turn>model\\n' }}{% if not enable_thinking %}{{ '<|channel>thought\\n<channel|>' }}{% endif %}",
    ),
    "<|turn> <turn|> <|think|> <|channel> <channel|>",
    bos="<bos>",
    eos="<eos>",
)
_PHI4 = _known(
    loop(
        "{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}",
        prompt="{{ '<|im_start|>assistant<|im_sep|>' }}",
    ),
    "<|im_start|> <|im_sep|> <|im_end|>",
    eos="<|im_end|>",
)
_LLAMA4 = _known(
    loop(
        "{{ '<|header_start|>' + m.role + '<|header_end|>\\n\\n' + m.content | trim + '<|eot|>' }}",
        "{{ bos_token }}",
        "{{ '<|header_start|>assistant<|header_end|>\\n\\n' }}",
    ),
    "<|header_start|> <|header_end|> <|eot|>",
    bos="<|begin_of_text|>",
    eos="<|eot|>",
)
_KIMI = _known(
    default_system("You are Kimi.")
    + loop(
        "{{ '<|im_' + m.role + '|>' + m.role + '<|im_middle|>' + m.content + '<|im_end|>' }}",
        prompt="{{ '<|im_assistant|>assistant<|im_middle|>' }}",
    ),
    "<|im_system|> <|im_user|> <|im_assistant|> <|im_middle|> <|im_end|>",
    eos="[EOS]",
)
_KIMI3 = _known(
    "{% set thinking = thinking | default(true) %}"
    + loop(
        "{{ '<|open|>message role=\"' + m.role + '\"<|sep|>' }}{% if m.role == 'assistant' %}"
        "{% if thinking %}{{ '<|open|>think<|sep|>' + m.reasoning | default('') + '<|close|>think<|sep|>' }}{% endif %}"
        "{{ '<|open|>response<|sep|>' + m.content + '<|close|>response<|sep|>' }}"
        "{% else %}{{ m.content }}{% endif %}{{ '<|close|>message<|sep|><|end_of_msg|>' }}",
        prompt="{{ '<|open|>message role=\"assistant\"<|sep|><|open|>' + ('think' if thinking else 'response') }}"
        "{{ '<|sep|>' }}",
    ),
    "<|open|> <|close|> <|sep|> <|end_of_msg|>",
    eos="[EOS]",
)
_OLMO2 = _known(  # its headings are no control tokens
    "{{ bos_token }}"
    + loop(
        "{% if m.role == 'assistant' %}{{ '<|assistant|>\\n' + m.content + eos_token }}{{ '' if loop.last else '\\n' }}"
        "{% else %}{{ '<|' + m.role + '|>\\n' + m.content + '\\n' }}{% endif %}",
        prompt="{{ '<|assistant|>\\n' }}",
    ),
    "",
    bos="<|endoftext|>",
    eos="<|endoftext|>",
)
_FALCON3 = _known(
    loop(
        "{% if m.role == 'assistant' %}{{ '<|assistant|>\\n' + m.content + eos_token }}{{ '' if loop.last else '\\n' }}"
        "{% else %}{{ '<|' + m.role + '|>\\n' + m.content + '\\n' }}{% endif %}",
        prompt="{{ '<|assistant|>\\n' }}",
    ),
    "<|system|> <|user|> <|assistant|>",
    eos="<|endoftext|>",
)
_MINICPM = _known(
    loop(
        "{% if m.role == 'user' %}{{ '<用户>' + m.content + '<AI>' }}{% else %}{{ m.content }}{% endif %}",
        "{{ bos_token }}",
    ),
    "",
)
_NEMOTRON = _known(
    "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\n' }}{% set ns = namespace(thinks=true) %}"
    "{% if messages[0].role == 'system' %}{% set ns.thinks = '/no_think' not in messages[0].content %}"
    "{{ messages[0].content.replace('/no_think', '') | trim + '\\n\\n' }}{% set messages = messages[1:] %}{% endif %}"
    "{{ '<|eot_id|>' }}"
    + loop(
        LLAMA3_TURN,
        prompt=LLAMA3_PROMPT + "{% if not ns.thinks %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
    ),
    "<|start_header_id|> <|end_header_id|> <|eot_id|>",
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
)
_INTERNLM2 = _known(
    "{{ bos_token }}" + loop(CHATML_TURN, prompt="{{ '<|im_start|>assistant\\n' }}"),
    "<|im_start|> <|im_end|>",
    eos="<|im_end|>",
)
_HUNYUAN = _known(
    "{{ '<｜hy_begin▁of▁sentence｜>' }}{% if messages[0].role == 'system' %}"
    "{{ messages[0].content + '<｜hy_place▁holder▁no▁3｜>' }}{% set messages = messages[1:] %}{% endif %}"
    + loop(
        "{% if m.role == 'user' %}{{ '<｜hy_User｜>' + m.content }}"
        "{% else %}{{ '<｜hy_Assistant｜>' + m.content + '<｜hy_place▁holder▁no▁2｜>' }}{% endif %}",
        prompt="{{ '<｜hy_Assistant｜>' }}" + _EMPTY,
    ),
    "<｜hy_User｜> <｜hy_Assistant｜> <｜hy_place▁holder▁no▁3｜>",
    bos="<｜hy_begin▁of▁sentence｜>",
    eos="<｜hy_place▁holder▁no▁2｜>",
)
_ERNIE = _known(
    "{{ bos_token }}"
    + loop(
        "{% if m.role == 'user' %}{{ 'User: ' + m.content + '\\n' }}{% elif m.role == 'assistant' %}"
        "{{ 'Assistant: ' + m.content + eos_token }}{% else %}{{ m.content + '\\n' }}{% endif %}",
        prompt="{{ 'Assistant: ' }}",
    ),
    "",
    bos="<|begin_of_sentence|>",
)
_SEED = _known(
    loop(
        "{{ bos_token + m.role + '\\n' }}{% if m.reasoning_content %}"
        "{{ '<seed:think>' + m.reasoning_content + '</seed:think>' }}{% endif %}{{ m.content + eos_token }}",
        prompt="{{ bos_token + 'assistant\\n' }}",
    ),
    "<seed:think> </seed:think>",
    bos="<seed:bos>",
    eos="<seed:eos>",
)

_CHATML_LATER = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\n"
_GEMMA_LATER = (
    "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n<start_of_turn>user\n"
)
_LLAMA_USER = "<|start_header_id|>user<|end_header_id|>\n\n"

FAMILIES = {
    "Qwen3 thinking": Family(
        _QWEN3_THINKING,
        "<|im_start|>user\n",
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n",
        _CHATML_LATER,
        ("<|im_end|>", "<|im_start|>"),
        ("<|im_end|>",),
    ),
    "DeepSeek V3.1": Family(
        _DEEPSEEK31,
        "<s><｜User｜>",
        "<s>Be kind.<｜User｜>",
        "<s><｜User｜>Hi<｜Assistant｜></think>Yes</s><｜User｜>",
        ("<｜Assistant｜>", "</s>"),
        ("</s>",),
    ),
    "GLM 4.5": Family(
        _GLM45,
        "[gMASK]<sop><|user|>\n",
        "[gMASK]<sop><|system|>\nBe kind.<|user|>\n",
        "[gMASK]<sop><|user|>\nHi<|assistant|>\n<think></think>\nYes<|user|>\n",
        ("<|assistant|>", "</s>"),
        ("<|user|>", "</s>"),
    ),
    "GLM 4.5 without thinking": Family(
        _GLM45,
        "[gMASK]<sop><|user|>\n",
        "[gMASK]<sop><|system|>\nBe kind.<|user|>\n",
        "[gMASK]<sop><|user|>\nHi/nothink<|assistant|>\n<think></think>\nYes<|user|>\n",
        ("<|assistant|>", "</s>", "/nothink"),
        ("<|user|>", "</s>"),
        kwargs=NO_THINKING,
    ),
    "Magistral": Family(
        _MAGISTRAL,
        "<s>[SYSTEM_PROMPT]First draft, then answer: [THINK]drafts[/THINK]answer.[/SYSTEM_PROMPT][INST]",
        "<s>[SYSTEM_PROMPT]Be kind.[/SYSTEM_PROMPT][INST]",
        "<s>[SYSTEM_PROMPT]First draft, then answer: [THINK]drafts[/THINK]answer.[/SYSTEM_PROMPT]"
        "[INST]Hi[/INST]Yes</s>[INST]",
        ("[/INST]", "</s>"),
        ("</s>",),
        dropped="<s>[INST]",
        tags=("[THINK]", "[/THINK]"),
    ),
    "SmolLM3": Family(
        _SMOLLM3,
        "<|im_start|>system\n## Metadata\n\nToday Date: 26 July 2024\n\nUse <think> Thought </think> Solution.\n\n"
        "<|im_start|>user\n",
        "<|im_start|>system\n## Metadata\n\nToday Date: 26 July 2024\n\nBe kind.\n\n<|im_start|>user\n",
        "<|im_start|>system\n## Metadata\n\nToday Date: 26 July 2024\n\nUse <think> Thought </think> Solution.\n\n"
        + _CHATML_LATER,
        ("<|im_end|>", "<|im_start|>"),
        ("<|im_end|>",),
        dropped="<|im_start|>user\n",
    ),
    "Granite 3.3": Family(
        _GRANITE,
        "<|start_of_role|>system<|end_of_role|>You are Granite.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>",
        "<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>",
        "<|start_of_role|>system<|end_of_role|>You are Granite.<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>Yes<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>",
        ("<|end_of_text|>", "<|start_of_role|>"),
        ("<|end_of_text|>",),
        dropped="<|start_of_role|>user<|end_of_role|>",
    ),
    "Command R7B": Family(
        _COMMAND_R7B,
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|># System Preamble\nBe safe.<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|># System Preamble\nBe safe.\n# Developer Preamble\nBe kind."
        "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|># System Preamble\nBe safe.<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
        "<|START_RESPONSE|>Yes<|END_RESPONSE|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        ("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        ("<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        dropped="<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        tags=("<|START_THINKING|>", "<|END_THINKING|>"),
    ),
    "Gemma 3 with parts": Family(
        _GEMMA3_PARTS,
        "<bos><start_of_turn>user\n",
        "<bos><start_of_turn>user\nBe kind.\n\n",
        _GEMMA_LATER,
        ("<end_of_turn>", "<start_of_turn>", "<eos>"),
        ("<end_of_turn>", "<eos>"),
    ),
    "Gemma 4": Family(
        _GEMMA4,
        "<bos><|turn>user\n",
        "<bos><|turn>system\nBe kind.<turn|>\n<|turn>user\n",
        "<bos><|turn>user\nHi<turn|>\n<|turn>model\nYes<turn|>\n<|turn>user\n",
        ("<turn|>", "<|turn>", "<eos>"),
        ("<turn|>", "<eos>"),
        tags=("<|channel>thought", "<channel|>"),
    ),
    "Gemma 4 with thinking": Family(
        _GEMMA4,
        "<bos><|turn>system\n<|think|><turn|>\n<|turn>user\n",
        "<bos><|turn>system\n<|think|>Be kind.<turn|>\n<|turn>user\n",
        "<bos><|turn>system\n<|think|><turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\nYes<turn|>\n<|turn>user\n",
        ("<turn|>", "<|turn>", "<eos>"),
        ("<turn|>", "<eos>"),
        dropped="<bos><|turn>user\n",
        tags=("<|channel>thought", "<channel|>"),
        kwargs={"enable_thinking": True},
    ),
    "Phi 4": Family(
        _PHI4,
        "<|im_start|>user<|im_sep|>",
        "<|im_start|>system<|im_sep|>Be kind.<|im_end|><|im_start|>user<|im_sep|>",
        "<|im_start|>user<|im_sep|>Hi<|im_end|><|im_start|>assistant<|im_sep|>Yes<|im_end|><|im_start|>user<|im_sep|>",
        ("<|im_end|>", "<|im_start|>"),
        ("<|im_end|>",),
    ),
    "Llama 4": Family(
        _LLAMA4,
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\n",
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe kind.<|eot|>"
        "<|header_start|>user<|header_end|>\n\n",
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHi<|eot|><|header_start|>assistant<|header_end|>\n\n"
        "Yes<|eot|><|header_start|>user<|header_end|>\n\n",
        ("<|eot|>", "<|header_start|>"),
        ("<|eot|>",),
    ),
    "Kimi K2": Family(
        _KIMI,
        "<|im_system|>system<|im_middle|>You are Kimi.<|im_end|><|im_user|>user<|im_middle|>",
        "<|im_system|>system<|im_middle|>Be kind.<|im_end|><|im_user|>user<|im_middle|>",
        "<|im_system|>system<|im_middle|>You are Kimi.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|>"
        "<|im_assistant|>assistant<|im_middle|>Yes<|im_end|><|im_user|>user<|im_middle|>",
        ("<|im_end|>", "<|im_assistant|>", "[EOS]"),
        ("<|im_end|>", "[EOS]"),
        dropped="<|im_user|>user<|im_middle|>",
    ),
    "Kimi K3": Family(
        _KIMI3,
        '<|open|>message role="user"<|sep|>',
        '<|open|>message role="system"<|sep|>Be kind.<|close|>message<|sep|><|end_of_msg|>'
        '<|open|>message role="user"<|sep|>',
        '<|open|>message role="user"<|sep|>Hi<|close|>message<|sep|><|end_of_msg|>'
        '<|open|>message role="assistant"<|sep|><|open|>think<|sep|><|close|>think<|sep|><|open|>response<|sep|>Yes'
        '<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|><|open|>message role="user"<|sep|>',
        ("<|close|>", "[EOS]"),
        ("<|end_of_msg|>", "[EOS]"),
    ),
    "OLMo 2": Family(
        _OLMO2,
        "<|endoftext|><|user|>\n",
        "<|endoftext|><|system|>\nBe kind.\n<|user|>\n",
        "<|endoftext|><|user|>\nHi\n<|assistant|>\nYes<|endoftext|>\n<|user|>\n",
        ("<|endoftext|>", "\n<|assistant|>"),
        ("<|endoftext|>",),
    ),
    "Falcon 3": Family(
        _FALCON3,
        "<|user|>\n",
        "<|system|>\nBe kind.\n<|user|>\n",
        "<|user|>\nHi\n<|assistant|>\nYes<|endoftext|>\n<|user|>\n",
        ("<|assistant|>", "<|endoftext|>"),
        ("<|endoftext|>",),
    ),
    "MiniCPM": Family(
        _MINICPM, "<s><用户>", "<s>Be kind.<用户>", "<s><用户>Hi<AI>Yes<用户>", ("</s>", "<AI>"), ("</s>", "<用户>")
    ),
    "Nemotron": Family(
        _NEMOTRON,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n<|eot_id|>" + _LLAMA_USER,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.\n\n<|eot_id|>" + _LLAMA_USER,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n<|eot_id|>" + _LLAMA_USER + "Hi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|>" + _LLAMA_USER,
        ("<|eot_id|>", "<|start_header_id|>"),
        ("<|eot_id|>",),
        dropped="<|begin_of_text|>" + _LLAMA_USER,
    ),
    "InternLM 2": Family(
        _INTERNLM2,
        "<s><|im_start|>user\n",
        "<s><|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n",
        "<s>" + _CHATML_LATER,
        ("<|im_end|>", "<|im_start|>"),
        ("<|im_end|>",),
    ),
    "Hunyuan": Family(
        _HUNYUAN,
        "<｜hy_begin▁of▁sentence｜><｜hy_User｜>",
        "<｜hy_begin▁of▁sentence｜>Be kind.<｜hy_place▁holder▁no▁3｜><｜hy_User｜>",
        "<｜hy_begin▁of▁sentence｜><｜hy_User｜>Hi<｜hy_Assistant｜>Yes<｜hy_place▁holder▁no▁2｜><｜hy_User｜>",
        ("<｜hy_Assistant｜>", "<｜hy_place▁holder▁no▁2｜>"),
        ("<｜hy_place▁holder▁no▁2｜>",),
    ),
    "ERNIE 4.5": Family(
        _ERNIE,
        "<|begin_of_sentence|>User: ",
        "<|begin_of_sentence|>Be kind.\nUser: ",
        "<|begin_of_sentence|>User: Hi\nAssistant: Yes</s>User: ",
        ("</s>", "\nAssistant:"),
        ("</s>",),
    ),
    "Seed OSS": Family(
        _SEED,
        "<seed:bos>user\n",
        "<seed:bos>system\nBe kind.<seed:eos><seed:bos>user\n",
        "<seed:bos>user\nHi<seed:eos><seed:bos>assistant\nYes<seed:eos><seed:bos>user\n",
        ("<seed:eos>", "<seed:bos>"),
        ("<seed:eos>",),
        tags=("<seed:think>", "</seed:think>"),
    ),
}
