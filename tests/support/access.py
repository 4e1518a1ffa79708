"""Who may use a server of the tests: the files that ``--auth`` names, and the requests of their users."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support.http_server import BODY, PAYROLL, Http
from tests.support.issuer import CLIENT

USERS = {"vera": "viewer", "otto": "operator", "ada": "admin", "bea": "operator:count", "abe": "admin:count"}
"""Users with a token, and their roles."""
ROLES = [
    {"group": "admins", "role": "admin"}, {"group": "counters", "role": "operator", "within": "count"},
    {"user": "vera", "role": "viewer"},
]  # fmt: skip
"""Roles of those whom an issuer or a proxy names."""
PROXY_SECRET = "correct-horse-battery-staple"  # noqa: S105
PROXY: dict[str, Any] = {
    "networks": ["127.0.0.0/8", "::1/128"], "secret_header": "X-Proxy-Secret", "secret_file": "secret.txt",
    "user_header": "X-Remote-User", "groups_header": "X-Remote-Groups", "roles": ROLES,
}  # fmt: skip


def token_line(name: str, role: str) -> str:
    """Return the line of a user in a file of tokens."""
    role, colon, within = role.partition(":")
    return f"{name}:{role}:{sha256(f'token of {name}'.encode()).hexdigest()}{colon}{within}\n"


def token_file(folder: Path) -> Path:
    """Write the tokens of ``USERS``."""
    path = folder / "tokens.txt"
    path.write_text("# who may do what\n\n" + "".join(token_line(*each) for each in USERS.items()))
    return path


def oidc_file(folder: Path, issuer: str, /, **changed: Any) -> Path:
    """Write what a server has to know of an issuer."""
    path = folder / "oidc.json"
    given = {"issuer": issuer, "audience": CLIENT, "groups_claim": "groups", "roles": ROLES, **changed}
    path.write_text(json.dumps(given))
    return path


def proxy_file(folder: Path, **changed: Any) -> Path:
    """Write what a server has to know of a proxy, and the secret that they share."""
    (folder / "secret.txt").write_text(f"{PROXY_SECRET}\n")
    (folder / "secret.txt").chmod(0o600)
    path = folder / "proxy.json"
    path.write_text(json.dumps({**PROXY, **changed}))
    return path


def bearer(ask: Http, token: str) -> Http:
    """Ask with a token."""
    return Http(ask.port, {"Authorization": f"Bearer {token}"})


def as_user(ask: Http, name: str) -> Http:
    """Ask with the token of a user."""
    return bearer(ask, f"token of {name}")


def proxied(ask: Http, name: str, groups: str = "", **more: str) -> Http:
    """Ask as a proxy does for a user. Names of headers have _ for -."""
    sent = {"X-Proxy-Secret": PROXY_SECRET, "X-Remote-User": name, "X-Remote-Groups": groups}
    return Http(ask.port, sent | {key.replace("_", "-"): value for key, value in more.items()})


def two_tasks(ask: Http) -> str:
    """Request mine, of the template count, and other, of another; return the position at which both are there."""
    made = [ask("PUT", f"/v1/tasks/{name}", body) for name, body in (("mine", BODY), ("other", PAYROLL))]
    assert [each.status for each in made] == [201, 201]
    return ",".join(each.headers["Streamsched-Position"] for each in made)
