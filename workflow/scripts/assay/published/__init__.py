"""The methods behind published answers, with their flaws, and the figures of the right ones.

For the script that repeats them beside the right ones; nothing else may learn from here.
"""
