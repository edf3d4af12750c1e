"""Every node of every preset is what it was: what is asked, of whom, and where its random numbers come from.

``golden/nodes.json`` was written before the code that makes nodes was rebuilt. A difference means that stored results
are thrown away, or that numbers change. If that is meant, say so in the changelog and write the file anew::

    python tests/harness/plan/test_golden_nodes.py
"""

import json
from pathlib import Path

import pytest

from unveil.harness.plan.file import presets, read
from unveil.harness.running.matrix import expand

GOLDEN = Path(__file__).parent / "golden" / "nodes.json"
ALONE = [name for name in presets() if "/" not in name]  # the others need data that somebody brings


def whole(node):
    """Everything about a node but its label and what the code adds to its key."""
    return {
        "kind": node.kind,
        "uses": {role: [use.question for use in uses] for role, uses in node.uses.items()},
        "options": dict(node.options),
        "stream": dict(node.stream),
        "parents": {role: parent.identity for role, parent in node.parents.items()},
        "randomness": node.randomness,
    }


def found(preset):
    """The nodes of a preset by identity."""
    return {node.identity: json.loads(json.dumps(whole(node))) for node in expand(read(preset)).nodes()}


def golden(preset):
    """The nodes as they were."""
    kept = json.loads(GOLDEN.read_text())
    values, nodes = kept["values"], kept["nodes"]

    def of(line):
        kind, uses, options, stream, parents, randomness = line[1:]
        return {
            "kind": kind,
            "uses": {role: [values[i] for i in places] for role, places in uses.items()},
            "options": values[options],
            "stream": values[stream],
            "parents": {role: nodes[i][0] for role, i in parents.items()},
            "randomness": values[randomness],
        }

    return {nodes[i][0]: of(nodes[i]) for i in kept["presets"][preset]}


@pytest.mark.parametrize("preset", ALONE)
def test_nodes_are_what_they_were(preset):
    now, before = found(preset), golden(preset)
    changed = [f"{node['kind']} {node}" for identity, node in now.items() if identity not in before]
    assert not changed, f"{len(changed)} of {len(now)} nodes are new, such as {changed[0]}"
    assert now == before


def write():
    """Writes the golden file anew: one line a node, and each value that nodes share once."""
    values, nodes, places, own = [], [], {}, {}

    def place(value):
        text = json.dumps(value, sort_keys=True)
        if text not in places:
            places[text] = len(values)
            values.append(value)
        return places[text]

    def line(identity, node):
        if identity in own:
            return
        own[identity] = len(nodes)
        uses = {role: [place(one) for one in asked] for role, asked in node["uses"].items()}
        parents = {role: own[parent] for role, parent in node["parents"].items()}
        shared = place(node["options"]), place(node["stream"]), place(node["randomness"])
        nodes.append([identity, node["kind"], uses, shared[0], shared[1], parents, shared[2]])

    made = {preset: found(preset) for preset in ALONE}
    for preset in made.values():  # parents before children, as the graph has them
        for identity, node in preset.items():
            line(identity, node)
    indices = {preset: [own[identity] for identity in kept] for preset, kept in made.items()}
    parts = {"values": values, "nodes": nodes, "presets": list(indices.items())}
    text = [
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in part) + "\n]"
        for name, part in parts.items()
        if name != "presets"
    ]
    text.append('"presets": ' + json.dumps(indices, separators=(",", ":")))
    GOLDEN.write_text("{\n" + ",\n".join(text) + "\n}\n")


if __name__ == "__main__":
    write()
