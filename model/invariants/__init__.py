"""What must be true of the records, as pure functions from records to violations: one module a noun."""
