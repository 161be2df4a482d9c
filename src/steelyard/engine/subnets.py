"""Files of sub-networks for a quick look at their cost: cut from the file of a larger one, or exported."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import FamilySpace, Scale
from steelyard.core.errors import SteelyardError
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.elastic.files import WholeFile, check_rows, stored_values
from steelyard.elastic.sharing import places_of
from steelyard.elastic.supernet import Supernet
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.runtimes.onnxruntime.unfolded import export_unfolded

BODY = "body."
"""The part of a model that holds its weights."""


@dataclass(slots=True)
class SubnetFiles:
    """Writes the ONNX file of any sub-network.

    A knob is cut where the file of its smallest setting, cut from that of its largest, gives what the module gives.
    The others (depth, resolution) have a file exported for each combination of their settings, with all that can be
    cut at its largest; every other file is made of slices of it. What can't be cut is exported.
    """

    net: Supernet
    space: FamilySpace
    rows: Array
    folder: Path
    cut: int = 0
    exported: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    _wholes: dict[Scale, WholeFile | None] = field(default_factory=dict)
    _checked: set[Scale] = field(default_factory=set)
    _cuttable: tuple[str, ...] | None = None

    def written(self, scale: Scale, model: Any) -> Path:
        """The file of a sub-network; the next call overwrites it.

        Args:
            scale: its scale.
            model: the model with its own weights and statistics.
        """
        path = self.folder / "explored.onnx"
        whole = self._whole(self._twin(scale))
        if whole is not None:
            try:
                twin = self._twin(scale)
                self._write(whole, twin, scale, model, path)
                if twin not in self._checked:
                    # The first file cut from each whole is compared; the others differ in sizes alone.
                    check_rows(model, path, self.rows, _run)
                    self._checked.add(twin)
                self.cut += 1
                return path
            except SteelyardError as error:
                self.refusals[str(scale)] = error.message
        export(model, self.rows, path)
        self.exported += 1
        return path

    def told(self) -> Plain:
        """How many files were cut and how many exported, which knobs are cut, and the first reason against cutting."""
        reason = next(iter(self.refusals.values()), None)
        return {"cut": self.cut, "exported": self.exported, "knobs": list(self._cuttable or ()), "refused": reason}

    def _twin(self, scale: Scale) -> Scale:
        """The scale whose file it is cut from."""
        if self._cuttable is None:
            self._cuttable = tuple(knob.name for knob in self.space.knobs if self._can_cut(knob.name))
        largest = self.space.largest.to_json()
        return Scale.from_json({**scale.to_json(), **{name: largest[name] for name in self._cuttable}})

    def _can_cut(self, knob: str) -> bool:
        largest = self.space.largest
        small = Scale.from_json({**largest.to_json(), knob: self.space.smallest[knob]})
        if small == largest:
            return True
        whole = self._whole(largest)
        if whole is None:
            return False
        model, path = self.net.extracted(small), self.folder / "explored.onnx"
        if not self._differs_in_sizes(small, largest):
            # Outputs of fresh weights may be too small to tell.
            return False
        try:
            self._write(whole, largest, small, model, path)
            check_rows(model, path, self.rows, _run)
        except SteelyardError as error:
            self.refusals[knob] = error.message
            return False
        return True

    def _differs_in_sizes(self, one: Scale, other: Scale) -> bool:
        """Whether two models read rows of one shape and have parameters of the same names and windows."""
        first, second = self.net.member(one), self.net.member(other)
        windows = [{name: each.layout.shapes[name][2:] for name in each.layout.shapes} for each in (first, second)]
        return windows[0] == windows[1] and first.model.front.shape == second.model.front.shape

    def _whole(self, scale: Scale) -> WholeFile | None:
        if scale not in self._wholes:
            path = self.folder / "whole.onnx"
            try:
                self._wholes[scale] = WholeFile(path, export_unfolded(self.net.extracted(scale), self.rows, path))
            except SteelyardError as error:
                self.refusals[str(scale)] = error.message
                self._wholes[scale] = None
        return self._wholes[scale]

    def _write(self, whole: WholeFile, twin: Scale, scale: Scale, model: Any, path: Path) -> None:
        small, large = self.net.member(scale).layout, self.net.member(twin).layout
        slices: dict[str, dict[int, Array]] = {}
        for name in small.shapes:
            places = places_of(name, small, large)
            if places:
                slices[BODY + name] = dict(places)
        whole.write(path, slices, stored_values(model))


def _run(path: Path, rows: tuple[Array, ...]) -> Sequence[Array]:
    return [RUNTIME.load(path).run(rows[0])]
