"""Parts of the command `replay`: what is left of a ring, the shortest trace, the side of the processes."""
