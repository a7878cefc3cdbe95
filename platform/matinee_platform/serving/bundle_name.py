"""Names that bundles may have: each is a folder below the data folder of a service."""

import re

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,79}")

RULE = (
    "the name of a bundle must be 1-80 lower-case letters, digits, '_', '.' and '-', a letter first"
)
