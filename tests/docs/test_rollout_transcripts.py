"""The dry runs in the rollout tutorial are what the command prints; with UPDATE_DOCS=1 they are written anew."""

import os
import re

from tests.docs.pages import DOCS
from tests.support.cluster.world import World

PAGE = DOCS / "tutorials" / "first-rollout.md"
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00")


def check(name: str, output: str) -> None:
    block = f"<!-- {name} -->\n```text\n{TIME.sub('2026-01-05T09:00:00+00:00', output)}```\n<!-- end -->"
    page = PAGE.read_text()
    shown = re.search(rf"<!-- {name} -->.*?<!-- end -->", page, re.DOTALL)[0]
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page.replace(shown, block))
    else:
        assert shown == block


def prepared(world: World) -> World:
    world.gateway.error = {"crowd-predictor": 2.0, "crowd-canary-predictor": 1.5}
    world.start()
    return world


def test_promotion_is_shown_as_printed(world: World) -> None:
    reply = prepared(world).auto("--steps", "5,50", "--dry-run")
    assert reply.code == 0
    check("promotion", reply.out)


def test_abort_is_shown_as_printed(world: World) -> None:
    world.errors = {"crowd-canary-predictor": 40}
    moves = prepared(world).moves()
    moves.step(moves.read(), 25)
    reply = world.auto("--dry-run")
    assert reply.code == 1
    check("abort", reply.out)
