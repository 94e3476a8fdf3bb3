# Reference values of tests/evaluation/survival, made with R.
#   Rscript survival.R                 writes survival.json from survival.csv beside this file
#   Rscript survival.R DATA_FOLDER     writes survival_public.json too: GITSG and TCGA-STAD of DATA_FOLDER/survival, and
#                                      the sets of R's survival package
# Debian 12: r-cran-survival r-cran-rms r-cran-riskregression r-cran-jsonlite
suppressMessages({library(survival); library(rms); library(riskRegression); library(jsonlite)})
here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
source(file.path(here, "survival_functions.R"))
versions <- list(R = R.version.string)
for (name in c("survival", "rms", "riskRegression")) versions[[name]] <- as.character(packageVersion(name))
horizons <- c(12, 24, 36, 48, 60)
save_json <- function(x, name) write_json(x, file.path(here, name), digits = 14, auto_unbox = TRUE, pretty = 1, na = "null")

everyone <- read.csv(file.path(here, "survival.csv"), na.strings = "", stringsAsFactors = FALSE)
a <- everyone[everyone$cohort == "A", ]; b <- everyone[everyone$cohort == "B", ]
s <- as.matrix(b[, paste0("s", horizons)])
grid <- 1:60
s_grid <- t(apply(s, 1, function(row) between(horizons, row, grid)))
high <- as.numeric(b$os_risk > median(a$os_risk))

score <- Score(list(pair = 1 - s), formula = Surv(os_months, death) ~ 1, data = b, times = horizons, cens.model = "km",
  se.fit = FALSE, metrics = c("auc", "brier"))
# AUC of the risk itself, not of 1 - S, whose rounding ties: the same number at each time
by_risk <- Score(list(pair = matrix(b$os_risk, nrow(b), 5)), formula = Surv(os_months, death) ~ 1, data = b, times = horizons,
  cens.model = "km", se.fit = FALSE, metrics = "auc")
score_grid <- Score(list(pair = 1 - s_grid), formula = Surv(os_months, death) ~ 1, data = b, times = grid, cens.model = "km",
  se.fit = FALSE, metrics = "brier")$Brier$score
trapezoid <- function(y) sum((head(y, -1) + tail(y, -1)) / 2) / (length(y) - 1)

calibration <- function(month) {
  p <- s[, match(month, horizons)]
  g <- cut(p, unique(quantile(p, seq(0, 1, 1 / 8))), include.lowest = TRUE)
  observed <- lapply(levels(g), function(k) km_at(b$os_months[g == k], b$death[g == k], month))
  time <- pmin(b$os_months, month); death <- b$death * (b$os_months <= month)
  x <- log(-log(p)); knots <- quantile(x, c(0.1, 0.5, 0.9))
  line <- coxph(Surv(time, death) ~ x, control = tight)
  z <- rcspline.eval(x, knots = knots, inclx = TRUE)
  bend <- coxph(Surv(time, death) ~ z, control = tight)
  smooth <- summary(survfit(bend, newdata = list(z = z), ctype = 1, stype = 2), times = max(time[death == 1]))$surv
  error <- abs(as.vector(smooth) - p)
  km <- summary(survfit(Surv(os_months, death) ~ 1, b), times = month)$surv
  list(predicted = as.vector(tapply(p, g, mean)), observed = sapply(observed, `[[`, 1), low = sapply(observed, `[[`, 2),
    high = sapply(observed, `[[`, 3), count = as.vector(table(g)), observed_to_expected = (1 - km) / mean(1 - p),
    slope = unname(c(coef(line), confint(line))), mean_error = mean(error), error_90 = unname(quantile(error, 0.9)), largest_error = max(error))
}

fill <- function(x, from) { x[is.na(x)] <- if (is.numeric(from)) median(from, na.rm = TRUE) else names(which.max(table(from))); x }
encoded <- function(rows) data.frame(os_risk = rows$os_risk, age = rows$age, ypT = rows$ypT,
  location = factor(fill(rows$location, a$location), levels = c("lower", "middle", "upper")), cea = fill(rows$cea, a$cea))
nomogram <- coxph(Surv(a$os_months, a$death) ~ ., data = encoded(a), control = tight)
applied <- summary(survfit(nomogram, newdata = encoded(b)[1:5, ], ctype = 1, stype = 2), times = horizons)$surv
logit <- function(p) log(p / (1 - p))
node <- glm(lnm ~ logit(lnm_probability) + ypT + location, binomial, cbind(encoded(a)[, c("ypT", "location")], a[, c("lnm", "lnm_probability")]),
  control = glm.control(epsilon = 1e-14))
covariates <- data.frame(risk = b$os_risk, age = b$age, male = as.numeric(b$sex == "M"), ypT = b$ypT)

set.seed(3)
drawn <- replicate(2000, {k <- sample(nrow(b), replace = TRUE); unlist(concordances(b$os_months[k], b$death[k], b$os_risk[k], 36)[c("harrell", "uno_at")])})
last <- pmin(b$os_months, 60)
at_time <- sapply(seq_len(nrow(b)), function(i) between(horizons, s[i, ], last[i]))

