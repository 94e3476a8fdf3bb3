# Survival statistics that Debian's R does not package, written from the formulas with plain loops, and summaries of
# those that it does.

tight <- coxph.control(eps = 1e-12, toler.chol = 1e-14)

# Gehan 1965: log-rank with each death weighted by the number at risk; group is 0 or 1
gehan <- function(time, death, group) {
  u <- 0; v <- 0
  for (t in sort(unique(time[death == 1]))) {
    n <- sum(time >= t); n1 <- sum(time >= t & group == 1)
    d <- sum(time == t & death == 1); d1 <- sum(time == t & death == 1 & group == 1)
    u <- u + n * (d1 - d * n1 / n)
    if (n > 1) v <- v + n^2 * d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
  }
  u^2 / v
}

# Vickers 2008: net benefit for death by a month, Kaplan-Meier among the treated
survival_net_benefit <- function(time, death, risk, month, thresholds) {
  sapply(thresholds, function(t) {
    treated <- risk >= t
    if (!any(treated)) return(0)
    s <- summary(survfit(Surv(time[treated], death[treated]) ~ 1), times = month)$surv
    if (length(s) == 0) return(NA)
    mean(treated) * (1 - s - s * t / (1 - t))
  })
}

# Haider 2020: tenths of the predicted survival at the time of death; censored patients spread over what is left
d_calibration <- function(s, death, bins = 10) {
  count <- numeric(bins)
  for (i in seq_along(s)) {
    if (death[i] == 1) {
      k <- min(floor(s[i] * bins), bins - 1) + 1
      count[k] <- count[k] + 1
    } else for (k in seq_len(bins)) {
      low <- (k - 1) / bins
      count[k] <- count[k] + max(0, min(s[i], k / bins) - low) / s[i]
    }
  }
  expected <- length(s) / bins
  chi <- sum((count - expected)^2 / expected)
  list(share = count / length(s), chi_squared = chi, p_value = pchisq(chi, bins - 1, lower.tail = FALSE))
}

# Survival and limits at a month; NA beyond the follow-up of the living
km_at <- function(time, death, month) {
  if (max(time) < month) return(c(if (all(death[time == max(time)] == 1)) 0 else NA, NA, NA))
  found <- summary(survfit(Surv(time, death) ~ 1, conf.type = "log-log"), times = month)
  c(found$surv, found$lower, found$upper)
}

# S between the given months: constant hazard
between <- function(months, s, t) {
  knots <- c(0, months); h <- c(0, -log(s))
  exp(-approx(knots, h, t)$y)
}

curve_of <- function(time, death, at) {
  fit <- survfit(Surv(time, death) ~ 1, conf.type = "log-log")
  found <- summary(fit, times = at, extend = TRUE)
  m <- quantile(fit, 0.5)
  reverse <- survfit(Surv(time, 1 - death) ~ 1)
  list(months = at, surv = found$surv, low = found$lower, high = found$upper, at_risk = sapply(at, function(t) sum(time >= t)),
    median = unname(c(m$quantile, m$lower, m$upper)), follow_up = unname(quantile(reverse, 0.5)$quantile))
}

tests_of <- function(time, death, group) {
  list(log_rank = survdiff(Surv(time, death) ~ group)$chisq, gehan = gehan(time, death, group),
    cox = cox_of(time, death, data.frame(group = group)))
}

cox_of <- function(time, death, x) {
  fit <- coxph(Surv(time, death) ~ ., data = cbind(time = time, death = death, x), control = tight)
  s <- summary(fit)
  list(names = rownames(s$coefficients), coefficients = unname(coef(fit)), se = unname(s$coefficients[, 3]),
    p = unname(s$coefficients[, 5]), low = unname(s$conf.int[, 3]), high = unname(s$conf.int[, 4]),
    log_likelihood = fit$loglik, zph = unname(cox.zph(fit)$table[, "chisq"]), zph_p = unname(cox.zph(fit)$table[, "p"]))
}

concordances <- function(time, death, risk, months) {
  one <- function(...) unname(concordance(Surv(time, death) ~ risk, reverse = TRUE, ...)$concordance)
  list(harrell = one(), uno = one(timewt = "n/G2"),
    harrell_at = sapply(months, function(m) one(ymax = m)),
    uno_at = sapply(months, function(m) one(ymax = m, timewt = "n/G2")))
}
