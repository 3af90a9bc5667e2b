"""A server whose service times are known: `load_server.py SECONDS STALL_NUMBER STALL_SECONDS`.

To /number?n=… it answers one request at a time, each taking SECONDS, but number STALL_NUMBER
taking STALL_SECONDS. Prints its port, then what it was asked and when it was done. Other paths
misbehave on purpose.
"""

import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

SECONDS, STALL_NUMBER, STALL_SECONDS = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ONE_AT_A_TIME = threading.Lock()


def say(line: str) -> None:
    """In one piece: `print` would mix the words of two threads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        number = self.path.rpartition("=")[2]
        if self.path.startswith("/number"):
            with ONE_AT_A_TIME:
                time.sleep(STALL_SECONDS if int(number) == STALL_NUMBER else SECONDS)
                self.reply(200, b"answer " + number.encode())
                say(f"done {number} {time.time()}")
        elif self.path.startswith("/status"):
            self.reply(int(number), b"as you wish")
        elif self.path.startswith("/bytes"):
            self.reply(200, b"x" * int(number))
        elif self.path.startswith("/slow"):
            time.sleep(float(number))
            self.reply(200, b"at last")
        elif self.path.startswith("/drop"):
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self.path.startswith("/garbage"):
            self.wfile.write(b"this is no HTTP\r\n\r\n")
        elif self.path.startswith("/echo"):
            self.reply(200, str(self.headers).encode())
        elif self.path.startswith("/say="):
            self.reply(200, unquote_to_bytes(self.path.removeprefix("/say=")))
        elif self.path.startswith("/chunked"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        elif self.path.startswith("/until-close"):
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nall there is")
        elif self.path.startswith("/close"):
            self.close_connection = True
            self.reply(200, b"bye", ("Connection", "close"))

    do_POST = do_PUT = do_HEAD = do_GET

    def reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        say(f"asked {self.command} {self.path} {sent.decode()}")
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave on purpose in these tests."""


server = Server(("127.0.0.1", 0), Handler)
if sys.argv[4:]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*sys.argv[4:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
