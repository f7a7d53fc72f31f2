"""Network architectures, one module per family; no other module here imports a deep-learning framework."""
