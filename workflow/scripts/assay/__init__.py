"""The library of torch-assay, in rooms on floors; imports point downward only.

- 3: :mod:`answer`, from records to what a person reads
- 2: :mod:`ladder`, a step from NumPy to a compiled framework · :mod:`published`, flawed methods
- 1: :mod:`timing`, how a figure is made · :mod:`probe`, what is in the machine ·
  :mod:`learning`, data, networks, training · :mod:`modules`, blocks, layers, checkpoints
- 0: the files beside this one, what every job knows: its record, device, machine and neighbours

A script imports from any floor; only answers and the page import from the third. A test holds it.
"""
