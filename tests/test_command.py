"""The command `synth`: each word is a door, and all else is refused in one line."""

from contextlib import suppress

import pytest

from synth.command import COMMANDS, main
from tests.error_lines import check_line


@pytest.mark.parametrize("word", COMMANDS)
def test_each_word_is_a_door_that_tells_of_itself(word, capsys):
    try:
        assert main([word, "--help"]) == 0
    except SystemExit as end:
        assert end.code == 0
    assert len(capsys.readouterr().out) > 100


HELP_LINES, HELP_COLUMNS = 40, 100  # a terminal of a laptop, without scrolling


@pytest.mark.parametrize("word", [None, *COMMANDS])
def test_help_fits_a_screen(word, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(HELP_COLUMNS))
    with suppress(SystemExit):
        main([*([word] if word else []), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= HELP_COLUMNS
    assert len(lines) <= HELP_LINES


@pytest.mark.parametrize("word", ["pilot", "tune"])
def test_help_is_the_command_s_own_whatever_else_is_typed(word, capsys):
    assert main([word, "+strategy=magpie", "-h"]) == 0
    assert f"python -m synth.{word} +strategy=magpie" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["pilot", "tune"])
@pytest.mark.parametrize("option", [["--cfg", "job"], ["--cfg=job"]])
def test_the_configuration_is_printed_and_nothing_tried_where_that_is_asked(word, option, capsys):
    assert main([word, *option, "+strategy=magpie"]) == 0
    assert "\nstrategy:\n" in capsys.readouterr().out


def test_without_a_word_the_commands_are_listed(capsys):
    assert main([]) == 0
    assert all(f"synth {word}" in capsys.readouterr().out for word in ["run"])


def test_a_word_that_is_none_is_refused_with_the_nearest(capsys):
    assert main(["shwo", "runs/a"]) == 2
    check_line(capsys.readouterr().err, "error: shwo", "did you mean 'show'?")
    assert main(["install"]) == 2
    assert "no such command; choose from draw, export, merge" in capsys.readouterr().err


def test_the_exit_code_is_the_door_s_own(tmp_path, capsys):
    assert main(["show", str(tmp_path)]) == 2
