"""The library of torch-assay: small modules, each named after the one thing it knows.

Imports point downward only. From the floor up:

- 0: :mod:`record`, :mod:`device`
- 1: :mod:`clock`, :mod:`contention`, :mod:`statistic`, :mod:`machine`, :mod:`kernel`
- 2: :mod:`trial`, :mod:`job`, :mod:`figure`
- 3: :mod:`question`
"""
