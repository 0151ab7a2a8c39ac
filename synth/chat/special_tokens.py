"""Special-token escaping: control tokens come only from the template, whatever a record's text contains.

It takes two steps. Before rendering, `escape` replaces characters with which a control token can begin or end in every
content, so that a control token in the rendered text is the template's own. After rendering, `encode` replaces these
control tokens by secret spellings, restores the contents' characters, and encodes the whole with a copy of the
tokenizer that knows control tokens by their secret spellings only, in its added tokens and its vocabulary. Template and
contents are encoded in one call, so merges, prefix spaces and normalization are those of the tokenizer.

Promises: ids equal the tokenizer's own unless a content spells a control token; no content becomes one, by itself or
together with template text at one end (no known template puts a content into the middle of one). Lone surrogates in
contents, and the noncharacter that begins secret spellings, become U+FFFD.

Knows nothing of Jinja, roles or turns.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

_SECRET = "\U0008fffe"  # a noncharacter: not part of any valid text
_SECRET_INDEX = 0xF0000
_UNFIT = re.compile(f"[\ud800-\udfff{_SECRET}]")

# Some tokenizers have HTML tags as plain added tokens, to shorten web pages. Those are text.
_HTML = frozenset(
    "a b blockquote body br caption code div em h1 h2 h3 h4 h5 h6 head hr html i img li ol p pre s span strong sub "
    "sup table tbody td tfoot th thead tr u ul".split()
)
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # byte fallback of SentencePiece models
_MARKUP = re.compile(r"[<\[{(|｜].*[>\])}|｜]", re.DOTALL)


class SpecialTokens:
    """The control tokens of a tokenizer. `ids` maps their spellings to their ids; `special` are the declared ones.

    Control tokens are all special tokens, and other added tokens that look like markup (`<think>`, `<|tool|>`). Added
    words, HTML tags and runs of spaces are text.
    """

    def __init__(self, tokenizer: Any):
        added = {str(token): (id, token) for id, token in tokenizer.added_tokens_decoder.items()}
        special = {text for text, (_, token) in added.items() if token.special}
        special |= added.keys() & set(tokenizer.all_special_tokens)
        self.ids = {text: id for text, (id, _) in added.items() if _is_control(text, text in special)}
        self.special = special & self.ids.keys()
        self._single_words = {text for text in self.ids if added[text][1].single_word}
        self._secrets = {text: f"{_SECRET}{chr(_SECRET_INDEX + n)}" for n, text in enumerate(self.ids)}

        self._lengths: dict[str, list[int]] = {}
        for text in self.ids:
            self._lengths.setdefault(text[0], []).append(len(text))
        self._lengths = {first: sorted(set(lengths), reverse=True) for first, lengths in self._lengths.items()}
        self._starts = _any_of(self._lengths)

        ends = sorted({end for text in self.ids for end in (text[0], text[-1])})
        self._ends = _any_of(ends)
        self._escapes = {ord(end): chr(0xD800 + n) for n, end in enumerate(ends)}
        self._originals = {substitute: chr(end) for end, substitute in self._escapes.items()}
        self._escaped = _any_of(self._originals)

        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._plain = _Renamed(backend, self._secrets, self.ids) if backend is not None else _Split(tokenizer, self)

    def escape(self, content: str) -> str:
        """The content with escapes for characters that control tokens begin or end with; of the same length."""
        if _UNFIT.search(content):
            content = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace(_SECRET, "�")
        return self.substitute(content)

    def escape_all(self, value: Any) -> Any:
        """The value of JSON with each of its strings escaped, keys included. A tuple becomes a list."""
        if isinstance(value, str):
            return self.escape(value)
        if isinstance(value, list | tuple):
            return [self.escape_all(item) for item in value]
        if isinstance(value, dict):
            return {self.escape_all(key): self.escape_all(item) for key, item in value.items()}
        return value

    def substitute(self, text: str) -> str:
        return text.translate(self._escapes) if self._ends.search(text) else text

    def unescape(self, text: str) -> str:
        return self._escaped.sub(lambda match: self._originals[match[0]], text)

    def has_escapes(self, text: str) -> bool:
        return self._escaped.search(text) is not None

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """Rendered text as stretches: (a control token's spelling, True) or (text between, False).

        The longest spelling wins at each position, as in the tokenizer.
        """
        done = 0
        for start in self._starts.finditer(text):
            at = start.start()
            if at < done:
                continue
            for length in self._lengths[start[0]]:
                spelling = text[at : at + length]
                if spelling in self.ids and not self._inside_word(text, at, spelling):
                    if at > done:
                        yield text[done:at], False
                    yield spelling, True
                    done = at + length
                    break
        if done < len(text):
            yield text[done:], False

    def _inside_word(self, text: str, at: int, spelling: str) -> bool:
        if spelling not in self._single_words:
            return False
        around = text[at - 1 : at] + text[at + len(spelling) : at + len(spelling) + 1]
        return any(character.isalnum() or character == "_" for character in around)

    def encode(self, text: str) -> list[int]:
        """The ids of rendered text with escaped contents."""
        return self._plain.encode(
            (stretch if is_control else self.unescape(stretch), is_control) for stretch, is_control in self.split(text)
        )


def _is_control(text: str, special: bool) -> bool:
    if not text.strip(" \t\r\n▁") or _BYTE.fullmatch(text):
        return False
    return special or (bool(_MARKUP.fullmatch(text.strip())) and text.strip().strip("</>").lower() not in _HTML)


class _Renamed:
    """A copy of a tokenizer in which each control token has its secret spelling and its old id."""

    def __init__(self, backend: Tokenizer, secrets: dict[str, str], ids: dict[str, int]):
        data = json.loads(backend.to_str())
        data |= {"truncation": None, "padding": None, "post_processor": None}
        for token in data["added_tokens"]:
            token["content"] = secrets.get(token["content"], token["content"])
        _rename_in_model(data["model"], secrets)
        self._secrets = secrets
        self._tokenizer = Tokenizer.from_str(json.dumps(data))
        # The library takes the file's ids as hints only, and counts on from the vocabulary.
        self._moved = {now: id for text, id in ids.items() if (now := self._tokenizer.token_to_id(secrets[text])) != id}
        for token in data["added_tokens"]:
            now = self._tokenizer.token_to_id(token["content"])
            if token["content"] not in secrets.values() and now != token["id"]:
                self._moved[now] = token["id"]

    def encode(self, stretches: Iterator[tuple[str, bool]]) -> list[int]:
        text = "".join(self._secrets[stretch] if is_control else stretch for stretch, is_control in stretches)
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._moved.get(id, id) for id in ids] if self._moved else ids


def _rename_in_model(model: dict[str, Any], secrets: dict[str, str]) -> None:
    """Otherwise a model with `</s>` in its vocabulary could assemble it from ordinary text."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of piece and score; the index is the id
        model["vocab"] = [[secrets.get(piece, piece), score] for piece, score in vocabulary]
        return
    renamed = secrets.keys() & vocabulary.keys()
    for text in renamed:
        vocabulary[secrets[text]] = vocabulary.pop(text)
    if model.get("unk_token") in renamed:
        model["unk_token"] = secrets[model["unk_token"]]
    if renamed and "merges" in model:
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [[a, b] for a, b in pairs if renamed.isdisjoint((a, b, a + b))]


class _Split:
    """For slow tokenizers in Python, which can't be copied and renamed: each stretch is encoded separately."""

    def __init__(self, tokenizer: Any, special_tokens: SpecialTokens):
        self._tokenizer = tokenizer
        self._ids = special_tokens.ids
        self._forbidden = set(special_tokens.ids.values()) - {tokenizer.unk_token_id}

    def encode(self, stretches: Iterator[tuple[str, bool]]) -> list[int]:
        ids: list[int] = []
        for stretch, is_control in stretches:
            ids += [self._ids[stretch]] if is_control else self._encode_text(stretch)
        return ids

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if self._forbidden.isdisjoint(ids):
            return ids
        ids = [id for character in text for id in self._tokenizer.encode(character, add_special_tokens=False)]
        return [id for id in ids if id not in self._forbidden]


def _any_of(characters: Any) -> re.Pattern[str]:
    """A pattern for any of these characters; for none, one that never matches."""
    return re.compile(f"[{re.escape(''.join(characters))}]" if characters else "(?!)")
