"""The hosts: what is different about each debugger, dump or machine, and nothing else."""
