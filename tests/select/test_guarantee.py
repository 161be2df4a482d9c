import importlib.util
from pathlib import Path

import pytest

from steelyard.statistics import binomial

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "guarantee.py"


@pytest.fixture(scope="module")
def guarantee():
    spec = importlib.util.spec_from_file_location("guarantee", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_certificates_lie_no_more_often_than_they_say(guarantee):
    cells = list(guarantee.cells(300, 1, sizes=((300, 0.02), (719, 0.01))))
    violated, studies = sum(cell.violated for cell in cells), sum(cell.studies for cell in cells)
    assert violated > 0
    assert binomial.lower(violated, studies, 0.999) <= 0.05
    # 36 settings: each may look too high by chance, so each is judged at a far stricter level.
    assert all(binomial.lower(cell.violated, cell.studies, 1 - 1e-5) <= 0.05 for cell in cells)


@pytest.mark.slow
def test_good_candidates_are_proved_on_ten_thousand_rows(guarantee):
    assert guarantee.power(200, seed=1) >= 0.9
