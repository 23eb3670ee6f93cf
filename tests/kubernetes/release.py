"""A release of the chart, installed with Helm 4."""

import json
import tempfile

from cluster import COMMAND_TIMEOUT, ROOT, TIMEOUT, eventually, run
from load import Load

CHART = ROOT / "helm/face-liveness-facade"


def image_values(image):
    """Returns the chart's values for an image, and the part of its name that is the registry."""
    name, _, digest = image.partition("@")
    path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    registry, _, repository = path.rpartition("/")
    return registry, {"repository": repository, "tag": tag, "digest": digest}


def base_values(image):
    """Returns the values that a test needs: the simulator as AWS, and small requests."""
    return {
        "image": image_values(image)[1],
        "env": [{"name": "AWS_ENDPOINT_URL_REKOGNITION", "value": "http://simulator:4580"}],
        "envFrom": [{"secretRef": {"name": "aws"}}],
        "networkPolicy": {"extraEgress": [{"ports": [{"port": 4580, "protocol": "TCP"}]}]},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }


class Release:
    def __init__(self, cluster, helm, name, image, values):
        self.cluster, self.helm_binary, self.name = cluster, helm, name
        # Of a release with TLS.
        self.authority = None
        base = base_values(image)
        base["image"]["registry"] = image_values(image)[0]
        self.values = base | {"fullnameOverride": name, "aws": {"region": "us-east-1"}} | values
        host = f"{name}.{cluster.namespace}"
        self.address = f"dns:///{host}.svc.cluster.local:50051" if "service" in values else f"{host}:50051"

    def helm(self, *words):
        return run(self.helm_binary, "--namespace", self.cluster.namespace, *words, timeout=TIMEOUT + COMMAND_TIMEOUT)

    def install(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(self.values, file)
            file.flush()
            self.helm("install", self.name, str(CHART), "--values", file.name, "--wait", f"--timeout={TIMEOUT}s")

    def set_values(self, values):
        self.helm("upgrade", self.name, str(CHART), "--reuse-values", "--set", values)

    def pods(self):
        return self.cluster.pods(f"app.kubernetes.io/instance={self.name}", "app.kubernetes.io/component=server")

    def settled(self, pods):
        """Waits until the rollout is complete and no pod shuts down. Returns the pods, which are that many."""
        self.cluster.rolled_out(self.name)
        eventually(f"{self.name} has {pods} pods", lambda: len(self.pods()) == pods)
        return self.pods()

    def load(self):
        return Load(self.cluster, self.address, self.authority.ca if self.authority else "")
