"""From violations to findings: a stable code, what it means, who is suspected, what to do next."""