save_json(list(
  versions = versions, concordance = concordances(b$os_months, b$death, b$os_risk, horizons),
  baseline = concordances(b$os_months, b$death, b$baseline_risk, horizons),
  intervals = apply(drawn, 1, quantile, c(0.025, 0.975)),
  auc = by_risk$AUC$score$AUC, brier = score$Brier$score[model == "pair", Brier],
  integrated_brier = trapezoid(score_grid[model == "pair", Brier]), integrated_null = trapezoid(score_grid[model == "Null model", Brier]),
  curve = curve_of(b$os_months, b$death, seq(0, 60, 12)), groups = tests_of(b$os_months, b$death, high),
  group_curves = lapply(0:1, function(k) curve_of(b$os_months[high == k], b$death[high == k], seq(0, 60, 12))),
  cox = cox_of(b$os_months, b$death, covariates), calibration_36 = calibration(36), calibration_60 = calibration(60),
  d_calibration = d_calibration(at_time, b$death * (b$os_months <= 60)),
  net_benefit = survival_net_benefit(b$os_months, b$death, 1 - s[, 3], 36, seq(0, 0.8, 0.1)),
  treat_all = survival_net_benefit(b$os_months, b$death, rep(1, nrow(b)), 36, seq(0, 0.8, 0.1)),
  nomogram = list(coefficients = unname(coef(nomogram)), se = unname(sqrt(diag(vcov(nomogram)))), survival = t(applied),
    lp = unname(as.vector(model.matrix(nomogram, encoded(b)[1:5, ]) %*% coef(nomogram)))),
  node_nomogram = list(coefficients = unname(coef(node)), se = unname(summary(node)$coefficients[, 2]))), "survival.json")

# ---- public data: GITSG and TCGA-STAD of a folder, and the sets of R's survival package ----
folder <- commandArgs(TRUE)
if (length(folder) == 1) {
  gitsg <- read.csv(file.path(folder, "survival", "gastric_gitsg_survMisc.csv"))
  tcga <- read.delim(file.path(folder, "survival", "tcga_stad_pancan2018_cbioportal.tsv"), quote = "", check.names = FALSE)
  time <- tcga[["Overall Survival (Months)"]]; death <- as.numeric(substr(tcga[["Overall Survival Status"]], 1, 1))
  node <- tcga[["Neoplasm Disease Lymph Node Stage American Joint Committee on Cancer Code"]]
  use <- !is.na(time) & !is.na(death) & time > 0
  staged <- use & node %in% c("N0", "N1", "N2", "N3", "N3A", "N3B")
  of_sets <- function(d, time, death, x) {
    keep <- complete.cases(x) & !is.na(time); x <- x[keep, , drop = FALSE]; time <- time[keep]; death <- death[keep]
    found <- cox_of(time, death, x); fit <- coxph(Surv(time, death) ~ ., cbind(time = time, death = death, x), control = tight)
    lp <- predict(fit, type = "lp")
    c(list(rows = length(time), events = sum(death), c = unname(concordance(Surv(time, death) ~ lp, reverse = TRUE)$concordance),
      curve = curve_of(time, death, unname(quantile(time, c(0.25, 0.5))))), found)
  }
  co <- colon[colon$etype == 2, ]; pb <- pbc[1:312, ]
  sets <- list(
    lung = of_sets(lung, lung$time, as.numeric(lung$status == 2), lung[, c("age", "sex", "ph.ecog")]),
    colon = of_sets(co, co$time, co$status, data.frame(lev = as.numeric(co$rx == "Lev"), lev5fu = as.numeric(co$rx == "Lev+5FU"), age = co$age, nodes = co$nodes)),
    pbc = of_sets(pb, pb$time, as.numeric(pb$status == 2), data.frame(age = pb$age, edema = pb$edema, logbili = log(pb$bili), albumin = pb$albumin)),
    rotterdam = of_sets(rotterdam, rotterdam$dtime, rotterdam$death, rotterdam[, c("age", "nodes", "pgr", "hormon")]),
    gbsg = of_sets(gbsg, gbsg$rfstime, gbsg$status, gbsg[, c("age", "nodes", "pgr", "hormon")]))
  save_json(list(versions = versions, sets = sets,
    gitsg = c(tests_of(gitsg$time, gitsg$event, gitsg$group), list(curves = lapply(0:1, function(k)
      curve_of(gitsg$time[gitsg$group == k], gitsg$event[gitsg$group == k], c(0, 365, 730))))),
    tcga = list(rows = nrow(tcga), known = sum(!is.na(time) & !is.na(death)), deaths = sum(death[!is.na(time)], na.rm = TRUE),
      zero = sum(time == 0, na.rm = TRUE), used = sum(use), used_deaths = sum(death[use]), curve = curve_of(time[use], death[use], c(0, 12, 24, 36, 60)),
      nodes = tests_of(time[staged], death[staged], as.numeric(node[staged] != "N0")), node_counts = as.vector(table(node[staged] != "N0")))), "survival_public.json")
}
