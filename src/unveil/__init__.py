"""unveil: audit how much of its private training data an image classifier gives away.

In Python: ``unveil.audit(model, private, public)`` gives a `Report`, ``unveil.run(plan, store=...)`` gives `Results`,
``unveil.plugins()`` says what is registered.
"""

from typing import TYPE_CHECKING, Any

from unveil.harness.plan.checkout import version

if TYPE_CHECKING:
    from unveil.audits import Report, audit
    from unveil.harness.audit import plugins, run
    from unveil.harness.figures.rows import Results

__version__ = version()
__all__ = ["Report", "Results", "__version__", "audit", "plugins", "run"]


def __getattr__(name: str) -> Any:
    """What is asked for, imported when it is: ``import unveil`` alone loads nothing."""
    if name == "Results":
        from unveil.harness.figures.rows import Results  # noqa: PLC0415 (see above)

        return Results
    if name in ("Report", "audit"):
        from unveil import audits  # noqa: PLC0415 (see above)

        return getattr(audits, name)
    if name in ("plugins", "run"):
        from unveil.harness import audit  # noqa: PLC0415 (see above)

        return getattr(audit, name)
    raise AttributeError(f"module 'unveil' has no attribute {name!r}")
