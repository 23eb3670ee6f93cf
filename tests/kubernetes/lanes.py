"""The releases that are under load at the same time, and what happens to each."""

import events
from certificates import Authority
from release import Release

# The documentation says that evictions fail calls with it. Its row also proves that the test sees failed calls.
SHORT_DRAIN = "headless, drainDelay 5s"

ROLLOUTS = {
    "rollout restart": events.restart,
    "upgrade, and rollback at once": events.upgrade_and_roll_back,
}
DISRUPTIONS = {
    "eviction of all pods": events.evict_all,
    "scaling up and down": events.scale_up_and_down,
}
CACHING = {
    "rollout restart": events.restart_and_share,
    "restart of the cache": events.restart_the_cache,
    "another replicaCount": events.scale_with_helm,
    "autoscaler enabled": events.enable_the_autoscaler,
}


def lanes(cluster, helm, image):
    """Returns the kind of Service, the release, and the events, for each."""
    headless = {"service": {"headless": True}}
    short = headless | {"config": {"drainDelay": "5s"}}
    secret = "shared-cache"
    auth = {"existingSecret": secret, "usernameKey": "username"}
    cache = {"url": "redis://shared-cache:6379", "key": {"existingSecret": secret}, "auth": auth}
    authority = Authority(cluster, "tls", f"secure.{cluster.namespace}")
    authority.issue()
    tls = {"enabled": True, "existingSecret": "tls"}

    def release(name, **values):
        return Release(cluster, helm, name, image, values)

    secure = release("secure", tls=tls)
    secure.authority = authority
    return [
        ("ClusterIP", release("cluster-ip"), ROLLOUTS | DISRUPTIONS),
        ("headless", release("headless", **headless), ROLLOUTS),
        ("headless", release("headless-disrupted", **headless), DISRUPTIONS),
        (SHORT_DRAIN, release("headless-short", **short), {"two evictions of all pods": events.evict_all_twice}),
        ("shared cache", release("sharing", sharedCache=cache), CACHING),
        ("TLS", secure, {"rotation of the certificate": events.rotate_the_certificate}),
    ]
