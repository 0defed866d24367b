"""Steps that read what providers there are, and what their APIs can do."""

from fake import outcome_of, step


@step("catalogue of providers", calls=1)
async def _(v):
    all = (await v.oauth_providers.list()).providers
    return [[p.id, p.display_name, p.default_scopes, sorted(p.available_scopes), p.status] for _, p in sorted(all.items())]


@step("descriptions of APIs", calls=4)
async def _(v):
    told = [[[s.provider_kind, s.provider_id, s.operation_count] for s in await v.provider_specs.list(*kind)] for kind in ([], ["oauth"], ["managed"])]
    return told + [await outcome_of(v.provider_specs.list_operations("managed", "github"))]


@step("operations of an API", calls=3)
async def _(v):
    first = await v.provider_specs.list_operations("oauth", "github", limit=1)
    second = await v.provider_specs.list_operations("oauth", "github", limit=1, offset=1)
    found = await v.provider_specs.list_operations("oauth", "github", search="create an")
    return [[[o.operation_id, o.method, o.path_template, o.summary] for o in p.items] + [p.total, p.has_more] for p in (first, second, found)]


@step("operation of an API", calls=3)
async def _(v):
    o = await v.provider_specs.get_operation("oauth", "github", "issues/create")
    return [
        [o.operation_id, o.spec.provider_id, [p["name"] for p in o.params_schema], sorted(o.request_schema["properties"]), o.response_schema],
        await outcome_of(v.provider_specs.get_operation("oauth", "github", "issues/x?y#z")),
        await outcome_of(v.provider_specs.get_operation("oauth", "gitlab", "issues/create")),
    ]
