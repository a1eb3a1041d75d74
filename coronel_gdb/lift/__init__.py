"""From a target's memory to the model's records, and to what could not be read on the way."""
