"""Tries out any plugin on tiny synthetic data in seconds, and says in words what it may not do.

`check` is what ``unveil check`` prints, what a plugin's own test calls, and what the contract test of this project
applies to everything that is registered.
"""

from unveil.harness.conformance.check import check, kind_of
from unveil.harness.conformance.report import Finding, Report

__all__ = ["Finding", "Report", "check", "kind_of"]
