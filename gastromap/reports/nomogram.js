// Nomogram of the report: other values of the predictors, with the formula of gastromap/nomogram/model.py.
(() => {
  "use strict";

  const source = document.getElementById("nomogram-data");
  if (!source) {
    return;
  }
  const data = JSON.parse(source.textContent);
  const panel = document.getElementById("nomogram-panel");
  const chart = document.getElementById("nomogram-chart");
  const score = document.getElementById("nomogram-rad_score");
  const stages = ["T1", "T2", "T3", "T4"];
  let exact = true;

  // As Python prints it: a tie goes to the even digit.
  const whole = (value) => {
    const below = Math.floor(value);
    return String(value - below === 0.5 ? below + (below % 2) : Math.round(value));
  };
  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");
  // 0 % and 100 % only where they are exact.
  const percent = (share) => {
    if (share > 0 && share < 0.0005) {
      return "<0.1 %";
    }
    return share > 0.9995 && share < 1 ? ">99.9 %" : `${(share * 100).toFixed(1)} %`;
  };
  const sigmoid = (value) => {
    const small = Math.exp(-Math.abs(value));
    return value >= 0 ? 1 / (1 + small) : small / (1 + small);
  };

  // From the nearer tail: the difference of two numbers close to 1 would lose the digits of a small probability.
  const probabilities = (eta) => {
    const below = data.thresholds.map((threshold) => sigmoid(threshold - eta));
    const above = data.thresholds.map((threshold) => sigmoid(eta - threshold));
    const middle = [0, 1].map((k) => (eta > 0 ? below[k + 1] - below[k] : above[k] - above[k + 1]));
    return [below[0], ...middle, above[2]];
  };

  const effectOf = (predictor) => {
    if (predictor.name === "rad_score") {
      return predictor.beta * (exact ? predictor.value : Number(score.value));
    }
    const chosen = panel.querySelector(`input[name="nomogram-${predictor.name}"]:checked`);
    return predictor.effects[Number(chosen.value)];
  };

  const moved = (name, part, points) => {
    const axis = chart.querySelector(`[data-axis="${name}"]`);
    const x = data.left + part * (data.right - data.left);
    axis.querySelector(".dot").setAttribute("cx", x.toFixed(2));
    const label = axis.querySelector(".points");
    if (label) {
      label.textContent = points;
    }
    return x;
  };

  const update = () => {
    let eta = 0;
    let total = 0;
    for (const predictor of data.predictors) {
      const effect = effectOf(predictor);
      const lowest = Math.min(...predictor.effects);
      const inside = Math.min(Math.max(effect, lowest), Math.max(...predictor.effects));
      const points = (inside - lowest) * data.pointsPerLogOdds;
      eta += effect;
      total += points;
      moved(predictor.name, points / 100, whole(points));
    }
    const part = total / data.maximum;
    const x = moved("total", part, whole(total));
    for (const stage of stages.slice(1)) {
      moved(stage, part, "");
    }
    for (const end of ["x1", "x2"]) {
      chart.querySelector(".reading").setAttribute(end, x.toFixed(2));
    }
    const shares = probabilities(eta);
    const likeliest = shares.indexOf(Math.max(...shares));
    shares.forEach((share, k) => {
      const row = panel.querySelector(`[data-stage="${stages[k]}"]`);
      row.querySelector(".fill").style.width = `${(share * 100).toFixed(1)}%`;
      row.querySelector(".value").textContent = percent(share);
      row.classList.toggle("likeliest", k === likeliest);
    });
    document.getElementById("nomogram-total").textContent = whole(total);
    const shown = exact ? data.predictors[0].value : Number(score.value);
    document.getElementById("nomogram-rad_score-value").textContent = `${signed(shown, 2)} SD`;
    const same = data.predictors.every((predictor) => effectOf(predictor) === predictor.patient);
    document.documentElement.classList.toggle("nomogram-changed", !same);
    document.getElementById("nomogram-patient").hidden = !same;
    document.getElementById("nomogram-other").hidden = same;
    document.getElementById("nomogram-reset").disabled = same;
  };

  score.addEventListener("input", () => {
    exact = false;
    update();
  });
  panel.addEventListener("change", update);
  document.getElementById("nomogram-reset").addEventListener("click", () => {
    exact = true;
    score.value = data.predictors[0].value;
    for (const predictor of data.predictors.slice(1)) {
      panel.querySelector(`input[name="nomogram-${predictor.name}"][value="${predictor.chosen}"]`).checked = true;
    }
    update();
    score.focus();
  });
  document.documentElement.classList.add("nomogram-ready");
  update();
})();
