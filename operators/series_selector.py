"""Operator: choose the portal-venous series and build its volume."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.dicom_input import GateSettings, NamedStudies, build_volume, select_series
from gastromap.run_record import Stopwatch

__all__ = ["SeriesSelectorOperator"]


class SeriesSelectorOperator(Operator):
    """Receive a ``folder``, emit it with the checked ``volume`` of the chosen series."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        settings: GateSettings,
        series_uid: str | None,
        named_studies: NamedStudies = NamedStudies(),  # noqa: B008 - frozen
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._settings = settings
        self._series_uid = series_uid
        self._named_studies = named_studies
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("folder")
        spec.output("scan")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Select by votes or by name, check the geometry, decode."""
        folder = op_input.receive("folder")
        with self._watch.stage("select"):
            selected = select_series(
                folder, settings=self._settings, series_uid=self._series_uid, named_studies=self._named_studies
            )
        with self._watch.stage("volume"):
            volume = build_volume(selected, settings=self._settings)
        op_output.emit((folder, volume), "scan")
