"""Run snakemake, told in a line per question with the minutes that are left, as `make` does.

    python workflow/live.py --cores all --resources gpu=1

Takes the arguments of snakemake. The plugin that tells lies beside this file, where Python looks.
"""

import sys

from snakemake.cli import main

if __name__ == "__main__":
    main([*sys.argv[1:], "--logger", "assay"])
