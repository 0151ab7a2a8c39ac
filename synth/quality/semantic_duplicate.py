"""Semantic deduplication of instructions: near neighbours by embeddings of a model of the user's choice.

As in Magpie (arXiv 2406.08464, section 3), whose minimum neighbour distance this is: embeddings by all-mpnet-base-v2,
squared Euclidean distance by faiss, and 0.05 for a duplicate. See synth/quality/duplicates.py for which record is kept.

The search is exact: what an approximate index finds would depend on the order of insertion (vector_index.py). Memory is
4 bytes per dimension of an embedding, and about 200 per embedding.

Needs faiss: pip install faiss-cpu.
"""

from dataclasses import dataclass as plain_dataclass
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.engines import Task
from synth.quality.duplicates import Index
from synth.quality.embedding import TransformerEmbedding
from synth.quality.model_of_run import ModelOfRun, model_of_run
from synth.quality.texts import columns_of, missing, texts
from synth.quality.vector_index import VectorIndex
from synth.records import Needs, Record, Rejection


class Embedding(Protocol):
    """Named by its `_target_`. Load large files at the first call, as it is also instantiated where the configuration
    is read."""

    async def embed(self, text: str) -> ArrayLike:
        """A vector of the same length for every text. The caller normalizes it."""
        ...


def _embedding(given: Any) -> Any:
    given = model_of_run(given)
    if isinstance(given, ModelOfRun):
        return given
    return TransformerEmbedding(path=given) if isinstance(given, str) else part(given, "model", Embedding)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SemanticDuplicate:
    """Rejects a record as `semantic_duplicate` if the text of a lower one in `column` is nearer than `min_distance`.

    `model` is an Embedding, the name of a model of the run, or the path for a TransformerEmbedding. The distance is the
    squared Euclidean distance of normalized embeddings: 0 for equal directions, 2 for a right angle, and 0.05 for a
    cosine of 0.975. Of a conversation the first text is compared. Also: `no_COLUMN`, and `no_embedding` if the
    embedding is missing or not finite.
    """

    model: Annotated[Any, BeforeValidator(_embedding)]
    column: str = "instruction"
    min_distance: Annotated[float, Field(gt=0, lt=2)] = 0.05

    columns: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        if find_spec("faiss") is None:
            raise ValueError("needs faiss, which is not installed; run pip install faiss-cpu")

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
        if original := await llm.dedup.claim((vector / length).astype("<f4").tobytes()):
            raise Rejection(self.duplicates.reason, f"like {original}")
        return record


@plain_dataclass(frozen=True)
class SemanticMatches:
    """`duplicates` of a step whose keys are normalized vectors."""

    min_distance: float

    reason: ClassVar[str] = "semantic_duplicate"
    claims_of_a_process: ClassVar[int] = 1_000_000

    def index(self) -> Index:
        return VectorIndex(self.min_distance)
