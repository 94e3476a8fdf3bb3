# Reference values of tests/evaluation, tests/test_rad_score.py and tests/nomogram, made with R.
#   Rscript reference.R                 writes synthetic.json from the tables beside this file
#   Rscript reference.R RELEASE_FOLDER  writes released.json too, from the released training outputs
# Debian 12: r-base-core r-cran-proc r-cran-rms r-cran-mass r-cran-glmnet r-cran-vcd r-cran-psych r-cran-jsonlite
suppressMessages({library(pROC); library(rms); library(MASS); library(glmnet); library(jsonlite)})
arguments <- commandArgs(FALSE)
here <- dirname(sub("^--file=", "", grep("^--file=", arguments, value = TRUE)))
source(file.path(here, "functions.R"))
thresholds <- seq(0, 0.8, 0.1)

# Probability of T3 or T4; 0.1 + 0.4 and 0.2 + 0.3 must tie.
of_advanced <- function(p) signif(rowSums(p[, 3:4]) / rowSums(p), 12)

versions <- list(R = R.version.string)
for (name in c("pROC", "rms", "MASS", "glmnet", "vcd", "psych")) versions[[name]] <- as.character(packageVersion(name))

delong <- function(score, y) {
  r <- roc(y, score, levels = c(0, 1), direction = "<", quiet = TRUE)
  interval <- as.numeric(ci.auc(r, method = "delong"))
  list(auc = interval[2], low = interval[1], high = interval[3], variance = var(r, method = "delong"))
}

compare <- function(a, b, y) {
  first <- roc(y, a, levels = c(0, 1), direction = "<", quiet = TRUE)
  second <- roc(y, b, levels = c(0, 1), direction = "<", quiet = TRUE)
  test <- roc.test(first, second, method = "delong", paired = TRUE)
  list(z = unname(test$statistic), p_value = test$p.value, low = test$conf.int[1], high = test$conf.int[2])
}

endpoint <- function(score, y, called) {
  tp <- sum(y & called); fp <- sum(!y & called); fn <- sum(y & !called); tn <- sum(!y & !called)
  n <- length(y)
  v <- suppressWarnings(val.prob(score, y, pl = FALSE))
  names(v) <- gsub("[^A-Za-z0-9]", "_", names(v))
  exact <- function(x, k) as.numeric(binom.test(x, k)$conf.int)
  smooth <- lowess(score, y, iter = 0)
  knots <- round(seq(1, length(smooth$x), length.out = 12))
  list(
    counts = c(tp, fp, fn, tn), rates = rates(tp, fp, fn, tn),
    exact = list(sensitivity = exact(tp, tp + fn), specificity = exact(tn, tn + fp),
                 ppv = exact(tp, tp + fp), npv = exact(tn, tn + fn)),
    over_treatment = fp / n, under_treatment = fn / n, number_needed_to_treat = 1 / (tp / n - fp / n),
    delong = delong(score, y), hosmer_lemeshow = hosmer_lemeshow(score, y), val_prob = as.list(v),
    intercept_in_the_large = unname(coef(glm(y ~ offset(qlogis(score)), family = binomial,
                                              subset = score > 0 & score < 1))),
    smooth = list(predicted = smooth$x[knots], observed = smooth$y[knots]),
    net_benefit = net_benefit(score, y, thresholds), treat_all = net_benefit(rep(1, n), y, thresholds))
}

resampled <- function(stage, called, p, patient, resamples) {
  names <- c("accuracy", "auc_macro", "kappa_linear", "kappa_quadratic", "ordinal_mae", "ordinal_c_index", "brier")
  intervals <- patient_bootstrap(function(rows) {
    unlist(stage_statistics(stage[rows], called[rows], p[rows, ])[names])
  }, patient, resamples, 1)
  list(resamples = resamples, low = as.list(intervals[, 1]), high = as.list(intervals[, 2]))
}

