"""Control tokens come from the template and from nowhere else, whatever the record's text says.

It takes two disguises. Before rendering, `escape` swaps the characters that a control token can begin or end with for
escapes in every content, so that a control token's spelling in the rendered text is the template's own work. After
rendering, `encode` swaps those spellings for secret ones, puts the contents' characters back, and encodes the whole
with a copy of the tokenizer that knows its control tokens by the secret spellings only, in its added tokens and in
its vocabulary. One call encodes template and contents together, so merges, prefix spaces and normalization come out
as the tokenizer itself does them.

Promises: ids equal to the tokenizer's own wherever no content spells a control token; no content becomes one, whole
or completed by the template at one end (no template is known to put a content into the middle of one). A content's
lone surrogates, and the one noncharacter that secret spellings begin with, become U+FFFD.

Knows nothing of Jinja, roles or turns.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

_SECRET = "\U0008fffe"  # a noncharacter: never part of any text that was meant to be exchanged
_SECRET_INDEX = 0xF0000
_UNFIT = re.compile(f"[\ud800-\udfff{_SECRET}]")

# Some tokenizers hold HTML tags as plain added tokens, so that web pages are short. Those are text.
_HTML = frozenset(
    "a b blockquote body br caption code div em h1 h2 h3 h4 h5 h6 head hr html i img li ol p pre s span strong sub "
    "sup table tbody td tfoot th thead tr u ul".split()
)
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # what a SentencePiece model falls back on for unknown characters
_MARKUP = re.compile(r"[<\[{(|｜].*[>\])}|｜]", re.DOTALL)


class SpecialTokens:
    """The control tokens of one tokenizer. `ids` maps their spellings to their ids; `special` are the declared ones.

    Control tokens are all special tokens, and those other added tokens that look like markup (`<think>`,
    `<|tool|>`): added words, HTML tags and runs of spaces are text like any other.
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
        """The content with escapes for the characters that control tokens begin or end with; same length."""
        if _UNFIT.search(content):
            content = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace(_SECRET, "�")
        return self.substitute(content)

    def substitute(self, text: str) -> str:
        return text.translate(self._escapes) if self._ends.search(text) else text

    def unescape(self, text: str) -> str:
        return self._escaped.sub(lambda match: self._originals[match[0]], text)

    def has_escapes(self, text: str) -> bool:
        return self._escaped.search(text) is not None

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """Rendered text as stretches: (a control token's spelling, True) or (what stands between, False).

        The longest spelling wins at each place, as it does in the tokenizer.
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
        """The ids of rendered text whose contents were escaped."""
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
        # The file's ids are only advice to the library: it counts on from the vocabulary. Mostly nothing is left here.
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
    """Else a model that has `</s>` in its vocabulary might piece it together from ordinary text."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of piece and score, the id is the place
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
    """For tokenizers written in Python, which have no copy to rename: each stretch is encoded by itself."""

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
    """Any of these characters; of none at all, a pattern that never matches."""
    return re.compile(f"[{re.escape(''.join(characters))}]" if characters else "(?!)")
