"""A Rekognition without sessions, over TLS on loopback, until it is killed.

tls_server.py CERT KEY; prints its address.
"""

import http.server
import ssl
import sys


class SessionNotFound(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"__type":"SessionNotFoundException"}'
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Ignores clients that reject the certificate and hang up."""


server = Server(("127.0.0.1", 0), SessionNotFound)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
