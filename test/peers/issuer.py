"""Access tokens by other hands: PyJWT (of the distribution) verifies what the host signs,
and plays the issuers whose tokens the host takes."""
import base64
import json
import sys
import time

sys.path.append("/usr/lib/python3/dist-packages")  # python3-jwt: tools/setup installs it there
import jwt  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402


def encode(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token):
    """Without looking at the signature."""
    return json.loads(decode(token.split(".")[1]))


def verify(token, key_set, audience, issuer):
    """What any other party does with a token and the host's public keys."""
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(key_set).keys}
    header = jwt.get_unverified_header(token)
    return jwt.decode(token, keys[header["kid"]].key, algorithms=["EdDSA"], audience=audience, issuer=issuer,
                      options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]}), header


MAKERS = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


def number(value, length=None):
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


class Issuer:
    """One with keys of its own."""

    def __init__(self, name, audience, algorithm="ES256", kid="k1"):
        self.name, self.audience, self.algorithm, self.kid = name, audience, algorithm, kid
        self.key = MAKERS[algorithm]()

    def public_jwk(self):
        public = self.key.public_key()
        jwk = {"use": "sig", "alg": self.algorithm, "kid": self.kid}
        if self.algorithm == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {**jwk, "kty": "OKP", "crv": "Ed25519", "x": encode(raw)}
        numbers = public.public_numbers()
        if self.algorithm == "ES256":
            return {**jwk, "kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
        return {**jwk, "kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}

    def key_set(self):
        return {"keys": [self.public_jwk()]}

    def token(self, client, scope=None, headers=None, **claims):
        now = int(time.time())
        claims = {"iss": self.name, "aud": self.audience, "sub": client, "client_id": client, "iat": now, "exp": now + 600, **claims}
        if scope is not None:
            claims["scope"] = scope
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid, **(headers or {})})
