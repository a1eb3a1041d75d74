"""The parts of `pagewalk`: one address, the whole space, and what is asked of either."""
