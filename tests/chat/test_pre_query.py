"""The pre-query prompt: all that the template writes up to the user's words, whatever the model."""

import pytest
from tokenizers.processors import TemplateProcessing

from synth.chat import ChatTemplateError
from tests.chat import formats
from tests.chat.formats import assistant, chat, system, tokenizer, user

SPOKEN = [user("Hi"), assistant("Yes")]

# family: a template, its pre-query prompt for the first turn, under the system prompt "Be kind.", and after SPOKEN
KNOWN = {
    "Llama 3": (
        formats.LLAMA3,
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
    ),
    "ChatML": (
        formats.CHATML,
        "<|im_start|>user\n",
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\n",
    ),
    "Gemma 2": (
        formats.GEMMA2,
        "<bos><start_of_turn>user\n",
        None,
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n<start_of_turn>user\n",
    ),
    "Gemma 3": (
        formats.GEMMA3,
        "<bos><start_of_turn>user\n",
        "<bos><start_of_turn>user\nBe kind.\n\n",
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n<start_of_turn>user\n",
    ),
    "Mistral v0.3": (
        formats.MISTRAL,
        "<s>[INST] ",
        "<s>[INST] Be kind.\n\n",
        "<s>[INST] Hi[/INST] Yes</s>[INST] ",
    ),
    "Llama 2": (
        formats.LLAMA2,
        "<s>[INST] ",
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n",
        "<s>[INST] Hi [/INST] Yes </s><s>[INST] ",
    ),
    "Phi 3": (
        formats.PHI3,
        "<|user|>\n",
        "<|system|>\nBe kind.<|end|>\n<|user|>\n",
        "<|user|>\nHi<|end|>\n<|assistant|>\nYes<|end|>\n<|user|>\n",
    ),
    "Zephyr": (
        formats.ZEPHYR,
        "<|user|>\n",
        "<|system|>\nBe kind.</s>\n<|user|>\n",
        "<|user|>\nHi</s>\n<|assistant|>\nYes</s>\n<|user|>\n",
    ),
    "DeepSeek": (
        formats.DEEPSEEK,
        "<s><｜User｜>",
        "<s>Be kind.<｜User｜>",
        "<s><｜User｜>Hi<｜Assistant｜>Yes</s><｜User｜>",
    ),
    "Vicuna": (
        formats.VICUNA,
        "<s>A curious user talks with an assistant. USER: ",
        "<s>Be kind. USER: ",
        "<s>A curious user talks with an assistant. USER: Hi ASSISTANT: Yes</s>USER: ",
    ),
    "gpt-oss": (
        formats.HARMONY,
        "<|start|>system<|message|>You are ChatGPT.<|end|><|start|>user<|message|>",
        "<|start|>system<|message|>You are ChatGPT.<|end|><|start|>developer<|message|>Be kind.<|end|>"
        "<|start|>user<|message|>",
        "<|start|>system<|message|>You are ChatGPT.<|end|><|start|>user<|message|>Hi<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Yes<|end|><|start|>user<|message|>",
    ),
    "GLM": (
        formats.GLM,
        "[gMASK]<sop><|user|>\n",
        "[gMASK]<sop><|system|>\nBe kind.<|user|>\n",
        "[gMASK]<sop><|user|>\nHi<|assistant|>\nYes<|user|>\n",
    ),
}


@pytest.mark.parametrize("family", KNOWN)
def test_the_first_turn_starts_as_the_family_is_known_to(family):
    template, first, _, _ = KNOWN[family]
    made = tokenizer(template)
    assert made.decode(chat(template).pre_query()) == first


@pytest.mark.parametrize("family", [family for family in KNOWN if KNOWN[family][2]])
def test_a_system_prompt_comes_before_the_users_heading_or_is_folded_into_it(family):
    template, _, under_system, _ = KNOWN[family]
    assert tokenizer(template).decode(chat(template).pre_query([system("Be kind.")])) == under_system


@pytest.mark.parametrize("family", KNOWN)
def test_a_later_turn_follows_the_conversation_without_a_second_bos_or_an_assistants_heading(family):
    template, _, _, later = KNOWN[family]
    assert tokenizer(template).decode(chat(template).pre_query(SPOKEN)) == later


@pytest.mark.parametrize("kind", ["byte_level", "prepended", "metaspace", "unigram"])
@pytest.mark.parametrize("family", KNOWN)
def test_the_ids_are_those_of_the_tokenizer_for_the_same_text(family, kind):
    template, first, _, later = KNOWN[family]
    made, read = tokenizer(template, kind), chat(template, kind)
    assert read.pre_query() == made.encode(first, add_special_tokens=False)
    assert read.pre_query(SPOKEN) == made.encode(later, add_special_tokens=False)


def test_the_ids_start_a_whole_conversation_where_no_merge_crosses_the_border():
    whole = chat(formats.LLAMA3).encode([user("Hi")])
    start = chat(formats.LLAMA3).pre_query()
    assert whole[: len(start)] == start


def test_earlier_thoughts_are_left_out_as_the_template_leaves_them_out():
    spoken = [user("Hi"), assistant("<think>Hmm.</think>\n\nYes")]
    assert chat(formats.QWEN3).pre_query(spoken) == chat(formats.QWEN3).pre_query(SPOKEN)


def test_a_template_that_shows_lists_of_parts_only_gets_lists_of_parts():
    assert chat(formats.PARTS).pre_query(SPOKEN) == chat(formats.CHATML).pre_query(SPOKEN)


