"""The limit of what a client could do: keep-alive sockets to disk, without checks and without state.

`python -m benchmarks.sockets ADDRESS COUNT FOLDER`
"""

import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16


def main(address: str, count: int, folder: Path) -> None:
    parts = urlsplit(address)
    folder.mkdir(parents=True)
    numbers, lock = iter(range(count)), threading.Lock()

    def fetch() -> None:
        connection = socket.create_connection((parts.hostname, parts.port or 80))
        buffer = memoryview(bytearray(1 << 20))
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            connection.sendall(f"GET {parts.path}/{number}.jpg HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            received = connection.recv_into(buffer)
            head, _, body = bytes(buffer[:received]).partition(b"\r\n\r\n")
            remaining = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
            with (folder / f"{number}.jpg").open("wb", buffering=0) as out:
                out.write(body)
                while remaining:
                    received = connection.recv_into(buffer, min(remaining, len(buffer)))
                    out.write(buffer[:received])
                    remaining -= received

    threads = [threading.Thread(target=fetch) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
