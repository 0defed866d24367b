"""Steps in which the vault answers /sdk/token with an error."""

from fake import PROVIDER, ask, grant, step


def error(status, code, headers=None, **more):
    return status, {"error": code, "message": "m", **more}, headers


ANSWERS = [
    error(400, "constraint_not_narrowing"),
    error(400, "restricted_grant_requires_proxy"),
    error(400, "hitl_grant_requires_proxy"),
    error(400, "delegated_grant_requires_proxy"),
    error(400, "user_limits_require_proxy"),
    error(400, "caller_agent_mismatch"),
    error(400, "grant_revoked"),
    error(401, "jwt_validation_error"),
    error(401, "invalid_key"),
    error(401, "key_revoked"),
    error(401, "key_expired"),
    error(401, "key_rotated_grace_expired"),
    error(401, "key_not_active"),
    error(401, "agent_inactive"),
    error(401, "agent_revoked"),
    error(401, "signature_invalid"),
    error(402, "grant_limit_exceeded"),
    error(403, "insufficient_scope", missing=["tokens:retrieve"]),
    error(403, "grant_expired"),
    error(403, "grant_revoked"),
    error(403, "credential_revoked"),
    error(403, "restricted_grant_requires_proxy"),
    error(403, "grant_not_delegable"),
    error(403, "scope_mismatch", details={"grant_id": "g", "provider_id": "google"}),
    error(403, "step_up_required", max_session_age_seconds=300),
    error(403, "redact_discharge_failed"),
    error(403, "ip_not_allowed"),
    error(404, "grant_not_found"),
    error(404, "anything_else"),
    error(404, "no_delegated_grant"),
    error(404, "caller_agent_unresolved"),
    error(404, "agent_not_found"),
    error(404, "secret_not_found"),
    error(409, "ambiguous_grant"),
    error(409, "token_refresh_in_progress"),
    error(409, "no_delegated_grant"),
    error(409, "sibling_label_conflict"),
    error(409, "managed_oauth_scope_approval_required"),
    error(409, "other"),
    error(410, "grant_deleted"),
    error(422, "blocked_destination"),
    error(422, "query_too_long"),
    error(429, "rate_limit_exceeded", {"Retry-After": "2"}, scope="api_key", retry_after=9),
    error(429, "quota_exceeded", retry_after=90000),
    error(429, "billing_quota_exceeded"),
    error(500, "oops"),
    error(502, "credential_revoked"),
    error(503, "caller_agent_resolution_error", {"Retry-After": "2"}),
    error(503, "app_not_found_for_key"),
    error(503, "oops", {"Retry-After": "7"}),
    error(504, "timeout"),
    (404, {"detail": "Not Found"}, None),
    (403, {"detail": {"error": "grant_expired", "message": "m"}}, None),
]

GARBAGE = {
    "no JSON": (502, "<html>bad gateway</html>", None),
    "429 without JSON": (429, "slow down", {"Retry-After": "3"}),
    "200 without JSON": (200, "<html>", None),
}


def declare(name, status, body, headers):
    @step(name, calls=1)
    async def _(v):
        grant()
        ask("fault", path="/sdk/token", status=status, body=body, header=headers or {})
        return (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code


for status, body, headers in ANSWERS:
    code = body.get("error") or "detail " + (body["detail"] if isinstance(body["detail"], str) else body["detail"]["error"])
    declare(f"error {status} {code}", status, body, headers)
for name, (status, body, headers) in GARBAGE.items():
    declare("answer " + name, status, body, headers)

WRONG = {
    "no grant": {"grant_id": None},
    "grant in upper case": {"grant_id": "AAAAAAAA-1111-4111-8111-111111111111"},
    "header host": {"injection_header": "Host"},
    "format without token": {"injection_format": "Bearer"},
    "line break in the token": {"access_token": "a\rb"},
    "empty token": {"access_token": ""},
    "negative life": {"expires_in": -1},
    "end without zone": {"expires_at": "2026-11-23T00:00:00"},
    "scopes as text": {"scopes": "a b"},
    "unknown injection": {"additional_injections": [{"target": "body", "key": "k", "value_source": "token"}]},
}
for name, fields in WRONG.items():

    @step("token answer with " + name, calls=1)
    async def _(v, fields=fields):
        grant()
        ask("fault", path="/sdk/token", set=fields)
        return (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code


@step("token answer with an unknown field", calls=2)
async def _(v):
    grant()
    ask("fault", path="/sdk/token", set={"new": 1})
    return (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code


for cut in ("undone", "done", "half"):

    @step("vault cuts the connection, " + cut, calls=0)
    async def _(v, cut=cut):
        grant()
        ask("fault", path="/sdk/token", cut=cut)
        return (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code


@step("vault is too slow", calls=0, timeout=0.5)
async def _(v):
    grant()
    ask("fault", path="/sdk/token", delay_ms=2000)
    return (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code
