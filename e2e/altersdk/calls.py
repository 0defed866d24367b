"""Steps that call a provider, by the client or by the vault."""

import asyncio

from alter_sdk.models import UserPrincipal, SystemPrincipal

from fake import AGENT, PROVIDER, answer, ask, grant, look, outcome_of, settle, step, token

OK = PROVIDER + "/ok"


@step("request by provider", calls=2)
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google"))


@step("request by label", calls=2)
async def _(v):
    grant(label="work", account="w@example.com")
    grant(label="home", account="h@example.com")
    return answer(await v.request("GET", OK + "/me", provider="google", label="home"))


@step("request by account", calls=2)
async def _(v):
    grant(label="work", account="w@example.com")
    grant(label="home", account="h@example.com")
    return answer(await v.request("GET", OK + "/me", provider="google", account="w@example.com"))


@step("request by grant", calls=2)
async def _(v):
    return answer(await v.request("GET", OK + "/me", grant_id=grant()["id"]))


@step("request with the token of the call", calls=2, person="bob")
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google", user_token=token("alice")))


@step("request of the app itself", calls=2, person=None)
async def _(v):
    grant(person="")
    return answer(await v.request("GET", OK + "/me", provider="google"))


@step("path and query parameters", calls=2)
async def _(v):
    grant()
    return answer(
        await v.request(
            "GET",
            OK + "/users/{id}/mail?lost=1",
            provider="google",
            path_params={"id": "a/b?c#d %é"},
            query_params={"q": "x y&z", "n": 2, "list": ["a", "b"], "flag": True},
        )
    )


@step("JSON body", calls=2)
async def _(v):
    grant()
    body = {"text": "naïve <b> & ☃ 😀", "n": [1, 2.5, None, True], "o": {"deep": []}}
    return answer(await v.request("POST", OK + "/send", provider="google", json=body, extra_headers={"X-Trace": "t1"}))


@step("body of bytes", calls=2)
async def _(v):
    grant()
    return answer(await v.request("PUT", OK + "/file", provider="google", body=b"plain text", extra_headers={"Content-Type": "text/plain"}))


@step("body of bytes that are no text", calls=2)
async def _(v):
    grant()
    headers = {"Content-Type": "application/octet-stream"}
    return (await v.request("PUT", OK + "/file", provider="google", body=b"\xff\x00" * 8, extra_headers=headers)).status_code


@step("body above the limit of the audit", calls=2)
async def _(v):
    grant()
    headers = {"Content-Type": "text/plain"}
    return (await v.request("PUT", OK + "/file", provider="google", body=b"x" * 10001, extra_headers=headers)).status_code


@step("every method", calls=10)
async def _(v):
    grant()
    told = []
    for n, method in enumerate(("GET", "POST", "PUT", "PATCH", "DELETE"), 1):
        told.append((await v.request(method, OK + "/m", provider="google")).json()["method"])
        await settle(2 * n)
    return told


@step("reason and context", calls=2)
async def _(v):
    grant()
    return answer(
        await v.request("GET", OK + "/me", provider="google", reason="why — daily", context={"tool": "café", "run_id": "r-1"})
    )


@step("caller, and the actor id from the second call on", calls=4, caller="my-mcp")
async def _(v):
    grant()
    for n in (2, 4):
        await v.request("GET", OK + "/me", provider="google")
        await settle(n)
    return v.actor_id is not None


@step("caller of the call", calls=2, caller="my-mcp")
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google", caller="one-shot"))


@step("caller of type agent", calls=2, caller="bot", caller_type="agent")
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google"))


@step("caller that is an unknown agent", calls=1, caller="11111111-1111-4111-8111-111111111111", caller_type="agent")
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google"))


@step("agent to which nothing was delegated", calls=1, caller=AGENT, caller_type="agent")
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google"))


@step("agent to which the grant was delegated", calls=2, caller=AGENT, caller_type="agent")
async def _(v):
    grant(delegated=[AGENT])
    return answer(await v.request("GET", OK + "/me", provider="google"))


for name, grants in {
    "no grant": [],
    "ambiguous grant": [{"label": "a", "account": "a@example.com"}, {"label": "b", "account": "b@example.com"}],
    "expired grant": [{"state": "expired"}],
    "revoked grant": [{"state": "revoked"}],
    "deleted grant": [{"state": "deleted"}],
    "revoked credential": [{"state": "credential_revoked"}],
    "restricted grant": [{"needs_proxy": "restricted_grant_requires_proxy"}],
    "grant that needs approval": [{"gates": 1}],
}.items():

    @step(name, calls=1)
    async def _(v, grants=grants):
        for g in grants:
            grant(**g)
        return answer(await v.request("GET", OK + "/me", provider="google"))


