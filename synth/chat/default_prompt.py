"""Removes the default system prompt from a pre-query prompt, for templates that insert one.

A later turn shows the user's heading without a system prompt before it. The prompt of the first turn consists of a lead
(such as BOS), the default system prompt with its markup, and the heading; or, if the template puts it into the user's
message, of the heading and then the prompt. Lead and heading are kept.
"""

import itertools
import re
from collections.abc import Collection, Sequence

from synth.chat.special_tokens import SpecialTokens


def without_default(
    start: str,
    after_answer: str,
    closing: str,
    after_user: str,
    special_tokens: SpecialTokens,
    bos: str | None,
    eos: Collection[str],
) -> str | None:
    """`start`, the pre-query prompt of the first turn, without its default system prompt, or unchanged if it has none;
    None if they can't be separated.

    `after_answer` is all that a template writes between an answer and the user's next turn, `closing` what it writes
    after a final answer, `after_user` the text between a user's turn and an answer. The tokens `eos` end a turn, unless
    they also open the conversation.
    """
    openers = leading_controls(start, special_tokens)
    ends = [text for text in eos if text not in openers]
    if closing.strip() and after_answer.startswith(closing):
        heading = _skip(after_answer.removeprefix(closing), special_tokens, ends)
    else:
        heading = _heading(after_answer, after_user, special_tokens, openers, ends)
    if heading and heading not in start:
        heading = _skip(_common_end(start, heading, special_tokens), special_tokens, ends)
    if not heading:
        words = _skip(after_answer, special_tokens, leading_controls(after_answer, special_tokens))
        rest = start.removesuffix(words) if words else start
        return None if rest == start or _has_words(rest, special_tokens) else start
    at = start.rindex(heading)
    lead = _lead(start[:at], heading, special_tokens, bos)
    dropped = start[len(lead) : at] + start[at + len(heading) :]
    return lead + heading if _has_words(dropped, special_tokens) else start


def leading_controls(text: str, special_tokens: SpecialTokens) -> list[str]:
    """The control tokens before the first word."""
    found = []
    for stretch, is_control in special_tokens.split(text):
        if is_control:
            found.append(stretch)
        elif stretch.strip():
            break
    return found


def _heading(
    after_answer: str,
    after_user: str,
    special_tokens: SpecialTokens,
    openers: Collection[str],
    ends: Collection[str],
) -> str:
    """The user's heading in the text after an answer, which may begin with the answer's end; empty if it is unclear.

    Before a heading's words there may be a control token that ends the answer, and one that opens the heading:
    `<|im_end|>\\n<|im_start|>user`. A single one opens the heading if it also stands before the words of the answer's
    heading, and not right after the answer: `\\n<extra_id_1>User`. That of `<|end|>\\nUser` may do either.
    """
    rest = _skip(after_answer, special_tokens, ends)
    controls = leading_controls(rest, special_tokens)
    if not controls:
        return rest
    known = [text for text in controls if text in openers]
    opener = known[0] if known else controls[min(1, len(controls) - 1)]
    before, words = _around_last(rest, opener, controls)
    if not words.strip():
        return opener + words
    _, words_of_answer = _around_last(after_user, opener, leading_controls(after_user, special_tokens))
    opens_both = rest != after_answer and bool(words_of_answer) and not words_of_answer[0].isspace()
    return opener + words if (before or known or opens_both) and not words[0].isspace() else ""


def _around_last(text: str, control: str, controls: Sequence[str]) -> tuple[str, str]:
    """The text before and after the last of the leading `controls` that equals this one; empty if none does."""
    if control not in controls:
        return "", ""
    end = 0
    for _ in range(controls.count(control)):
        end = text.index(control, end) + len(control)
    return text[: end - len(control)], text[end:]


def _has_words(text: str, special_tokens: SpecialTokens) -> bool:
    return any(re.search(r"\w", stretch) for stretch, is_control in special_tokens.split(text) if not is_control)


def _skip(text: str, special_tokens: SpecialTokens, unwanted: Collection[str]) -> str:
    """The text without these control tokens and white space at its start."""
    for stretch, is_control in special_tokens.split(text):
        if stretch not in unwanted if is_control else stretch.strip():
            break
        text = text.removeprefix(stretch)
    return text.lstrip()


def _common_end(one: str, other: str, special_tokens: SpecialTokens) -> str:
    """The common suffix, in whole control tokens."""
    common = ""
    pairs = zip(reversed(list(special_tokens.split(one))), reversed(list(special_tokens.split(other))), strict=False)
    for (a, a_is_control), (b, b_is_control) in pairs:
        if a == b:
            common = a + common
            continue
        if not a_is_control and not b_is_control:
            same = itertools.takewhile(lambda ends: ends[0] == ends[1], zip(reversed(a), reversed(b), strict=False))
            common = "".join(end for end, _ in same)[::-1] + common
        break
    return common


def _lead(before: str, heading: str, special_tokens: SpecialTokens, bos: str | None) -> str:
    """The part of the text before the user's heading that opens the whole conversation.

    It ends where another heading opens like the user's (`<|im_start|>`). If none does before the first word, it
    consists of the control tokens at the very start, except the last one, which opens the system prompt unless it is
    BOS.
    """
    opening, is_control = next(special_tokens.split(heading))
    opened, found, _ = before.partition(opening)
    if is_control and found and all(control or not text.strip() for text, control in special_tokens.split(opened)):
        return opened
    lead = done = 0
    for text, is_control in special_tokens.split(before):
        if is_control:
            lead = done + len(text) if text == bos else done
        elif text.strip():
            return before[:lead]
        done += len(text)
    return before  # only control tokens: there is no prompt in it
