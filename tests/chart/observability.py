"""Checks that alerts and dashboard use metrics that the binary exports.

  observability.py METRICS MANIFESTS DASHBOARD SCRATCH

METRICS is the output of /metrics, MANIFESTS what the chart renders. Writes the alerts to SCRATCH/rules.yaml, and the queries of the dashboard as
rules to SCRATCH/dashboard.yaml, so that promtool can check them.
"""

import json
import re
import sys
from pathlib import Path

import yaml

# Labels that Prometheus adds to every series, and to the buckets of a histogram.
ADDED_LABELS = {"namespace", "job", "pod", "le"}

KEYWORDS = set("and or unless by without on ignoring group_left group_right bool offset inf nan".split())


def main():
    metrics, manifests, dashboard, scratch = (Path(argument) for argument in sys.argv[1:])
    series = exported(metrics.read_text())
    rule = next(thing for thing in yaml.safe_load_all(manifests.read_text()) if thing and thing["kind"] == "PrometheusRule")
    (scratch / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    rules = [entry for group in rule["spec"]["groups"] for entry in group["rules"]]
    alerts = {entry.get("alert", entry.get("record")): entry["expr"] for entry in rules}
    # The labels of recorded series are those of the chart and of the sum.
    series |= {entry["record"]: {label: set(entry["labels"].values()) for label in ("release", "reason")} for entry in rules if "record" in entry}

    board = json.loads(dashboard.read_text())
    queries = {}
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "5m")
            queries[f"{panel['title']} {target['refId']}"] = re.sub(r"\$(namespace|job)\b", r"any", text)
    rules = [{"record": "panel", "expr": query, "labels": {"of": name}} for name, query in queries.items()]
    (scratch / "dashboard.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    variables = {entry["name"]: entry["query"].split("(")[1].split(",")[0].split("{")[0] for entry in board["templating"]["list"][1:]}

    problems = [f"variable {name}: there is no metric {metric}" for name, metric in variables.items() if metric not in series]
    for name, query in (alerts | queries).items():
        problems += [f"{name}: {problem}" for problem in errors(query, series)]
    for problem in problems:
        print(problem, file=sys.stderr)
    used = {metric for query in (alerts | queries).values() for metric in names(query)}
    print(f"{len(alerts)} rules and {len(queries)} queries of the dashboard use {len(used)} metrics, all of which are exported")
    sys.exit(bool(problems))


def exported(text):
    """Parses metrics into a map of metric -> label -> values."""
    series = {}
    for name, labels in re.findall(r"^([a-z_0-9]+)(?:{(.*)})? ", text, flags=re.MULTILINE):
        known = series.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            known.setdefault(label, set()).add(value)
    return series


def names(query):
    text = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", query)
    text = re.sub(r"{[^}]*}|\[[^]]*]", "", text)
    return {word for word in re.findall(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()", text) if word.lower() not in KEYWORDS}


def errors(query, series):
    for name in names(query):
        if name not in series:
            yield f"there is no metric {name}"
    for name, matchers in re.findall(r"([\w:]+){([^}]*)}", query):
        for label, operator, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers):
            known = series.get(name, {}).get(label, set())
            if label in ADDED_LABELS:
                continue
            if operator == "=" and value not in known:
                yield f"{name} has no {label} {value}"
            if operator == "=~":
                for word in alternatives(value):
                    if word not in known:
                        yield f"{name} has no {label} {word}"
    for grouped in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", query):
        for label in re.findall(r"\w+", grouped):
            if label not in ADDED_LABELS and not any(label in series.get(name, {}) for name in names(query)):
                yield f"no metric has a label {label}"


def alternatives(pattern):
    """Returns the words of a pattern such as A|P(B|C): A, PB and PC."""
    parts = re.findall(r"([^|()]+)(?:\(([^)]*)\))?", pattern)
    return [prefix + word for prefix, group in parts for word in group.split("|")]


main()
