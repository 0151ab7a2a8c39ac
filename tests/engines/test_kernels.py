"""Kernels that are packages of their own, and what is said where they are not installed."""

import pytest

from synth.engines import kernels
from synth.engines.cards import Card, card
from synth.engines.kernels import missing_kernels


@pytest.fixture
def installed(monkeypatch):
    packages = {"flashinfer-python": "0.6.1", "flashinfer-cubin": "0.6.1"}
    monkeypatch.setattr(kernels, "version", packages.get)
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    return packages


def test_nothing_is_said_where_they_are_there_or_would_be_of_no_use(installed):
    assert missing_kernels(card("B200")) is None
    del installed["flashinfer-cubin"]
    assert missing_kernels(None) is missing_kernels(card("A100-80GB")) is None
    assert missing_kernels(Card("NVIDIA L40S", 44.5)) is None
    installed.clear()
    assert missing_kernels(card("H100")) is None


def test_those_that_are_missing_or_of_another_version_are_said_with_the_command(installed):
    installed["flashinfer-cubin"] = "0.6.0"
    assert missing_kernels(card("H100")) == (
        "FlashInfer 0.6.1 needs flashinfer-cubin for compiled kernels, which is installed as version 0.6.0: slower "
        "kernels are used; vllm download-kernels"
    )
    del installed["flashinfer-cubin"]
    assert "which is not installed" in missing_kernels(Card("NVIDIA H200", 140))
