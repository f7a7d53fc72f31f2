"""FastAPI with the network: what a first service of one's own looks like."""

from fastapi import FastAPI, Request

from benchmarks.peers.network import Counter

app = FastAPI()
counter = Counter()


@app.post("/count")
async def count(request: Request) -> dict[str, float]:
    """The head count of the photo that is the body."""
    return {"count": counter.count(await request.body())}


@app.get("/ping")
def ping() -> dict[str, str]:
    """Whether it runs."""
    return {"status": "Healthy"}