ordinal_fits <- function(frame) {
  frame$stage <- factor(frame$stage, ordered = TRUE)
  frame$large <- as.numeric(frame$tumour_size_cm >= 5)
  frame$differentiation <- factor(frame$differentiation, c("well", "moderate", "poor"))
  frame$lauren <- factor(frame$lauren, c("intestinal", "diffuse", "mixed"))
  formula <- stage ~ rad_score + large + differentiation + lauren
  l <- lrm(formula, data = frame, tol = 1e-14, eps = 1e-10)
  m <- polr(formula, data = frame, Hess = TRUE, control = list(reltol = 1e-14, maxit = 1000))
  k <- 3
  list(
    lrm = list(coefficients = unname(coef(l)[-(1:k)]), thresholds = -unname(coef(l)[1:k]),
               standard_errors = unname(sqrt(diag(vcov(l)))[-(1:k)]), c_index = unname(l$stats["C"])),
    polr = list(coefficients = unname(coef(m)), thresholds = unname(m$zeta),
                standard_errors = unname(sqrt(diag(vcov(m)))[seq_along(coef(m))])))
}

# Standardised once with the SD of n, as the Rad-score does; glmnet must not do it again. The penalties are those of
# scikit-learn's default path. Then the largest coefficients only, again with the chosen penalty.
lasso <- function(x, stage, fold, most) {
  sd_n <- function(v) sqrt(mean((v - mean(v))^2))
  z <- scale(x, colMeans(x), apply(x, 2, sd_n))
  largest <- max(abs(crossprod(z, stage - mean(stage)))) / nrow(z)
  lambda <- exp(seq(log(largest), log(largest / 1000), length.out = 100))
  cv <- cv.glmnet(z, stage, lambda = lambda, foldid = fold, standardize = FALSE, thresh = 1e-14, maxit = 1e7)
  at <- which.min(cv$cvm)
  beta <- as.matrix(coef(cv$glmnet.fit))[, at]
  top <- sort(order(-abs(beta[-1]))[seq_len(most)])
  again <- glmnet(z[, top], stage, lambda = lambda[1:at], standardize = FALSE, thresh = 1e-16, maxit = 1e7)
  refit <- as.matrix(coef(again))[, at]
  raw <- as.vector(z[, top] %*% refit[-1] + refit[1])
  list(chosen = at, lambda = lambda[at], mean_squared_error = cv$cvm[at], intercept = unname(beta[1]),
       coefficients = unname(beta[-1]), kept = top - 1, refit_intercept = unname(refit[1]),
       refit_coefficients = unname(refit[-1]), score_mean = mean(raw), score_sd = sd_n(raw))
}

# ---- the tables beside this file ----
stage_number <- function(name) match(name, c("T1", "T2", "T3", "T4"))
cases <- read.csv(file.path(here, "cases.csv"))
p <- as.matrix(cases[, paste0("prob_T", 1:4)]); q <- as.matrix(cases[, paste0("second_T", 1:4)])
stage <- stage_number(cases$stage); called <- max.col(p, ties.method = "first")
second <- max.col(q, ties.method = "first")
advanced <- as.numeric(stage >= 3)
readers <- sapply(cases[, c("reader_A", "reader_B", "reader_C")], stage_number)
assisted <- sapply(cases[, c("assisted_A", "assisted_B", "assisted_C")], stage_number)
pair <- table(factor(readers[, 1], 1:4), factor(readers[, 2], 1:4))
fleiss <- function(ratings) {
  counts <- t(apply(ratings, 1, function(r) tabulate(r, 4)))
  n <- ncol(ratings); share <- colSums(counts) / sum(counts)
  agreement <- mean((rowSums(counts^2) - n) / (n * (n - 1)))
  (agreement - sum(share^2)) / (1 - sum(share^2))
}
discordant <- c(sum(called == stage & second != stage), sum(called != stage & second == stage))
clustered <- clustered_covariance(list(of_advanced(p), of_advanced(q)), advanced, cases$PatientID)
nomogram <- read.csv(file.path(here, "nomogram.csv"))
features <- read.csv(file.path(here, "features.csv"))

