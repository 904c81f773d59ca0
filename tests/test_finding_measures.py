"""Every claim has a module that measures it."""

from importlib import import_module
from inspect import signature

import pytest

from engine.findings.claims import CLAIMS


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_is_measured_by_a_module_of_its_name(name):
    measure = import_module(f"engine.findings.measures.{name}").measure
    assert list(signature(measure).parameters) == ["study"]
