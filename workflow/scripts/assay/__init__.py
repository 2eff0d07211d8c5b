"""The library of torch-assay: small modules, each named after the one thing it knows.

Imports point downward only. From the floor up:

- 0: :mod:`record`, :mod:`device`, :mod:`configuration`
- 1: :mod:`clock`, :mod:`contention`, :mod:`statistic`, :mod:`kernel`, :mod:`machine`,
  :mod:`hardware`, :mod:`cache`, :mod:`dimm`, :mod:`network`, :mod:`dataset`
- 2: :mod:`trial`, :mod:`job`, :mod:`training`, :mod:`probe`, :mod:`accelerator`, :mod:`figure`
- 3: :mod:`question`
"""
