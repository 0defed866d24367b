package alter

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// The answers are those that the Python SDK was given one by one, with the class
// that it raised beside ours.
func TestKindOfEachRefusal(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kind   Kind
		sdk    string
	}{
		{400, "constraint_not_narrowing", ErrRefused, "BackendError"},
		{400, "restricted_grant_requires_proxy", ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
		{400, "hitl_grant_requires_proxy", ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
		{400, "delegated_grant_requires_proxy", ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
		{400, "user_limits_require_proxy", ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
		{400, "caller_agent_mismatch", ErrCallerAgentMismatch, "CallerAgentMismatchError"},
		{400, "grant_revoked", ErrGrantRevoked, "GrantRevokedError"},
		{502, "credential_revoked", ErrCredentialRevoked, "CredentialRevokedError"},
		{401, "jwt_validation_error", ErrUserTokenRejected, "ReAuthRequiredError"},
		{401, "invalid_key", ErrInvalidKey, "InvalidKeyError"},
		{401, "key_revoked", ErrKeyRevoked, "KeyRevokedError"},
		{401, "key_expired", ErrKeyExpired, "KeyExpiredError"},
		{401, "key_rotated_grace_expired", ErrKeyRotationExpired, "KeyRotationExpiredError"},
		{401, "key_not_active", ErrKeyInactive, "KeyInactiveError"},
		{401, "agent_inactive", ErrAgentInactive, "AgentInactiveError"},
		{401, "agent_revoked", ErrAgentRevoked, "AgentRevokedError"},
		// Key, clock or signature: the person cannot mend it.
		{401, "signature_invalid", ErrOperator, "BackendError"},
		{402, "grant_limit_exceeded", ErrRefused, "BackendError"},
		{403, "insufficient_scope", ErrInsufficientScope, "InsufficientScopeError"},
		{403, "grant_expired", ErrGrantExpired, "GrantExpiredError"},
		{403, "grant_revoked", ErrGrantRevoked, "GrantRevokedError"},
		{403, "credential_revoked", ErrCredentialRevoked, "CredentialRevokedError"},
		{403, "restricted_grant_requires_proxy", ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
		{403, "grant_not_delegable", ErrNotDelegable, "GrantNotDelegableError"},
		{403, "scope_mismatch", ErrScopesMissing, "ScopeReauthRequiredError"},
		{403, "step_up_required", ErrStepUpRequired, "StepUpRequiredError"},
		{403, "redact_discharge_failed", ErrRedactFailed, "RedactDischargeFailedError"},
		{403, "ip_not_allowed", ErrPolicy, "PolicyViolationError"},
		{404, "grant_not_found", ErrGrantNotFound, "GrantNotFoundError"},
		{404, "anything_else", ErrGrantNotFound, "GrantNotFoundError"},
		// Without a code it is not the vault's word but a wrong address or
		// another server's page; the SDK would send the person to connect again.
		{404, "", ErrUnavailable, "GrantNotFoundError"},
		{404, "no_delegated_grant", ErrNoDelegatedGrant, "NoDelegatedGrantError"},
		{404, "caller_agent_unresolved", ErrAgentNotFound, "AgentNotFoundError"},
		{404, "agent_not_found", ErrAgentNotFound, "AgentNotFoundError"},
		// The SDK has a class for these two, but wraps it here.
		{404, "secret_not_found", ErrConnectConfig, "BackendError"},
		{409, "managed_oauth_scope_approval_required", ErrConnectConfig, "BackendError"},
		{409, "ambiguous_grant", ErrAmbiguousGrant, "AmbiguousGrantError"},
		{409, "token_refresh_in_progress", ErrRefreshInProgress, "TokenRefreshInProgressError"},
		{409, "no_delegated_grant", ErrNoDelegatedGrant, "NoDelegatedGrantError"},
		{409, "sibling_label_conflict", ErrLabelConflict, "SiblingLabelConflictError"},
		{409, "other", ErrRefused, "BackendError"},
		{410, "grant_deleted", ErrGrantDeleted, "GrantDeletedError"},
		{422, "blocked_destination", ErrBlockedDestination, "BlockedDestinationError"},
		{422, "query_too_long", ErrRefused, "BackendError"},
		{429, "rate_limit_exceeded", ErrRateLimited, "RateLimitError"},
		{429, "quota_exceeded", ErrQuotaExceeded, "QuotaExceededError"},
		{429, "billing_quota_exceeded", ErrRefused, "BackendError"},
		{500, "oops", ErrUnavailable, "BackendError"},
		{503, "caller_agent_resolution_error", ErrCallerAgentResolution, "CallerAgentResolutionError"},
		{503, "app_not_found_for_key", ErrKeyAppNotFound, "KeyAppNotFoundError"},
		{503, "oops", ErrUnavailable, "BackendError"},
		{504, "timeout", ErrUnavailable, "BackendError"},
		// Not among the SDK's answers of this call.
		{410, "approval_expired", ErrApprovalExpired, ""},
		{409, "approval_denied", ErrApprovalDenied, ""},
		{429, "", ErrRateLimited, "RateLimitError"},
	} {
		t.Run(http.StatusText(c.status)+" "+c.code, func(t *testing.T) {
			f := newFlow(t, Config{})
			body := `{"detail":"Not Found"}`
			if c.code != "" {
				body = `{"error":"` + c.code + `","message":"m"}`
			}
			// The code may stand one level deeper as well.
			for _, text := range []string{body, `{"detail":` + body + `}`} {
				f.ClearFaults()
				f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, Status: c.status, Body: json.RawMessage(text)})
				_, _, err := f.get(f.client, f.use("alice"), "ok")
				e := mustBe(t, err, c.kind)
				if e.Kind != c.kind || e.Status != c.status || e.Code != c.code || e.Op != "POST /sdk/token" || e.CorrelationID == "" {
					t.Errorf("got %+v, want kind %q (the SDK: %s)", e, c.kind, c.sdk)
				}
			}
			f.wantCounts(f.Count(tokenPath), 0)
		})
	}
}

func TestErrorMembers(t *testing.T) {
	long := strings.Repeat("é", 400)
	for name, c := range map[string]struct {
		status int
		header http.Header
		body   string
		want   Error
	}{
		"ambiguous": {
			409, nil, `{"error":"ambiguous_grant","message":"m","provider_id":"google","account_was_provided":true,"candidates_truncated":true,
				"candidates":[{"grant_id":"g1","label":null,"account_identifier":"a","account_display_name":"A"},{"label":"no id"},3]}`,
			Error{
				Kind: ErrAmbiguousGrant, Status: 409, Code: "ambiguous_grant", Message: "m", Provider: "google",
				AccountGiven: true, CandidatesTruncated: true, Candidates: []Candidate{{"g1", "", "a", "A"}},
			},
		},
		"wrong types are absent": {
			403, nil, `{"error":"step_up_required","message":7,"hint":[],"provider_id":{},"missing":["a",null],"max_session_age_seconds":"3","candidates":{},"retry_after":-1}`,
			Error{Kind: ErrStepUpRequired, Status: 403, Code: "step_up_required"},
		},
		"inner details stand behind": {
			403, nil, `{"detail":{"error":"scope_mismatch","grant_id":"outer","details":{"grant_id":"inner","provider_id":"google","missing":["s"]}}}`,
			Error{Kind: ErrScopesMissing, Status: 403, Code: "scope_mismatch", GrantID: "outer", Provider: "google", Missing: []string{"s"}},
		},
		"a text is cut at a character": {
			400, nil, `{"error":"x","message":"a` + long + `"}`,
			Error{Kind: ErrRefused, Status: 400, Code: "x", Message: "a" + strings.Repeat("é", 255)},
		},
		"an age beyond all time": {
			403, nil, `{"error":"step_up_required","max_session_age_seconds":9223372036854775807}`,
			Error{Kind: ErrStepUpRequired, Status: 403, Code: "step_up_required", MaxSessionAge: time.Duration(maxSeconds) * time.Second},
		},
		"header before body": {
			429,
			http.Header{"Retry-After": {"002"}},
			`{"error":"rate_limit_exceeded","retry_after":9}`,
			Error{Kind: ErrRateLimited, Status: 429, Code: "rate_limit_exceeded", RetryAfter: 2 * time.Second},
		},
		"a date is no number": {
			429,
			http.Header{"Retry-After": {"Mon, 23 Nov 2026 08:00:00 GMT"}},
			`{"retry_after":9}`,
			Error{Kind: ErrRateLimited, Status: 429, RetryAfter: 9 * time.Second},
		},
		"at most an hour": {
			429,
			http.Header{"Retry-After": {"99999999999999999999"}},
			``,
			Error{Kind: ErrRateLimited, Status: 429, RetryAfter: time.Hour},
		},
		"a quota's at most 31 days": {
			429, nil, `{"error":"quota_exceeded","retry_after":99999999}`,
			Error{Kind: ErrQuotaExceeded, Status: 429, Code: "quota_exceeded", RetryAfter: 31 * 24 * time.Hour},
		},
		"no JSON at all": {502, nil, `<html>`, Error{Kind: ErrUnavailable, Status: 502}},
	} {
		t.Run(name, func(t *testing.T) {
			header := c.header
			if header == nil {
				header = http.Header{}
			}
			if diff := cmp.Diff(&c.want, refusal("", c.status, header, []byte(c.body))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorTree(t *testing.T) {
	err := error(&Error{Kind: ErrGrantExpired})
	for kind, want := range map[Kind]bool{
		ErrGrantExpired: true, ErrReauthRequired: true, ErrGrantRevoked: false, ErrUnavailable: false, "": false,
	} {
		if errors.Is(err, kind) != want {
			t.Errorf("errors.Is(%q): %v, want %v", kind, !want, want)
		}
	}
	if !errors.Is(&Error{Kind: ErrMalformed}, ErrUnavailable) || errors.Is(&Error{Kind: ErrUnavailable}, ErrMalformed) {
		t.Error("a malformed answer is one that is not available, and not the other way")
	}
}
