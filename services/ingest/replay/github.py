"""GH Archive: one JSON object a line, as GitHub's events API gave it (https://www.gharchive.org)."""

from collections.abc import Mapping
from typing import Any

from penstock.errors import DataError
from services.ingest.replay.parser import Fields, Skipped, json_object, text_of

_COMMENTS = frozenset({"IssueCommentEvent", "PullRequestReviewCommentEvent", "CommitCommentEvent"})
_ATTRIBUTES = ("action", "ref", "ref_type", "head", "number")


class GithubParser:
    """Every line is an event; its id is GitHub's own, which is never given twice."""

    def parse(self, line: bytes) -> list[Fields] | Skipped:
        entry = json_object(line)
        try:
            return [_fields(entry)]
        except (LookupError, TypeError, AttributeError) as error:
            raise DataError("not-gharchive", f"not an event as GH Archive records it: no {error}") from None


def _fields(entry: Mapping[str, Any]) -> Fields:
    kind_of_event, payload, repo = entry["type"], entry["payload"], entry["repo"]["name"]
    subject = payload.get("issue") or payload.get("pull_request") or payload.get("release") or {}
    comment = payload.get("comment") or {}
    opened = payload.get("action") == "opened" and subject
    measures = {"commits": payload["size"]} if kind_of_event == "PushEvent" else {}
    return {
        "id": entry["id"],
        "source": "github",
        "kind": _kind(kind_of_event, bool(opened)),
        "occurred_at": entry["created_at"],
        "author": entry["actor"]["login"],
        "title": subject.get("title") or subject.get("name") or repo,
        "text": _text(kind_of_event, payload, subject, comment),
        "url": comment.get("html_url") or subject.get("html_url") or f"https://github.com/{repo}",
        "measures": measures,
        "attributes": {
            "type": kind_of_event,
            "repo": repo,
            **({"org": entry["org"]["login"]} if entry.get("org") else {}),
            **text_of(payload, *_ATTRIBUTES),
        },
    }


def _kind(kind_of_event: str, opened: bool) -> str:
    if kind_of_event in _COMMENTS:
        return "comment"
    if kind_of_event == "GollumEvent":
        return "edit"
    return "post" if opened else "activity"


def _text(
    kind_of_event: str, payload: Mapping[str, Any], subject: Mapping[str, Any], comment: Mapping[str, Any]
) -> str | None:
    """What somebody wrote in this event; an issue that is closed was written before."""
    if kind_of_event in _COMMENTS:
        return comment.get("body") or None
    if kind_of_event == "PushEvent":
        return "\n\n".join(commit["message"] for commit in payload["commits"]) or None
    if kind_of_event == "GollumEvent":
        return "\n".join(page["summary"] or page["title"] for page in payload["pages"]) or None
    if kind_of_event == "ReleaseEvent" or payload.get("action") == "opened":
        return subject.get("body") or None
    return payload.get("description") or None
