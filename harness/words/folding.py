"""Batch norm folded into the convolutions before it, for passes of frozen networks in bfloat16 on a CPU.

There, additions and norms cost as much as convolutions, which have become fast. A folded network computes the same up
to rounding, so nothing is folded where float32 is asked for: what is computed in it stays bit for bit what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.generator import Generator

Net = TypeVar("Net", bound=nn.Module)
Conv: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Pass: TypeAlias = Callable[..., Tensor]
Compiler: TypeAlias = Callable[[Pass], Pass]
"""Of a function, one that gives the same up to rounding."""
NORM_AFTER: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.ConvTranspose1d: nn.BatchNorm1d,
    nn.ConvTranspose2d: nn.BatchNorm2d,
    nn.ConvTranspose3d: nn.BatchNorm3d,
}
"""These very classes: one derived from them may do more."""
ACTING = "timm.layers.norm_act.BatchNormAct2d"  # a norm, then its children ``drop`` and ``act``
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FEW, SAME = 2, 1e-3  # pictures that a folded network is tried on, and by how much of the largest value it may be off
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def as_it_is(fn: Pass) -> Pass:
    """The compiler that leaves a function alone."""
    return fn


class Frozen(Generic[Net]):
    """A network that changes no more, with a folded copy that is made when it is first of use.

    Args:
        network: Put in evaluation mode and frozen here.
        compiler: Makes passes faster; see `harness.words.run.Run.compile`.
    """

    def __init__(self, network: Net, compiler: Compiler = as_it_is) -> None:
        self._network, self._compiler = network.eval().requires_grad_(False), compiler
        self._folded: Net | None = None
        self._same: dict[str, bool] = {}

    def passing(self, name: str) -> Pass:
        """The method of that name: the folded copy's inside autocast with bfloat16 on a CPU, else the network's.

        Before the copy's is used, it is held against the network's on the first pictures that it is given. A copy that
        does not compute the same is not used.
        """
        made: dict[nn.Module, Pass] = {}

        def through(x: Tensor, *others: Tensor) -> Tensor:
            net = self._folded_for(name, x, *others) if _halved(x) else self._network
            if net not in made:
                made[net] = self._compiler(getattr(net, name))
            return made[net](x, *others)

        return through

    def _folded_for(self, name: str, *given: Tensor) -> Net:
        if name not in self._same:
            exact = folded(self._network)
            self._same[name] = exact is self._network or _agree(exact, self._network, name, given)
            self._folded = self._folded or _rounded(exact, self._network)
        return self._folded if self._folded is not None and self._same[name] else self._network


def _halved(x: Tensor) -> bool:
    where = x.device.type
    return where == "cpu" and torch.is_autocast_enabled(where) and torch.get_autocast_dtype(where) is torch.bfloat16


@torch.no_grad()
def _agree(exact: nn.Module, network: nn.Module, name: str, given: Sequence[Tensor]) -> bool:
    """Whether a pass of both gives the same in float32, but for rounding; random numbers are left as they are."""
    few = [one[:FEW].float() if one.is_floating_point() else one[:FEW] for one in given]
    said: list[Tensor] = []
    for net in (network, exact):
        with torch.random.fork_rng([]), torch.autocast("cpu", enabled=False):
            said.append(getattr(net, name)(*few))
    return same(*said)


def same(before: Tensor, after: Tensor) -> bool:
    """Whether two answers differ by no more than rounding."""
    return bool((after - before).abs().max() <= SAME * before.abs().max())


def _rounded(exact: Net, network: Net) -> Net:
    """A folded network whose own weights are in bfloat16, as autocast would round them anew for each pass."""
    shared = {id(weight) for weight in network.parameters()}
    for module in exact.modules():
        if any(id(weight) not in shared for weight in module.parameters(recurse=False)):
            module.to(torch.bfloat16)
    return exact


def folded(network: Net) -> Net:
    """The same function of a network in evaluation mode, with fewer batch norms.

    A norm is folded where it is certain that a convolution feeds it and nothing else: where the part of the network
    that they are in can be traced. Parts are the stages of a classifier, the networks that a generator
    holds, or all of any other network. One that cannot be traced, or that somebody watches with hooks, stays as it is.

    Args:
        network: Not changed. The copy shares its weights, but for those of convolutions that a norm was folded into.

    Raises:
        UnveilError: If it is in training mode, where a norm depends on its batch.
    """
    if any(module.training for module in network.modules()):
        raise UnveilError(
            f"{type(network).__name__} was to be folded while it trains",
            "a network in evaluation mode",
            "call eval() on it first",
        )
    if isinstance(network, Classifier):
        return _with(network, {"stages": _in_parts(network.stages)})
    return _in_parts(network) if isinstance(network, Generator) else _folded_part(network)


def _in_parts(held: Net) -> Net:
    return _with(held, {name: _folded_part(part) for name, part in held.named_children()})


def _with(network: Net, children: Mapping[str, nn.Module]) -> Net:
    """The network itself if these are its children, else a copy that has them."""
    if all(network._modules[name] is child for name, child in children.items()):
        return network
    return _copied(network, {**network._modules, **children})


def _copied(network: Net, children: Mapping[str, nn.Module | None]) -> Net:
    """One with all that the network has, and these children; `copy.copy` would refuse parametrised ones."""
    taken = object.__new__(type(network))
    taken.__dict__.update(network.__dict__, _modules=dict(children))
    return taken


def _twin(network: nn.Module, met: dict[nn.Module, nn.Module]) -> nn.Module:
    """A copy down to the last module, which shares its tensors: what a trace leaves in it, nobody else sees."""
    if network not in met:
        children = {name: None if child is None else _twin(child, met) for name, child in network._modules.items()}
        met[network] = _copied(network, children)
    return met[network]


def _folded_part(part: Net) -> Net:
    if _strange(part) or not any(isinstance(module, _BatchNorm) for module in part.modules()):
        return part
    twin = _twin(part, {})
    pairs = list(_pairs(twin))
    for conv, norm in pairs:
        before, after = cast("Conv", twin.get_submodule(conv)), cast("_BatchNorm", twin.get_submodule(norm))
        twin.set_submodule(conv, fuse_conv_bn_eval(before, after, isinstance(before, TRANSPOSED)))
        twin.set_submodule(norm, nn.Sequential(*after.children()).eval())  # the identity, but for a norm that acts
    return cast("Net", twin) if pairs else part


def _strange(part: nn.Module) -> bool:
    """Whether somebody watches, or there is a program in it that is not Python's."""
    return any(
        isinstance(module, torch.jit.ScriptModule) or any(getattr(module, hooks) for hooks in HOOKS)
        for module in part.modules()
    )


