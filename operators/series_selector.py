"""Operator: choose the portal-venous series and build its volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.dicom_input import GateSettings, NamedStudies, build_volume, select_time_points
from gastromap.dicom_input.studies import Role
from gastromap.run_record import Stopwatch

__all__ = ["SeriesSelectorOperator"]


class SeriesSelectorOperator(Operator):
    """Receive a ``folder``, emit ``scans``: it and the checked volume of each study, the baseline first."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        settings: GateSettings,
        series_uids: Sequence[str] = (),
        named_studies: NamedStudies = NamedStudies(),  # noqa: B008 - frozen
        only: Role | None = None,
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._settings = settings
        self._series_uids = series_uids
        self._named_studies = named_studies
        self._only = only
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("folder")
        spec.output("scans")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Select by votes or by name, check the geometry, decode."""
        folder = op_input.receive("folder")
        with self._watch.stage("select"):
            selected = select_time_points(
                folder,
                settings=self._settings,
                series_uids=self._series_uids,
                named_studies=self._named_studies,
                only=self._only,
            )
        with self._watch.stage("volume"):
            volumes = tuple(build_volume(series, settings=self._settings) for series in selected)
        op_output.emit((folder, volumes), "scans")
