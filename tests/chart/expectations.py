"""Checks fields of the manifests that are rendered from each file of values.

  expectations.py RENDERED
"""

import sys
from pathlib import Path

import yaml

POD = "Deployment/face-liveness-facade/spec/template/spec"
CONTAINER = f"{POD}/containers/0"

MOUNTS = "/etc/face-liveness-facade"

# The field must be absent, or must be present with any value.
ABSENT, PRESENT = object(), object()

EXPECTED = {
    "default": {
        "Deployment/face-liveness-facade/spec/replicas": 2,
        "Deployment/face-liveness-facade/spec/minReadySeconds": ABSENT,
        "ConfigMap/face-liveness-facade-quota/data/replicas": "2",
        f"{CONTAINER}/env/FACE_LIVENESS_RESULT_TTL": ABSENT,
        f"{CONTAINER}/env/FACE_LIVENESS_DRAIN_DELAY": ABSENT,
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_URL": ABSENT,
        f"{CONTAINER}/env/AWS_EC2_METADATA_DISABLED": "true",
        f"{CONTAINER}/resources/limits/memory": "1213Mi",
        f"{CONTAINER}/resources/requests/memory": "128Mi",
        f"{CONTAINER}/resources/limits/cpu": ABSENT,
        f"{CONTAINER}/readinessProbe/grpc": {"port": 9090, "service": "faceliveness.v1.FaceLivenessService"},
        f"{CONTAINER}/livenessProbe/grpc": {"port": 9090},
        f"{CONTAINER}/startupProbe/grpc": {"port": 9090},
        f"{CONTAINER}/securityContext/capabilities/drop": ["ALL"],
        f"{POD}/terminationGracePeriodSeconds": 30,
        f"{POD}/automountServiceAccountToken": False,
        f"{POD}/enableServiceLinks": False,
        f"{POD}/dnsConfig": ABSENT,
        "Service/face-liveness-facade/spec/trafficDistribution": ABSENT,
        f"{POD}/topologySpreadConstraints/0/topologyKey": "topology.kubernetes.io/zone",
        f"{POD}/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1component": "server",
        "ServiceAccount/face-liveness-facade/automountServiceAccountToken": False,
        "Service/face-liveness-facade/spec/ports/0/appProtocol": "kubernetes.io/h2c",
        "Service/face-liveness-facade/spec/clusterIP": ABSENT,
        "PodDisruptionBudget/face-liveness-facade": PRESENT,
        "NetworkPolicy/face-liveness-facade": PRESENT,
        "Pod/face-liveness-facade-test/metadata/annotations/helm.sh~1hook": "test",
        "Pod/face-liveness-facade-test/metadata/annotations/helm.sh~1hook-delete-policy": "before-hook-creation,hook-succeeded,hook-failed",
        "HorizontalPodAutoscaler/face-liveness-facade": ABSENT,
        "ServiceMonitor/face-liveness-facade": ABSENT,
        "PrometheusRule/face-liveness-facade": ABSENT,
        "ConfigMap/face-liveness-facade-dashboard": ABSENT,
        "Job/face-liveness-facade-test": ABSENT,
        "VirtualService/face-liveness-facade": ABSENT,
    },
    "production": {
        f"{CONTAINER}/image": "registry.example.com/team/face-liveness-facade@sha256:" + "0123456789abcdef" * 4,
        "ConfigMap/face-liveness-facade-quota/data/replicas": "3",
        f"{CONTAINER}/env/FACE_LIVENESS_RESULT_TTL": "30m",
        f"{CONTAINER}/env/OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.monitoring:4317",
        "ServiceAccount/face-liveness-facade/metadata/annotations/eks.amazonaws.com~1role-arn": PRESENT,
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/0/annotations/runbook_url": "https://runbooks.example.com/face-liveness#facelivenessdown",
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/0/labels/team": "identity",
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/34": PRESENT,
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/35": ABSENT,
    },
    "least": {f"{POD}/terminationGracePeriodSeconds": 7},
    "options": {
        f"{CONTAINER}/env/FACE_LIVENESS_QUOTA_REPLICAS": "6",
        "ConfigMap/face-liveness-facade-quota": ABSENT,
        f"{CONTAINER}/env/FACE_LIVENESS_RESULT_CACHE_ENTRIES": "2000000",
        f"{CONTAINER}/env/FACE_LIVENESS_MAX_REQUESTS": "1000000",
        f"{CONTAINER}/env/FACE_LIVENESS_MIN_CONFIDENCE": "99.5",
        f"{CONTAINER}/env/FACE_LIVENESS_CAPTURE": "false",
        f"{CONTAINER}/env/FACE_LIVENESS_ALLOWED_CLIENTS": "spiffe://cluster.local/ns/shop/*,checkout.example.com",
        f"{CONTAINER}/resources/limits/memory": "18074Mi",
        f"{POD}/terminationGracePeriodSeconds": 67,
    },
    "shared-cache": {
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_URL": "rediss://cache.example.com:6380/2",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_KEY_FILE": f"{MOUNTS}/shared-cache-key/shared-cache-key",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE": f"{MOUNTS}/shared-cache-auth/password",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_USERNAME_FILE": f"{MOUNTS}/shared-cache-auth/username",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_CA": f"{MOUNTS}/shared-cache-ca/ca-bundle.crt",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_TIMEOUT": "30ms",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_IMAGES": "true",
        "ConfigMap/face-liveness-facade-quota/data/replicas": "2",
        "NetworkPolicy/face-liveness-facade/spec/egress/3": {
            "ports": [{"port": 6380, "protocol": "TCP"}],
            "to": [{"ipBlock": {"cidr": "10.0.32.0/20"}}],
        },
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/14/alert": "FaceLivenessSharedCacheDown",
        "PrometheusRule/face-liveness-facade/spec/groups/0/rules/15/alert": "FaceLivenessSharedCacheUnreadable",
    },
    "shared-cache-small": {
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_KEY_FILE": f"{MOUNTS}/shared-cache-key/k",
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE": ABSENT,
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_CA": ABSENT,
        f"{CONTAINER}/env/FACE_LIVENESS_SHARED_CACHE_TIMEOUT": ABSENT,
        "ConfigMap/face-liveness-facade-quota/data/replicas": "5",
        f"{POD}/volumes/1": ABSENT,
        "NetworkPolicy/face-liveness-facade/spec/egress/3": {"ports": [{"port": 6379, "protocol": "TCP"}]},
    },
    "autoscaled": {
        "Deployment/face-liveness-facade/spec/replicas": ABSENT,
        "ConfigMap/face-liveness-facade-quota/data/replicas": "3",
        f"{CONTAINER}/resources/limits/memory": "2Gi",
        f"{CONTAINER}/resources/requests/memory": "512Mi",
        f"{POD}/terminationGracePeriodSeconds": 60,
    },
    "tls-cert-manager": {
        "Service/face-liveness-facade/spec/ports/0/appProtocol": "https",
        f"{CONTAINER}/env/FACE_LIVENESS_TLS_CLIENT_CA": "/etc/face-liveness-facade/client-ca/ca-bundle.crt",
        "Certificate/face-liveness-facade/spec/secretName": "face-liveness-facade-tls",
        f"{POD}/volumes/0/secret/secretName": "face-liveness-facade-tls",
    },
    "tls-secret": {
        "Service/liveness/spec/clusterIP": "None",
        # Clients look up the name every 30 s, and a DNS server can serve an old record for 5 s.
        "Deployment/liveness/spec/template/spec/containers/0/env/FACE_LIVENESS_DRAIN_DELAY": "45s",
        "Deployment/liveness/spec/template/spec/terminationGracePeriodSeconds": 70,
        "Deployment/liveness/spec/template/spec/volumes/0/secret/secretName": "liveness-tls",
        "Certificate/liveness": ABSENT,
    },
    "headless-own-drain-delay": {
        "Service/face-liveness-facade/spec/clusterIP": "None",
        "Deployment/face-liveness-facade/spec/minReadySeconds": 35,
        f"{CONTAINER}/env/FACE_LIVENESS_DRAIN_DELAY": "1m",
        f"{POD}/terminationGracePeriodSeconds": 85,
    },
    "istio": {
        "VirtualService/face-liveness-facade/spec/http/0/retries/attempts": 0,
        "DestinationRule/face-liveness-facade/spec/trafficPolicy/loadBalancer/consistentHash/httpHeaderName": "x-face-liveness-route",
        "DestinationRule/face-liveness-facade/spec/trafficPolicy/outlierDetection/splitExternalLocalOriginErrors": True,
        "DestinationRule/face-liveness-facade/spec/trafficPolicy/outlierDetection/consecutive5xxErrors": 0,
        "DestinationRule/face-liveness-facade/spec/trafficPolicy/outlierDetection/consecutiveGatewayErrors": 0,
        "AuthorizationPolicy/face-liveness-facade/spec/action": "ALLOW",
        "ServiceEntry/face-liveness-facade-aws/spec/hosts/0": "rekognition.eu-west-1.amazonaws.com",
        "Deployment/face-liveness-facade/spec/template/metadata/annotations/proxy.istio.io~1config": "terminationDrainDuration: 25s",
    },
    "linkerd": {
        "Deployment/face-liveness-facade/spec/template/metadata/annotations/linkerd.io~1inject": "enabled",
        "Deployment/face-liveness-facade/spec/template/metadata/annotations/config.linkerd.io~1skip-inbound-ports": "9090",
    },
    "small": {
        f"{CONTAINER}/env/AWS_EC2_METADATA_DISABLED": ABSENT,
        f"{POD}/serviceAccountName": "default",
        f"{POD}/topologySpreadConstraints": ABSENT,
        "ServiceAccount/face-liveness-facade": ABSENT,
        "PodDisruptionBudget/face-liveness-facade": ABSENT,
        "NetworkPolicy/face-liveness-facade": ABSENT,
        "Pod/face-liveness-facade-test": ABSENT,
    },
    "argocd": {
        "Job/face-liveness-facade-test/metadata/annotations/argocd.argoproj.io~1hook": "PostSync",
        "Job/face-liveness-facade-test/spec/template/spec/containers/1/name": "call",
        "Pod/face-liveness-facade-test": ABSENT,
    },
    "levers": {
        "Deployment/face-liveness-facade/metadata/labels/cost-centre": "4711",
        "Deployment/face-liveness-facade/spec/minReadySeconds": 10,
        f"{POD}/dnsConfig/options/0/name": "ndots",
        "Pod/face-liveness-facade-test/spec/dnsConfig/options/0/name": "ndots",
        "Pod/face-liveness-facade-test-call/spec/containers/0/name": "call",
        "Service/face-liveness-facade/spec/trafficDistribution": "PreferClose",
        "Deployment/face-liveness-facade/spec/template/metadata/annotations/checksum~1extra-objects": PRESENT,
        "Deployment/face-liveness-facade/spec/template/spec/containers/0/image": "registry.example.com/team/face-liveness-facade:0.1.0+build.7",
        "ConfigMap/face-liveness-facade-more": PRESENT,
    },
}


def main():
    rendered, failed, checked = Path(sys.argv[1]), 0, 0
    for name, fields in EXPECTED.items():
        objects = {}
        for thing in yaml.safe_load_all((rendered / f"{name}.yaml").read_text()):
            if thing:
                objects.setdefault(thing["kind"], {})[thing["metadata"]["name"]] = thing
        for path, expected in fields.items():
            found = look(objects, path)
            if found != expected and not (expected is PRESENT and found is not ABSENT):
                failed += 1
                print(f"{name}: {path} is {'absent' if found is ABSENT else found}, not the expected value", file=sys.stderr)
            checked += 1
    print(f"{checked} fields are checked")
    sys.exit(bool(failed))


def look(here, path):
    for part in path.split("/"):
        part = part.replace("~1", "/")
        if isinstance(here, list):
            by_name = {entry.get("name"): entry.get("value") for entry in here if isinstance(entry, dict)}
            here = (here[int(part)] if int(part) < len(here) else ABSENT) if part.isdigit() else by_name.get(part, ABSENT)
        else:
            here = here.get(part, ABSENT)
        if here is ABSENT:
            return ABSENT
    return here


main()
