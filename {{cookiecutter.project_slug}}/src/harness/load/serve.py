"""Runs an ASGI app on a socket that it is given: `python -m harness.load.serve module:app FD`.

It ends when its standard input closes: when the process that started it ends, even by kill -9.
"""

import os
import socket
import sys
import threading
import time

import uvicorn


def _end_with_owner(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = server.force_exit = True
    time.sleep(2.0)
    os._exit(0)  # the app does not let go


if __name__ == "__main__":
    app, descriptor = sys.argv[1:3]
    # Always the same loop and parser, because they change what is measured.
    config = uvicorn.Config(
        app, loop="asyncio", http="httptools", log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with_owner, args=(server,), daemon=True).start()
    server.run(sockets=[socket.socket(fileno=int(descriptor))])
