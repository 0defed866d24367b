package alter_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// errorSteps are those in which the vault answers /sdk/token with an error.
func errorSteps() map[string]step {
	steps := map[string]step{
		"answer no JSON":             faulty(altertest.Fault{Status: 502, Body: json.RawMessage(`"<html>bad gateway</html>"`)}),
		"answer 429 without JSON":    faulty(altertest.Fault{Status: 429, Body: json.RawMessage(`"slow down"`), Header: map[string]string{"Retry-After": "3"}}),
		"answer 200 without JSON":    faulty(altertest.Fault{Status: 200, Body: json.RawMessage(`"<html>"`)}),
		"error 404 detail Not Found": faulty(altertest.Fault{Status: 404, Body: json.RawMessage(`{"detail":"Not Found"}`)}),
		"error 403 detail grant_expired": faulty(altertest.Fault{
			Status: 403, Body: json.RawMessage(`{"detail":{"error":"grant_expired","message":"m"}}`),
		}),
		"vault is too slow": {timeout: 500 * time.Millisecond, do: faulty(altertest.Fault{DelayMS: 2000}).do},
	}
	for _, cut := range []altertest.Cut{altertest.CutUndone, altertest.CutDone, altertest.CutHalf} {
		steps["vault cuts the connection, "+string(cut)] = faulty(altertest.Fault{Cut: cut})
	}
	for name, field := range wrongFields {
		key, value, _ := strings.Cut(field, "=")
		steps["token answer with "+name] = faulty(altertest.Fault{Set: map[string]json.RawMessage{key: json.RawMessage(value)}})
	}
	for status, codes := range refusals {
		for code := range strings.FieldsSeq(codes) {
			body := fmt.Sprintf(`{"error":%q,"message":"m"%s}`, code, refusalFields[fmt.Sprint(status, " ", code)])
			fault := altertest.Fault{Status: status, Body: json.RawMessage(body)}
			if after := retryAfter[fmt.Sprint(status, " ", code)]; after != "" {
				fault.Header = map[string]string{"Retry-After": after}
			}
			steps[fmt.Sprintf("error %d %s", status, code)] = faulty(fault)
		}
	}
	return steps
}

// refusals are the vault's codes by status.
var refusals = map[int]string{
	400: "constraint_not_narrowing restricted_grant_requires_proxy hitl_grant_requires_proxy " +
		"delegated_grant_requires_proxy user_limits_require_proxy caller_agent_mismatch grant_revoked",
	401: "jwt_validation_error invalid_key key_revoked key_expired key_rotated_grace_expired key_not_active " +
		"agent_inactive agent_revoked signature_invalid",
	402: "grant_limit_exceeded",
	403: "insufficient_scope grant_expired grant_revoked credential_revoked restricted_grant_requires_proxy " +
		"grant_not_delegable scope_mismatch step_up_required redact_discharge_failed ip_not_allowed",
	404: "grant_not_found anything_else no_delegated_grant caller_agent_unresolved agent_not_found secret_not_found",
	409: "ambiguous_grant token_refresh_in_progress no_delegated_grant sibling_label_conflict " +
		"managed_oauth_scope_approval_required other",
	410: "grant_deleted",
	422: "blocked_destination query_too_long",
	429: "rate_limit_exceeded quota_exceeded billing_quota_exceeded",
	500: "oops",
	502: "credential_revoked",
	503: "caller_agent_resolution_error app_not_found_for_key oops",
	504: "timeout",
}

// refusalFields are what some of them tell beside.
var refusalFields = map[string]string{
	"403 insufficient_scope":  `,"missing":["tokens:retrieve"]`,
	"403 scope_mismatch":      `,"details":{"grant_id":"g","provider_id":"google"}`,
	"403 step_up_required":    `,"max_session_age_seconds":300`,
	"429 rate_limit_exceeded": `,"scope":"api_key","retry_after":9`,
	"429 quota_exceeded":      `,"retry_after":90000`,
}

var retryAfter = map[string]string{
	"429 rate_limit_exceeded": "2", "503 caller_agent_resolution_error": "2", "503 oops": "7",
}

// wrongFields of a token answer.
var wrongFields = map[string]string{
	"no grant":                `grant_id=null`,
	"grant in upper case":     `grant_id="AAAAAAAA-1111-4111-8111-111111111111"`,
	"header host":             `injection_header="Host"`,
	"format without token":    `injection_format="Bearer"`,
	"line break in the token": `access_token="a\rb"`,
	"empty token":             `access_token=""`,
	"negative life":           `expires_in=-1`,
	"end without zone":        `expires_at="2026-11-23T00:00:00"`,
	"scopes as text":          `scopes="a b"`,
	"unknown injection":       `additional_injections=[{"target":"body","key":"k","value_source":"token"}]`,
	"an unknown field":        `new=1`,
}

// faulty is a request whose token call meets a fault.
func faulty(f altertest.Fault) step {
	f.Path = "/sdk/token"
	return step{do: func(w *world) (any, error) {
		w.grant(altertest.Grant{})
		w.vault.AddFault(f)
		status, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
		return status, err
	}}
}
