"""The typed message, as msgspec reads and writes it."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["DECODER", "ENCODER", "Customer", "Place"]


class Customer(msgspec.Struct):
    id: int
    name: str
    country: str


class Place(msgspec.Struct, tag="place"):
    id: int
    side: Literal["buy", "sell"]
    symbol: str
    amount: float
    price: float
    tags: list[str]
    customer: Customer


DECODER = msgspec.json.Decoder(Place)
ENCODER = msgspec.json.Encoder()
