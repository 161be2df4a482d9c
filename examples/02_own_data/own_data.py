"""Your own table: a CSV file with numbers, categories and missing values."""

import csv
import random
import tempfile
from pathlib import Path

import steelyard
from steelyard import Budget, Goal


def write_table(path: Path, rows: int = 600) -> None:
    """Parcels that arrive late or in time, by weight, distance and service."""
    chance = random.Random(0)
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["weight_kg", "distance_km", "service", "late"])
        for _ in range(rows):
            weight, distance = chance.uniform(0.1, 30), chance.uniform(1, 900)
            service = chance.choice(["air", "road", "sea"])
            late = distance / 900 + (service == "sea") + chance.gauss(0, 0.2) > 0.9
            table.writerow([f"{weight:.2f}" if chance.random() > 0.05 else "", f"{distance:.0f}", service, int(late)])


with tempfile.TemporaryDirectory() as folder:
    data = Path(folder) / "parcels.csv"
    write_table(data)
    outcome = steelyard.find(
        "tabular-classification",
        data=str(data),
        target="late",
        model="linear,mlp",
        goal=Goal(max_drop=0.05),
        budget=Budget(wall_s=None, trials=6),
        knobs={"depth": (1,), "width": (8, 32)},
        out=Path(folder) / "parcels",
    )
    print(outcome.status, outcome.chosen.candidate)

    model = steelyard.load(outcome.bundle)
    print(model.predict([{"weight_kg": 2.5, "distance_km": 800, "service": "sea"}]))
