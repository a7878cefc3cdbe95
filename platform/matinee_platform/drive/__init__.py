"""Simulated users at a live service: the world of an offline run, over HTTP.

`matinee drive` is its command line. The service decides; the simulator alone is here, so what comes
back is the service's own. An offline run of the same settings decides the same, bit for bit.
"""
