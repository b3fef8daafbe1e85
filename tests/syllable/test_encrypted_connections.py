"""The same care over TLS: whom to trust, what was sent, and how long to wait."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import ReplyLost, Unavailable
from batchops.syllable.patch import BatchPatch
from tests.syllable.loopback import KEY, Loopback, Said, batch, loopback, said_json

PAUSE = BatchPatch(paused=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that nobody but its owner trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server(certificate: Path) -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with loopback(lambda heard: said_json(batch("b"))) as running:
        running.socket = context.wrap_socket(
            running.socket, server_side=True, do_handshake_on_connect=False
        )
        yield running


def client_over_tls(server: Loopback, *, trust_environment: bool) -> SyllableClient:
    return SyllableClient(
        server.url.replace("http:", "https:"),
        KEY,
        connect_timeout=2,
        read_timeout=0.5,
        use_environment_proxies=trust_environment,
    )


@pytest.mark.parametrize("bundle_named", [True, False])
def test_a_certificate_that_nobody_trusts_ends_it_before_anything_is_sent(
    server: Loopback, certificate: Path, bundle_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    if bundle_named:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    client = client_over_tls(server, trust_environment=False)
    with pytest.raises(Unavailable, match="certificate") as error:
        client.update_batch("b", PAUSE)
    client.close()
    assert not error.value.may_have_applied
    assert server.heard == []


def test_a_certificate_of_the_environment_is_trusted_when_wanted(
    server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = client_over_tls(server, trust_environment=True)
    for _ in range(3):
        assert client.update_batch("b", PAUSE).batch_id == "b"
    client.close()
    assert len(server.heard) == 3


def test_a_reply_that_drips_is_given_up_over_tls_too(
    server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    server.answer = lambda heard: Said(drip(), "close")
    client = client_over_tls(server, trust_environment=True)
    with pytest.raises(ReplyLost, match=r"took too long|timed out"):
        client.update_batch("b", PAUSE)
    client.close()
