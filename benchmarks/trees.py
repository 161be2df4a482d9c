"""Gradient-boosted trees at their largest scale on tables beside the checkout: quality on the test rows, time, size.

The yardsticks are those of the data sets' manifest: histogram gradient boosting as scikit-learn sets it.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from environment import command_line, write_result

from steelyard.core.candidate import FamilySpace
from steelyard.engine.evaluating import outputs_of
from steelyard.families.trees import TREES_FAMILY
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.select.quality import quality_interval
from steelyard.tasks.metrics import METRICS, metrics_of
from steelyard.tasks.reading import from_data

TABLES = {
    "adult_census": ("tabular-classification", "income", {"accuracy": 0.8695, "auc": 0.9254}),
    "california_housing": ("tabular-regression", "MedHouseVal", {"r2": 0.8288, "rmse": 0.4732}),
    "wine_quality": ("tabular-regression", "quality", {"r2": 0.4523, "rmse": 0.6599}),
}
"""Kind, target and yardsticks."""


def figures(name: str, shared: Path, limit_s: float) -> dict[str, Any]:
    """One table's."""
    kind, target, yardsticks = TABLES[name]
    task = from_data(shared / f"tab_{name}.parquet", kind, target=target)
    scale = FamilySpace("trees", TREES_FAMILY.knobs(task)).largest
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        notes = TREES_FAMILY.fit(scale, task, 0, path, limit_s)
        outputs = outputs_of(OnnxRuntime().load(path).run, task.test)
        size = path.stat().st_size
    found = {
        each: quality_interval(METRICS[each], outputs, task.test.y, seed=0).to_json() for each in metrics_of(task.kind)
    }
    return {
        "scale": scale.to_json(),
        "test": found,
        "yardsticks": yardsticks,
        "train_s": notes["train_s"],
        "rounds": notes["rounds"],
        "stopped": notes["stopped"],
        "parity": notes["parity"],
        "size_bytes": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = {name: figures(name, asked.shared, asked.limit_s) for name in TABLES}
    write_result(asked.json, command_line(), found)


if __name__ == "__main__":
    main()
