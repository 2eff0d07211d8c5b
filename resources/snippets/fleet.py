"""Five like nodes, one ill: by mean and standard deviation the ill one hides itself, by the median
and the median distance from it it does not.
"""

import statistics

seconds = {"n1": 1.00, "n2": 1.01, "n3": 0.99, "n4": 1.00, "n5": 1.25}
mean, spread = statistics.mean(seconds.values()), statistics.stdev(seconds.values())
far = {node: abs(s - mean) / spread for node, s in seconds.items()}
print("wrong:", *(f"{node} {far[node]:.1f}" for node in seconds))  # five can never pass 1.8

middle = statistics.median(seconds.values())
distance = statistics.median(abs(s - middle) for s in seconds.values())
far = {node: abs(s - middle) / (1.48 * distance) for node, s in seconds.items()}
print("right:", *(f"{node} {far[node]:.1f}" for node in seconds))
