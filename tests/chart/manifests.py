"""Validates the rendered manifests against the schemas of Kubernetes, and exports custom resources.

  manifests.py RENDERED SCRATCH

RENDERED has helm3/*.yaml and helm4/*.yaml. Writes the custom resources to SCRATCH/custom.json, and the manifests for checkov to
SCRATCH/policy/{server,tests}/.
"""

import copy
import json
import sys
from pathlib import Path

import kubernetes_validate
import yaml

VERSIONS = ["1.28", "1.31", kubernetes_validate.latest_version()]

CUSTOM_GROUPS = {"monitoring.coreos.com", "cert-manager.io", "networking.istio.io", "security.istio.io"}


class Loader(yaml.CSafeLoader):
    """A loader that rejects duplicate keys, as the API server does."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def main():
    rendered, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    problems, custom, seen = [], {}, {}
    for file in sorted((rendered / "helm4").iterdir()):
        objects = load(file)
        if comparable(load(rendered / "helm3" / file.name)) != comparable(objects):
            problems.append(f"{file.name}: Helm 3 and 4 render different objects")
        names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
        problems += [f"{file.name}: {name} is defined twice" for name in set(names) if names.count(name) > 1]
        for thing in objects:
            where = f"{file.name}: {thing['kind']} {thing['metadata']['name']}"
            problems += [f"{where}: {problem}" for problem in conventions(thing)]
            text = json.dumps(thing, sort_keys=True)
            if thing["apiVersion"].split("/")[0] in CUSTOM_GROUPS:
                custom[text] = {"where": where, "object": thing}
            elif text not in seen:
                seen[text] = where
                problems += [f"{where}: {problem}" for problem in invalid(thing)]
            group = "tests" if thing["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "test" else "server"
            folder = scratch / "policy" / group
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / file.name, "a") as out:
                yaml.safe_dump(thing, out, explicit_start=True)
    (scratch / "custom.json").write_text(json.dumps(list(custom.values())))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(seen)} objects are valid for Kubernetes {', '.join(VERSIONS)}; {len(custom)} custom resources are exported")
    sys.exit(bool(problems))


def load(file):
    return [thing for thing in yaml.load_all(file.read_text(), Loader) if thing]


def comparable(objects):
    """Returns the objects without what differs by Helm's version: when the pods of `helm test` are deleted."""
    copies = copy.deepcopy(objects)
    for thing in copies:
        thing["metadata"].get("annotations", {}).pop("helm.sh/hook-delete-policy", None)
    return copies


def conventions(thing):
    metadata = thing["metadata"]
    if "namespace" not in metadata:
        yield "has no namespace"
    if len(metadata["name"]) > 63:
        yield "has a name of more than 63 characters"
    if "helm.sh/hook" in metadata.get("annotations", {}) and len(thing["spec"]["containers"]) != 1:
        yield "does not have one container, so helm test --logs of Helm 3 fails"


# A kind without a schema also raises an exception.
def invalid(thing):
    for version in VERSIONS:
        if version < "1.31" and "trafficDistribution" in thing.get("spec", {}):
            continue
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except Exception as error:
            yield f"{version}: {getattr(error, 'message', error)}"


main()
