"""`make search-figures`, in small: it runs, counts what there is to count, and says what it cannot use."""

import re
import subprocess
import sys
from pathlib import Path

import harness
import pytest
import search_figures

PROGRAM = Path(__file__).parents[1] / "search_figures.py"
REGIONS = 19


@pytest.fixture
def figures(bootstrap, simulator_program):
    """Runs search_figures.py as the Makefile does, with few buckets."""

    def figures(*arguments, bootstrap=bootstrap):
        command = [sys.executable, PROGRAM, "--bootstrap", bootstrap, "--simulator", simulator_program, *arguments]
        environment = harness.child_environment({})
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return figures


def test_both_searches_are_measured_fresh_and_warm(figures):
    done = figures("--latency-ms", "20", "--buckets", "2", "--times", "1")
    assert (done.returncode, done.stderr) == (0, "")
    rows = re.findall(r"^(\S.*?): (delete sent|in all) +(fresh|warm) +([a-z_]+) +(\d+)  ", done.stdout, re.M)
    last, nowhere = search_figures.ON_THE_LAST_BUCKET, search_figures.NOWHERE
    # A list of buckets and two lists of keys in each Region, and the list of Regions; then the delete, its operation, and the
    # look afterwards.
    read = REGIONS * 3 + 1
    assert [row[:4] for row in rows] == [
        (last, "delete sent", "fresh", "revoked"),
        (last, "in all", "fresh", "revoked"),
        (last, "delete sent", "warm", "revoked"),
        (last, "in all", "warm", "revoked"),
        (nowhere, "in all", "fresh", "not_lightsail_key"),
        (nowhere, "in all", "warm", "not_lightsail_key"),
    ]
    assert {int(row[4]) for row in rows if row[0] == nowhere} == {read}
    assert all(1 < int(row[4]) <= read + 3 for row in rows if row[0] == last), "the first match ends the search"


def test_the_regions_are_those_of_the_code():
    regions = search_figures.lightsail_regions()
    assert len(set(regions)) == len(regions) == REGIONS and "eu-west-1" in regions


def test_requests_that_are_open_at_once_are_counted():
    assert search_figures.most_open([0, 10, 49, 50], 50) == 3
    assert search_figures.most_open([0, 50, 100], 50) == 1


def test_every_bystander_is_a_key_of_its_own():
    keys = {search_figures.bystander(number) for number in range(1000)}
    assert len(keys) == 1000 and all(re.fullmatch("AKIA[A-Z]{16}", key) for key in keys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--buckets", "0"], "--buckets"), (["--latency-ms", "-1"], "--latency-ms"), (["--times", "many"], "--times")],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_a_number_that_cannot_be_used_is_named(arguments, says, figures):
    done = figures(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_program_that_is_not_there_is_named(figures, tmp_path):
    done = figures(bootstrap=tmp_path / "bootstrap")
    assert done.returncode == 2
    assert f"there is no program {tmp_path / 'bootstrap'}" in done.stderr
