"""Steps in which a person logs in or agrees, and what manages grants."""

import asyncio

from alter_sdk.memory import verify_identity_assertion

from fake import AGENT, PROVIDER, WHERE, ask, control, grant, look, outcome_of, step, token


@step("auth session", calls=1, person=None)
async def _(v):
    s = await v.create_auth_session()
    return [s.session_token.startswith("auth_sess_"), s.auth_url.startswith(WHERE["issuer"]), s.expires_in]


async def until(path):
    """Waits until a call of that path is with the vault."""
    while not [c for c in look("log") if c["path"] == path and c["status"] == 0]:
        await asyncio.sleep(0.01)


async def log_in(v, **how):
    s = await v.create_auth_session()
    waiting = asyncio.create_task(v.poll_auth_session(s.session_token, timeout=20))
    await until("/sdk/auth/poll")
    await asyncio.to_thread(ask, "sign-in", session=s.session_token, **how)
    result = await waiting
    return {"info": result.user_info, "subject": await v.verify_user_token(result.user_token)}


@step("auth session, polled until the person has logged in", calls=3, person=None)
async def _(v):
    return await log_in(v, person="alice")


for code in ("access_denied", "service_unavailable", "identity_provider_inactive", "identity_group_name_ambiguous"):

    @step("auth session ends with " + code, calls=2, person=None)
    async def _(v, code=code):
        return await log_in(v, error=code)


@step("auth session, expired", calls=2, person=None)
async def _(v):
    return await log_in(v, expire=True)


@step("auth session, poll survives a 503", calls=3, person=None)
async def _(v):
    s = await v.create_auth_session()
    ask("sign-in", session=s.session_token, person="alice")
    ask("fault", path="/sdk/auth/poll", status=503, body={"error": "unavailable", "message": "m"})
    return (await v.poll_auth_session(s.session_token, timeout=20, poll_interval=0.05)).user_info


@step("user token, verified and not", calls=3, person=None)
async def _(v):
    return [await outcome_of(v.verify_user_token(t)) for t in (token(), token(ttl=-1), token() + "x")]


@step("connect session", calls=1)
async def _(v):
    s = await v.create_connect_session()
    return [s.single_provider, s.direct, s.scope_constraint_warnings]


@step("connect session with all options", calls=1)
async def _(v):
    s = await v.create_connect_session(
        allowed_providers=["google"],
        direct=True,
        switch_account=True,
        allow_user_policy_rules=False,
        return_url="https://app.example.com/back",
        allowed_origin="https://app.example.com",
        metadata={"ip_address": "192.0.2.1", "user_agent": "Browser/1"},
        grant_policy={"max_ttl_seconds": 86400, "default_ttl_seconds": 3600},
        required_scopes={"google": ["gmail.send", "gmail.readonly"]},
        requested_grant={"label": "work", "restrictions": {"allowed_methods": ["GET"], "allowed_endpoints": ["/v1/*"]}},
    )
    return [s.single_provider, s.direct]


@step("connect session for an agent", calls=1)
async def _(v):
    s = await v.create_connect_session(
        allowed_providers=["google"], agent="research-bot", delegable=True, scope_constraint=["google:gmail.readonly"]
    )
    return s.single_provider


@step("connect session for an unknown agent", calls=1)
async def _(v):
    return (await v.create_connect_session(allowed_providers=["google"], agent="nobody")).single_provider


@step("connect session with the token of the call", calls=1, person=None)
async def _(v):
    return (await v.create_connect_session(allowed_providers=["google", "slack"], user_token=token())).single_provider


@step("connect session that repairs a grant", calls=2)
async def _(v):
    g = grant(state="credential_revoked")
    s = await v.create_connect_session(allowed_providers=["google"], repair_grant_id=g["id"])
    ask("connect", session=s.session_token)
    return connected(await v.poll_connect_session(s.session_token))


@step("connect session for the error of a call", calls=2)
async def _(v):
    grant(state="credential_revoked")
    try:
        await v.request("GET", PROVIDER + "/ok/me", provider="google")
    except Exception as e:
        return (await v.create_connect_session_for_error(e)).single_provider


@step("connect session for a missing grant, then the call", calls=5)
async def _(v):
    try:
        await v.request("GET", PROVIDER + "/ok/me", provider="google")
    except Exception as e:
        s = await v.create_connect_session_for_error(e, required_scopes={"google": ["gmail.readonly"]})
    ask("connect", session=s.session_token)
    grants = await v.poll_connect_session(s.session_token)
    return [connected(grants), (await v.request("GET", PROVIDER + "/ok/me", provider="google")).status_code]


def connected(results):
    return [
        [r.provider_id, r.account_identifier, r.scopes, str(r.operation), [f.model_dump() for f in r.failed_grants]]
        for r in results
    ]


async def connect(v, **how):
    s = await v.create_connect_session(allowed_providers=["google", "slack"])
    ask("connect", session=s.session_token, **how)
    return connected(await v.poll_connect_session(s.session_token, timeout=10, poll_interval=0.05))


@step("connect poll, both agreed", calls=2)
async def _(v):
    return await connect(v)


@step("connect poll, one failed", calls=2)
async def _(v):
    return await connect(v, failed={"slack": "activation_failed"})


@step("connect poll, all failed", calls=2)
async def _(v):
    return await connect(v, failed={"slack": "not_selected", "google": "activation_failed"})


@step("connect poll, policy not applied", calls=2)
async def _(v):
    return await connect(v, failed={"slack": "grant_policy_application_failed", "google": "activation_failed"})


