"""Readers of memory dumps, one format a module. No file is trusted: a claim is checked before it is used."""
