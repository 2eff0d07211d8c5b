"""From records to what a person reads: verdicts, tables, figures, sentences."""
