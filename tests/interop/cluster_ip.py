"""One address for several replicas, like a ClusterIP: kube-proxy chooses a replica for each new
connection, and does not move open ones.
"""

import contextlib
import socket
import threading


class ClusterIP:
    """Forwards each new connection to `replica`, which may change. Open connections stay."""

    def __init__(self, replica):
        self.replica = replica
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # Ends `accept`, which a close alone would not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=forward, args=(client, self.replica), daemon=True).start()


def forward(client, replica):
    host, port = replica.rsplit(":", 1)
    try:
        server = socket.create_connection((host, int(port)))
    except OSError:
        client.close()
        return
    with client, server:
        back = threading.Thread(target=copy, args=(server, client), daemon=True)
        back.start()
        copy(client, server)
        back.join()


def copy(source, target):
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    # The other direction stays open until its own end.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
