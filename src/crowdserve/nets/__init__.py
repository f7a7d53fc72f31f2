"""Network architectures, one module a family; the only place of this package that imports a deep-learning framework."""
