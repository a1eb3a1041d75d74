"""Every key of a profile as data: what it names, its unit, and what happens when it is absent."""
