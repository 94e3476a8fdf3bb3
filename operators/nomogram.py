"""Operator: combine Rad-score and clinical variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.nomogram import with_measured_size
from gastromap.results import ClinicalVariables
from gastromap.run_record import Stopwatch
from gastromap.staging import TStager
from gastromap.volume import CtVolume

__all__ = ["NomogramOperator"]


class NomogramOperator(Operator):
    """Receive the ``explained`` cases and the ``examinations``, emit the ``nomogram`` of the first."""

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
        spec.input("examinations")
        spec.output("findings")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Apply the nomogram, or say which variables are missing; a size that nobody gave is that of the mask."""
        explained = op_input.receive("explained")
        first = op_input.receive("examinations")[0]
        with self._watch.stage("nomogram"):
            clinical = with_measured_size(self._clinical_of(first.volume), first.tumour)
            nomogram = self._stager.nomogram(explained[0][1], clinical)
        op_output.emit((explained, nomogram), "findings")