@step("user token that has expired", calls=1, person=None)
async def _(v):
    grant()
    return answer(await v.request("GET", OK + "/me", provider="google", user_token=token(ttl=-1)))


@step("flag scope_mismatch and a provider's 403", calls=2)
async def _(v):
    grant(scope_mismatch=True)
    return answer(await v.request("GET", PROVIDER + "/403/me", provider="google"))


for mode, calls in {"401": 2, "403scope": 3, "403": 2, "429": 2, "404": 2, "500": 2, "503": 2}.items():

    @step("provider answers " + mode, calls=calls)
    async def _(v, mode=mode):
        grant()
        return answer(await v.request("GET", PROVIDER + f"/{mode}/me", provider="google"))


@step("provider cuts the connection", calls=2)
async def _(v):
    grant()
    return answer(await v.request("GET", PROVIDER + "/cut/me", provider="google"))


@step("provider is too slow", calls=2, timeout=1.0)
async def _(v):
    grant()
    return answer(await v.request("GET", PROVIDER + "/slow/me?ms=5000", provider="google"))


@step("constraint of scopes", calls=2)
async def _(v):
    grant()
    return answer(await v.with_constraints(scopes=["tokens:retrieve", "grants:read"]).request("GET", OK + "/me", provider="google"))


@step("rule of a request", calls=2)
async def _(v):
    grant()
    rule = {"rule_type": "json_match", "rule_body": {"when": {"method": "POST"}, "effect": "deny"}}
    return answer(await v.with_constraints(rule=rule).request("GET", OK + "/me", provider="google"))


@step("scopes and rule, by the proxy", calls=1, caller="my-mcp")
async def _(v):
    grant()
    rule = {"rule_type": "json_match", "rule_body": {"when": {"method": "POST"}, "effect": "deny"}}
    return answer(await v.with_constraints(scopes=["proxy:execute"], rule=rule).proxy_request("GET", OK + "/me", provider="google"))


AWS = {"secret_key": "aws-secret", "region": "eu-central-1", "service": "execute-api"}
INJECTIONS = {
    "custom header": {"inject_header": "X-Api-Token", "inject_format": "key={token}"},
    "basic": {"token": "dXNlcjpwYXNz", "inject_format": "Basic {token}"},
    "query": {"injections": [{"target": "query_param", "key": "api_key", "value_source": "token"}]},
    "further headers": {
        "additional": {"org": "acme", "site": "s1"},
        "injections": [
            {"target": "header", "key": "X-Org", "value_source": "additional_credentials.org"},
            {"target": "query_param", "key": "site", "value_source": "additional_credentials.site"},
        ],
    },
    "AWS": {"token": "AKIDEXAMPLE", "inject_format": "AWS4-HMAC-SHA256", "additional": AWS},
    "AWS with a session": {
        "token": "AKIDEXAMPLE",
        "inject_format": "AWS4-HMAC-SHA256",
        "additional": AWS | {"session_token": "session/token+="},
    },
}

for name, how in INJECTIONS.items():

    @step("injection, " + name, calls=3)
    async def _(v, how=how):
        grant(provider="acme", secret=True, **how)
        own = await v.request("POST", OK + "/i", provider="acme", query_params={"z": "1 2"}, json={"a": 1})
        await settle(2)
        told = await v.proxy_request("POST", OK + "/i", provider="acme", query_params={"z": "1 2"}, json={"a": 1})
        return [answer(own), answer(told)]


@step("header of the caller in other letters than the injected one", calls=2)
async def _(v):
    grant(inject_header="X-Token", inject_format="{token}")
    return answer(await v.request("GET", OK + "/me", provider="google", extra_headers={"x-token": "mine"}))


@step("proxy", calls=1)
async def _(v):
    grant(needs_proxy="restricted_grant_requires_proxy")
    return answer(
        await v.proxy_request(
            "POST",
            OK + "/send/{to}",
            provider="google",
            path_params={"to": "bob smith"},
            query_params={"q": "1"},
            json={"text": "☃"},
            extra_headers={"X-Trace": "t1"},
            reason="asked for",
            context={"tool": "send"},
        )
    )


