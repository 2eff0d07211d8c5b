"""How modules behave: blocks, custom layers, ties, operations, formats, checkpoints, processes.

What is looked at, and what is done to it; the measuring scripts of the questions about modules do
the looking.
"""
