"""What is counted of a rung beside its time: operations, FLOP, memory, lines of code."""

from __future__ import annotations

import ast
import gc
import inspect
import io
import textwrap
import tokenize
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from assay.ladder.pieces import start, step
from assay.ladder.rungs import Framework, Rung
from assay.ladder.shapes import BUILDERS, Shape
from assay.learning.training import Examples
from assay.timing import allocation

BLANK = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
BLANK |= {tokenize.ENCODING, tokenize.ENDMARKER}


class Operations(TorchDispatchMode):
    """Counts the operations that torch is given; views, which compute nothing, are left out."""

    count: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count an operation, and do it."""
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(name: str, kind: type[Rung], network: nn.Module, batch: Examples) -> int | None:
    """Operations of a step after the first; None where torch does not see them."""
    if name in ("numpy", "compiled"):
        return None
    operands = start(kind, network, batch)
    step(operands)
    counter = Operations()  # type: ignore[no-untyped-call]
    with counter:
        step(operands)
    return counter.count + (name == "graph")  # the launch of the graph


def flops(shape: Shape, network: nn.Module, batch: Examples) -> int:
    """FLOP of the products of a step, counted from the shapes that torch is given.

    Counted from scratch, where every convolution and recurrent cell is a product.
    """
    operands = start(shape.kinds["scratch"], network, batch)
    with FlopCounterMode(display=False) as counter:
        step(operands)
    return int(counter.get_total_flops())


def peak_bytes(name: str, kind: type[Rung], network: nn.Module, batch: Examples) -> int | None:
    """Most bytes that were allocated at once from the first weight to the end of the second step.

    Weights, gradients, buffers and what the backward pass keeps; not the batch. None where nobody
    counts.
    """

    def two_steps() -> None:
        operands = start(kind, network, batch)
        for _ in range(2):
            step(operands)

    gc.collect()
    if name == "numpy":
        return _traced(two_steps)
    return allocation.peak_bytes(two_steps, batch.labels.device)


def _traced(run: Callable[[], None]) -> int:
    """By Python's tracemalloc, to which NumPy tells what it allocates."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def lines(kind: type[Rung], family: str) -> int:
    """Lines of code of a rung: its classes, their helpers, and what builds its network.

    Counted from the source as it stands here, without comments, docstrings and blank lines.
    """
    code: list[Callable[..., Any]] = [*kind.helpers]
    code += [own for own in kind.__mro__ if issubclass(own, Rung) and own is not Rung]
    code += BUILDERS[family] if issubclass(kind, Framework) else ()
    return sum(code_lines(inspect.getsource(each)) for each in code)


def code_lines(source: str) -> int:
    """Lines of Python that hold code."""
    source = textwrap.dedent(source)
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in BLANK
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            text = node.body[0]
            code -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(code)
