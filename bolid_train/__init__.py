"""Trains and runs identity adapters on a frozen SDXL; of a dataset it reads the shards and their index."""

import os

# Read when torch is loaded. By default OpenMP's threads spin while they wait: on a machine with other work the small
# base then trains ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
