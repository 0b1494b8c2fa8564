"""What a cold start of the artefact costs until its delete is on the wire, as far as it can be counted.

Times are those of a machine; these are the same on all. A dependency that makes cold starts slower shows here first.
"""

import re

import pytest
from bench import ARTEFACT, BOTO3, FLOOR, MARKS, NAIVE
from stand import ROOT, instructions, system_calls

# Measured on Debian 12 with valgrind 3.19. Ten runs were within 0.2 % of each other: keys and signatures of TLS are random,
# and so is the order of hashed things. Another glibc or valgrind may differ by some per cent. Both ways: a count that has
# become much smaller is to be written down here, or the next one who makes it larger goes unseen.
INSTRUCTIONS = 6_860_000
MARGIN = 0.05


@pytest.fixture(scope="module")
def start(artefact, stand):
    (seen,) = stand.run([artefact], 1)[artefact.name]
    assert seen["outcomes"] == ["revoked"]
    return seen


def test_a_cold_start_takes_as_many_instructions_to_the_delete_as_it_did(artefact, stand, valgrind, capsys):
    counted = instructions(stand, artefact, valgrind)
    with capsys.disabled():
        print(f"\n{counted:,} instructions to the delete, {counted / INSTRUCTIONS - 1:+.1%}")
    assert counted == pytest.approx(INSTRUCTIONS, rel=MARGIN)


def test_one_tls_handshake_and_no_api_request_come_before_the_delete_of_a_named_bucket(start):
    assert (start["handshakes_to_delete"], start["requests_before_delete"]) == (1, 0)


def test_a_cold_start_takes_at_most_250_system_calls_to_the_delete(artefact, stand, strace, capsys):
    counted = system_calls(stand, artefact, strace)
    with capsys.disabled():
        print(f"\n{counted}")
    assert 50 < counted.calls <= 250
    # Libraries, the system's certificates, and what it takes to look up a name.
    assert 5 < counted.files_opened <= 12


def test_an_invocation_needs_at_most_9_megabytes_of_memory(start):
    assert 1_000 < start["at_end"]["peak_kb"] <= 9_000


def test_the_readme_quotes_the_figures_of_the_last_bench():
    _, report = (ROOT / "docs/performance.md").read_text().split(MARKS[0])
    tables = report.split(MARKS[1])[0].split("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]
    counts = [row for row in rows if "million" in "".join(row)]
    times = [row for row in rows if len(row) == len(counts[0]) and row not in counts]
    wall = {row[0]: float(row[-1]) for row in times if row[0] in (NAIVE, BOTO3, FLOOR)}
    (sizes,) = [row for row in counts if row[0] == ARTEFACT]
    readme = (ROOT / "README.md").read_text()
    quoted = re.search(
        r"this function is\s+([\d.]+) times as fast as boto3 and ([\d.]+) times as fast as the Rust that one writes first,"
        r"\s+and takes ([\d.]+) times as long .*?Stripped it has ([\d.]+) MB, and it needs ([\d.]+) MB",
        readme,
        re.S,
    )
    boto3, naive, floor, stripped, memory = [float(figure) for figure in quoted.groups()]
    assert [boto3, naive] == [pytest.approx(wall[BOTO3], rel=0.02), pytest.approx(wall[NAIVE], rel=0.02)]
    assert floor == pytest.approx(1 / wall[FLOOR], rel=0.02)
    assert [stripped, memory] == [float(sizes[7]), float(sizes[6])]
