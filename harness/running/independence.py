"""One network may guide or select, never the one that judges: compared by its weights, whatever they are called.

What guides is everything that the attacked pictures come from: data set, target, its first weights, priors, surrogates,
attacks and all that these need or have in their settings. What judges is every evaluator that brings weights, and
whoever compares pictures in a metric.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unveil.harness.assets.fetch import ASSETS
from unveil.harness.plan import plugins
from unveil.harness.plan.node import Node, Use
from unveil.harness.words.errors import AssetError, JudgeError, UnveilError, WeightsError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

CHECKSUM = re.compile(r"\b[0-9a-f]{32,}\b|\bhub:\S+")
SHAPE = (3, 64, 64)  # that networks are built for, to be compared
SMALLEST = 64  # numbers in a tensor that says whose it is
SHARED = 0.5  # of the smaller network's numbers


def require(judges: Mapping[tuple[str, str], Node], attacks: Iterable[Node], measures: Iterable[Node]) -> None:
    """Refuses a plan in which what judges also guides, or what can only judge is to do something else.

    Args:
        judges: The evaluators, by data set and name.
        attacks: All attacks of the plan.
        measures: All metrics.

    Raises:
        JudgeError: If there is such a network.
    """
    using = _using(attacks)
    for node, guide in using:
        if node.kind != "data" and getattr(guide.plugin, "judges_only", False):
            raise JudgeError(
                f"{node.label} is made of {guide.name}, which has no gradients and only judges",
                "a model that can be trained and attacked",
                f"choose another one there; {guide.name} may be an evaluator, or the embedder of a metric",
            )
    judging = [one for one in _judging(judges, measures) if _content(one[1])]
    guiding = [*using, *_held(using)] if judging else []
    known: dict[int, Mapping[bytes, int]] = {}
    for (node, guide), (judge, use) in itertools.product(guiding, judging):
        if _same(guide, use, known):
            other = "" if guide.name == use.name else f", as {guide.name}"
            raise JudgeError(
                f"{judge} judges with the weights of {use.name}, and {node.label} brings the same{other}",
                "one network that guides, selects or is attacked, and another one that judges: what an attack was led "
                "by says yes to it",
                f"choose another network for one of the two; {judge} may be any that shares no weights with it",
            )


def _judging(judges: Mapping[tuple[str, str], Node], measures: Iterable[Node]) -> list[tuple[str, Use]]:
    found = [(f"evaluator {name!r}", node) for (_, name), node in judges.items()]
    for node in measures:
        asked = [need for need in node.needs.values() if need.kind == "comparer" or need.options.get("trained")]
        found += [(f"metric {node.options['name']!r}", need) for need in asked]
    uses = [(who, use) for who, node in found for group in node.uses.values() for use in group]
    return list({(who, use.spec): (who, use) for who, use in uses}.values())


def _using(attacks: Iterable[Node]) -> list[tuple[Node, Use]]:
    """Every plugin that attacked pictures come from, with a node that it is of."""
    nodes = {id(node): node for attack in attacks for node in attack.lineage()}
    found: dict[tuple[bool, str, Spec], tuple[Node, Use]] = {}
    for node in nodes.values():
        for use in (use for uses in node.uses.values() for use in uses):
            found.setdefault((node.kind == "data", use.kind, use.spec), (node, use))
    return list(found.values())


def _held(using: Iterable[tuple[Node, Use]]) -> Iterator[tuple[Node, Use]]:
    """The plugins that these have in their settings, of whatever kind, and what these have."""
    seen = {use.spec for _, use in using}
    waiting = list(using)
    while waiting:
        node, use = waiting.pop()
        for spec in _specs(use.plugin):
            if spec not in seen and (one := _plugin(spec, use.base)) is not None:
                waiting.append((node, one))
                yield node, one
            seen.add(spec)


def _specs(plugin: Any) -> list[Spec]:
    values = [getattr(plugin, field.name) for field in dataclasses.fields(plugin)]
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in flat if isinstance(one, Spec)]


def _plugin(spec: Spec, base: str) -> Use | None:
    for kind in plugins.OFFERS:
        use = Use(kind, spec, base, may_lack=True)
        try:
            use.plugin  # noqa: B018 (made, to see whether it is of that kind)
        except UnveilError:
            continue
        return use
    return None


def _content(use: Use) -> Mapping[str, str]:
    """What it reads from outside; nothing where that is not there."""
    try:
        return dict(getattr(use.plugin, "content", dict)())
    except (AssetError, WeightsError):
        return {}


def _same(guide: Use, judge: Use, known: dict[int, Mapping[bytes, int]]) -> bool:
    if guide.question == judge.question or _checksums(guide) & _checksums(judge):
        return True
    for use in (guide, judge):
        if id(use) not in known:
            known[id(use)] = _tensors(use)
    ours, theirs = known[id(guide)], known[id(judge)]
    common = sum(ours[name] for name in ours.keys() & theirs.keys())
    return common > 0 and common >= SHARED * min(sum(ours.values()), sum(theirs.values()))


def _checksums(use: Use) -> set[str]:
    """Of all that it reads; an asset's package and its member are the same thing."""
    found = set(CHECKSUM.findall(" ".join(map(str, _content(use).values()))))
    for asset in ASSETS.values():
        names = {asset.package_sha256, asset.member_sha256}
        found |= {name for name in names if CHECKSUM.fullmatch(name)} if found & names else set()
    return found


def _here(use: Use) -> bool:
    """Whether building it fetches nothing: an asset is named by its package, a file by what is in it."""
    named = set(_content(use).values())
    absent = [asset for asset in ASSETS.values() if asset.package_sha256 in named and not asset.place.exists()]
    return not absent and not any(name.startswith("hub:") for name in named)


def _tensors(use: Use) -> Mapping[bytes, int]:
    """How many numbers each tensor of a network has, by its hash in half precision; head and constants left out.

    Files in other formats, under other names and read by other plugins, are so known for the same.
    """
    if use.kind != "models" or not _here(use):
        return {}
    try:
        stages: Any = use.make().build(2, SHAPE, Run("compared")).stages
    except Exception:  # a plugin may raise anything, and some take other pictures; its checksums were compared
        return {}
    plain = [tensor.detach().flatten().float() for tensor in stages.state_dict().values()]
    telling = [t for t in plain if len(t) >= SMALLEST and bool(t.min() < t.max())]
    return {hashlib.sha256(t.half().numpy().tobytes()).digest(): len(t) for t in telling}
