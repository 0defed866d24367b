package altertest

import (
	"math"
	"slices"
)

// Parts of bodies.
var (
	grantPolicy = object(
		may("expires_at", orNull(str)),
		may("max_ttl_seconds", orNull(number(1, math.MaxInt32))),
		may("default_ttl_seconds", orNull(number(1, math.MaxInt32))),
	)
	requestedGrant = object(
		must("label", str),
		may("restrictions", object(
			may("allowed_methods", each(50, str)),
			may("allowed_endpoints", each(100, str)),
		)),
	)
	scopeAtoms = each(100, text(1, 512))
	userToken  = text(1, 16384)
)

// endpoints is the vault's API.
func (v *Vault) endpoints() []endpoint {
	return slices.Concat(accessEndpoints(), connectEndpoints(), managementEndpoints(), catalogueEndpoints())
}

func catalogueEndpoints() []endpoint {
	const spec = "GET /sdk/provider-specs/{kind}/{provider}"
	return []endpoint{
		{pattern: "GET /sdk/oauth/provider-catalog", handle: (*Vault).providerCatalogue},
		{pattern: "GET /sdk/provider-specs", handle: (*Vault).listSpecs, query: []string{"kind"}},
		{pattern: spec, handle: (*Vault).getSpec},
		{pattern: spec + "/operations", handle: (*Vault).listOperations, query: []string{"limit", "offset", "search"}},
		{pattern: spec + "/operation", handle: (*Vault).getOperation, query: []string{"operation_id"}},
	}
}

func accessEndpoints() []endpoint {
	target := object(must("method", str), must("url", str))
	subject := []field{
		may("grant_id", id), may("provider_id", str), may("account", str), may("label", str),
		may("app_user_id", str), may("user_token", userToken),
	}
	withSubject := func(more ...field) check {
		return oneOf(object(append(more, subject...)...), "grant_id", "provider_id")
	}
	return []endpoint{
		{
			pattern: "POST /sdk/token", handle: (*Vault).token,
			body: withSubject(must("reason", orNull(anyText)), must("request", target)),
		},
		{
			pattern: "POST /sdk/proxy", handle: (*Vault).proxy, waits: true,
			body: withSubject(must("method", str), must("url", str), may("body", anything),
				may("headers", mapOf(anyText)), may("query_params", mapOf(anything)), may("reason", anyText)),
		},
		{
			pattern: "GET /sdk/approvals/{id}", handle: (*Vault).approvalStatus, waits: true,
			query: []string{"wait"},
		},
		{pattern: "GET /sdk/approvals/{id}/result", handle: (*Vault).approvalResult},
		{
			pattern: "POST /sdk/oauth/audit/api-call", handle: (*Vault).audit,
			body: object(
				must("grant_id", id), must("provider_id", text(0, 255)), must("token_generation", orNull(id)),
				must("method", str), must("url", str), must("request_headers", orNull(mapOf(anyText))),
				must("request_body", anything), must("response_status", number(0, 999)),
				must("response_headers", orNull(mapOf(anyText))), must("response_body", orNull(anyText)),
				must("latency_ms", number(0, math.MaxInt32)), must("reason", orNull(anyText)),
				must("context", orNull(mapOf(anyText)))),
		},
		{
			pattern: "POST /sdk/grants/{id}/report-scope-mismatch", handle: (*Vault).reportScope,
			body: object(
				must("provider_status_code", exactly("403")), must("provider_error_code", exactly(`"insufficient_scope"`)),
				must("missing_scopes", orNull(each(50, text(1, 256)))), must("raw_www_authenticate", orNull(text(0, 4096))),
				must("api_endpoint", text(1, 2048)), must("detection_source", exactly(`"www_authenticate_rfc6750"`)),
				must("sdk_correlation_id", str)),
		},
	}
}

