"""A real OpenID issuer on loopback: it signs tokens, shows its keys, and signs browsers in by codes with PKCE."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

CLIENT = "streamsched"
CLIENT_SECRET = "the-secret-of-the-client"  # noqa: S105


class Issuer:
    """The issuer. Whoever comes to its page is signed in at once, as ``user``; or by a click, if it ``asks``."""

    def __init__(self) -> None:
        self.key: RSAKey | ECKey = RSAKey.generate_key(2048, {"kid": "first", "alg": "RS256", "use": "sig"})
        self.keys: list[dict[str, Any]] = [public(self.key)]
        self.user: dict[str, Any] = {"sub": "ada", "groups": ["admins"]}
        self.asks = False
        self.secret: str | None = None
        self.told: dict[str, Any] = {}
        """Over what it says of itself."""
        self.id_claims: dict[str, Any] = {}
        """Over those of ID tokens."""
        self.answers: dict[str, tuple[int, bytes]] = {}
        """By path: what it answers in place of what it should."""
        self.location = ""
        self.asked: list[str] = []
        """The paths that it was asked for."""
        self.forms: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.answer(self, {})

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                issuer.answer(self, {name: values[0] for name, values in parse_qs(data.decode()).items()})

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def token(self, key: RSAKey | ECKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a token, by default one that is accepted; a claim or a header that is None is left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, **self.user, **claims}
        return sign(key or self.key, said, header)

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        """Answer a request."""
        url = urlsplit(handler.path)
        self.asked.append(url.path)
        headers = {"Content-Type": "application/json"}
        if url.path in self.answers:
            status, body = self.answers[url.path]
            headers["Location"] = self.location
        elif url.path == "/authorize":
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            back = self._authorize(query)
            status, body, headers["Location"] = 302, b"", back
            if self.asks:
                status, body, headers = (
                    200,
                    f'<a href="{escape(back)}">It is me</a>'.encode(),
                    {"Content-Type": "text/html"},
                )
        elif url.path == "/token":
            self.forms.append(form)
            found = self._exchange(form, handler.headers.get("Authorization", ""))
            status, body = (400 if "error" in found else 200), json.dumps(found).encode()
        else:
            documents = {"/.well-known/openid-configuration": self._about(), "/keys": {"keys": self.keys}}
            document = documents.get(url.path)
            status, body = (404 if document is None else 200), json.dumps(document).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _about(self) -> dict[str, Any]:
        addresses = {
            "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }  # fmt: skip
        return {"issuer": self.url, **addresses, **self.told}

    def _authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.url, "session_state": "of the issuer's own"}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def _exchange(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        given = form.get("client_id"), form.get("client_secret")
        if authorization:
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            given = unquote_plus(name), unquote_plus(secret)
        if given != (CLIENT, self.secret):
            return {"error": "invalid_client", "error_description": "<b>nobody</b>"}
        asked = self._codes.pop(form["code"], None)
        verifier = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != verifier or asked["redirect_uri"] != form["redirect_uri"]:
            return {"error": "invalid_grant"}
        token = self.token(**{"nonce": asked["nonce"], **self.id_claims})
        return {"access_token": "of no use here", "token_type": "Bearer", "id_token": token}


def sign(key: Any, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """Sign claims; the header has the key's name and algorithm, unless it is given otherwise."""
    made = {"alg": key.get("alg"), "kid": key.get("kid"), **(header or {})}
    said = {name: value for name, value in claims.items() if value is not None}
    kept = {name: value for name, value in made.items() if value is not None}
    rules = jws.JWSRegistry(algorithms=[kept["alg"]], strict_check_header=False)
    return jws.serialize_compact(kept, json.dumps(said), key, None, rules)


def public(key: RSAKey | ECKey) -> dict[str, Any]:
    """Return a key as the issuer shows it."""
    return dict(key.as_dict(private=False))


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1 that nobody signed but itself, and its key; returns both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an issuer of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "ca.pem", folder / "key.pem"


@contextmanager
def issuing(secured: tuple[Path, Path] | None = None) -> Iterator[Issuer]:
    """Start an issuer in a thread, for as long as the block lasts; ``secured``: with this certificate and key."""
    issuer = Issuer()
    if secured is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*secured)
        issuer.server.socket = context.wrap_socket(issuer.server.socket, server_side=True)
        issuer.url = issuer.url.replace("http:", "https:")
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.server.shutdown()
        issuer.server.server_close()
        thread.join(60)
