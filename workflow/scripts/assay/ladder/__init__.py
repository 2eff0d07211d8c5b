"""One training step in several implementations, from NumPy by hand to a compiled framework.

And in several number formats. For the scripts that measure implementations and precisions.
"""
