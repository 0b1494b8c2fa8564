"""What a release is made of: the zip for Lambda, its bill of materials, its sums, and the workflows that make them."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000
# What is deployed: both processors of Lambda.
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")


def cargo_environment():
    """What cargo and rustup need to find what they have; nothing else of the caller's."""
    kept = [name for name in os.environ if name.startswith(("CARGO_", "RUSTUP_")) or name in ("PATH", "HOME")]
    return {name: os.environ[name] for name in kept}


def run(command, **more):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def recipe(target):
    """The last command of a target of the Makefile, in words."""
    lines = run(["make", "--no-print-directory", "--dry-run", target]).replace("\\\n", " ").splitlines()
    return shlex.split(lines[-1])


def package(artefact, out, *arguments):
    """Packs the artefact as `make package` does, and returns the zip."""
    run([sys.executable, "scripts/package.py", "--artefact", str(artefact), "--out", str(out), *arguments], umask=0o077)
    (archive,) = out.glob("*.zip")
    return archive


# The zip --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(artefact, tmp_path_factory):
    return package(artefact, tmp_path_factory.mktemp("dist"))


def test_two_zips_of_one_artefact_are_the_same_bytes(archive, artefact, tmp_path):
    # Later, elsewhere, and with other permissions.
    copy = tmp_path / "copy"
    shutil.copyfile(artefact, copy)
    os.utime(copy, (1, 1))
    copy.chmod(0o600)
    assert package(copy, tmp_path / "dist").read_bytes() == archive.read_bytes()


def test_the_zip_has_the_artefact_and_nothing_else_and_lambda_can_run_it(archive, artefact):
    with zipfile.ZipFile(archive) as opened:
        (entry,) = opened.infolist()
        assert (entry.filename, oct(entry.external_attr >> 16), entry.create_system) == ("bootstrap", oct(0o100755), 3)
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert opened.read(entry) == artefact.read_bytes()


def test_what_is_packed_is_what_runs_under_the_emulator():
    packed = recipe("package")
    tested = recipe("test-e2e")
    (artefact,) = [
        word.removeprefix("RESPONDER_ARTEFACT=") for word in tested if word.startswith("RESPONDER_ARTEFACT=")
    ]
    assert packed[packed.index("--artefact") + 1] == artefact
    # And what `sam build` copies, which test_artefact.py compares.
    makefile = (ROOT / "Makefile").read_text()
    assert '\nbuild-ResponderFunction: artefact\n\tcp $(ARTEFACT) "$(ARTIFACTS_DIR)/bootstrap"\n' in makefile


def test_the_zip_is_smaller_than_3_mb(archive, capsys):
    size = archive.stat().st_size
    with capsys.disabled():
        print(f"\n{archive.name}: {size / MEGABYTE:.2f} MB")
    assert size < 3 * MEGABYTE


def test_the_zip_is_named_by_version_and_processor(archive, artefact, tmp_path):
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert re.fullmatch(rf"lightsail-key-responder-{re.escape(version)}-(x86_64|arm64)\.zip", archive.name)
    binary = bytearray(artefact.read_bytes())
    for machine, name in ((62, "x86_64"), (183, "arm64")):
        binary[18:20] = machine.to_bytes(2, "little")
        other = tmp_path / name
        other.write_bytes(binary)
        assert package(other, tmp_path / f"dist-{name}").name.endswith(f"-{name}.zip")


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x08\x00"])
def test_what_lambda_cannot_run_is_not_packed(content, tmp_path):
    (tmp_path / "bootstrap").write_bytes(content)
    command = [
        sys.executable,
        "scripts/package.py",
        "--artefact",
        str(tmp_path / "bootstrap"),
        "--out",
        str(tmp_path / "dist"),
    ]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode != 0
    assert not (tmp_path / "dist").exists()


def test_the_sums_are_those_of_the_zip_and_the_bill(artefact, bill, tmp_path):
    out = tmp_path / "dist"
    out.mkdir()
    bill_of_materials = out / "lightsail-key-responder.cdx.json"
    bill_of_materials.write_text(json.dumps(bill))
    archive = package(artefact, out, "--sbom", str(bill_of_materials))
    lines = [line.split("  ") for line in (out / "SHA256SUMS").read_text().splitlines()]
    files = [archive, bill_of_materials]
    assert lines == [[hashlib.sha256(file.read_bytes()).hexdigest(), file.name] for file in files]


def test_the_artefact_does_not_say_in_which_directories_it_was_built(artefact):
    # Else two people would build two different ones; `make reproducible` compares them whole.
    binary = artefact.read_bytes()
    assert b"/cargo/registry/src/" in binary, "panic messages name no file any more: what does this test look at?"
    homes = {Path.home(), ROOT, Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))}
    assert not [home for home in homes if f"{home}/".encode() in binary]


# The bill of materials ------------------------------------------------------------------------------------------------


