"""Operator: combine Rad-score and clinical variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.results import ClinicalVariables
from gastromap.run_record import Stopwatch
from gastromap.staging import TStager
from gastromap.volume import CtVolume

__all__ = ["NomogramOperator"]


class NomogramOperator(Operator):
    """Receive the ``explained`` case, emit all ``findings``: the case, stage, map and nomogram."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        stager: TStager,
        clinical_of: Callable[[CtVolume], ClinicalVariables],
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._stager = stager
        self._clinical_of = clinical_of
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("explained")
        spec.output("findings")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Apply the nomogram, or say which variables are missing."""
        case, stage, heatmap = op_input.receive("explained")
        with self._watch.stage("nomogram"):
            nomogram = self._stager.nomogram(stage, self._clinical_of(case.volume))
        op_output.emit((case, stage, heatmap, nomogram), "findings")
