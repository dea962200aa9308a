"""What the HTTP service on Redis is held against: a FastAPI route that asks Redis for a key, by
redis-py's asyncio client, and answers the same JSON. It checks nothing, counts nothing, logs
nothing, and knows the generation beforehand.
"""

from __future__ import annotations

import os
import time

from fastapi import FastAPI, Response
from redis.asyncio import Redis

_CONFIRMED_S = float(os.environ["ROUTE_CONFIRMED_S"])
_PREFIX = os.environ["ROUTE_PREFIX"]
_REDIS = Redis.from_url(os.environ["STORE_URL"], protocol=2)
app = FastAPI()


@app.get("/predictions")
async def predictions(id: int) -> Response:
    """The row of a key, which lies in Redis as the JSON that is answered."""
    row = await _REDIS.get(f"{_PREFIX}{id}")
    age = b"%d" % (time.time() - _CONFIRMED_S)
    body = b'{"found":true,"prediction":' + row + b',"age_s":' + age + b"}"
    return Response(body, media_type="application/json")
