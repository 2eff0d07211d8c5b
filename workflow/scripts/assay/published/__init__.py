"""The methods behind published answers, with their flaws.

For the script that repeats them beside the right ones; nothing else may learn from here.
"""
