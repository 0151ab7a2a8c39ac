"""What a user has in the checkout is nobody's business here: conftest.py takes every test out of it.

CI runs all tests in a clone after `make run`, with more in it that must not be read (.ci/run).
"""

from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.fixture(scope="module")
def shared():
    """Where a fixture that tests share works."""
    return Path.cwd()


def test_the_working_directory_of_a_test_is_its_own_folder(tmp_path):
    assert Path.cwd() == tmp_path
    assert not ROOT.is_relative_to(tmp_path) and not tmp_path.is_relative_to(ROOT)
    assert not list(tmp_path.iterdir())


def test_that_of_a_fixture_that_tests_share_is_empty_too(shared):
    assert not shared.is_relative_to(ROOT)
    assert not list(shared.iterdir())
