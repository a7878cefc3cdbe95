"""How sure one may be of a difference between arms: pure numerics on sums by unit, no I/O.

Every method but the bootstrap reads `Moments` (moments.py): how many units, their means, their
centred second moments. A ratio and a covariate-adjusted mean are moments of one column again
(ratio.py, cuped.py), so that each test and each interval is written once (welch.py,
confidence_sequence.py, non_inferiority.py) and answers with an `Effect` (effect.py).
"""
