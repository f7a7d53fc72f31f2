"""Is an exported file the framework's network?

images ──► parity ──► names, axes, dtypes, shapes, values, counts; one error each
"""
