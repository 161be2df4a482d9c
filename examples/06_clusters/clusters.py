"""Rows without targets: how many clusters there are, and the smallest file that tells them apart."""

import csv
import random
import tempfile
from pathlib import Path

import steelyard
from steelyard import Budget


def write_table(path: Path, rows: int = 900) -> None:
    """Shops of three sorts, by turnover, customers and how far they are from the station."""
    chance = random.Random(0)
    sorts = [(20, 300, 1), (200, 900, 9), (400, 200, 4)]
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["turnover", "customers", "km"])
        for _ in range(rows):
            turnover, customers, distance = chance.choice(sorts)
            table.writerow(
                [
                    round(chance.gauss(turnover, 20), 1),
                    round(chance.gauss(customers, 50)),
                    round(chance.gauss(distance, 0.5), 2),
                ]
            )


with tempfile.TemporaryDirectory() as folder:
    data = Path(folder) / "shops.csv"
    write_table(data)
    outcome = steelyard.find(
        "clustering",
        data=str(data),
        budget=Budget(wall_s=None, trials=5),
        knobs={"clusters": (2, 3, 4)},
        out=Path(folder) / "shops",
    )
    print(outcome.status, outcome.chosen.candidate)
    print(next(fact.text for fact in outcome.facts if fact.name == "clusterings"))

    model = steelyard.load(outcome.bundle)
    print(model.predict([{"turnover": 210, "customers": 870, "km": 8.7}]))
