"""One training step in several implementations, from NumPy by hand to a compiled framework.

For the script that measures implementations.
"""
