"""Cuts out of URLs what only says how a reader came to them."""

import re

_TRACKING_PREFIXES = ("utm_", "pk_", "mtm_", "_hs")
_TRACKING = frozenset(
    (
        *("fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "ysclid", "twclid", "ttclid"),
        *("igshid", "mc_cid", "mc_eid", "mkt_tok", "vero_id", "oly_anon_id", "oly_enc_id", "srsltid", "cmpid", "ncid"),
    )
)
_URL = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)


def without_tracking(url: str) -> str:
    """The URL without the parameters of campaigns and click counters; all else stays as it is, in its order."""
    base, hash_sign, fragment = url.partition("#")
    path, question_mark, query = base.partition("?")
    if not question_mark:
        return url
    kept = [pair for pair in query.split("&") if not _is_tracking(pair.partition("=")[0])]
    return path + ("?" + "&".join(kept) if kept else "") + hash_sign + fragment


def text_without_tracking(text: str) -> str:
    """The text with every URL in it cut like that."""
    return _URL.sub(lambda match: without_tracking(match.group()), text) if "?" in text else text


def _is_tracking(name: str) -> bool:
    name = name.lower()
    return name in _TRACKING or name.startswith(_TRACKING_PREFIXES)