def checkers_python():
    path = os.environ.get("CHECKERS_PYTHON")
    assert path, "CHECKERS_PYTHON must name the checkers' Python: run `make test-release`"
    return str((ROOT / path).absolute())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("dist") / "bill.cdx.json"
    run([checkers_python(), "scripts/sbom.py", "--out", str(path)], env=cargo_environment())
    return path


@pytest.fixture(scope="module")
def bill(written):
    return json.loads(written.read_text())


@pytest.fixture(scope="module")
def compiled():
    """The crates of the artefact, as cargo lists them: {(name, version)}."""
    crates = set()
    for target in TARGETS:
        tree = [
            "cargo",
            "tree",
            "--locked",
            "-p",
            "lightsail-key-responder",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--target",
            target,
        ]
        lines = run([*tree, "--format", "{p}"], env=cargo_environment()).splitlines()
        crates |= {(line.split()[0], line.split()[1].removeprefix("v")) for line in lines}
    return crates


def test_the_bill_names_exactly_the_crates_that_are_compiled_in(bill, compiled):
    root = bill["metadata"]["component"]
    assert root["name"] == "lightsail-key-responder"
    named = [(one["name"], one["version"]) for one in [root, *bill["components"]]]
    assert len(named) == len(set(named)) > 100
    assert set(named) == compiled
    # Of the tests, and of the build, there is nothing in it.
    assert not {name for name, _version in named} & {"lightsail-simulator", "insta", "cc", "autocfg"}


def test_the_bill_has_the_sums_that_cargo_checks_and_a_licence_for_each(bill):
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(one["name"], one["version"]): one.get("checksum") for one in lock}
    for one in bill["components"]:
        assert one["hashes"] == [{"alg": "SHA-256", "content": sums[one["name"], one["version"]]}]
        assert one["licenses"][0]["expression"]
        assert one["purl"] == f"pkg:cargo/{one['name']}@{one['version']}"


def test_the_bill_says_who_asks_for_whom(bill):
    asked = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    root = bill["metadata"]["component"]["bom-ref"]
    reached, waiting = set(), [root]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting += asked[reference]
    assert reached == {root, *(one["bom-ref"] for one in bill["components"])}
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert {reference.split("/")[1].split("@")[0] for reference in asked[root]} == set(manifest["dependencies"])


def test_the_same_sources_have_the_same_bill_and_it_names_no_directory(written, tmp_path):
    again = tmp_path / "again.cdx.json"
    run([checkers_python(), "scripts/sbom.py", "--out", str(again)], env=cargo_environment())
    assert again.read_bytes() == written.read_bytes()
    assert str(ROOT) not in again.read_text() and "file:" not in again.read_text()


# CycloneDX's own library, against its own schema.
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(error.data) if error else None)
"""


def validated(bill):
    return subprocess.run(
        [checkers_python(), "-c", VALIDATE], input=json.dumps(bill), capture_output=True, text=True, timeout=60
    )


def test_the_bill_is_what_the_schema_of_cyclonedx_says(bill):
    assert bill["specVersion"] == "1.6"
    done = validated(bill)
    assert done.returncode == 0, done.stderr
    # And the schema is asked at all.
    bad = {**bill, "components": [{**bill["components"][0], "type": "crate"}]}
    assert validated(bad).returncode != 0


# Tools and workflows --------------------------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*"))


@pytest.mark.parametrize("file", sorted((ROOT / "tests/requirements").glob("*.txt")), ids=lambda file: file.name)
def test_every_package_is_pinned_with_the_hashes_of_its_files(file):
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    assert "://" not in text, "an index is no business of this file"
    for line in text.splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.]+( +--hash=sha256:[0-9a-f]{64})+", line.strip()), line


def test_pip_takes_nothing_that_is_not_listed_by_its_hash():
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"pip install .*", makefile)
    assert installs and all("--require-hashes" in line for line in installs)
    # Tools that cargo installs, with the versions of their own lock files.
    for line in re.findall(r"cargo install .*", makefile):
        assert re.search(r"--version [\d.]+ --locked ", line), line


def steps(file):
    workflow = yaml.safe_load(file.read_text())
    return [(job, step) for name, job in workflow["jobs"].items() for step in job["steps"]]


def test_there_are_workflows():
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_of_a_workflow_is_one_commit(file):
    used = [step["uses"] for _job, step in steps(file) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
    # With the version beside it, for people.
    assert len(re.findall(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", file.read_text())) == len(used)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_do_no_more_than_it_needs(file):
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        allowed = job["permissions"]
        builds = any("make" in step.get("run", "") for step in job["steps"])
        assert "write" not in allowed.values() or not builds, f"{name} runs others' code and may write"
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # What strangers name (a branch, a title) must not become a command.
            assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_runs_what_a_person_runs(file):
    makefile = (ROOT / "Makefile").read_text()
    called = [target for _job, step in steps(file) for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert called
    for target in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_toolchain_of_the_workflows_is_that_of_the_manifest():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["rust-version"]
    for file in WORKFLOWS:
        installed = re.findall(r"rustup toolchain install ([\d.]+)", file.read_text())
        assert installed and {one.rsplit(".", 1)[0] for one in installed} == {version}, file.name
