"""``gastromap evaluate`` on a table with follow-up: report, page, tables, figures, nomograms, refusals."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from gastromap.cli import main
from gastromap.nomogram import CombinedNomogram


@pytest.fixture(scope="module")
def tables(survival_file, tmp_path_factory):
    """Cohort A as training, B as test, and B with another score under the same names."""
    folder = tmp_path_factory.mktemp("tables")
    with survival_file.open() as stream:
        rows = list(csv.DictReader(stream))
    parts = {name: [row for row in rows if row["cohort"] == name] for name in "AB"}
    order = np.random.default_rng(0).permutation(len(parts["B"]))
    shuffled = [
        row | {name: parts["B"][k][name] for name in ("os_risk", "s12", "s24", "s36", "s48", "s60", "lnm_probability")}
        for row, k in zip(parts["B"], order, strict=True)
    ]
    for name, part in (("training", parts["A"]), ("test", parts["B"]), ("shuffled", shuffled)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(part)
    return folder


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    arguments = ["evaluate", "--predictions", f"{tables}/test.csv", "--training", f"{tables}/training.csv"]
    arguments += ["--risk", "pair=os_risk", "--risk", "<b>baseline</b>=baseline_risk"]
    arguments += ["--survival-at", "<b>baseline</b>=b", "--also", f"shuffled={tables}/shuffled.csv"]
    arguments += ["--covariate", "age,sex,ypT:levels", "--covariate", "location"]
    arguments += ["--os-nomogram", "preoperative=os_risk,age,ypT,location,cea"]
    arguments += ["--endpoint", "LNM=lnm,lnm_probability,youden"]
    arguments += ["--endpoint-nomogram", "with clinic=LNM:lnm_probability,ypT,location"]
    arguments += ["--subgroup", "sex", "--resamples", "40", "--out", str(out)]
    assert main(arguments) == 0
    return out


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "evaluation.json").read_text())


class TestReport:
    def test_pair_baseline_shuffled_and_nomogram_stand_side_by_side(self, report):
        cohort = report["survival"]["cohorts"][0]
        names = [model["name"] for model in cohort["models"]]
        assert names == ["pair", "<b>baseline</b>", "shuffled", "preoperative"]
        c = {model["name"]: model["metrics"]["harrell_c"]["value"] for model in cohort["models"]}
        assert c["shuffled"] < 0.58 < c["pair"] < c["preoperative"]
        assert [pair["names"][1] for pair in cohort["comparison"]] == names[1:]

    def test_the_c_index_and_the_groups_are_those_of_r(self, report, r_survival):
        model = report["survival"]["cohorts"][0]["models"][0]
        assert model["metrics"]["harrell_c"]["value"] == pytest.approx(r_survival["concordance"]["harrell"], abs=1e-6)
        assert model["metrics"]["auc"]["36"]["value"] == pytest.approx(r_survival["auc"][2], abs=1e-6)
        groups = model["groups"]
        assert groups["log_rank"]["chi_squared"] == pytest.approx(r_survival["groups"]["log_rank"], abs=1e-6)
        assert np.log(groups["hazard_ratio"]["value"]) == pytest.approx(r_survival["groups"]["cox"]["coefficients"])
        assert groups["curves"][1]["at_risk"][:6] == r_survival["group_curves"][1]["at_risk"]

    def test_a_model_without_a_cut_off_of_training_has_no_groups_and_the_page_says_so(self, report):
        shuffled = report["survival"]["cohorts"][0]["models"][2]
        assert shuffled["groups"] is None
        assert "No risk groups for shuffled: no cut-off of training is known." in report["notes"]

    def test_what_was_fitted_on_training_is_stored(self, report, cohorts):
        training = report["survival"]["training"]
        assert training["patients"] == 240
        assert training["medians"]["pair"] == np.median(cohorts.training.models[0].risk)
        assert [predictor["name"] for predictor in training["predictors"]] == ["age", "sex", "ypT", "location"]

    def test_the_cox_table_holds_the_score_and_all_covariates(self, report):
        part = report["survival"]["cohorts"][0]["cox"]["multivariable"]
        labels = [f"{row['variable']} {row['level']}" for row in part["rows"]]
        assert labels[:5] == ["pair per SD of training", "age per unit", "sex M v F", "ypT 2 v 1", "ypT 3 v 1"]
        assert part["patients"] == 160

    def test_scores_of_one_label_are_compared_by_delong_and_in_subgroups(self, report):
        names = [endpoint["name"] for endpoint in report["endpoints"]]
        assert names == ["LNM", "LNM, shuffled", "LNM, with clinic"]
        assert len(report["endpoint_comparison"]) == 3
        assert {part["level"] for part in report["endpoint_subgroups"][0]["levels"]} == {"F", "M"}

    def test_the_cut_off_of_an_endpoint_is_youdens_of_training(self, report, cohorts):
        score = np.array([float(row["lnm_probability"]) for row in cohorts.training_rows])
        positive = np.array([row["lnm"] == "1" for row in cohorts.training_rows])
        youden = [np.mean(score[positive] >= cut) - np.mean(score[~positive] >= cut) for cut in np.unique(score)]
        best = np.unique(score)[int(np.argmax(youden))]
        assert report["endpoints"][0]["called_positive"] == f"lnm_probability of {best:g} or more"


class TestFolder:
    def test_page_tables_figures_and_nomograms_are_written(self, folder):
        tables = {path.stem for path in (folder / "tables").iterdir()}
        assert {f"survival_{name}" for name in ("metrics", "groups", "curves", "tests", "calibration", "cox",
                "decision_curve", "comparison", "subgroups")} <= tables  # fmt: skip
        figures = {path.stem for path in (folder / "figures").iterdir()}
        assert {"survival_all_auc", "survival_all_forest", "survival_all_pair_kaplan_meier", "nomogram_preoperative",
                "survival_all_pair_calibration_36", "survival_all_pair_decision_curve_60"} <= figures  # fmt: skip
        with (folder / "tables" / "survival_metrics.csv").open() as stream:
            rows = {(row["model"], row["metric"], row["month"]) for row in csv.DictReader(stream)}
        assert ("preoperative", "brier", "36") in rows

    def test_the_stored_nomogram_gives_the_risk_of_the_report(self, folder, cohorts, report):
        model = CombinedNomogram.load(folder / "nomograms" / "preoperative.json")
        risk = model.linear_predictor({p.name: [row[p.name] for row in cohorts.rows] for p in model.predictors})
        groups = report["survival"]["cohorts"][0]["models"][3]["groups"]
        assert groups["curves"][1]["patients"] == np.sum(risk > model.threshold)

    def test_every_figure_is_in_the_page_names_are_escaped_and_links_have_sections(self, folder):
        page = (folder / "report.html").read_text()
        assert page.count("data:image/svg+xml;base64,") == len(list((folder / "figures").glob("*.svg")))
        assert "<b>baseline" not in page
        assert "&lt;b&gt;baseline&lt;/b&gt;" in page
        for target in re.findall(r'href="#([^"]+)"', page):
            assert f'id="{target}"' in page


class TestOptions:
    def test_a_table_with_the_usual_columns_needs_no_option(self, tables, tmp_path, capsys):
        arguments = ["evaluate", "--predictions", f"{tables}/test.csv", "--resamples", "20", "--cohort", "sex"]
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
        report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        assert report["stages"] is None
        assert [cohort["name"] for cohort in report["survival"]["cohorts"]] == ["F", "M"]
        assert "C model, F" in capsys.readouterr().out

    def test_expected_time_gives_the_c_of_the_risk(self, tables, tmp_path, report):
        arguments = ["evaluate", "--predictions", f"{tables}/test.csv", "--expected-time", "dls", "--resamples", "20"]
        arguments += ["--also", f"again={tables}/test.csv", "--risk-cutoff", "0.117", "--risk-cutoff", "again=0.3"]
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
        found, again = json.loads((tmp_path / "out" / "evaluation.json").read_text())["survival"]["cohorts"][0][
            "models"
        ]
        expected = report["survival"]["cohorts"][0]["models"][0]
        assert found["metrics"]["harrell_c"]["value"] == expected["metrics"]["harrell_c"]["value"]
        # Months of expected survival below the cut-off are high risk.
        assert (found["groups"]["threshold"], again["groups"]["threshold"]) == (-0.117, -0.3)

    @pytest.mark.parametrize(
        "given",
        [
            ["--os", "os_months"],
            ["--os", "months,death"],
            ["--risk", "a=os_risk", "--expected-time", "a=dls"],
            ["--risk", "absent"],
            ["--risk-cutoff", "high"],
            ["--survival-at", "other=s"],
            ["--risk-cutoff", "other=1"],
            ["--survival-at", "q"],
            ["--covariate", "absent"],
            ["--os-nomogram", "n=os_risk,age"],
            ["--endpoint", "LNM=lnm,lnm_probability,youden"],
            ["--endpoint-nomogram", "n=LNM:ypT", "--training", "TABLE"],
            ["--also", "x"],
            ["--also", "model=TABLE"],
            ["--reader", "A=sex"],
        ],
    )
    def test_wrong_arguments_end_with_one_line_and_leave_no_result(self, given, tables, tmp_path, capsys):
        given = [word.replace("TABLE", f"{tables}/test.csv") for word in given]
        arguments = ["evaluate", "--predictions", f"{tables}/test.csv", "--resamples", "5", *given]
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert line.startswith(("EVALUATE_ARGUMENTS", "PREDICTIONS_INVALID"))
        assert not (tmp_path / "out" / "evaluation.json").exists()

    def test_a_bundle_takes_no_option_of_a_table(self, tmp_path, capsys):
        assert main(["evaluate", "--data", "x", "--cohort", "c", "--out", str(tmp_path / "out")]) == 2
        assert "--cohort" in capsys.readouterr().err


@pytest.mark.parametrize("of", ["--predictions", "--training"])
def test_where_nobody_died_the_endpoints_are_evaluated_alone(tables, tmp_path, caplog, of):
    names = {"--predictions": "test", "--training": "training"}
    with (tables / f"{names[of]}.csv").open() as stream:
        rows = [row | {"death": "0"} for row in csv.DictReader(stream)]
    with (tmp_path / "alive.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    files = {option: str(tables / f"{name}.csv") for option, name in names.items()} | {of: str(tmp_path / "alive.csv")}
    arguments = [word for pair in files.items() for word in pair]
    arguments += ["--endpoint", "LNM=lnm,lnm_probability,youden", "--resamples", "20", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 0
    report = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert report["survival"] is None
    assert report["endpoints"][0]["name"] == "LNM"
    assert "survival is not evaluated" in caplog.text
