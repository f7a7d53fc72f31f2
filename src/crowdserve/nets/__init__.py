"""Network architectures, one module per family; only they import a deep-learning framework in this package."""
