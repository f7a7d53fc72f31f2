"""Training: one script a network, three steps for the scene classifier. Each module docstring shows its command."""
