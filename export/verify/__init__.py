"""Check that an exported file is the framework's network.

images ──► parity ──► names, axes, dtypes, shapes, values, counts; one error for each
"""
