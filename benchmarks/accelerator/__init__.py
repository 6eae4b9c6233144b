"""What training and generating cost on this machine's accelerator, in one command of a few minutes:
`python -m benchmarks.accelerator`."""

import time

STARTED_AT = time.monotonic()
"""When the process started, about: importing torch takes seconds, which count."""