@step("proxy by grant, label and account", calls=3)
async def _(v):
    g = grant(label="work", account="w@example.com")
    grant(label="home", account="h@example.com")
    ways = ({"grant_id": g["id"]}, {"provider": "google", "label": "home"}, {"provider": "google", "account": "w@example.com"})
    return [answer(await v.proxy_request("GET", OK + "/me", **way)) for way in ways]


@step("proxy and the provider's errors", calls=3)
async def _(v):
    grant()
    return [answer(await v.proxy_request("GET", PROVIDER + f"/{mode}/me", provider="google")) for mode in ("401", "403scope", "500")]


async def decided(v, gates, *decisions):
    grant(gates=gates)
    pending = await v.proxy_request("POST", OK + "/send", provider="google", json={"t": 1})
    seen = [(await v.get_approval_status(str(pending.approval_id))).status]
    for gate, decision in zip(pending.gates, decisions):
        ask("approval", id=str(gate.approval_id), decision=decision, **({"reason": "not today"} if decision == "deny" else {}))
        seen.append((await v.get_approval_status(str(pending.approval_id))).status)
    result = await outcome_of(v.await_approval(str(pending.approval_id), timeout=10))
    return {"gates": len(pending.gates), "seen": [str(s) for s in seen], "end": result if isinstance(result, dict) else answer(result)}


@step("approval, approved", calls=5)
async def _(v):
    return await decided(v, 1, "approve")


@step("approval, denied", calls=4)
async def _(v):
    return await decided(v, 1, "deny")


@step("approval, expired", calls=4)
async def _(v):
    return await decided(v, 1, "expire")


@step("approval, two gates", calls=6, caller="my-mcp")
async def _(v):
    return await decided(v, 2, "approve", "approve")


@step("approval, two gates, one denies", calls=5)
async def _(v):
    return await decided(v, 2, "approve", "deny")


@step("approval, while somebody waits", calls=3)
async def _(v):
    grant(gates=1)
    pending = await v.proxy_request("GET", OK + "/me", provider="google")
    waiting = asyncio.create_task(v.await_approval(str(pending.approval_id), timeout=20))
    while not [c for c in look("log") if c["path"].endswith(str(pending.approval_id))]:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(ask, "approval", id=str(pending.approval_id), decision="approve")
    return answer(await waiting)


@step("approval, whose call fails", calls=3)
async def _(v):
    grant(gates=1)
    pending = await v.proxy_request("GET", PROVIDER + "/cut/me", provider="google")
    ask("approval", id=str(pending.approval_id), decision="approve")
    status = await v.get_approval_status(str(pending.approval_id))
    return [str(status.status), status.has_result, await outcome_of(v.await_approval(str(pending.approval_id), timeout=5))]


@step("approval, unknown", calls=1)
async def _(v):
    return str((await v.get_approval_status("22222222-2222-4222-8222-222222222222")).status)


@step("approval, time is over", calls=2)
async def _(v):
    grant(gates=1)
    pending = await v.proxy_request("GET", OK + "/me", provider="google")
    return await outcome_of(v.await_approval(str(pending.approval_id), timeout=0.5))


@step("managed secret, granted to a person and to the app", calls=3, person=None)
async def _(v):
    grant(person="", provider="acme", secret=True)
    sid = (await v.list_grants()).grants[0].managed_secret_id
    one = await v.create_managed_secret_grant(sid, principal=UserPrincipal(user_token=token(), label="mine"))
    two = await v.create_managed_secret_grant(
        sid, principal=SystemPrincipal(label="nightly"), grant_policy={"max_ttl_seconds": 3600}
    )
    return [one.principal_type, one.label, two.principal_type, two.label]


@step("last rate limit", calls=2)
async def _(v):
    grant()
    await v.request("GET", OK + "/me", provider="google")
    limit = v.last_rate_limit
    return [limit.limit, limit.remaining]


@step("retries told by the vault", calls=2)
async def _(v):
    grant()
    tries = {
        "total_attempts": 2,
        "successful_attempt": 2,
        "errors": [{"attempt": 1, "error": "x", "error_type": "T", "delay_s": 0.5, "permanent": False}],
    }
    ask("fault", path="/sdk/token", set={"retry_info": tries})
    await v.request("GET", OK + "/me", provider="google")
    return v.last_retry_info.total_attempts
