"""Which symbols, types, fields and magic values of a kernel play which role."""