for code in ("connect_denied", "connect_config_error", "invalid_client", "service_unavailable", "identity_provider_inactive", "anything_else"):

    @step("connect poll ends with " + code, calls=2)
    async def _(v, code=code):
        return await connect(v, error=code)


@step("connect poll, expired", calls=2)
async def _(v):
    return await connect(v, expire=True)


@step("connect poll, one declined before the other is agreed to", calls=3)
async def _(v):
    s = await v.create_connect_session(allowed_providers=["google", "slack"])
    ask("connect", session=s.session_token, declined=["slack"])
    events = []

    def seen(event):
        events.append([event["type"], event["provider_id"], event["error_code"]])
        ask("connect", session=s.session_token)

    results = await v.poll_connect_session(s.session_token, timeout=10, poll_interval=0.05, on_event=seen)
    return [events, len(results)]


@step("connect poll waits out a 429", calls=3)
async def _(v):
    limited = {"error": "rate_limit_exceeded", "message": "m"}
    ask("fault", path="/sdk/oauth/connect/session/poll", status=429, body=limited, header={"Retry-After": "1"})
    return await connect(v)


@step("connect page, a person agrees", calls=2)
async def _(v):
    s = await v.create_connect_session(allowed_providers=["google"], requested_grant={"label": "work"})
    title = control.post(s.connect_url, data={"session": s.session_token, "decision": "allow", "account": "a@example.com"}).status_code
    return [title, connected(await v.poll_connect_session(s.session_token))]


@step("managed secret's connect session", calls=1)
async def _(v):
    s = await v.create_managed_secret_connect_session(provider="acme", user_token=token())
    return [s.path, s.direct, s.secret_slug]


@step("managed secret's connect session with all options", calls=1)
async def _(v):
    s = await v.create_managed_secret_connect_session(
        provider="acme",
        user_token=token(),
        agent=AGENT,
        delegable=True,
        requested_grant={"label": "work"},
        grant_policy={"max_ttl_seconds": 86400, "default_ttl_seconds": 3600},
        direct=True,
        allow_user_policy_rules=False,
        allowed_origin="https://app.example.com",
        return_url="https://app.example.com/back",
    )
    return [s.path, s.direct, s.delegable_requested, s.secret_slug]


@step("managed secret's connect session that repairs a grant", calls=1)
async def _(v):
    g = grant(provider="acme", secret=True, state="credential_revoked")
    s = await v.create_managed_secret_connect_session(
        provider="acme", user_token=token(), repair_grant_id=g["id"], direct=True
    )
    return [s.path, s.existing_grant_id == g["id"]]


@step("managed secret's connect session with a life for an agent", calls=1)
async def _(v):
    s = await v.create_managed_secret_connect_session(provider="acme", user_token=token(), agent=AGENT, requested_ttl_seconds=3600)
    return [s.path, s.agent_id == AGENT]


@step("list of grants", calls=3)
async def _(v):
    grant()
    grant(provider="acme", secret=True)
    grant(person="bob")
    grant(provider="slack", label="work", account="w", state="revoked")
    lists = [
        await v.list_grants(),
        await v.list_grants(provider_id="slack", status="revoked", account="w", label="work", limit=5),
        await v.list_grants(end_user_token=token("bob"), limit=1, offset=0),
    ]
    return [[x.total, x.has_more, [[g.grant_kind, g.account_identifier, g.status] for g in x.grants]] for x in lists]


@step("list of grants, page by page", calls=2, person=None)
async def _(v):
    for person in ("alice", "bob", "carol"):
        grant(person=person)
    pages = [await v.list_grants(limit=2), await v.list_grants(limit=2, offset=2)]
    return [[x.total, x.has_more, len(x.grants)] for x in pages]


@step("revocation", calls=3)
async def _(v):
    g, other = grant(), grant(person="bob")
    first = await v.revoke_grant(g["id"])
    second = await v.revoke_grant(g["id"], reason="left")
    return [first.success, second.success, await outcome_of(v.revoke_grant(other["id"]))]


@step("sibling of a grant", calls=3)
async def _(v):
    g = grant(label="work")
    minted = await v.mint_grant(g["id"], label="read-only")
    await v.mint_grant(g["id"], label="tagged", grant_policy={"max_ttl_seconds": 60}, grant_tags=["a"])
    return [minted.label, minted.status, await outcome_of(v.mint_grant(g["id"], label="read-only"))]


@step("end of a delegation", calls=1)
async def _(v):
    return await v.revoke_delegation(grant(delegated=[AGENT])["id"], AGENT)


@step("identity", calls=2, caller="my-mcp")
async def _(v):
    who = [await v.resolve_identity(), await v.resolve_identity(include_profile=True)]
    return [[x.external_subject_id, x.user_status, x.group_ids, x.email] for x in who]


@step("identity without a person", calls=1, person=None)
async def _(v):
    return (await v.resolve_identity()).app_user_id


@step("assertion of an identity", calls=2)
async def _(v):
    told = []
    keys = control.get(WHERE["issuer"] + "/jwks.json").json()
    for more in ({}, {"ttl_seconds": 30, "include_profile": True}):
        a = await v.assert_identity(audience="https://memory.example.com", **more)
        seen = verify_identity_assertion(
            a.token, issuer=WHERE["issuer"], audience="https://memory.example.com", jwks=keys, expected_app_id=a.identity.app_id
        )
        told.append([seen.app_user_id == a.identity.app_user_id, a.identity.external_subject_id, a.identity.email])
    return told
