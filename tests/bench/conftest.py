"""What the Makefile passes in the environment: the built artefact, the stand, and the tools that count."""

import os
from pathlib import Path

import certifi
import pytest
from stand import Program, Stand


def built(variable: str) -> Path:
    """A program that was built or installed; without it nothing is measured, and that is an error."""
    path = Path(os.environ.get(variable, ""))
    if not path.is_file():
        pytest.fail(f"{variable} is {str(path)!r}, which is no file: `make test-cost` sets it")
    return path


@pytest.fixture(scope="session")
def artefact() -> Program:
    return Program("artefact", (str(built("RESPONDER_ARTEFACT")),))


@pytest.fixture(scope="session")
def stand() -> Stand:
    return Stand(built("BENCH_STAND"), Path(certifi.where()))


@pytest.fixture(scope="session")
def valgrind() -> Path:
    return built("VALGRIND")


@pytest.fixture(scope="session")
def strace() -> Path:
    return built("STRACE")
