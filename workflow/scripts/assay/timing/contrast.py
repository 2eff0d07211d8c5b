"""The contrasts between sizes near an anchor, which keep apart what single sizes confound.

A size may be slow because it is misaligned, because it lies just past the edge of a tile, or, if it
is the anchor, because it is a power of two. Each contrast is a weighted sum of logarithms of the
time per FLOP:

- *alignment*: sizes divisible by at most 4 against sizes divisible by at least 16, on the same
  side of the anchor, the mean over the sides that have both;
- *tile quantisation*: sizes just above the anchor against sizes just below it, all divisible by
  at least 16;
- *power of two*: the anchor itself against the sizes just below it that are divisible by at
  least 16 (not those above, which a tile's edge may slow down).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from assay import statistic
from assay.statistic import Interval

ALIGNMENT, TILE, POWER = "alignment", "tile quantisation", "power of two"
ALIGNED, MISALIGNED = 16, 4  # smallest and largest power of two that divides such a size
NEAR = 32  # "just above" and "just below": at most this far from the anchor

Weights = Mapping[int, float]  # of each size's logarithm


def power_of_two(n: int) -> int:
    """Largest power of two that divides n."""
    return n & -n


def weights(anchor: int, sizes: Sequence[int]) -> dict[str, Weights]:
    """The contrasts that an anchor and some sizes allow.

    Args:
        anchor: The size in the middle.
        sizes: The other sizes; those too far from the anchor take no part.
    """
    near = [n for n in sizes if 0 < abs(n - anchor) <= NEAR]
    sides = [[n for n in near if n < anchor], [n for n in near if n > anchor]]
    even = [[n for n in side if power_of_two(n) >= ALIGNED] for side in sides]
    odd = [[n for n in side if power_of_two(n) <= MISALIGNED] for side in sides]
    pairs = [(own, other) for own, other in zip(odd, even, strict=True) if own and other]
    found: dict[str, Weights] = {}
    if pairs:
        found[ALIGNMENT] = _against(pairs)
    below, above = even
    if above and below:
        found[TILE] = _against([(above, below)])
    if below:
        found[POWER] = _against([([anchor], below)])
    return found


def _against(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Weights:
    """The mean over pairs of the first group's mean less the second's."""
    share = 1 / len(pairs)
    return {
        n: sign * share / len(group)
        for pair in pairs
        for sign, group in zip((1, -1), pair, strict=True)
        for n in group
    }


def of_rounds(
    times: Mapping[int, ArrayLike], weights: Weights, confidence: float = 0.95
) -> Interval:
    """A contrast as a ratio: the median over rounds, each of which is its own comparison.

    Args:
        times: Of each size its times per FLOP, round by round.
        weights: Of the contrast.
        confidence: Of the interval.
    """
    logs = sum(weight * np.log(np.asarray(times[n], dtype=float)) for n, weight in weights.items())
    return statistic.exponential(statistic.median(np.asarray(logs), confidence))
