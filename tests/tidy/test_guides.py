"""What the guides show works as it stands."""

import base64
import re
from pathlib import Path

from tests.unit.keys.signing import KID, PLAYBACK_ID, WORKSPACE_ID, pair

from fastpix_server.ingest import rtp_recovery, whip, whip_model
from fastpix_server.keys import service, tokens
from fastpix_server.playback import signed_path

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "signed-playback.md").read_text()


def test_the_recipe_for_tokens_makes_tokens_that_open() -> None:
    [recipe] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    shown: dict[str, object] = {}
    exec(compile(recipe, "signed-playback.md", "exec"), shown)
    private_key = base64.b64encode(pair().private_pem.encode()).decode()
    text = shown["make_token"](KID, private_key, PLAYBACK_ID)  # type: ignore[operator]
    genuine = tokens.verify(text, pair().public_pem)
    assert isinstance(genuine, tokens.Genuine)
    expires_at_s = genuine.payload["exp"]
    found = tokens.judge(genuine, playback_id=PLAYBACK_ID, workspace_id=WORKSPACE_ID, now_s=expires_at_s - 3600)
    assert found == tokens.Claims(KID, frozenset({"media"}), expires_at_s)


def test_the_limits_that_the_guide_names_are_the_limits() -> None:
    assert f"at most {service.KEYS_MAX} keys" in GUIDE
    assert f"at most {tokens.TOKEN_MAX_CHARS} characters" in GUIDE
    assert f"differ by {tokens.LEEWAY_S} s" in GUIDE
    assert tokens.ALGORITHM in GUIDE
    assert (signed_path.ROUND_S, signed_path.BREAK_S, signed_path.PACE) == (3600, 3600, 2)  # decision 15


def test_the_limits_that_the_guide_of_whip_names_are_the_limits() -> None:
    guide = (ROOT / "docs" / "guide" / "whip.md").read_text()
    assert f"at most {whip_model.MAX_OFFER_BYTES} bytes" in guide
    assert f"({whip.MAX_SESSIONS} in each ingest process)" in guide
    assert f"connected after {whip.CONNECT_S:.0f} s" in guide
    assert f"sends nothing for {whip.SILENCE_S:.0f} s" in guide
    assert f"one every {rtp_recovery.KEY_EVERY_S:.0f} s, and at once after a loss" in guide