def test_no_bos_is_added_though_the_tokenizer_adds_one_by_itself():
    made = tokenizer(formats.CHATML)
    bos = ("<s>", made.bos_token_id)
    made.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[bos])
    assert made("Hi").input_ids[0] == made.bos_token_id
    assert formats.ChatTemplate(made).pre_query() == chat(formats.CHATML).pre_query()


def test_a_refused_system_prompt_is_reported_in_the_templates_own_words():
    with pytest.raises(ChatTemplateError, match="System role not supported"):
        chat(formats.GEMMA2).pre_query([system("Be kind.")])


def test_a_system_prompt_that_the_template_would_lose_is_an_error():
    silent = formats.loop("{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}{% endif %}")
    with pytest.raises(ChatTemplateError, match="ignores system prompts"):
        chat(silent).pre_query([system("Be kind.")])


# Where nothing can be derived


def test_a_template_without_a_pre_query_still_renders_prompts():
    assert chat(formats.loop("{{ m.content + eos_token }}")).encode([{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (formats.loop("{{ m.content + eos_token }}"), "starts with the user's words"),
        (formats.loop("{{ m.role + ':\\n' }}"), "leaves out the user's words"),
        ("{{ raise_exception('tools, please') }}", "refuses this conversation: tools, please"),
    ],
)
def test_a_template_without_a_pre_query_is_a_one_line_error_that_names_the_keys(template, reason):
    with pytest.raises(ChatTemplateError, match=reason) as caught:
        chat(template).pre_query()
    assert "model.pre_query" in str(caught.value)
    assert "model.query_stop" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pre_query_by_hand_may_spell_control_tokens():
    headless = formats.loop("{{ m.content + eos_token }}")
    made = tokenizer(headless)
    read = chat(headless, pre_query="<s>Question: ", query_stop=["</s>", "\nAnswer:"])
    assert read.pre_query() == made.encode("<s>Question: ", add_special_tokens=False)
    assert read.query_stop.token_ids == (made.eos_token_id,)
    assert read.query_stop.strings == ("\nAnswer:",)


def test_a_later_pre_query_by_hand_follows_the_conversation_so_far():
    headless = formats.loop("{{ m.content + eos_token }}")
    read = chat(headless, pre_query="<s>Question: ", later_pre_query="Question: ")
    assert tokenizer(headless).decode(read.pre_query(SPOKEN)) == "Hi</s>Yes</s>Question: "


def test_a_template_of_a_single_turn_says_how_to_give_later_turns():
    single = "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}" + formats.loop(
        "{{ 'Q: ' + m.content + '\\nA:' }}"
    )
    assert tokenizer(single).decode(chat(single).pre_query()) == "Q: "
    with pytest.raises(ChatTemplateError, match=r"one turn only.*model\.later_pre_query"):
        chat(single).pre_query(SPOKEN)


def test_a_tokenizer_without_a_template_is_an_error_that_names_the_key():
    made = tokenizer(formats.CHATML)
    made.chat_template = None
    with pytest.raises(ChatTemplateError, match=r"no chat template: set model\.chat_template"):
        formats.ChatTemplate(made)


def test_of_several_templates_the_default_one_is_taken():
    made = tokenizer(formats.CHATML)
    made.chat_template = {"tool_use": "{{ tools }}", "default": formats.CHATML}
    assert formats.ChatTemplate(made).pre_query() == chat(formats.CHATML).pre_query()


def test_several_templates_without_a_default_are_an_error_that_lists_them():
    made = tokenizer(formats.CHATML)
    made.chat_template = {"rag": "", "tool_use": ""}
    with pytest.raises(ChatTemplateError, match=r"chat templates rag, tool_use and no default"):
        formats.ChatTemplate(made)


def test_a_template_from_the_configuration_replaces_the_tokenizers_own():
    read = chat(formats.CHATML, chat_template=formats.loop("{{ 'Q: ' + m.content + '\\nA:' }}"))
    assert tokenizer(formats.CHATML).decode(read.pre_query()) == "Q: "


DEMANDS_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('a system prompt comes first') }}{% endif %}"
    + formats.CHATML
)
formats.CONTROLS[DEMANDS_SYSTEM], formats.EOS[DEMANDS_SYSTEM] = formats.CONTROLS[formats.CHATML], "<|im_end|>"


def test_a_template_that_demands_a_system_prompt_is_read_under_one():
    read, plain = chat(DEMANDS_SYSTEM), chat(formats.CHATML)
    assert (read.query_stop, read.response_stop) == (plain.query_stop, plain.response_stop)
    for messages in ([system("Be kind.")], [system("Be kind."), *SPOKEN]):
        assert read.pre_query(messages) == plain.pre_query(messages)


@pytest.mark.parametrize("messages", [[], SPOKEN])
def test_without_one_it_says_so(messages):
    with pytest.raises(ChatTemplateError, match="requires a system prompt"):
        chat(DEMANDS_SYSTEM).pre_query(messages)


@pytest.mark.parametrize("template", [formats.CHATML, formats.LLAMA3, formats.MISTRAL])
def test_a_turn_may_begin_with_given_words_in_which_no_control_token_is_one(template):
    read, made = chat(template), tokenizer(template)
    words = f"Write {made.convert_ids_to_tokens(read.query_stop.token_ids[0])} now"
    begun = read.with_words(read.pre_query(), words)
    assert made.decode(begun) == made.decode(read.pre_query()) + words
    assert not set(begun[len(read.pre_query()) :]) & set(read.query_stop.token_ids)
