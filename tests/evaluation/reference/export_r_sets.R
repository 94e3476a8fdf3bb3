# Exports the sets of R's survival package that scikit-survival lacks, for tests/evaluation/survival/test_public_sets.py.
#   Rscript export_r_sets.R FOLDER    writes r_*.csv; the tests do it where Rscript and the package (r-cran-survival) are there
library(survival)
folder <- commandArgs(TRUE)[1]
for (name in c("lung", "colon", "pbc", "rotterdam", "gbsg"))
  write.csv(get(name), file.path(folder, paste0("r_", name, ".csv")), row.names = FALSE)
