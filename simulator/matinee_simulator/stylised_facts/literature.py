"""Figures of real services and data sets that a simulator of users should reproduce.

They are data of the literature: read, or computed from public collections, and copied here. ML is
MovieLens latest-small, MT MovieTweetings, Globo the news portal's session logs.
"""

import numpy as np

from matinee_policies.arrays import FloatArray

POPULARITY_GINI = {"ML": 0.716, "MT": 0.795, "Globo": 0.949}
ZIPF_SLOPE = {"ML": 0.45, "MT": 0.91, "Globo": 0.80, "Goodbooks": 0.70}
HILL_EXPONENT = {"ML": 1.99, "MT": 2.01}
ACTIVITY_GINI = {"ML": 0.60, "MT": 0.67}
ACTIVITY_QUANTILES_MT = {0.25: 1.0, 0.5: 2.0, 0.75: 5.0, 0.9: 15.0}
SINGLE_RATING_SHARE = {"ML": 0.35, "MT": 0.47}
RATING_MEAN_ML, RATING_SD_ML = 3.50, 1.04
RATING_SHARES_ML = {3.0: 0.199, 4.0: 0.266, 5.0: 0.131}
POPULARITY_QUALITY = {"ML": 0.27, "MT": 0.09}
USER_MEAN_SD, ITEM_MEAN_SD = 0.48, 0.44

STOP_CLICKS: FloatArray = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0])
STOP_HAZARD: FloatArray = np.array([0.60, 0.53, 0.48, 0.43, 0.39, 0.36, 0.33, 0.29])

ONE_SESSION_SHARE = {"Globo, 16 days": 0.42, "MT": 0.50}
RETENTION_RANGES = {1: (0.25, 0.45), 7: (0.10, 0.25), 28: (0.05, 0.14)}
RETENTION_STREAMING = {1: 0.44, 7: 0.24, 30: 0.11}

SBG_SURVIVAL_REGULAR: FloatArray = np.array([1.0, 0.631, 0.468, 0.382, 0.326])
SBG_SURVIVAL_HIGH_END: FloatArray = np.array([1.0, 0.869, 0.743, 0.653])

RETURN_CLICKS: FloatArray = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
RETURN_WITHIN_3_DAYS: FloatArray = np.array([0.35, 0.43, 0.49, 0.53, 0.55, 0.59, 0.63])

PERSISTENCE_RANGE = (0.65, 0.90)
HOLTZ = {"clicks": 0.289, "individual diversity": -0.115, "aggregate diversity": 0.060}
RETURN_TIME_EFFECT = -0.026
JESTER_FIRST_SHARE = 0.26
JESTER_NEXT_SHARES = (0.01, 0.05)
