"""How many clusters are found in mixtures whose number is known, in crescents and in none; k-means' files on digits."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result
from sklearn.datasets import load_digits

from steelyard.core.candidate import FamilySpace
from steelyard.core.task import feed_of
from steelyard.engine.elastic import quick_latency
from steelyard.engine.evaluating import outputs_of
from steelyard.families.kmeans import KMEANS
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.statistics.partitions import adjusted_rand
from steelyard.tasks.clusterings import Found, clusterings
from steelyard.tasks.metrics import METRICS, metrics_of
from steelyard.tasks.reading import from_arrays

MIXTURES = 10
APART = 4.0
"""Standard deviations between any two centres, at least."""


def mixture(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) of two to ten round clusters in two to ten dimensions, and the cluster of each, by a fixed seed."""
    random = np.random.default_rng(number)
    clusters, dimensions = 2 + number * 8 // (MIXTURES - 1), int(random.integers(2, 11))
    side = 1.5 * APART * clusters ** (1 / dimensions)
    centres: list[np.ndarray] = []
    while len(centres) < clusters:
        drawn = random.uniform(0, side, dimensions)
        if all(np.linalg.norm(drawn - each) >= APART for each in centres):
            centres.append(drawn)
        else:
            side *= 1.01
    truth = random.integers(0, clusters, 100 * clusters)
    return random.normal(np.array(centres)[truth], 1.0), truth


def crescents() -> tuple[np.ndarray, np.ndarray]:
    """Two crescents that reach into each other."""
    random = np.random.default_rng(0)
    angle, truth = random.uniform(0, np.pi, 600), random.integers(0, 2, 600)
    x = np.where(truth, np.cos(angle), 1 - np.cos(angle))
    y = np.where(truth, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], axis=1) + random.normal(0, 0.06, (600, 2)), truth


def judged(points: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """What is chosen of points, and what silhouettes alone would choose: of k-means, and of everything."""
    found = clusterings((points - points.mean(axis=0)) / points.std(axis=0), 0)
    chosen = found.chosen
    return {
        "clusters": len(np.unique(truth)),
        "dimensions": points.shape[1],
        "rows": len(found.rows),
        "chosen": None if chosen is None else chosen.to_json(),
        "agreement": None if chosen is None else adjusted_rand(chosen.labels + 1, truth[found.rows]),
        "by_silhouette": {name: best_silhouette(found, name) for name in ("kmeans", "")},
    }


def best_silhouette(found: Found, algorithm: str) -> dict[str, Any]:
    """The clustering with the best silhouette, of one algorithm or of all."""
    able = [each for each in found.tried if algorithm in ("", each.algorithm) and "silhouette" in each.figures]
    return max(able, key=lambda each: each.figures["silhouette"]).to_json()


def digits() -> list[dict[str, Any]]:
    """k-means' files on the digits, from 2 to 20 clusters: figures on valid rows, bytes, and a quick latency."""
    task = from_arrays(load_digits().data, kind="clustering")
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for scale in FamilySpace("kmeans", KMEANS.knobs(task)).scales():
            path = Path(folder) / "model.onnx"
            notes = KMEANS.fit(scale, task, 0, path, 60.0)
            session = OnnxRuntime().load(path)
            outputs = outputs_of(session.run, task.valid)
            told = {name: METRICS[name](outputs, task.valid.y) for name in metrics_of("clustering")}
            latency_s = quick_latency(session, np.asarray(feed_of(task.valid.x[:1])))
            costs = {"latency_s": latency_s, "size_bytes": path.stat().st_size, "train_s": notes["train_s"]}
            points.append({**scale.to_json(), **told, **costs})
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    mixtures = []
    for number in range(MIXTURES):
        mixtures.append(judged(*mixture(number)))
        print(number, mixtures[-1]["clusters"], mixtures[-1]["chosen"], file=sys.stderr, flush=True)
    right = sum(each["chosen"] is not None and each["chosen"]["clusters"] == each["clusters"] for each in mixtures)
    noise = np.random.default_rng(0).normal(size=(600, 3))
    figures = {
        "right": right,
        "of": MIXTURES,
        "mixtures": mixtures,
        "crescents": judged(*crescents()),
        "one cluster": judged(noise, np.zeros(600, dtype=np.int64)),
        "digits": digits(),
    }
    write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
