#!/usr/bin/env python3
"""Packs the artefact as the zip that Lambda takes: `bootstrap` and nothing else, the same bytes every time.

    scripts/package.py --artefact target/release/bootstrap [--sbom FILE] --out dist

Beside it SHA256SUMS gets the sums of the zip and of the bill of materials, as `sha256sum --check` reads them.
"""

import argparse
import hashlib
import struct
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# ELF's e_machine, and what Lambda calls the processor.
ARCHITECTURES = {62: "x86_64", 183: "arm64"}
# The first day that a zip can name. Any fixed day would do: the time of the build must not be in the zip.
DAY = (1980, 1, 1, 0, 0, 0)


def architecture(binary):
    """The processor that an ELF file is for."""
    if binary[:4] != b"\x7fELF":
        raise SystemExit("the artefact is no ELF file")
    (machine,) = struct.unpack_from("<H", binary, 18)
    if machine not in ARCHITECTURES:
        raise SystemExit(f"Lambda has no processor of ELF machine {machine}")
    return ARCHITECTURES[machine]


def pack(binary, path):
    """Writes the zip."""
    entry = zipfile.ZipInfo("bootstrap", DAY)
    # Lambda runs it: -rwxr-xr-x of a regular file, written as a Unix zip does, whoever packs it on whatever system.
    entry.create_system = 3
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, binary, compresslevel=9)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artefact", type=Path, required=True, help="the release binary")
    parser.add_argument("--sbom", type=Path, help="the bill of materials, to be summed as well; it must lie in OUT")
    parser.add_argument("--out", type=Path, required=True, help="the directory to write to")
    options = parser.parse_args(arguments)

    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    binary = options.artefact.read_bytes()
    archive = options.out / f"lightsail-key-responder-{version}-{architecture(binary)}.zip"
    options.out.mkdir(parents=True, exist_ok=True)
    pack(binary, archive)

    files = [archive, *([options.sbom] if options.sbom else [])]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (options.out / "SHA256SUMS").write_text("".join(sums))
    print(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
