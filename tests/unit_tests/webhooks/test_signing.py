"""Secrets are readable to their webhook alone, and signatures to whoever has the secret."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from pydantic import SecretStr

from functions.webhooks.signing import SecretBox, generate_secret, write_signature
from shared.errors import ConfigurationError
from shared.logging.redaction import redact
from shared.tenancy.context import parse_tenant_id

ACME, GLOBEX = parse_tenant_id("acme"), parse_tenant_id("globex")
OLD, NEW = SecretStr("the-deployments-old-key"), SecretStr("the-deployments-new-key")


def test_a_sealed_secret_opens_for_its_own_webhook_and_no_other() -> None:
    box = SecretBox(NEW, None)
    sealed = box.seal("whsec_x", ACME, "a")

    assert "whsec_x" not in sealed
    assert box.open(sealed, ACME, "a") == "whsec_x"
    for tenant_id, webhook_id in ((GLOBEX, "a"), (ACME, "b")):
        with pytest.raises(ConfigurationError):
            box.open(sealed, tenant_id, webhook_id)


def test_the_same_secret_is_sealed_otherwise_each_time() -> None:
    box = SecretBox(NEW, None)

    assert box.seal("whsec_x", ACME, "a") != box.seal("whsec_x", ACME, "a")


def test_what_the_key_before_sealed_is_read_and_what_is_new_needs_the_new_key() -> None:
    sealed = SecretBox(OLD, None).seal("whsec_x", ACME, "a")
    rotating = SecretBox(NEW, OLD)

    assert rotating.open(sealed, ACME, "a") == "whsec_x"
    with pytest.raises(ConfigurationError, match="WEBHOOK_KEY"):
        SecretBox(NEW, None).open(sealed, ACME, "a")
    with pytest.raises(ConfigurationError):
        SecretBox(OLD, None).open(rotating.seal("whsec_y", ACME, "a"), ACME, "a")


def test_without_a_key_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="WEBHOOK_KEY"):
        SecretBox(None, OLD).seal("whsec_x", ACME, "a")


def test_a_signature_is_hmac_sha256_over_time_and_body_by_each_secret() -> None:
    written = write_signature(["one", "two"], 1_769_855_400, b'{"a":1}')

    expected = [
        hmac.new(secret, b'1769855400.{"a":1}', hashlib.sha256).hexdigest() for secret in (b"one", b"two")
    ]
    assert written == f"t=1769855400,v1={expected[0]},v1={expected[1]}"


def test_a_secret_has_256_bits_and_passes_no_log() -> None:
    secret = generate_secret()

    assert secret != generate_secret()
    assert len(secret) == len("whsec_") + 43
    assert redact(f"signed with {secret} today") == "signed with [secret] today"
