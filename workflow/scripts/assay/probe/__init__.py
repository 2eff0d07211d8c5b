"""What is in the machine: rows about processor, caches, memory, buses and GPUs, or why not.

The probe's script looks at the machine; answers and the page use ``items`` and ``working_sets``
alone, which read records.
"""
