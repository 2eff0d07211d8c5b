"""How a figure is made: clocks, paired trials, matrix products, contrasts and their proofs.

For measuring scripts. Nothing here knows a question, and nothing here gives a verdict.
"""
