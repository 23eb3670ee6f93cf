"""The CA and the certificates of a mesh, created with openssl."""

import collections
import pathlib
import subprocess

from checks import require

Certificate = collections.namedtuple("Certificate", "cert key")


class Authority:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        # The system's configuration would add extensions.
        self.config = self.folder / "openssl.cnf"
        self.config.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        self.ca, self.key = self.make("ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")

    def issue(self, file, name, usage):
        """Issues a certificate with a name such as URI:spiffe://... or DNS:localhost."""
        signed = ["-CA", self.ca, "-CAkey", self.key]
        return self.make(file, f"subjectAltName={name}", f"extendedKeyUsage={usage}", signed=signed)

    def make(self, file, *extensions, signed=()):
        made = Certificate(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        words = ["openssl", "req", "-x509", "-config", self.config, "-subj", f"/CN={file}", "-days", "2", *signed]
        words += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        words += ["-out", made.cert, "-keyout", made.key]
        for extension in extensions:
            words += ["-addext", extension]
        ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        require(ended.returncode == 0, f"openssl cannot create {file}: {ended.stderr}")
        return made
