"""Synthetic patients with two dates: before chemotherapy and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from gastromap.synthetic.cases import first_day
from gastromap.synthetic.cohort import iter_cohort
from gastromap.synthetic.course import Course, draw_course
from gastromap.synthetic.export_crop import CUBE_MM
from gastromap.synthetic.export_scan import MATRIX, Scan, one_blas_thread, plan_scan
from gastromap.synthetic.scanners import CENTRES
from gastromap.synthetic.types import Case, Stage, rng_for

__all__ = ["FOLLOWUP", "TREATED_STAGES", "Visits", "iter_longitudinal", "largest_node_mm", "visits_of"]

#: Name of the second examination.
FOLLOWUP = "followup"
#: Chemotherapy before surgery is for tumours beyond the submucosa.
TREATED_STAGES: tuple[Stage, ...] = ("T2", "T3", "T4")

_SHORT_AXIS = 2 * 0.9  #: of the ellipsoid that is drawn, for each mm of radius


@dataclass(frozen=True)
class Visits:
    """One patient, the course of the disease, and the scans on request."""

    case: Case  #: before treatment
    course: Course
    followed: bool  #: there is a second scan

    @property
    def dates(self) -> tuple[date, date]:
        """Days of the two scans."""
        first = first_day(rng_for(self.case.seed, self.case.number, "calendar"))
        return first, first + timedelta(days=self.course.interval_days)

    def baseline(self, *, matrix: int = MATRIX, thickness_mm: float | None = None) -> Scan:
        """Scan before treatment, that of :func:`gastromap.synthetic.export_scan.plan_scan`."""
        return plan_scan(self.case, matrix=matrix, thickness_mm=thickness_mm)

    def followup(self, *, matrix: int = MATRIX, thickness_mm: float | None = None) -> Scan:
        """Scan after treatment, as it would be if ``followed`` is false."""
        from gastromap.synthetic.phantom import Phantom

        with one_blas_thread():
            phantom = Phantom(self.case, self.course)
        return plan_scan(self.case, phantom=phantom, matrix=matrix, thickness_mm=thickness_mm, examination=FOLLOWUP)


def visits_of(case: Case, *, missing_followup: float = 0.0) -> Visits:
    """Give a patient a course.

    Parameters
    ----------
    case : Case
        Before treatment.
    missing_followup : float
        Share of patients without second scan, 0 to 1; whether a patient is one of them depends on nothing else.

    Returns
    -------
    visits : Visits
    """
    lost = rng_for(case.seed, case.number, "missing followup").random() < missing_followup
    return Visits(case, draw_course(case), followed=not lost)


def iter_longitudinal(
    patients: int,
    seed: int,
    *,
    centres: Sequence[int] = CENTRES,
    stages: Sequence[Stage] = TREATED_STAGES,
    missing_followup: float = 0.0,
) -> Iterator[Visits]:
    """Draw patients with two dates lazily.

    Parameters
    ----------
    patients, seed, centres
        As of :func:`gastromap.synthetic.cohort.iter_cohort`, which gives the same patients before treatment.
    stages : sequence of str
        Before treatment; patients take turns.
    missing_followup : float
        Share of patients without second scan, 0 to 1.

    Yields
    ------
    visits : Visits
    """
    for case in iter_cohort(patients, seed, centres=centres, stages=stages):
        yield visits_of(case, missing_followup=missing_followup)


def largest_node_mm(scan: Scan) -> float:
    """Short axis of the largest node in the training cube, 0 without one."""
    nodes = scan.phantom.nodes
    near = np.all(np.abs(nodes[:, :3] - scan.phantom.tumour_site_mm) < CUBE_MM / 2 - 6, axis=1)
    return round(float(_SHORT_AXIS * nodes[near, 3].max()), 2) if near.any() else 0.0
