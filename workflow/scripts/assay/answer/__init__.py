"""From records to what a person reads: verdicts, arms, tables, figures, sentences.

For answers and the page only: it needs pandas and SciPy, which no measuring job waits for.
"""
