"""What happens to a release while it is under load. Each event ends when no pod shuts down any longer."""

import json
import re

from cluster import Failed, eventually

# The replicas of each release.
REPLICAS = 2


def require(truth, sentence):
    if not truth:
        raise Failed(sentence)


def restart(release):
    before = release.settled(REPLICAS)
    release.cluster.kubectl("rollout", "restart", f"deployment/{release.name}")
    after = release.settled(REPLICAS)
    require(not before & after, f"pods are not replaced: {before & after}")


def upgrade_and_roll_back(release):
    before = release.settled(REPLICAS)
    release.set_values("podAnnotations.e2e=upgraded")
    replaced = lambda: len(release.pods()) > REPLICAS or release.pods() != before  # noqa: E731
    eventually("the upgrade creates a pod", replaced)
    release.helm("rollback", release.name)
    release.settled(REPLICAS)
    template = release.cluster.kubectl("get", f"deployment/{release.name}", "--output", "jsonpath={.spec.template.metadata}")
    require("upgraded" not in template, f"the pods are not rolled back: {template}")


def evict_all(release):
    """Evicts a pod as soon as the PodDisruptionBudget allows it, as a drain of nodes does."""
    before = release.settled(REPLICAS)
    for pod in sorted(before):
        eventually(f"{pod} is evicted", lambda pod=pod: evict(release.cluster, pod))
    after = release.settled(REPLICAS)
    require(not before & after, f"pods are not evicted: {before & after}")


def evict_all_twice(release):
    """gRPC libraries look up addresses at most every 30 s: the ones of the first time are gone after the second."""
    evict_all(release)
    evict_all(release)


def evict(cluster, pod):
    metadata = {"name": pod, "namespace": cluster.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/eviction"
    try:
        cluster.kubectl("create", "--raw", path, "--filename", "-", input=json.dumps(eviction))
    except Failed as error:
        require("disruption budget" in str(error), str(error))
        return False
    return True


def scale_up_and_down(release):
    release.settled(REPLICAS)
    for replicas in (2 * REPLICAS, REPLICAS):
        release.cluster.kubectl("scale", f"deployment/{release.name}", f"--replicas={replicas}")
        release.settled(replicas)


def scale_with_helm(release):
    """Changes `replicaCount`, which restarts no pod."""
    before = release.settled(REPLICAS)
    release.set_values("replicaCount=3")
    started = release.settled(REPLICAS + 1)
    require(before <= started, f"pods are restarted: {before - started}")
    release.set_values(f"replicaCount={REPLICAS}")
    remaining = release.settled(REPLICAS)
    require(remaining <= started, f"pods are restarted: {remaining - started}")


def enable_the_autoscaler(release):
    """Enables the autoscaler, which keeps the pods, and disables it."""
    before = release.settled(REPLICAS)
    release.set_values(f"autoscaling.enabled=true,autoscaling.minReplicas={REPLICAS},autoscaling.maxReplicas={REPLICAS}")
    replicas = release.cluster.kubectl("get", f"deployment/{release.name}", "--output", "jsonpath={.spec.replicas}")
    require(replicas == str(REPLICAS), f"the number of pods becomes {replicas}")
    release.cluster.wait("condition=AbleToScale", f"horizontalpodautoscaler/{release.name}")
    release.set_values("autoscaling.enabled=false")
    after = release.settled(REPLICAS)
    require(before == after, f"pods are replaced: {before - after}")


def restart_and_share(release):
    """Restarts the pods. The new ones return what the old ones have read."""
    restart(release)
    for pod in release.pods():
        text = metrics_of(release, pod)
        upstream, shared = (results(text, source) for source in ("upstream", "shared_cache"))
        require(shared and not upstream, f"{pod} reads {shared} results from the shared cache, and {upstream} from AWS")


def results(metrics, source):
    pattern = rf'^face_liveness_results_total\{{source="{source}",status="succeeded"\}} (\d+)$'
    return int(re.search(pattern, metrics, re.M)[1])


def restart_the_cache(release):
    release.cluster.kubectl("rollout", "restart", "deployment/shared-cache")
    release.cluster.rolled_out("shared-cache")


def rotate_the_certificate(release):
    """Replaces the Secret, and waits until each pod serves the new certificate. The kubelet takes a minute."""
    before = expiries(release)
    release.authority.issue()
    eventually("each pod has the new certificate", lambda: not before & expiries(release))


def expiries(release):
    pattern = r"^face_liveness_tls_certificate_expiry_timestamp_seconds (\S+)$"
    return {re.search(pattern, metrics_of(release, pod), re.M)[1] for pod in release.pods()}


def metrics_of(release, pod):
    path = f"/api/v1/namespaces/{release.cluster.namespace}/pods/{pod}:9090/proxy/metrics"
    return release.cluster.kubectl("get", "--raw", path)
