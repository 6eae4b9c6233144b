"""Runs a command and prints its time and peak memory: `python -m benchmarks.launch COMMAND …`.

In a small process of its own, because the peak memory of a child includes that of the process that forked it.
"""

import json
import os
import subprocess
import sys
import time


def main(command: list[str]) -> int:
    quiet = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak": usage.ru_maxrss / 1024}))
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
