"""What holds for every test."""

import os

# As commands set it: read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
