"""The blocks that tests/snippets/run does not execute: the page, how the block begins, and the reason.

Each entry must fit a block, so that none outlives its block.
"""

ACCOUNT = "needs an AWS account: make e2e-aws runs with one"
CLUSTER = "needs a cluster: make e2e-kubernetes installs the chart, and runs its tests"
ENGINE = "needs a container engine: make image-test builds and runs both images"
TESTCONTAINERS = "needs a container engine: make image-test executes it (tests/snippets/containers.py)"
DIAGRAM = "is a diagram"

ELSEWHERE = [
    ("README.md", "make test", "is a step of .ci/run"),
    ("README.md", "flowchart LR", DIAGRAM),
    ("README.md", "aws sso login", ACCOUNT),
    ("docs/aws.md", "AWS_PROFILE=my-profile", ACCOUNT),
    ("docs/aws.md", "This run creates", "is what make e2e-aws prints for an account"),
    ("docs/getting-started.md", "cargo build --release --no-default-features", "takes minutes: docker/build runs it for make image-test"),
    ("docs/getting-started.md", "aws sso login", ACCOUNT),
    ("docs/kubernetes.md", "make image\n", ENGINE),
    ("docs/kubernetes.md", "make image load-image", CLUSTER),
    ("docs/privacy.md", "flowchart LR", DIAGRAM),
    ("docs/privacy.md", "aws organizations", "changes an AWS organization"),
    ("docs/releases.md", "sha256sum --check", "needs the files of a release and a registry: make release builds and checks the files"),
    ("docs/simulator.md", "docker run", ENGINE),
    ("docs/simulator.md", "import org.testcontainers", TESTCONTAINERS),
    ("docs/simulator.md", 'import (\n\t"github.com/testcontainers', TESTCONTAINERS),
    ("docs/simulator.md", "from testcontainers", TESTCONTAINERS),
    ("docs/simulator.md", "import { GenericContainer", TESTCONTAINERS),
    ("helm/face-liveness-facade/README.md", "kubectl delete pod", CLUSTER),
    ("helm/face-liveness-facade/README.md", "kubectl create secret", CLUSTER),
    ("helm/face-liveness-facade/README.md", "spec:\n  ignoreDifferences", "belongs to an Application of Argo CD, whose resources are in no tool"),
]
