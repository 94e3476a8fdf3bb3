"""The synthetic gastric-cancer cohort: demonstration, tests, benchmarks. Never patients."""
