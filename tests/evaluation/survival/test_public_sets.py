"""Published and measured values on public survival sets, and R's values on the same rows.

Cross-validated C: tolerance 0.002 (design document, longitudinal model, section 5). R: 1e-6.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv import datasets
from sksurv.util import Surv

from gastromap.evaluation.delong import delong
from gastromap.evaluation.survival.cases import SurvivalColumns, read_survival
from gastromap.evaluation.survival.cox import fit_cox
from gastromap.evaluation.survival.kaplan_meier import gehan_wilcoxon, kaplan_meier, log_rank, median_follow_up
from gastromap.evaluation.table import column, read_rows

from .public_sets import apparent_c, columns, cox, cross_validated_c, harrell_c
from .test_against_r import check_cox, check_curve

WITHIN = 0.002
EXPORT = Path(__file__).parents[1] / "reference" / "export_r_sets.R"

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class TestScikitSurvivalSets:
    @pytest.mark.parametrize(
        ("load", "patients", "deaths", "apparent", "mean", "sd"),
        [
            (datasets.load_gbsg2, 686, 299, 0.692, 0.675, 0.034),
            (datasets.load_whas500, 500, 215, 0.784, 0.770, 0.036),
            (datasets.load_veterans_lung_cancer, 137, 128, 0.736, 0.706, 0.047),
            (lambda: datasets.load_aids("death"), 1151, 26, 0.881, 0.724, 0.078),
            pytest.param(datasets.load_flchain, 7874, 2169, 0.798, 0.796, 0.008, marks=pytest.mark.slow),
        ],
        ids=["GBSG2", "WHAS500", "Veteran", "ACTG320", "FLChain"],
    )
    def test_the_c_of_a_cox_model_is_that_of_the_document(self, load, patients, deaths, apparent, mean, sd):
        frame, y = load()
        x, event, time = columns(frame.drop(columns="chapter", errors="ignore")), *(y[name] for name in y.dtype.names)
        assert (len(time), event.sum()) == (patients, deaths)
        assert apparent_c(x, time, event) == pytest.approx(apparent, abs=WITHIN)
        assert cross_validated_c(x, time, event) == pytest.approx((mean, sd), abs=WITHIN)


@pytest.mark.realdata
class TestGitsg:
    @pytest.fixture
    def gitsg(self, real_data):
        return pd.read_csv(real_data / "survival" / "gastric_gitsg_survMisc.csv")

    def test_the_two_tests_disagree_because_the_curves_cross(self, gitsg):
        found = log_rank(gitsg.time, gitsg.event == 1, gitsg.group)
        assert (found.chi_squared, found.p_value) == pytest.approx((0.2319, 0.630), abs=5e-4)
        found = gehan_wilcoxon(gitsg.time, gitsg.event == 1, gitsg.group)
        assert (found.chi_squared, found.p_value) == pytest.approx((3.997, 0.046), abs=5e-4)

    def test_medians_survival_and_hazard_ratio_are_the_published_ones(self, gitsg):
        assert (len(gitsg), gitsg.event.sum()) == (90, 82)
        for group, median, at in ((0, 499, (0.689, 0.333)), (1, 254, (0.444, 0.244))):
            part = gitsg[gitsg.group == group]
            curve = kaplan_meier(part.time, part.event == 1)
            assert curve.median()[0] == median
            assert curve.at([365, 730])[0] == pytest.approx(at, abs=5e-4)
        fit = fit_cox(gitsg.time, gitsg.event == 1, gitsg[["group"]])
        assert float(fit.hazard_ratios()[0][0]) == pytest.approx(1.113, abs=5e-4)

    def test_everything_equals_r(self, gitsg, r_public):
        expected, dead = r_public["gitsg"], (gitsg.event == 1).to_numpy()
        time, group = gitsg.time.to_numpy(), gitsg.group.to_numpy()
        assert log_rank(time, dead, group).chi_squared == pytest.approx(expected["log_rank"], abs=1e-6)
        assert gehan_wilcoxon(time, dead, group).chi_squared == pytest.approx(expected["gehan"], abs=1e-6)
        check_cox(time, dead, group[:, None], [[0]], expected["cox"])
        for value, curve in enumerate(expected["curves"]):
            check_curve(time[group == value], dead[group == value], curve)


@pytest.mark.realdata
class TestTcgaStad:
    """cBioPortal table of the PanCan Atlas; another release gives other values."""

    NODE = "Neoplasm Disease Lymph Node Stage American Joint Committee on Cancer Code"
    TUMOUR = "American Joint Committee on Cancer Tumor Stage Code"
    METASTASIS = "American Joint Committee on Cancer Metastasis Stage Code"
    GRADE = "Neoplasm Histologic Grade"

    @pytest.fixture
    def rows(self, real_data):
        return read_rows(real_data / "survival" / "tcga_stad_pancan2018_cbioportal.tsv")

    @pytest.fixture
    def cases(self, rows):
        follow_up = SurvivalColumns("Overall Survival (Months)", "Overall Survival Status", ("1:DECEASED",))
        return read_survival(rows, follow_up, [], patient="Patient ID")

    @staticmethod
    def digit(rows, name):
        return pd.Series(column(rows, name)).str.extract(r"(\d)")[0].astype(float).to_numpy()

    def clinical(self, rows, names):
        parts = [self.digit(rows, name) for name in names]
        age = pd.to_numeric(pd.Series(column(rows, "Diagnosis Age")), errors="coerce").to_numpy()
        return np.column_stack([*parts, age, np.asarray(column(rows, "Sex")) == "Male"])

    def test_the_reader_finds_the_known_and_counts_the_zero_times(self, rows, cases):
        assert (len(rows), len(cases.time), cases.death.sum(), cases.left_out) == (440, 435, 168, 5)
        assert cases.notes == ("19 patients have a follow-up of 0 months; they stay.",)

    def test_survival_and_node_groups_are_those_of_the_document_and_of_r(self, rows, cases, r_public):
        later, expected = cases.part(cases.time > 0), r_public["tcga"]
        assert (len(later.time), later.death.sum()) == (416, 167)
        curve = kaplan_meier(later.time, later.death)
        assert curve.at([12, 24, 36, 60])[0] == pytest.approx([0.761, 0.570, 0.479, 0.379], abs=5e-4)
        assert curve.median()[0] == pytest.approx(30.9, abs=0.05)
        assert median_follow_up(later.time, later.death) == pytest.approx(22.8, abs=0.06)
        check_curve(later.time, later.death, expected["curve"])
        node = self.digit(rows, self.NODE)[later.rows]
        staged, positive = later.part(~np.isnan(node)), node[~np.isnan(node)] > 0
        assert [int(np.sum(~positive)), int(np.sum(positive))] == expected["node_counts"] == [124, 282]
        found = log_rank(staged.time, staged.death, positive)
        assert found.chi_squared == pytest.approx(expected["nodes"]["log_rank"], abs=1e-6)
        assert found.chi_squared == pytest.approx(16.72, abs=0.005)
        check_cox(staged.time, staged.death, positive[:, None], [[0]], expected["nodes"]["cox"])
        ratios = [float(values[0]) for values in fit_cox(staged.time, staged.death, positive).hazard_ratios()]
        assert ratios == pytest.approx([2.24, 1.51, 3.33], abs=0.005)

    def test_a_cox_model_on_stage_age_sex_and_grade_has_the_c_of_the_document(self, rows, cases):
        later = cases.part(cases.time > 0)
        x = self.clinical(rows, (self.TUMOUR, self.NODE, self.METASTASIS, self.GRADE))[later.rows]
        assert cross_validated_c(x, later.time, later.death) == pytest.approx((0.633, 0.047), abs=WITHIN)

    def test_a_logistic_model_of_node_metastasis_has_the_area_of_the_document(self, rows):
        node, found = self.digit(rows, self.NODE), []
        known = ~np.isnan(node)
        x, y = self.clinical(rows, (self.TUMOUR, self.GRADE))[known], node[known] > 0
        assert (len(y), round(100 * y.mean())) == (422, 69)
        for seed in range(3):
            for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y):
                model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression())
                score = model.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
                found.append(delong(score, y[test]).auc)
        assert (np.mean(found), np.std(found)) == pytest.approx((0.643, 0.042), abs=WITHIN)


@pytest.fixture(scope="module")
def r_sets(tmp_path_factory):
    """Folder of the sets that R's survival package brings and no Python package does."""
    if shutil.which("Rscript") is None:
        pytest.skip("R's sets: Rscript (r-base-core, r-cran-survival) is missing")
    folder = tmp_path_factory.mktemp("r_sets")
    done = subprocess.run(["Rscript", str(EXPORT), str(folder)], capture_output=True, text=True, check=False)
    if "there is no package called" in done.stderr:
        pytest.skip("R's sets: its package survival (r-cran-survival) is missing")
    assert done.returncode == 0, done.stderr
    return folder


