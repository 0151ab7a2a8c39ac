"""Instructions that say the same in other words: near neighbours by the embeddings of a model of the user's choice.

As in Magpie (arXiv 2406.08464, section 3), whose minimum neighbour distance this is: embeddings by all-mpnet-base-v2,
squared Euclidean distance by faiss, and 0.05 for a repetition. See synth/quality/duplicates.py for who wins.

The index is a flat one, because it must compare with every lower instruction: an approximate one finds this or that
neighbour depending on what came in before. So a search takes a time that grows with the run, and so does memory: 4 to 8
bytes for each of an embedding's numbers.

Needs faiss: pip install faiss-cpu.
"""

from dataclasses import dataclass as plain_dataclass
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.engines import Task
from synth.quality.duplicates import Index
from synth.quality.embedding import TransformerEmbedding
from synth.quality.model_of_run import ModelOfRun, model_of_run
from synth.quality.texts import columns_of, missing, texts
from synth.records import Needs, Place, Record, Rejection

Vector = NDArray[np.float32]
_ROUNDING = 1e-4  # faiss is asked for this much more than the distance, and the rest decided in float64


class Embedding(Protocol):
    """Named by its `_target_`. What takes long to load is to be loaded at the first call, as it is made where the
    configuration is read, too."""

    async def embed(self, text: str) -> ArrayLike:
        """A vector, of the same length for every text. It is scaled to length 1 by whoever asks."""
        ...


def _embedding(given: Any) -> Any:
    given = model_of_run(given)
    if isinstance(given, ModelOfRun):
        return given
    return TransformerEmbedding(path=given) if isinstance(given, str) else part(given, "model", Embedding)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SemanticDuplicate:
    """Rejects a record, as `semantic_duplicate`, if a lower one's text in `column` is nearer than `min_distance`.

    `model` is an Embedding, the name of a model of the run, or the path of a TransformerEmbedding. The distance is the
    squared Euclidean one of embeddings of length 1: 0 for the same direction, 2 for a right angle, and 0.05 for a
    cosine of 0.975. Of a conversation's texts the first is compared. Also: `no_COLUMN`, and `no_embedding` where the
    model gives none that is finite.
    """

    model: Annotated[Any, BeforeValidator(_embedding)]
    column: str = "instruction"
    min_distance: Annotated[float, Field(gt=0, lt=2)] = 0.05

    columns: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        if find_spec("faiss") is None:
            raise ValueError("needs faiss, which is not installed; pip install faiss-cpu")

    @property
    def rejections(self) -> tuple[str, ...]:
        return (self.duplicates.reason, "no_embedding", missing(self.column))

    @property
    def duplicates(self) -> "SemanticMatches":
        return SemanticMatches(self.min_distance)

    def needs(self) -> list[Needs]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    @property
    def pooling(self) -> dict[str, Task]:
        return {self.model.name: "embed"} if isinstance(self.model, ModelOfRun) else {}

    async def __call__(self, record: Record, llm: Any) -> Record:
        embed = llm.on(self.model.name).embed if isinstance(self.model, ModelOfRun) else self.model.embed
        embedding = await embed(texts(record, self.column)[0])
        vector = np.asarray(embedding, np.float64).reshape(-1)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0:
            raise Rejection("no_embedding", f"a vector of length {length:g}")
        if twin := await llm.twins.claim((vector / length).astype("<f4").tobytes()):
            raise Rejection(self.duplicates.reason, f"like {twin}")
        return record


@plain_dataclass(frozen=True)
class SemanticMatches:
    """`duplicates` of a step whose keys are vectors of length 1."""

    min_distance: float

    reason: ClassVar[str] = "semantic_duplicate"

    def index(self) -> Index:
        return FlatIndex(self.min_distance)


class FlatIndex:
    """Vectors in faiss in the order in which they came, and the place of each, None once it is forgotten."""

    def __init__(self, min_distance: float):
        self._min_distance = min_distance
        self._index: Any = None
        self._rows: dict[Place, int] = {}
        self._places: list[Place | None] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, place: Place, key: bytes) -> None:
        if place in self._rows and self._vector(place).tobytes() == key:
            return
        import faiss

        self.forget(place)
        vector = np.frombuffer(key, "<f4")
        if self._index is None:
            self._index = faiss.IndexFlatIP(len(vector))
        self._index.add(vector[None])
        self._rows[place] = len(self._places)
        self._places.append(place)

    def forget(self, place: Place) -> None:
        if (row := self._rows.pop(place, None)) is not None:
            self._places[row] = None

    def lowest(self, place: Place, key: bytes) -> Place | None:
        if self._index is None:
            return None
        vector = np.frombuffer(key, "<f4")
        if len(vector) != self._index.d:
            raise ValueError(f"an embedding has {len(vector)} numbers, those before it had {self._index.d}")
        _, _, rows = self._index.range_search(vector[None], 1 - self._min_distance / 2 - _ROUNDING)
        candidates = sorted(found for row in rows.tolist() if (found := self._places[row]) is not None)
        return next((one for one in candidates if one < place and self._near(vector, self._vector(one))), None)

    def _vector(self, place: Place) -> Vector:
        found: Vector = self._index.reconstruct(self._rows[place])
        return found

    def _near(self, one: Vector, other: Vector) -> bool:
        return float(np.sum((one.astype(np.float64) - other.astype(np.float64)) ** 2)) < self._min_distance
