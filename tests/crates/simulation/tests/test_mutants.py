"""The mutants of `make mutants` still fit the sources, so that the list does not rot between its runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mutants


def test_each_mutant_replaces_one_text():
    counts = {mutant.name: (mutants.ROOT / mutant.file).read_text().count(mutant.old) for mutant in mutants.MUTANTS}
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_each_mutant_has_its_rule_in_the_model():
    sources = (Path(__file__).parents[1] / "src").glob("*.rs")
    model = "".join(source.read_text() for source in sources)
    assert [mutant.rule for mutant in mutants.MUTANTS if f'"{mutant.rule}"' not in model] == []
