# Exports the sets of R's survival package that scikit-survival lacks, for tests/evaluation/survival/test_public_sets.py.
#   Rscript export_r_sets.R DATA_FOLDER    writes r_*.csv into DATA_FOLDER/survival; tests look there (GASTROMAP_DATA)
library(survival)
folder <- file.path(commandArgs(TRUE)[1], "survival")
for (name in c("lung", "colon", "pbc", "rotterdam", "gbsg"))
  write.csv(get(name), file.path(folder, paste0("r_", name, ".csv")), row.names = FALSE)
