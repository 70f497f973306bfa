"""Quantities as the API server reads and spells them."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster import LocalCluster
from sidecarpolicy.api import quantity

SPELLINGS = [
    pytest.param("0.1", "100m", id="a-fraction-becomes-thousandths"),
    pytest.param(".5", "500m", id="a-fraction-without-a-zero"),
    pytest.param("1000m", "1", id="a-thousand-thousandths-are-one"),
    pytest.param("1500m", "1500m", id="thousandths-stay-where-they-are-needed"),
    pytest.param(1, "1", id="a-number"),
    pytest.param(67108864, "67108864", id="a-number-gets-no-suffix"),
    pytest.param("2.000", "2", id="empty-thousandths-go"),
    pytest.param("1.500", "1.500", id="three-digits-behind-the-point-stay"),
    pytest.param("1024Mi", "1Gi", id="the-largest-binary-suffix"),
    pytest.param("1.5Gi", "1536Mi", id="a-binary-fraction"),
    pytest.param("0.5Mi", "512Ki", id="half-a-binary-unit"),
    pytest.param("0.5Ki", "512", id="less-than-a-binary-unit-is-decimal"),
    pytest.param("1.0005Ki", "1024512m", id="a-broken-binary-is-decimal"),
    pytest.param("8Ei", "9223372036854775807", id="the-largest-binary"),
    pytest.param("1000Ki", "1000Ki", id="a-thousand-is-nothing-in-binary"),
    pytest.param("1e-1", "100e-3", id="an-exponent-becomes-a-multiple-of-three"),
    pytest.param("129e6", "129e6", id="an-exponent-stays-an-exponent"),
    pytest.param("1e1", "10", id="no-exponent-of-nothing"),
    pytest.param("1E3", "1E3", id="a-capital-exponent-stays"),
    pytest.param("1E", "1E", id="exa-is-no-exponent"),
    pytest.param("100u", "1m", id="finer-than-a-thousandth-is-rounded-up"),
    pytest.param("0", "0", id="nothing"),
    pytest.param("0Ki", "0", id="nothing-of-a-unit"),
    pytest.param("01", "01", id="what-needs-no-change-is-not-changed"),
    pytest.param("1234567890123456789", "1234567890123456789", id="more-digits-than-are-read-fast"),
]


@pytest.mark.parametrize(("written", "stored"), SPELLINGS)
def test_a_quantity_is_spelled_as_the_api_server_does(written: str | int, stored: str) -> None:
    assert quantity.canonical(written) == stored


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        pytest.param("100m", "0.1", id="thousandths"),
        pytest.param("1Ki", "1024", id="binary"),
        pytest.param("1k", "1000", id="decimal"),
        pytest.param("12e-3", "0.012", id="exponent"),
        pytest.param(3, "3", id="number"),
        pytest.param("-1Mi", "-1048576", id="negative"),
        pytest.param("1e999999", "1e999999", id="beyond-all-measure"),
        pytest.param("1e-999999", "1e-9", id="too-small-to-be-told"),
    ],
)
def test_a_quantity_amounts_to(written: str | int, amount: str) -> None:
    assert quantity.parse(written) == Decimal(amount)


@pytest.mark.parametrize(
    "written", ["", "m", ".", "50mm", "1 Gi", "1gi", "0x10", "1e", "e3", "1e1.5", "--1", "one", "٣"]
)
def test_what_is_no_quantity_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity: write it as in 100m, 0\.5, 64Mi or 1Gi"):
        quantity.parse(written)


@given(
    number=st.decimals(min_value=0, max_value=10**15, places=6, allow_nan=False),
    suffix=st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "e3", "e-2"]),
)
def test_spelling_twice_changes_nothing(number: Decimal, suffix: str) -> None:
    once = quantity.canonical(f"{number:f}{suffix}")

    assert quantity.canonical(once) == once


def test_the_api_server_spells_them_so(cluster: LocalCluster) -> None:
    written: list[Any] = [param.values[0] for param in SPELLINGS] + some_quantities(300)
    spec = {"containers": [_container(index, amount) for index, amount in enumerate(written)]}
    body = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "quantities"}, "template": {"spec": spec}}

    answer = cluster.kubectl("create", "--filename=-", "--dry-run=server", "--output=json", stdin=json.dumps(body))

    containers = json.loads(answer)["template"]["spec"]["containers"]
    stored = [container["resources"]["limits"]["cpu"] for container in containers]
    assert {amount: quantity.canonical(amount) for amount in written} == dict(zip(written, stored, strict=True))


def some_quantities(count: int) -> list[str]:
    """Quantities of every family and length, odd ones among them; the same every time."""
    chance = random.Random(36)
    suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e+3", "e-7", "E2"]
    fractions = ["", "", ".", ".5", ".500", ".050", ".0005", ".1234567891"]

    def one() -> str:
        whole = "".join(chance.choices("00123456789", k=chance.choice([1, 2, 3, 4, 8, 18, 19, 20])))
        return chance.choice(["", "", "+"]) + whole + chance.choice(fractions) + chance.choice(suffixes)

    return [one() for _ in range(count)]


def _container(index: int, cpu: str | int) -> dict[str, object]:
    return {"name": f"c{index}", "image": "nginx", "resources": {"limits": {"cpu": cpu}}}