def r_set(folder, name):
    return pd.read_csv(folder / f"r_{name}.csv")


class TestSetsOfR:
    @pytest.mark.parametrize(
        ("name", "unused", "time", "status", "patients", "deaths", "apparent", "mean", "sd"),
        [
            ("colon", ["id", "study", "etype"], "time", 1, 929, 452, 0.674, 0.665, 0.024),
            ("pbc", ["id"], "time", 2, 312, 125, 0.857, 0.836, 0.035),
            ("lung", ["inst"], "time", 2, 228, 165, 0.650, 0.631, 0.038),
            ("rotterdam", ["pid", "rtime", "recur"], "dtime", 1, 2982, 1272, 0.695, 0.692, 0.008),
        ],
    )
    def test_the_c_of_a_cox_model_is_that_of_the_document(
        self, r_sets, name, unused, time, status, patients, deaths, apparent, mean, sd
    ):
        frame = r_set(r_sets, name)
        if name == "colon":
            frame = frame[frame["etype"] == 2]
        if name == "pbc":
            frame = frame.iloc[:312]
        column = "death" if name == "rotterdam" else "status"
        event, when = (frame[column] == status).to_numpy(), frame[time].to_numpy(float)
        x = columns(frame.drop(columns=[*unused, time, column]))
        assert (len(when), event.sum()) == (patients, deaths)
        assert apparent_c(x, when, event) == pytest.approx(apparent, abs=WITHIN)
        assert cross_validated_c(x, when, event) == pytest.approx((mean, sd), abs=WITHIN)

    @pytest.mark.parametrize("name", ["lung", "colon", "pbc", "rotterdam", "gbsg"])
    def test_cox_and_kaplan_meier_equal_coxph_and_survfit(self, r_sets, r_public, name):
        frame, expected = r_set(r_sets, name), r_public["sets"][name]
        if name == "colon":
            frame = frame[frame["etype"] == 2]
            frame = frame.assign(lev=frame["rx"] == "Lev", lev5fu=frame["rx"] == "Lev+5FU")
        if name == "pbc":
            frame = frame.iloc[:312].assign(logbili=np.log(frame["bili"].iloc[:312]))
        time = {"rotterdam": "dtime", "gbsg": "rfstime"}.get(name, "time")
        status = "death" if name == "rotterdam" else "status"
        names = expected["names"]
        frame = frame.dropna(subset=[time, *names])
        when, dead = frame[time].to_numpy(float), (frame[status] == (2 if name in ("lung", "pbc") else 1)).to_numpy()
        x = frame[names].to_numpy(float)
        assert (len(when), dead.sum()) == (expected["rows"], expected["events"])
        check_curve(when, dead, expected["curve"])
        check_cox(when, dead, x, [[k] for k in range(len(names))], expected)
        assert harrell_c(when, dead, x @ np.asarray(expected["coefficients"])) == pytest.approx(expected["c"], abs=1e-6)

    @pytest.mark.parametrize(("scale", "expected"), [(lambda x: x, 0.6536), (np.log1p, 0.6738)], ids=["raw", "log"])
    def test_rotterdam_predicts_gbsg_as_the_document_says(self, r_sets, scale, expected):
        train, test = r_set(r_sets, "rotterdam"), r_set(r_sets, "gbsg")
        train = train[train["nodes"] > 0]
        event = (train["recur"] == 1) | (train["death"] == 1)
        time = np.where(train["recur"] == 1, train["rtime"], train["dtime"])
        assert (len(train), event.sum()) == (1546, 1080)
        sizes = pd.cut(test["size"], [0, 20, 50, 1000], labels=["<=20", "20-50", ">50"])
        parts = []
        for frame, size in ((train, train["size"]), (test, sizes.astype(str))):
            numbers = scale(frame[["nodes", "pgr", "er"]].to_numpy(float))
            classes = np.column_stack([size == "20-50", size == ">50"])
            parts.append(np.column_stack([numbers, frame[["age", "meno", "hormon"]].to_numpy(float), classes]))
        risk = cox(1e-4).fit(parts[0], Surv.from_arrays(event, time)).predict(parts[1])
        assert harrell_c(test["rfstime"], test["status"] == 1, risk) == pytest.approx(expected, abs=WITHIN)
