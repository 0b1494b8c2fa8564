"""The release binary runs on provided.al2023, and `sam build` packs it and nothing else."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

# Amazon Linux 2023 user guide, "Core toolchain packages glibc, gcc, binutils".
GLIBC = (2, 34)
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
MEGABYTE = 1_000_000


@pytest.fixture
def elf(artefact):
    with artefact.open("rb") as file:
        yield ELFFile(file)


def sections(elf, kind):
    return [section for section in elf.iter_sections() if isinstance(section, kind)]


def too_new(versions):
    """The symbol versions of glibc that Amazon Linux 2023 lacks; a name without a number counts as one."""
    glibc = [version for version in versions if version.startswith("GLIBC_")]
    numbers = {version: re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", version) for version in glibc}
    return [name for name, number in numbers.items() if not number or (int(number[1]), int(number[2])) > GLIBC]


def test_versions_are_compared_by_number():
    assert too_new(["GLIBC_2.4", "GLIBC_2.34", "GLIBC_2.2.5", "GCC_4.2.0"]) == []
    assert too_new(["GLIBC_2.35", "GLIBC_3.0", "GLIBC_ABI_DT_RELR"]) == ["GLIBC_2.35", "GLIBC_3.0", "GLIBC_ABI_DT_RELR"]


def test_the_artefact_asks_for_no_newer_glibc_than_the_runtime_has(elf):
    needs = [need for section in sections(elf, GNUVerNeedSection) for need in section.iter_versions()]
    versions = sorted({version.name for _library, auxiliaries in needs for version in auxiliaries})
    assert any(version.startswith("GLIBC_") for version in versions), "no version was read"
    assert too_new(versions) == []


def test_the_artefact_asks_for_no_library_but_those_of_the_runtime(elf):
    tags = [tag for section in sections(elf, DynamicSection) for tag in section.iter_tags("DT_NEEDED")]
    needed = {tag.needed for tag in tags}
    assert "libc.so.6" in needed
    assert needed <= LIBRARIES


def test_the_artefact_is_for_a_processor_that_lambda_has(elf):
    assert elf.elfclass == 64 and elf.little_endian
    assert elf["e_machine"] in ("EM_X86_64", "EM_AARCH64")


def test_the_artefact_is_stripped_and_small(elf, artefact, capsys):
    names = [section.name for section in elf.iter_sections()]
    assert ".text" in names
    assert not [name for name in names if name == ".symtab" or name.startswith(".debug")]
    size = artefact.stat().st_size
    with capsys.disabled():
        print(f"\n{artefact.name}: {size / MEGABYTE:.2f} MB")
    assert MEGABYTE < size <= 6 * MEGABYTE


def test_sam_build_packs_the_artefact_and_nothing_else(root, artefact, sam_environment):
    def run(command):
        # Cargo must find what it has built; nothing else of the caller's settings matters.
        kept = [name for name in os.environ if name.startswith(("CARGO_", "RUST")) or name == "TARGET"]
        environment = {**sam_environment, **{name: os.environ[name] for name in kept}}
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=900)

    # `make build` may install the tools first; here they are those that run this test.
    recipe = run(["make", "--no-print-directory", "--dry-run", "build"])
    sam, *arguments = shlex.split(recipe.stdout.splitlines()[-1])
    assert Path(sam).name == "sam"
    done = run([Path(sys.executable).parent / "sam", *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CustomMakeBuilder:MakeBuild" in done.stdout + done.stderr
    assert "CustomMakeBuilder:CopySource" not in done.stdout + done.stderr, "SAM copied the project with all of target/"

    built = root / ".aws-sam/build/ResponderFunction"
    assert [path.name for path in built.iterdir()] == ["bootstrap"]
    bootstrap = built / "bootstrap"
    assert bootstrap.is_file() and os.access(bootstrap, os.X_OK)
    assert bootstrap.read_bytes() == artefact.read_bytes(), "`sam build` deploys another binary than the tested one"
