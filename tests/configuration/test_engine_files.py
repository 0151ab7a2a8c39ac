"""`engine=PATH.yaml`: a file in place of a preset's name."""

import pytest

from synth.errors import ConfigError
from synth.run import composed
from tests.error_lines import check_line

FILE = "_target_: synth.engines.simulated.Simulated\nmax_num_seqs: 7\nsigma: 0.25\n"


def configured(*words):
    found = []
    composed(["+strategy=magpie", *words], lambda config: found.append(config) or 0)
    return found[0]


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "tunes").mkdir()
    (tmp_path / "tunes/mine.yaml").write_text(FILE)
    return tmp_path / "tunes/mine.yaml"


def test_a_file_by_a_relative_or_an_absolute_path_is_the_engine_and_keys_change_it(mine):
    for path in ("tunes/mine.yaml", "./tunes/mine.yaml", str(mine)):
        engine = configured(f"engine={path}", "engine.sigma=0.5").engine
        assert (type(engine).__name__, engine.max_num_seqs, engine.sigma) == ("Simulated", 7, 0.5)


def test_a_file_that_has_changed_is_read_anew(mine):
    configured("engine=tunes/mine.yaml")
    mine.write_text(FILE.replace("7", "9"))
    assert configured("engine=tunes/mine.yaml").engine.max_num_seqs == 9


def test_a_model_beside_main_takes_one_too(mine):
    words = ["engine=simulated", "+strategy.magpie.model=other", "models.other=demo", f"models.other.engine={mine}"]
    assert configured(*words).models["other"].engine.max_num_seqs == 7


def test_main_chosen_by_a_file_serves_as_the_kind_of_the_others(mine):
    words = [f"engine={mine}", "+strategy.magpie.model=other", "models.other=qwen3-8b"]
    assert type(configured(*words).models["other"].engine).__name__ == "Simulated"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_num_seqs: 3\n", "is no engine file: it has no key _target_, unlike those of conf/engine"),
        ("a: [\n", "can't be read: while parsing a flow node"),
        (FILE + "defaults: [vllm]\n", "has a defaults list; move it to DIR/engine and add --config-dir DIR"),
    ],
)
def test_a_file_that_is_no_engine_is_refused_in_one_line(mine, text, expected):
    mine.write_text(text)
    with pytest.raises(ConfigError) as refused:
        configured("engine=tunes/mine.yaml")
    assert str(refused.value).startswith(f"engine: tunes/mine.yaml {expected}")


def test_a_file_that_is_not_there_is_refused_with_the_nearest_beside_it(mine):
    with pytest.raises(ConfigError) as refused:
        configured("engine=tunes/mien.yaml")
    check_line(str(refused.value), "engine", "'tunes/mien.yaml'", "did you mean 'tunes/mine.yaml'?")
