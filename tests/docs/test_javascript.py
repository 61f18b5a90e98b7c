"""What the page on webhooks shows in JavaScript does what it says, where there is a Node to run it."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from db.receivers import make_secret
from tests.docs.blocks import ROOT, read_blocks

ASK = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
for (const [body, headers, secret, now] of JSON.parse(readFileSync(0)))
  console.log(JSON.stringify(verify(Buffer.from(body), headers, secret, now)));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="this machine has no Node")
def test_verify_takes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    (code,) = [block.code for block in read_blocks(ROOT / "docs" / "webhooks.md") if block.language == "javascript"]
    (tmp_path / "verify.mjs").write_text(code)
    (tmp_path / "ask.mjs").write_text(ASK)
    secret, body, at = make_secret(), '{"type":"job.completed","data":{"prompt":"ü"}}', datetime.now(UTC)
    ours, other = Webhook(secret).sign("msg_1", at, body), Webhook(make_secret()).sign("msg_1", at, body)
    now = at.timestamp()

    def headers(signature: str, name: str = "msg_1") -> dict[str, str]:
        return {"webhook-id": name, "webhook-timestamp": str(int(now)), "webhook-signature": signature}

    good = [(body, headers(ours), secret, now), (body, headers(f"{other} {ours}"), secret, now + 299)]
    bad = [
        (body, headers(other), secret, now), (body + " ", headers(ours), secret, now), (body, {}, secret, now),
        (body, headers(ours, "msg_2"), secret, now), (body, headers(ours), secret, now + 302),
        (body, headers(ours.replace("v1,", "v1a,")), secret, now), (body, headers("v1,"), secret, now),
    ]  # fmt: skip
    said = subprocess.run(
        ["node", "ask.mjs"], cwd=tmp_path, input=json.dumps([*good, *bad]), capture_output=True, text=True, check=True
    ).stdout
    assert [json.loads(line) for line in said.splitlines()] == [json.loads(body)] * 2 + [None] * len(bad)
