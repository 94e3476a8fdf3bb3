"""A long-running mode: the application behind a small REST endpoint, models loaded once."""