synthetic <- list(
  versions = versions,
  stages = stage_statistics(stage, called, p),
  stage_delong = lapply(1:4, function(s) delong(p[, s], as.numeric(stage == s))),
  intervals = resampled(stage, called, p, cases$PatientID, 4000),
  somers_c = unname(rcorr.cens(as.vector(p %*% (0:3)), stage)["C Index"]),
  advanced = endpoint(of_advanced(p), advanced, called >= 3),
  node = endpoint(cases$node_score, cases$node, cases$node_score >= 0.4),
  comparison = list(
    advanced = compare(of_advanced(p), of_advanced(q), advanced),
    stages = lapply(1:4, function(s) compare(p[, s], q[, s], as.numeric(stage == s))),
    clustered_auc = clustered$auc, clustered_covariance = clustered$covariance,
    discordant = discordant, mcnemar_exact = binom.test(discordant[1], sum(discordant))$p.value,
    mcnemar_corrected = mcnemar.test(matrix(c(0, discordant[2], discordant[1], 0), 2))$p.value),
  agreement = list(
    unweighted = {k <- vcd::Kappa(pair); list(kappa = k$Unweighted[["value"]], se = k$Unweighted[["ASE"]])},
    linear = {k <- vcd::Kappa(pair, "Equal-Spacing"); list(kappa = k$Weighted[["value"]], se = k$Weighted[["ASE"]])},
    quadratic = {k <- vcd::Kappa(pair, "Fleiss-Cohen"); list(kappa = k$Weighted[["value"]], se = k$Weighted[["ASE"]])},
    psych_quadratic = psych::cohen.kappa(readers[, 1:2])$weighted.kappa,
    fleiss_alone = fleiss(readers), fleiss_assisted = fleiss(assisted)),
  readers = lapply(1:3, function(r) stage_statistics(stage, readers[, r], p)[c("accuracy", "kappa_quadratic")]),
  assisted = lapply(1:3, function(r) stage_statistics(stage, assisted[, r], p)[c("accuracy", "kappa_quadratic")]),
  nomogram = ordinal_fits(nomogram),
  lasso = lasso(as.matrix(features[, -(1:3)]), features$stage, features$fold, 5))
write_json(synthetic, file.path(here, "synthetic.json"), digits = 10, auto_unbox = TRUE, pretty = 1)

# ---- the released training outputs ----
folder <- commandArgs(TRUE)
if (length(folder) == 1) {
  released <- read.csv(file.path(folder, "train_predictions_resnet152.csv"))
  p <- as.matrix(released[, paste0("prob_", 0:3)])
  stage <- released$true_label + 1; called <- released$predicted_label + 1
  patient <- sub("\\.nii.*$", "", sub("^.*[\\\\/]", "", released$image_path))
  advanced <- as.numeric(stage >= 3)
  clinical <- read.csv(file.path(folder, "clinical_train.csv"))
  deep <- read.csv(file.path(folder, "deep_features_lasso290_train.csv"), check.names = FALSE)
  level <- function(prefix, names) names[max.col(as.matrix(clinical[, paste(prefix, names, sep = "_")]))]
  x <- as.matrix(deep[, grep("^DL-", names(deep))])
  slice_patient <- sub("\\.nii.*$", "", deep$image_name)
  fold <- match(slice_patient, unique(slice_patient)) %% 5 + 1
  first <- x[, "DL-515"]
  rows <- data.frame(
    rad_score = (first - mean(first)) / sqrt(mean((first - mean(first))^2)),
    tumour_size_cm = clinical$Tumor_size,
    differentiation = level("Differentiation_status", c("well", "moderate", "poor")),
    lauren = level("Lauren", c("intestinal", "diffuse", "mixed")), stage = deep$T_stage)
  clustered <- clustered_covariance(list(of_advanced(p)), advanced, patient)
  result <- list(
    versions = versions, rows = nrow(released), patients = length(unique(patient)),
    stages = stage_statistics(stage, called, p),
    stage_delong = lapply(1:4, function(s) delong(p[, s], as.numeric(stage == s))),
    intervals = resampled(stage, called, p, patient, 1500),
    advanced = endpoint(of_advanced(p), advanced, called >= 3),
    clustered_auc = clustered$auc, clustered_covariance = clustered$covariance,
    nomogram = ordinal_fits(rows),
    lasso = lasso(x, deep$T_stage, fold, 30))
  write_json(result, file.path(here, "released.json"), digits = 10, auto_unbox = TRUE, pretty = 1)
}
