"""Contract suites of the protocols, for ours and for any stranger's implementation, and fakes that fill the seams.

A suite is a plain function that raises `ContractError`, one sentence, on the first thing that does not hold; it needs
no test framework.
"""

from steelyard.testing.contract import ContractError
from steelyard.testing.families import check_family
from steelyard.testing.metrics import check_metric
from steelyard.testing.runtimes import check_runtime
from steelyard.testing.steps import check_step
from steelyard.testing.strategies import check_strategy
from steelyard.testing.tasks import check_task

__all__ = [
    "ContractError",
    "check_family",
    "check_metric",
    "check_runtime",
    "check_step",
    "check_strategy",
    "check_task",
]
