from benchmarks.table import Sample, render, stage_samples


def test_the_table_shows_the_median_and_range_of_each_stage():
    samples = stage_samples([{"load": 3.0}, {"load": 1.0}, {"load": 1.5}])
    assert samples["load"].to_json() == {"runs": 3, "median_s": 1.5, "min_s": 1.0, "max_s": 3.0}
    text = render("Warm", ["stage", "ours"], [["load", str(samples["load"])], ["infer", str(Sample((0.25,)))]])
    assert text.splitlines() == [
        "Warm",
        "  stage              ours",
        "  -----------------------",
        "  load   1.50 (1.00-3.00)",
        "  infer  0.25 (0.25-0.25)",
    ]
