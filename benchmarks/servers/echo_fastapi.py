"""A FastAPI route under uvicorn; the variant is its WebSocket implementation."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from shared import serve_asgi

app = FastAPI()


class Customer(BaseModel):
    id: int
    name: str
    country: str


class Place(BaseModel):
    type: Literal["place"]
    id: int
    side: Literal["buy", "sell"]
    symbol: str
    amount: float
    price: float
    tags: list[str]
    customer: Customer


@app.websocket("/")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


@app.websocket("/typed")
async def typed(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            order = Place.model_validate_json(await websocket.receive_text())
            await websocket.send_text(order.model_dump_json())
    except WebSocketDisconnect:
        pass


serve_asgi(app)
