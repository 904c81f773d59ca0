"""A small OpenID Connect provider on this machine, as any that a team signs in with: code flow, PKCE, RS256."""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

CLIENT, SECRET, KEY_ID = "whence", "a secret of the tests", "the only key"
Claims = dict[str, Any]


@contextmanager
def openid_provider(people: dict[str, Claims]) -> Iterator[str]:
    """Run a provider that knows these people, by what their button is called; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    server.people, server.given = people, {}  # type: ignore[attr-defined]
    server.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def secrets_file(provider: str) -> str:
    """What ``.streamlit/secrets.toml`` says of the provider; Streamlit puts in its own port."""
    return f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{secrets.token_hex(32)}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


class _Provider(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/openid-configuration":
            self._answer(self._about())
        elif url.path == "/keys":
            self._answer({"keys": [self._public_key()]})
        elif url.path == "/authorize" and asked.get("client_id") == CLIENT:
            self._who_is_it(asked)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Exchange a code, once, for who signed in."""
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(said).items()}
        asked, claims = self.server.given.pop(given.get("code"), ({}, None))
        proof = _base64(hashlib.sha256(given.get("code_verifier", "").encode()).digest())
        known = self.headers["Authorization"] == f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
        if claims is None or not known or proof != asked["code_challenge"]:
            self.send_error(400)
            return
        token = self._signed(claims | {"nonce": asked["nonce"]})
        self._answer({"access_token": secrets.token_hex(), "token_type": "Bearer", "id_token": token})

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""

    def _about(self) -> Claims:
        here = self._here()
        return {
            "issuer": here, "authorization_endpoint": f"{here}/authorize", "token_endpoint": f"{here}/token",
            "jwks_uri": f"{here}/keys", "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip

    def _who_is_it(self, asked: dict[str, str]) -> None:
        links = []
        for name, claims in self.server.people.items():
            code = secrets.token_hex()
            self.server.given[code] = (asked, claims)
            back = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            links.append(f'<p><a href="{html.escape(back)}">{html.escape(name)}</a></p>')
        self._send("text/html; charset=utf-8", "<h1>Who is it?</h1>" + "".join(links))

    def _signed(self, claims: Claims) -> str:
        """A JSON Web Token, signed with RS256 (RFC 7515)."""
        now = int(time.time())
        claims = {"iss": self._here(), "aud": CLIENT, "iat": now, "exp": now + 300} | claims
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        body = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        return f"{body}.{_base64(self.server.key.sign(body.encode(), padding.PKCS1v15(), SHA256()))}"

    def _public_key(self) -> Claims:
        numbers = self.server.key.public_key().public_numbers()
        parts = {name: getattr(numbers, name) for name in ("n", "e")}
        coded = {name: _base64(one.to_bytes((one.bit_length() + 7) // 8, "big")) for name, one in parts.items()}
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID} | coded

    def _here(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answer(self, content: Claims) -> None:
        self._send("application/json", json.dumps(content))

    def _send(self, kind: str, content: str) -> None:
        body = content.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
