"""Reports about allocators of other schemes than Coronel's, one module a scheme."""
