"""How reports look: the only place that knows columns."""