func connectEndpoints() []endpoint {
	return []endpoint{
		{pattern: "POST /sdk/auth/session", handle: (*Vault).authSession, body: object()},
		{
			pattern: "POST /sdk/auth/poll", handle: (*Vault).authPoll, waits: true,
			body: object(must("session_token", str), may("wait_ms", number(1, math.MaxInt32))),
		},
		{pattern: "POST /sdk/auth/verify-token", handle: (*Vault).verifyToken, body: object(must("token", userToken))},
		{
			pattern: "POST /sdk/oauth/connect/session", handle: (*Vault).connectSession,
			body: object(
				must("allowed_providers", orNull(each(100, str))), must("return_url", orNull(str)),
				must("allowed_origin", orNull(str)),
				must("metadata", orNull(object(may("ip_address", str), may("user_agent", anyText)))),
				may("direct", exactly("true")), may("switch_account", exactly("true")),
				may("allow_user_policy_rules", exactly("false")), may("grant_policy", grantPolicy),
				may("required_scopes", mapOf(each(100, str))), may("requested_grant", requestedGrant),
				may("repair_grant_id", id), may("agent", str), may("delegable", boolean),
				may("scope_constraint", scopeAtoms), may("user_token", userToken)),
		},
		{
			pattern: "POST /sdk/oauth/connect/session/poll", handle: (*Vault).connectPoll,
			body: object(must("session_token", str)),
		},
		{
			pattern: "POST /sdk/managed-secrets/connect/session", handle: (*Vault).secretConnectSession,
			body: oneOf(ordered(
				may("provider", str), may("template_slug", str), may("agent", str), may("delegated_agent_id", str),
				must("user_token", userToken), may("requested_ttl_seconds", number(1, math.MaxInt32)),
				may("allowed_origin", str), may("return_url", str), may("allow_user_policy_rules", exactly("false")),
				may("delegable", exactly("true")), may("requested_grant", requestedGrant),
				may("grant_policy", grantPolicy), may("direct", exactly("true")), may("repair_grant_id", id)),
				"provider", "template_slug"),
		},
	}
}

func managementEndpoints() []endpoint {
	who := []field{must("include_profile", boolean), may("user_token", userToken), may("app_user_id", str)}
	principal := object(
		must("type", word("user", "group", "system")), may("user_token", userToken), may("label", str),
		may("external_group_id", str), may("idp_id", id))
	return []endpoint{
		{
			pattern: "POST /sdk/grants/list", handle: (*Vault).listGrants,
			body: object(must("limit", number(1, 1000)), must("offset", number(0, math.MaxInt32)),
				may("provider_id", str), may("status", str), may("account", str), may("label", str),
				may("user_token", userToken)),
		},
		{
			pattern: "POST /sdk/oauth/grants/{id}/revoke", handle: (*Vault).revokeGrant,
			body: object(may("reason", orNull(anyText)), may("user_token", userToken)),
		},
		{
			pattern: "POST /sdk/grants/{id}/mint", handle: (*Vault).mintGrant,
			body: object(must("label", str), may("grant_policy", grantPolicy), may("grant_tags", each(100, str))),
		},
		{
			pattern: "POST /sdk/grants/{id}/delegate", handle: (*Vault).delegateGrant,
			body: object(must("to_agent_id", id), may("delegable", boolean), may("scope_constraint", scopeAtoms),
				may("ttl_seconds", number(1, math.MaxInt32))),
		},
		{pattern: "DELETE /sdk/grants/{id}/delegations/{agent}", handle: (*Vault).endDelegation},
		{
			pattern: "POST /sdk/managed-secrets/{id}/grants", handle: (*Vault).grantSecret,
			body: object(must("principal", principal), must("grant_policy", grantPolicy), may("credential_id", id)),
		},
		{pattern: "POST /sdk/identity/resolve", handle: (*Vault).resolveIdentity, body: object(who...)},
		{
			pattern: "POST /sdk/identity/assert", handle: (*Vault).assertIdentity,
			body: object(append(who, must("audience", text(1, 512)), may("ttl_seconds", number(10, 300)))...),
		},
	}
}
