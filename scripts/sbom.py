#!/usr/bin/env python3
"""Writes the bill of materials of the artefact: every crate that is compiled into it, as CycloneDX.

    .venv/checkers/bin/python scripts/sbom.py --out dist/lightsail-key-responder.cdx.json

Which crates those are, and who asks for whom, `cargo tree` says: it knows the features of the deployed package alone.
`cargo metadata`, from which other tools make their lists, unites those of the whole workspace and counts optional crates
that nothing compiles. Licences come from there, and the sums of the crates from Cargo.lock.

Time and serial number are not those of the run: the same sources have the same bill.
"""

import argparse
import datetime
import json
import subprocess
import tomllib
import uuid
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lightsail-key-responder"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
# No more than a name space: two bills with the same parts have the same serial number.
SERIAL = uuid.uuid5(uuid.NAMESPACE_URL, "urn:lightsail-key-responder:sbom")
LONG_AGO = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def graph():
    """What each crate of the artefact asks for: {(name, version): {(name, version)}}."""
    edges = {}
    for target in TARGETS:
        tree = cargo(
            "tree", "--locked", "--package", PACKAGE, "--edges", "normal", "--target", target, "--prefix", "depth"
        )
        path = []
        for line in filter(None, tree.splitlines()):
            depth = len(line) - len(line.lstrip("0123456789"))
            name, version = line[depth:].split()[:2]
            node = (name, version.removeprefix("v"))
            # A crate that was shown before has its own dependencies there, and none here.
            del path[int(line[:depth]) :]
            edges.setdefault(node, set())
            if path:
                edges[path[-1]].add(node)
            path.append(node)
    return edges


def bill(edges, licences, sums):
    components = {}
    for name, version in sorted(edges):
        own = name == PACKAGE
        purl = PackageURL("cargo", name=name, version=version)
        components[name, version] = Component(
            name=name,
            version=version,
            type=ComponentType.APPLICATION if own else ComponentType.LIBRARY,
            purl=purl,
            bom_ref=str(purl),
            licenses=[LicenseExpression(licences[name, version].replace("/", " OR "))],
            hashes=[] if own else [HashType(alg=HashAlgorithm.SHA_256, content=sums[name, version])],
        )
    root = next(node for node in components if node[0] == PACKAGE)
    whole = Bom(components=[component for node, component in components.items() if node != root])
    whole.metadata.component = components[root]
    whole.metadata.timestamp = LONG_AGO
    whole.metadata.properties.update(Property(name="cargo:target", value=target) for target in TARGETS)
    for node, asked in edges.items():
        whole.register_dependency(components[node], [components[one] for one in sorted(asked)])
    whole.serial_number = uuid.uuid5(SERIAL, json.dumps(sorted([*node, sums.get(node)] for node in edges)))
    return whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()

    packages = json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]
    licences = {(one["name"], one["version"]): one["license"] for one in packages}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(one["name"], one["version"]): one.get("checksum") for one in lock}
    text = make_outputter(bill(graph(), licences, sums), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(
        indent=2
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
