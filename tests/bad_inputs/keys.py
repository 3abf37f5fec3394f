"""Public keys that must be refused, by their numbers in the threat model, with the codes."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
)
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from hookseal.seal.keys import MAX_BYTES
from tests.public_keys import (
    DSA,
    NULL,
    P256,
    RSAES_OAEP,
    RSASSA_PSS,
    X25519,
    a_private_key,
    ec_jwk,
    integer,
    jwk_of,
    modulus,
    oid,
    okp_jwk,
    p256_pem,
    pem,
    point,
    private,
    public_pem,
    rsa_jwk,
    rsa_key,
    rsa_pem,
    sequence,
    spki,
    tlv,
    x25519_pem,
)
from tests.sealed import vectors

GOOD = vectors()["p256"].public_pem
N = modulus()
X, Y = point()
# 2^255-19, and u-coordinates of small order (RFC 7748 section 6.1).
P25519 = 2**255 - 19
ORDER_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
# openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256
RSA_PSS_OF_OPENSSL = """\
-----BEGIN PUBLIC KEY-----
MIIBMzAeBgkqhkiG9w0BAQowEaAPMA0GCWCGSAFlAwQCAQUAA4IBDwAwggEKAoIB
AQCtd5IbuHgd2OJpwqpSMWyd91tF3j0mmEma2rvoYznzXvWDAXKy0LaEVlEZBACS
aDyHMg/ffWH6YhqY1ju4/pMJDfHXFQaLdtDPRuBOkihkUls6lzzqHd8sN2IYquus
tnmSZORcOszFl+UViRKZ34/Rfp41W+QOWLipWUyi0yBV4RqHgTYNwvXv3QS3mwE9
Rp2B6arsN9K5MyN+ev+8vj3D/p/7cg/bltwfpCNVD/QzmLRlFEkSUcrl/3Qw+Kf5
VoouSDM2cgCDjJ0WjmO7ImZVBJJABls1veBdTQunkVcyotHlL12WFK+7K08z+cys
3wtxeI36HyiTl3kN2fa0R+bdAgMBAAE=
-----END PUBLIC KEY-----
"""
# openssl ecparam -name prime256v1 -param_enc explicit -genkey
P256_DESCRIBED = """\
-----BEGIN PUBLIC KEY-----
MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAA
AAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA////
///////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd
NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5
RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA
//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABJvR9PLS32w7elPCnsW5gxqL
4fLL09UAFHIWmX9q81sXrAJzUbIwt4n6eZIwqlOWyKUstIFlX9tJ+FwPkwJ+GL0=
-----END PUBLIC KEY-----
"""
OPENSSH_PRIVATE = private(form=PrivateFormat.OpenSSH)


@lru_cache
def rsa_of(bits: int) -> str:
    return public_pem(rsa.generate_private_key(65_537, bits).public_key())


def certificate(encoding: Encoding = Encoding.PEM) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(a_private_key().public_key())
        .serial_number(1)
        .not_valid_before(long_ago)
        .not_valid_after(long_ago + timedelta(days=1))
    )
    return builder.sign(a_private_key(), hashes.SHA256()).public_bytes(encoding)


def request() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(a_private_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def ssh() -> bytes:
    key = a_private_key().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" me@laptop"


def inside(block: bytes) -> bytes:
    return b"".join(block.splitlines()[1:-1])


def curve(kind: ec.EllipticCurve) -> str:
    return public_pem(ec.generate_private_key(kind).public_key())


def jwk(**members: object) -> str:
    return json.dumps(members)


def without(text: str, name: str) -> str:
    members = json.loads(text)
    del members[name]
    return json.dumps(members)


Case = tuple[str, str | bytes, str]

CASES: dict[int, list[Case]] = {
    28: [
        ("RSA-1024", rsa_of(1024), "key_too_small"),
        ("RSA-1536", rsa_of(1536), "key_too_small"),
        ("RSA-2047", rsa_pem(1 << 2046 | 1), "key_too_small"),
        ("RSA-2047, JWK", rsa_jwk(1 << 2046 | 1), "key_too_small"),
        ("no modulus at all", rsa_jwk(0), "key_too_small"),
    ],
    29: [("RSA-512", rsa_pem(1 << 511 | 1), "key_too_small")],
    30: [
        ("RSA-4097", rsa_pem(1 << 4096 | 1), "key_too_large"),
        ("RSA-16384", rsa_pem(1 << 16383 | 1), "key_too_large"),
        ("RSA-16384, JWK", rsa_jwk(1 << 16383 | 1), "key_too_large"),
    ],
    31: [
        (f"e = {e}, {form.__name__}", form(N, e), "key_bad_exponent")
        for e in (0, 1, 2, 65_538)
        for form in (rsa_pem, rsa_jwk)
    ],
    32: [
        ("e = 3", rsa_pem(N, 3), "key_bad_exponent"),
        ("e = 17", rsa_jwk(N, 17), "key_bad_exponent"),
        ("e = 65535", rsa_jwk(N, 65_535), "key_bad_exponent"),
        ("e = -65537", rsa_pem(N, -65_537), "key_bad_exponent"),
    ],
    33: [
        ("e = n-2", rsa_pem(N, N - 2), "key_bad_exponent"),
        ("e = 2^64+1", rsa_jwk(N, 2**64 + 1), "key_bad_exponent"),
        ("e = 2^32+1", rsa_jwk(N, 2**32 + 1), "key_bad_exponent"),
    ],
    34: [
        ("even modulus", rsa_pem(N - 1), "key_invalid"),
        ("power of two", rsa_jwk(1 << 2047), "key_invalid"),
        ("negative modulus", rsa_pem(-N), "key_invalid"),
    ],
    35: [
        ("a square", rsa_pem(N**2), "key_weak"),
        ("a factor of 3", rsa_jwk(3 * N), "key_weak"),
        ("a factor of 1999", rsa_jwk(1999 * N), "key_weak"),
    ],
    36: [
        ("RSASSA-PSS", rsa_pem(N, algorithm=RSASSA_PSS), "key_not_for_encryption"),
        ("RSASSA-PSS of OpenSSL", RSA_PSS_OF_OPENSSL, "key_not_for_encryption"),
    ],
    37: [("RSAES-OAEP", rsa_pem(N, algorithm=RSAES_OAEP), "key_unsupported")],
    38: [
        ("Ed25519", public_pem(ed25519.Ed25519PrivateKey.generate().public_key()), "sign"),
        ("Ed448", public_pem(ed448.Ed448PrivateKey.generate().public_key()), "sign"),
        ("DSA", pem(spki(DSA, integer(5), sequence(*map(integer, (23, 11, 4))))), "sign"),
        ("ML-DSA", public_pem(mldsa.MLDSA65PrivateKey.generate().public_key()), "sign"),
        ("Ed25519, JWK", okp_jwk(bytes(32), crv="Ed25519"), "sign"),
        ("Ed448, JWK", okp_jwk(bytes(57), crv="Ed448"), "sign"),
    ],
    39: [
        ("P-384", curve(ec.SECP384R1()), "key_unsupported"),
        ("P-521", curve(ec.SECP521R1()), "key_unsupported"),
        ("secp256k1", curve(ec.SECP256K1()), "key_unsupported"),
        ("brainpool", curve(ec.BrainpoolP256R1()), "key_unsupported"),
        ("X448", public_pem(x448.X448PrivateKey.generate().public_key()), "key_unsupported"),
        ("ML-KEM", public_pem(mlkem.MLKEM768PrivateKey.generate().public_key()), "key_unsupported"),
        ("P-256 described, not named", P256_DESCRIBED, "key_unsupported"),
        ("EC of no curve", pem(spki("1.2.840.10045.2.1", b"\x04" + X + Y)), "key_unsupported"),
        ("an OID of nobody", pem(spki("2.999.1", b"key")), "key_unsupported"),
        ("P-521, JWK", ec_jwk(bytes(66), bytes(66), crv="P-521"), "key_unsupported"),
        ("secp256k1, JWK", ec_jwk(X, Y, crv="secp256k1"), "key_unsupported"),
        ("X448, JWK", okp_jwk(bytes(56), crv="X448"), "key_unsupported"),
        ("a curve that is no name", ec_jwk(X, Y, crv=["P-256"]), "key_unsupported"),
        ("no curve", without(ec_jwk(X, Y), "crv"), "key_unsupported"),
        ("AKP, JWK", jwk(kty="AKP", alg="ML-KEM-768", pub="AA"), "key_unsupported"),
    ],
    40: [
        ("off the curve", p256_pem(b"\x04" + X + X), "key_invalid"),
        ("infinity", p256_pem(b"\x00"), "key_invalid"),
        ("the origin", p256_pem(b"\x04" + bytes(64)), "key_invalid"),
        ("a hybrid point", p256_pem(bytes([6 + Y[-1] % 2]) + X + Y), "key_invalid"),
        ("cut short", p256_pem(b"\x04" + X + Y[:-1]), "key_invalid"),
        ("no point", p256_pem(b""), "key_invalid"),
        ("off the curve, JWK", ec_jwk(X, X), "key_invalid"),
        ("the origin, JWK", ec_jwk(bytes(32), bytes(32)), "key_invalid"),
        ("above the prime, JWK", ec_jwk(b"\xff" * 32, Y), "key_invalid"),
        ("a coordinate cut short, JWK", ec_jwk(X[:-1], Y), "key_invalid"),
        ("a byte in the wrong coordinate, JWK", ec_jwk(X[:-1], X[-1:] + Y), "key_invalid"),
        ("a coordinate too long, JWK", ec_jwk(b"\x00" + X, Y), "key_invalid"),
    ],
    41: [
        ("all zero", x25519_pem(bytes(32)), "key_invalid"),
        ("order 4", okp_jwk((1).to_bytes(32, "little")), "key_invalid"),
        ("order 8", okp_jwk(ORDER_8), "key_invalid"),
        ("p - 1", okp_jwk((P25519 - 1).to_bytes(32, "little")), "key_invalid"),
        ("p, which is zero", okp_jwk(P25519.to_bytes(32, "little")), "key_invalid"),
        ("31 bytes", x25519_pem(b"\x09" * 31), "key_invalid"),
        ("33 bytes, JWK", okp_jwk(b"\x09" * 33), "key_invalid"),
        ("with parameters", x25519_pem(b"\x09" + bytes(31), NULL), "key_invalid"),
        ("some bits", pem(spki(X25519, b"\x09" + bytes(31), unused_bits=3)), "key_invalid"),
    ],
    42: [
        ("PKCS #8", private(), "private_key_submitted"),
        ("SEC 1", private(form=PrivateFormat.TraditionalOpenSSL), "private_key_submitted"),
        ("encrypted", private(password=b"x"), "private_key_submitted"),
        ("OpenSSH", OPENSSH_PRIVATE, "private_key_submitted"),
        ("behind a public key", GOOD + private(), "private_key_submitted"),
        ("before a public key", private() + GOOD, "private_key_submitted"),
        ("behind a certificate", certificate() + private(), "private_key_submitted"),
        ("only its first line", b"-----BEGIN RSA PRIVATE KEY-----", "private_key_submitted"),
        ("in a string", json.dumps(private().decode()), "private_key_submitted"),
        ("in JSON", jwk(key=private().decode()), "private_key_submitted"),
        ("in base64", base64.b64encode(private()), "private_key_submitted"),
        ("in UTF-16", private().decode().encode("utf-16"), "private_key_submitted"),
        ("in DER", private(Encoding.DER), "private_key_submitted"),
        ("in DER, encrypted", private(Encoding.DER, password=b"x"), "private_key_submitted"),
        ("without its lines", base64.b64encode(private(Encoding.DER)), "private_key_submitted"),
        ("as a public key", pem(private(Encoding.DER)), "private_key_submitted"),
        ("in lower case", private().decode().lower(), "private_key_submitted"),
        ("OpenSSH, without its lines", inside(OPENSSH_PRIVATE), "private_key_submitted"),
        ("PGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "private_key_submitted"),
        ("PuTTY", "PuTTY-User-Key-File-3: ssh-rsa\n", "private_key_submitted"),
        ("age", "AGE-SECRET-KEY-1QQQ", "private_key_submitted"),
    ],
    43: [
        *(
            (f"a JWK with {name}", jwk_of(kind, **{name: "AQAB"}), "private_key_submitted")
            for kind, name in [
                ("rsa-2048", "d"),
                ("rsa-2048", "p"),
                ("rsa-2048", "q"),
                ("rsa-2048", "qi"),
                ("p256", "d"),
                ("x25519", "d"),
                ("x25519", "k"),
            ]
        ),
        ("a JWK with no kty", jwk(k="c2VjcmV0"), "private_key_submitted"),
        ("AKP", jwk(kty="AKP", alg="ML-KEM-768", pub="AA", priv="AA"), "private_key_submitted"),
        ("a set of them", jwk(keys=[{"kty": "EC", "d": "AA"}]), "private_key_submitted"),
        ("deep down", '{"a":' * 900 + '{"d":1}' + "}" * 900, "private_key_submitted"),
        (
            "an escaped name",
            jwk_of("p256", d="A").replace('"d"', r'"\u0064"'),
            "private_key_submitted",
        ),
        ("cut short", jwk_of("p256", d="A")[:-1], "private_key_submitted"),
        ("with single quotes", "{'kty': 'EC', 'd': 'AA'}", "private_key_submitted"),
    ],
    44: [("symmetric", jwk(kty="oct", k="c2VjcmV0"), "key_unsupported")],
    45: [
        ("use", jwk_of("rsa-2048", use="sig"), "key_not_for_encryption"),
        ("use, of another type", jwk_of("rsa-2048", use=["enc"]), "key_not_for_encryption"),
        ("key_ops", jwk_of("rsa-2048", key_ops=["verify"]), "key_not_for_encryption"),
        ("key_ops, of another type", jwk_of("p256", key_ops="verify"), "key_not_for_encryption"),
        ("key_ops, of numbers", jwk_of("p256", key_ops=[1]), "key_not_for_encryption"),
        *(
            (f"alg {alg}", jwk_of("rsa-2048", alg=alg), "key_not_for_encryption")
            for alg in ("none", "RS256", "PS256", "A256GCM", "dir", "", 1, ["RSA-OAEP-256"])
        ),
        ("alg ES256", jwk_of("p256", alg="ES256"), "key_not_for_encryption"),
        ("alg RSA-OAEP", jwk_of("rsa-2048", alg="RSA-OAEP"), "key_unsupported"),
        ("alg RSA1_5", jwk_of("rsa-2048", alg="RSA1_5"), "key_unsupported"),
        ("alg with a key wrap", jwk_of("x25519", alg="ECDH-ES+A256KW"), "key_unsupported"),
        ("alg of another kind", jwk_of("p256", alg="RSA-OAEP-256"), "key_unsupported"),
    ],
    46: [
        ("no n", without(rsa_jwk(N), "n"), "key_invalid"),
        ("no e", without(rsa_jwk(N), "e"), "key_invalid"),
        ("no y", without(ec_jwk(X, Y), "y"), "key_invalid"),
        ("no x", without(okp_jwk(X), "x"), "key_invalid"),
        ("null", rsa_jwk(N, n=None), "key_invalid"),
        ("a number", rsa_jwk(N, e=65_537), "key_invalid"),
        ("empty", rsa_jwk(N, e=""), "key_invalid"),
        ("padding", rsa_jwk(N, e="AQAB===="), "key_invalid"),
        ("the other alphabet", okp_jwk(X, x="+/" + "A" * 41), "key_invalid"),
        ("line breaks", okp_jwk(X, x="A" * 20 + "\n" + "A" * 23), "key_invalid"),
        ("not ASCII", okp_jwk(X, x="é" * 43), "key_invalid"),
        ("a lone surrogate", okp_jwk(X).replace('"x": "', r'"x": "\ud800'), "key_format"),
        ("bits left over", okp_jwk(X, x="C" + "A" * 41 + "B"), "key_invalid"),
        ("a zero byte in front", rsa_jwk(N, e="AAEAAQ"), "key_invalid"),
        (
            "an RSA key of one number",
            pem(spki("1.2.840.113549.1.1.1", b"\x30\x00", NULL)),
            "key_invalid",
        ),
        (
            "an RSA key with parameters",
            pem(spki("1.2.840.113549.1.1.1", rsa_key(N), oid(P256))),
            "key_invalid",
        ),
    ],
    47: [
        ("a certificate, expired", certificate(), "key_is_certificate"),
        ("a chain", certificate() * 2, "key_is_certificate"),
        ("a certificate of old", pem(b"0", "X509 CERTIFICATE"), "key_is_certificate"),
    ],
    48: [
        ("a request", request(), "key_format"),
        ("PGP", pem(b"0", "PGP PUBLIC KEY BLOCK"), "key_format"),
        ("OpenSSH", ssh(), "key_format"),
        ("ssh-rsa", b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== me@laptop", "key_format"),
        (
            "SSH2",
            "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
            "key_format",
        ),
        ("PKCS #1", pem(rsa_key(N), "RSA PUBLIC KEY"), "key_format"),
        ("parameters", pem(oid(P256), "EC PARAMETERS"), "key_format"),
    ],
    49: [
        ("empty", "", "key_format"),
        ("blank", b" \r\n\t", "key_format"),
        ("truncated", GOOD[:-60], "key_format"),
        ("no END", GOOD.replace(b"-----END PUBLIC KEY-----", b""), "key_format"),
        ("no BEGIN", GOOD.replace(b"-----BEGIN PUBLIC KEY-----", b""), "key_format"),
        ("another END", GOOD.replace(b"END PUBLIC", b"END RSA PUBLIC"), "key_format"),
        ("a line lost", b"".join(GOOD.splitlines(keepends=True)[::2]), "key_format"),
        ("inside not base64", GOOD.replace(b"M", b"!", 1), "key_format"),
        ("inside not DER", pem(b"garbage"), "key_format"),
        ("inside no key", pem(sequence(sequence(), tlv(0x03, b"\x00"))), "key_format"),
        ("inside and more", pem(spki(X25519, X) + b"\x00"), "key_format"),
        ("garbage", "hunter2", "key_format"),
        ("binary", bytes(range(256)), "key_format"),
        ("a lone surrogate", "\ud800", "key_format"),
        ("literal line breaks", GOOD.replace(b"\n", rb"\n"), "key_format"),
        ("DER", spki(X25519, X), "key_format"),
        ("DER of a certificate", certificate(Encoding.DER), "key_format"),
        ("base64 of PEM", base64.b64encode(GOOD), "key_format"),
        ("base64 of DER", base64.b64encode(spki(X25519, X)), "key_format"),
        ("UTF-16", GOOD.decode().encode("utf-16"), "key_format"),
        ("a JSON string", json.dumps(GOOD.decode()), "key_format"),
        ("JSON, cut", rsa_jwk(N)[:-1], "key_format"),
        ("JSON, no JWK", "{}", "key_format"),
        ("JSON, a number for kty", jwk(kty=1), "key_format"),
        ("JSON, too deep", "[" * 5000, "key_format"),
        ("a set of one", jwk(keys=[json.loads(okp_jwk(X))]), "key_format"),
        ("an empty set", jwk(keys=[]), "key_format"),
        ("a set that is none", jwk(keys=1), "key_format"),
        ("a list of one", "[1]", "key_format"),
    ],
    50: [
        ("two keys", GOOD * 2, "key_multiple"),
        ("a certificate and a key", certificate() + GOOD, "key_multiple"),
        ("parameters and a key", pem(oid(P256), "EC PARAMETERS").encode() + GOOD, "key_multiple"),
        ("a set of two", jwk(keys=[{"kty": "EC"}, {"kty": "EC"}]), "key_multiple"),
        ("a list of two", "[{}, {}]", "key_multiple"),
    ],
    51: [
        ("a byte too long", " " * (MAX_BYTES - len(GOOD) + 1) + GOOD.decode(), "key_too_long"),
        ("characters of two bytes", "é" * (MAX_BYTES // 2 + 1), "key_too_long"),
        ("a megabyte", b"-" * 2**20, "key_too_long"),
        ("a private key, too long", private() * 80, "key_too_long"),
    ],
}
