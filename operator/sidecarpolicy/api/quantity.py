"""Kubernetes quantities such as 100m and 1536Mi: what they amount to, and how the API server spells them.

The rules are those of apimachinery (pkg/api/resource/quantity.go): a quantity keeps the family of suffixes that it was
written in (m k M, Ki Mi Gi or e3) and is spelled with the shortest whole number there.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, ROUND_UP, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

_WRITTEN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,9})?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIXES = ("", *_BINARY)

_FINEST = Decimal("1e-9")
_FINEST_RESOURCE = Decimal("1e-3")
_LARGEST_BINARY = Decimal(2**63 - 1)
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)


class _Written(NamedTuple):
    """A quantity taken apart: its sign, its digits without the point, the power of ten they stand for, its suffix."""

    sign: str
    digits: str
    scale: int
    suffix: str


@lru_cache(maxsize=4096)
def parse(quantity: str | int) -> Decimal:
    """Return what a quantity amounts to; raises ValueError for what is none."""
    return _value(_read(quantity))


@lru_cache(maxsize=4096)
def canonical(quantity: str | int) -> str:
    """Return a request or limit as the API server stores it; raises ValueError for what is none."""
    written = _read(quantity)
    if _is_canonical(written):
        return str(quantity)
    # Nothing finer than a thousandth is stored of a resource (SetDefaults_ResourceList).
    value = _rounded_up(_value(written), _FINEST_RESOURCE)
    if written.suffix in _BINARY and abs(value) >= 1024 and value == value.to_integral_value():
        return _binary(int(value))
    return _decimal(value, written.suffix)


def _read(quantity: str | int) -> _Written:
    match = _WRITTEN.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity: write it as in 100m, 0.5, 64Mi or 1Gi")
    sign, number, suffix = match[1], match[2], match[3] or ""
    whole, _, fraction = number.partition(".")
    scale = _DECIMAL.get(suffix, 0 if suffix in _BINARY else int(suffix[1:] or 0))
    return _Written(sign, (whole.lstrip("0") or "0") + fraction, scale - len(fraction), suffix)


def _value(written: _Written) -> Decimal:
    value = Decimal(f"{written.sign}{written.digits}e{written.scale}")
    if written.suffix in _BINARY:
        value = _EXACT.multiply(value, 2 ** _BINARY[written.suffix])
        value = max(min(value, _LARGEST_BINARY), -_LARGEST_BINARY)
    return _rounded_up(value, _FINEST)


def _rounded_up(value: Decimal, finest: Decimal) -> Decimal:
    """Round away from zero: who asks for too little to be told gets something."""
    if value.adjusted() >= 0 and value == value.to_integral_value():
        return value
    return value.quantize(finest, rounding=ROUND_UP, context=_EXACT)


def _is_canonical(written: _Written) -> bool:
    """Tell whether the API server finds nothing to do, and so keeps the text, even 01 and 1.500."""
    if written.suffix in _BINARY:
        short = len(written.digits) + _BINARY[written.suffix] * 3 // 10 <= 14
        return short and written.scale == 0 and int(written.digits) % 8 != 0
    short = len(written.digits) <= 18 and written.scale >= -3
    return short and written.scale % 3 == 0 and not written.digits.startswith("0") and written.digits[-3:] != "000"


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0:
        value, power = value // 1024, power + 1
    return f"{value}{_BINARY_SUFFIXES[power]}"


def _decimal(value: Decimal, suffix: str) -> str:
    if not value:
        return "0"
    sign, digits, scale = value.normalize(_EXACT).as_tuple()
    assert isinstance(scale, int)  # noqa: S101 - no quantity is infinite
    number = int("".join(map(str, digits))) * 10 ** (scale % 3) * (-1 if sign else 1)
    exponent = scale - scale % 3
    if suffix and suffix not in _DECIMAL and suffix not in _BINARY:
        return f"{number}e{exponent}" if exponent else str(number)
    # Beyond E the API server finds no suffix and writes none.
    return f"{number}{_SUFFIXES.get(exponent, '')}"
