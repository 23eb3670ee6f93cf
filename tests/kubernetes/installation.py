"""Installs and tests the chart with the commands of its README, and with each version of Helm."""

import json
import os
import pathlib
import re
import tempfile

from cluster import COMMAND_TIMEOUT, ROOT, TIMEOUT, Failed, eventually, run
from load import PENDING, SUCCEEDED
from release import CHART, base_values, image_values

RELEASE = "face-liveness-facade"
# In the README, in place of the reader's registry.
REGISTRY = "registry.example.com/team"


def documented_commands(image, values):
    """Returns the commands of the README, with the registry of the image, and with the values of the test."""
    commands = re.search(r"```sh\n(helm install .*?)```", (CHART / "README.md").read_text(), re.DOTALL)[1]
    for old, new in ((REGISTRY, image_values(image)[0]), ("helm install", f"helm install --values {values}")):
        if commands.count(old) != 1:
            raise Failed(f"the README of the chart does not have one {old}")
        commands = commands.replace(old, new)
    return commands


def install_and_test(cluster, helm, image):
    """Runs the commands, and calls the service. Then uninstalls it, and checks that nothing remains."""
    with tempfile.TemporaryDirectory() as folder:
        values = pathlib.Path(folder) / "values.json"
        values.write_text(json.dumps(base_values(image)))
        (pathlib.Path(folder) / "helm").symlink_to(helm)
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "HELM_NAMESPACE": cluster.namespace}
        commands = documented_commands(image, values)
        try:
            run("bash", "-e", "-c", commands, cwd=ROOT, env=environment, timeout=TIMEOUT + COMMAND_TIMEOUT)
            call(cluster)
        finally:
            run(helm, "--namespace", cluster.namespace, "uninstall", RELEASE, "--wait", timeout=TIMEOUT)
    kinds = "deployments,services,pods,serviceaccounts,networkpolicies,poddisruptionbudgets"
    labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=server"
    words = ["get", kinds, "--selector", labels, "--output", "name"]
    eventually("all objects of the release are deleted", lambda: not cluster.kubectl(*words).strip())


def call(cluster):
    """Calls the service through its ClusterIP with grpcurl."""
    verdicts = {SUCCEEDED: "VERDICT_LIVE", PENDING: "VERDICT_PENDING"}
    for session, verdict in verdicts.items():
        response = cluster.call(f"{RELEASE}.{cluster.namespace}:50051", session)
        if response["verdict"] != verdict:
            raise Failed(f"the verdict of {session} is {response['verdict']}, and should be {verdict}")
