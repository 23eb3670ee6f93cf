"""Certificates for the gRPC port, from a CA of our own, in a Secret."""

import pathlib
import tempfile

from cluster import run


class Authority:
    def __init__(self, cluster, secret, host):
        self.cluster, self.secret, self.host = cluster, secret, host
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)
        self.days = 30
        self.openssl("req", "-x509", *self.key("ca"), "-subj", "/CN=e2e", "-days", "30", "-out", "ca.crt")
        self.ca = (self.folder / "ca.crt").read_text()

    def openssl(self, *words):
        run("openssl", *words, cwd=self.folder)

    def key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]

    def issue(self):
        """Puts a new key and a new certificate, which expires a day later than the last, into the Secret."""
        self.days += 1
        (self.folder / "names").write_text(f"subjectAltName=DNS:{self.host}")
        self.openssl("req", *self.key("tls"), "-subj", f"/CN={self.secret}", "-out", "tls.csr")
        words = ["-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        self.openssl("x509", "-req", *words, "-days", str(self.days), "-out", "tls.crt")
        files = [f"--cert={self.folder / 'tls.crt'}", f"--key={self.folder / 'tls.key'}"]
        words = ["create", "secret", "tls", self.secret, *files, "--dry-run=client", "--output", "yaml"]
        self.cluster.kubectl("apply", "--filename", "-", input=self.cluster.kubectl(*words))
