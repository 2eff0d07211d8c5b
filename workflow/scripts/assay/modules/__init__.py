"""How modules behave: blocks, custom layers, checkpoints, and processes that are killed.

For the measuring scripts of the questions about modules.
"""
