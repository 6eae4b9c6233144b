import signal
import subprocess
import sys

from tests.support.ended import gone

OWNER = """
import os, time
from bolid_data.process_pool import drawing_pool
if __name__ == "__main__":
    with drawing_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60).result()
"""


def test_processes_end_with_a_program_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    assert gone(pid)
