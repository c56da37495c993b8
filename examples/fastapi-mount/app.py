"""A shop with an assistant: millstream inside a FastAPI application that has users and a database of its own.

pip install fastapi uvicorn 'millstream[tools]'
uvicorn app:app
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection

import millstream

TOKENS = {"token-of-ada": "ada", "token-of-bob": "bob"}
database = sqlite3.connect(":memory:", check_same_thread=False)


def user_of(request: HTTPConnection) -> str:
    """Who asks: for the shop's own endpoints, and for all of millstream's, WebSockets included."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in TOKENS:
        raise HTTPException(401, "Log in first: send one of the tokens as `Authorization: Bearer`.")
    return TOKENS[token]


@millstream.tool
def my_orders() -> list[str]:
    """What the customer has ordered, newest first."""
    rows = database.execute("SELECT item FROM orders WHERE customer = ? ORDER BY id DESC", [millstream.user()])
    return [item for (item,) in rows]


ai = millstream.App(tools=[my_orders], auth=user_of)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, item TEXT)")
    database.execute("INSERT INTO orders (customer, item) VALUES ('ada', 'a lamp'), ('bob', 'a kite')")
    async with ai.lifespan():
        yield
    database.close()


app = FastAPI(lifespan=lifespan)
app.mount("/ai", ai)


@app.get("/me")
def me(user: Annotated[str, Depends(user_of)]) -> dict[str, str]:
    return {"user": user}