def _pairs(part: nn.Module) -> Iterator[tuple[str, str]]:
    """Paths of convolutions and of the norms that they feed, and nothing else."""
    nodes, modules = _traced(part), dict(part.named_modules(remove_duplicate=False))
    alone = _alone(nodes, modules)
    for node in nodes:
        fed = node.args[0] if node.op == "call_module" and len(node.args) == 1 else None
        if isinstance(fed, fx.Node) and fed.op == "call_module" and len(fed.users) == 1:
            conv, norm = str(fed.target), str(node.target)
            if {conv, norm} <= alone and _fits(modules[conv], modules[norm]):
                yield conv, norm


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not m._modules or _kind(m) == ACTING or super().is_leaf_module(m, module_qualified_name)


def _traced(part: nn.Module) -> list[fx.Node]:
    """What it does with what it is given; nothing, if that cannot be told."""
    try:
        with torch.random.fork_rng([]), torch.no_grad():
            return list(_Tracer().trace(part).nodes)
    except Exception:  # whatever a network of somebody else's makes of a tensor that is none
        return []


def _alone(nodes: Sequence[fx.Node], modules: Mapping[str, nn.Module]) -> set[str]:
    """Paths of the modules that are called once, and of which nothing is read beside that."""
    held = Counter(modules.values())
    called = Counter(modules[str(node.target)] for node in nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr"}
    return {path for path, one in modules.items() if held[one] == called[one] == 1 and path not in read}


def _fits(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether these can be folded at all."""
    wanted = NORM_AFTER.get(type(conv))
    acting = wanted is nn.BatchNorm2d and _kind(norm) == ACTING and [*norm._modules] == ["drop", "act"]
    if not (acting or (wanted is type(norm) and not norm._modules)) or norm.running_mean is None:
        return False
    kinds = {value.dtype for module in (conv, norm) for value in module.state_dict().values() if value.dim()}
    grouped = isinstance(conv, TRANSPOSED) and conv.groups > 1  # which torch's own folding mistakes
    return kinds == {torch.float32} and not grouped and conv.out_channels == norm.num_features


def _kind(module: nn.Module) -> str:
    """The full name of its class."""
    return f"{type(module).__module__}.{type(module).__qualname__}"
