# What the reference values need and Debian's R does not package: written from the formulas, with plain loops.

rates <- function(tp, fp, fn, tn) {
  list(sensitivity = tp / (tp + fn), specificity = tn / (tn + fp), ppv = tp / (tp + fp), npv = tn / (tn + fn))
}

# Vickers and Elkin 2006, doi 10.1177/0272989X06295361
net_benefit <- function(p, y, thresholds) {
  sapply(thresholds, function(t) (sum(p >= t & y == 1) - sum(p >= t & y == 0) * t / (1 - t)) / length(y))
}

# As hoslem.test of ResourceSelection: groups between quantiles (type 7), chi-squared with g - 2 degrees of freedom.
hosmer_lemeshow <- function(p, y, g = 10) {
  breaks <- unique(quantile(p, probs = seq(0, 1, 1 / g)))
  group <- cut(p, breaks = breaks, include.lowest = TRUE)
  observed <- rbind(tapply(1 - y, group, sum), tapply(y, group, sum))
  expected <- rbind(tapply(1 - p, group, sum), tapply(p, group, sum))
  chi <- sum((observed - expected)^2 / expected)
  k <- ncol(observed)
  list(chi_squared = chi, groups = k, p_value = 1 - pchisq(chi, k - 2), p_value_new_data = 1 - pchisq(chi, k))
}

auc_by_pairs <- function(score, y) {
  pairs <- outer(score[y == 1], score[y == 0], function(a, b) (a > b) + (a == b) / 2)
  mean(pairs)
}

# Obuchowski 1997 (Biometrics 53:567): variance of the AUC when a patient has several rows.
clustered_covariance <- function(scores, y, cluster) {
  parts <- lapply(scores, function(s) {
    pairs <- outer(s[y == 1], s[y == 0], function(a, b) (a > b) + (a == b) / 2)
    a <- mean(pairs)
    ids <- unique(cluster)
    x <- sapply(ids, function(i) sum(rowMeans(pairs)[cluster[y == 1] == i] - a))
    z <- sapply(ids, function(i) sum(colMeans(pairs)[cluster[y == 0] == i] - a))
    list(a = a, x = x, z = z)
  })
  m <- sum(y == 1); n <- sum(y == 0)
  i <- length(unique(cluster)); i10 <- length(unique(cluster[y == 1])); i01 <- length(unique(cluster[y == 0]))
  k <- length(scores)
  covariance <- matrix(0, k, k)
  for (r in seq_len(k)) for (s in seq_len(k)) {
    p <- parts[[r]]; q <- parts[[s]]
    covariance[r, s] <- i10 / ((i10 - 1) * m^2) * sum(p$x * q$x) + i01 / ((i01 - 1) * n^2) * sum(p$z * q$z) +
      i / ((i - 1) * m * n) * (sum(p$x * q$z) + sum(q$x * p$z))
  }
  list(auc = sapply(parts, function(p) p$a), covariance = covariance)
}

kappa_weighted <- function(tab, power) {
  d <- abs(outer(seq_len(nrow(tab)), seq_len(ncol(tab)), "-"))^power
  1 - sum(d * tab) * sum(tab) / sum(d * outer(rowSums(tab), colSums(tab)))
}

# Probability that of two cases of different stage the higher has the higher score; a tie counts one half.
ordinal_c <- function(score, stage) {
  higher <- outer(stage, stage, ">")
  sum((outer(score, score, ">") + outer(score, score, "==") / 2)[higher]) / sum(higher)
}

calibration_error <- function(p, stage, bins = 15) {
  top <- apply(p, 1, max)
  right <- as.numeric(max.col(p, ties.method = "first") == stage)
  bin <- pmin(pmax(ceiling(top * bins), 1), bins)
  sum(abs(tapply(top - right, bin, sum))) / length(top)
}

stage_statistics <- function(stage, called, p) {
  tab <- table(factor(stage, 1:4), factor(called, 1:4))
  k <- 1:4
  by_stage <- lapply(k, function(s) rates(
    sum(stage == s & called == s), sum(stage != s & called == s),
    sum(stage == s & called != s), sum(stage != s & called != s)))
  auc <- sapply(k, function(s) auc_by_pairs(p[, s], as.numeric(stage == s)))
  expected <- as.vector(p %*% (0:3))
  list(
    confusion = unclass(matrix(tab, 4)), accuracy = sum(diag(tab)) / sum(tab),
    sensitivity = sapply(by_stage, `[[`, "sensitivity"), specificity = sapply(by_stage, `[[`, "specificity"),
    ppv = sapply(by_stage, `[[`, "ppv"), npv = sapply(by_stage, `[[`, "npv"),
    auc = auc, auc_macro = mean(auc),
    kappa_linear = kappa_weighted(tab, 1), kappa_quadratic = kappa_weighted(tab, 2),
    ordinal_mae = mean(abs(stage - called)), ordinal_c_index = ordinal_c(expected, stage),
    brier = mean(rowSums((p - diag(4)[stage, ])^2)), ece = calibration_error(p, stage))
}

# Percentile intervals; patients drawn with replacement, all rows of a patient together.
patient_bootstrap <- function(statistic, patient, resamples, seed) {
  set.seed(seed)
  rows <- split(seq_along(patient), patient)
  drawn <- replicate(resamples, statistic(unlist(rows[sample(length(rows), replace = TRUE)], use.names = FALSE)))
  t(apply(drawn, 1, quantile, probs = c(0.025, 0.975)))
}
