"""Rules as pure functions: facts in, verdicts out. No database, no network."""
