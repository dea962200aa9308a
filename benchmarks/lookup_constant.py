"""What the HTTP service is held against: a FastAPI route that returns a constant."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

ROW = {"id": 500, "slice": "2026-11-21", "score": 0.25, "label": "first", "model_version": "3"}
app = FastAPI()


@app.get("/constant")
async def constant() -> Any:
    """An answer of the size and the form of the service's."""
    return {"found": True, "prediction": ROW, "age_s": 3604}
