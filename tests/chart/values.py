"""Checks that values.yaml, its schema, the templates and the tests' options agree.

  values.py CHART OPTIONS_VALUES

Every key of values.yaml is in the schema and used by a template, every key of the schema is in values.yaml, OPTIONS_VALUES has all options,
and the chart has the program's version.
"""

import json
import re
import sys
from pathlib import Path

import yaml

# Keys that parent charts pass to subcharts; maps of Kubernetes that are empty by default; probe settings with defaults in Kubernetes.
NOT_IN_VALUES = {"global", "enabled", "resources.limits", "resources.claims", "dnsConfig.nameservers", "dnsConfig.searches", "dnsConfig.options"}
# Options of serve that are not in `config`.
OWN_VALUES = {"sharedCacheTimeout"}
TIMINGS = {"successThreshold", "initialDelaySeconds"}


def main():
    chart, options_values = Path(sys.argv[1]), Path(sys.argv[2])
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    templates = "".join(path.read_text() for path in chart.glob("templates/**/*") if path.is_file())
    problems = list(compare(values, schema, schema, ""))
    for path in leaves(values):
        if not re.search(r"\." + re.escape(path.split(".")[-1]) + r"\b", templates) and not is_rendered_as_map(path, templates):
            problems.append(f"{path} is used by no template")

    options = set(json.loads((chart / "files/options.json").read_text())) - OWN_VALUES
    tested = set(yaml.safe_load(options_values.read_text())["config"])
    problems += [f"{options_values.name} has no {name}" for name in sorted(options - tested)]

    package = (chart.parent.parent / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', package, flags=re.MULTILINE)[1]
    app_version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    if version != app_version:
        problems.append(f"Chart.yaml has appVersion {app_version}, and the program has version {version}")

    undescribed = [line.split("|")[1].strip() for line in (chart / "README.md").read_text().splitlines() if line.endswith("|  |")]
    problems += [f"{name} has no description in values.yaml" for name in undescribed]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(list(leaves(values)))} values are in schema and templates; {len(options)} options of serve are tested")
    sys.exit(bool(problems))


def resolve(node, schema):
    return schema["definitions"][node["$ref"].split("/")[-1]] if "$ref" in node else node


def compare(values, node, schema, path):
    node = resolve(node, schema)
    known = node.get("properties")
    if known is None:
        return
    if node.get("additionalProperties") is not False:
        yield f"{path or 'the top level'} accepts any key"
    for key in values.keys() - known.keys():
        yield f"{path}{key} is not in the schema"
    for key in known.keys() - values.keys():
        if path + key not in NOT_IN_VALUES and key not in TIMINGS and path != "config.":
            yield f"{path}{key} is not in values.yaml"
    for key in values.keys() & known.keys():
        if isinstance(values[key], dict):
            yield from compare(values[key], known[key], schema, f"{path}{key}.")


def leaves(values, path=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key


def is_rendered_as_map(path, templates):
    """Returns whether a template renders a parent map as a whole."""
    parents = path.split(".")[:-1]
    return any(re.search(rf"(toYaml|deepCopy|dict|list \.|with) ?[^\n]*\.{parent}\b", templates) for parent in parents)


main()
