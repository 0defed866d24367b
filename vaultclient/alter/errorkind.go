package alter

import "net/http"

// Kind is what went wrong, to be asked with errors.Is. Kinds form a tree: an
// [ErrGrantExpired] is an [ErrReauthRequired] too.
//
//nolint:errname // its values are sentinels, named ErrX as such are; the error type is Error
type Kind string

// Error implements error.
func (k Kind) Error() string { return string(k) }

// Kinds of errors by what can be done. The codes of the vault that lead to each
// stand in kindOf.
const (
	// ErrInvalid: refused here, before anything was sent.
	ErrInvalid Kind = "invalid input"

	// ErrUnavailable: the vault or the provider did not answer, or not as it
	// should; a later try may succeed.
	ErrUnavailable Kind = "not available at the moment"
	// ErrProviderUnreached: the provider did not answer; what was asked of it may
	// have happened.
	ErrProviderUnreached Kind = "the provider did not answer"
	// ErrMalformed: the vault's answer breaks the protocol.
	ErrMalformed Kind = "malformed answer of the vault"
	// ErrRefused: the vault refused for a reason that has no kind of its own.
	ErrRefused Kind = "refused by the vault"

	// ErrGrantNotFound: the person has not connected an account.
	ErrGrantNotFound Kind = "grant not found"
	// ErrNoDelegatedGrant: no person has delegated a grant to the agent.
	ErrNoDelegatedGrant Kind = "no delegated grant"
	// ErrAmbiguousGrant: several grants fit; [Error.Candidates] lists them.
	ErrAmbiguousGrant Kind = "ambiguous grant"

	// ErrReauthRequired: only the person can mend it.
	ErrReauthRequired Kind = "the person has to authorize again"
	// ErrUserTokenRejected: the person's token of the identity provider is no
	// longer, or not, valid.
	ErrUserTokenRejected Kind = "user token rejected" //nolint:gosec // a text, no credential
	ErrGrantExpired      Kind = "grant expired"
	ErrGrantRevoked      Kind = "grant revoked"
	ErrGrantDeleted      Kind = "grant deleted"
	ErrCredentialRevoked Kind = "credential revoked" //nolint:gosec // a text, no credential
	// ErrScopesMissing: the grant lacks [Error.Missing].
	ErrScopesMissing Kind = "scopes missing"
	// ErrProviderUnauthorized: the provider refused the token with 401.
	ErrProviderUnauthorized Kind = "the provider refused the token"

	// ErrRequiresProxy: the grant may be used by [Client.Proxy] only.
	ErrRequiresProxy Kind = "grant requires proxy mode"
	// ErrRefreshInProgress: the vault is renewing the token at this moment.
	ErrRefreshInProgress Kind = "token refresh in progress"
	// ErrBlockedDestination: the vault does not send grants to this host.
	ErrBlockedDestination Kind = "blocked destination"

	ErrApproval         Kind = "approval"
	ErrApprovalDenied   Kind = "approval denied"
	ErrApprovalExpired  Kind = "approval expired"
	ErrApprovalFailed   Kind = "approved call failed"
	ErrApprovalTimedOut Kind = "approval still pending"

	ErrPolicy Kind = "refused by policy"
	// ErrStepUpRequired: the person has to log in anew; [Error.MaxSessionAge].
	ErrStepUpRequired Kind = "step-up required"
	ErrRedactFailed   Kind = "redaction failed"

	// ErrRateLimited: refused for now; [Error.RetryAfter].
	ErrRateLimited Kind = "rate limited"
	// ErrQuotaExceeded: refused until the window ends; never tried again.
	ErrQuotaExceeded Kind = "quota exceeded"

	// ErrOperator: the API key, the app or the agent needs its operator.
	ErrOperator              Kind = "refused because of the API key or agent"
	ErrInsufficientScope     Kind = "the API key lacks a scope"
	ErrInvalidKey            Kind = "invalid API key"
	ErrKeyRevoked            Kind = "API key revoked"
	ErrKeyExpired            Kind = "API key expired"
	ErrKeyRotationExpired    Kind = "rotated API key past its grace"
	ErrKeyInactive           Kind = "API key not active"
	ErrKeyAppNotFound        Kind = "no app for the API key"
	ErrAgentNotFound         Kind = "agent not found"
	ErrAgentInactive         Kind = "agent inactive"
	ErrAgentRevoked          Kind = "agent revoked"
	ErrCallerAgentMismatch   Kind = "caller is not the agent of the API key"
	ErrCallerAgentResolution Kind = "caller's agent could not be resolved"

	// ErrSignIn: a sign-in ended without a user token.
	ErrSignIn Kind = "sign-in failed"
	// ErrSignInDenied: the person, or the identity provider, did not agree.
	ErrSignInDenied Kind = "sign-in denied"
	// ErrSignInExpired: nobody signed in while the session lived.
	ErrSignInExpired Kind = "sign-in expired"
	// ErrSignInTimedOut: nobody signed in yet; the session can be asked again.
	ErrSignInTimedOut Kind = "sign-in still pending"

	// ErrConnect: a connect session ended without a grant.
	ErrConnect          Kind = "connect failed"
	ErrConnectDenied    Kind = "connect denied"
	ErrConnectTimeout   Kind = "connect timed out"
	ErrConnectConfig    Kind = "connect is not set up"
	ErrNotDelegable     Kind = "grant not delegable"
	ErrLabelConflict    Kind = "label taken by a sibling grant"
	ErrCredentialChoice Kind = "credential id required" //nolint:gosec // a text, no credential
	ErrNotAssignable    Kind = "an end user's credential cannot be assigned"
	// ErrUnsupported: the vault is too old for the call.
	ErrUnsupported Kind = "not supported by the vault"
)

// parent is the kind that k is one of, or "".
func (k Kind) parent() Kind {
	switch k {
	case ErrUserTokenRejected, ErrGrantExpired, ErrGrantRevoked, ErrGrantDeleted, ErrCredentialRevoked:
		return ErrReauthRequired
	case ErrStepUpRequired, ErrRedactFailed:
		return ErrPolicy
	case ErrApprovalDenied, ErrApprovalExpired, ErrApprovalFailed, ErrApprovalTimedOut:
		return ErrApproval
	case ErrSignInDenied, ErrSignInExpired, ErrSignInTimedOut:
		return ErrSignIn
	case ErrConnectDenied, ErrConnectTimeout, ErrConnectConfig:
		return ErrConnect
	case ErrMalformed, ErrProviderUnreached:
		return ErrUnavailable
	case ErrInsufficientScope, ErrInvalidKey, ErrKeyRevoked, ErrKeyExpired, ErrKeyRotationExpired,
		ErrKeyInactive, ErrKeyAppNotFound, ErrAgentNotFound, ErrAgentInactive, ErrAgentRevoked,
		ErrCallerAgentMismatch, ErrCallerAgentResolution:
		return ErrOperator
	}
	return ""
}

// kindOf maps a refusal of the vault to its kind. code is empty when the body
// has none.
func kindOf(status int, code string) Kind {
	switch code { // of approvals, which come with several statuses
	case "approval_denied":
		return ErrApprovalDenied
	case "approval_expired":
		return ErrApprovalExpired
	case "approval_execution_failed":
		return ErrApprovalFailed
	}
	switch status {
	case http.StatusBadRequest, http.StatusBadGateway:
		return kindOfBadRequest(status, code)
	case http.StatusUnauthorized:
		return kindOfUnauthorized(code)
	case http.StatusForbidden:
		return kindOfForbidden(code)
	case http.StatusNotFound:
		return kindOfNotFound(code)
	case http.StatusConflict:
		return kindOfConflict(code)
	case http.StatusGone:
		return ErrGrantDeleted
	case http.StatusUnprocessableEntity:
		return kindOfUnprocessable(code)
	case http.StatusTooManyRequests:
		return kindOfTooMany(code)
	}
	switch code {
	case "caller_agent_resolution_error":
		return ErrCallerAgentResolution
	case "app_not_found_for_key":
		return ErrKeyAppNotFound
	}
	return kindOfRest(status)
}

// kindOfRest is for what the status alone decides.
func kindOfRest(status int) Kind {
	if status >= 500 || status < 400 {
		return ErrUnavailable
	}
	return ErrRefused
}

func kindOfBadRequest(status int, code string) Kind {
	switch code {
	case "grant_revoked":
		return ErrGrantRevoked
	case "credential_revoked":
		return ErrCredentialRevoked
	case "restricted_grant_requires_proxy", "hitl_grant_requires_proxy",
		"delegated_grant_requires_proxy", "user_limits_require_proxy":
		return ErrRequiresProxy
	case "caller_agent_mismatch":
		return ErrCallerAgentMismatch
	}
	return kindOfRest(status)
}

func kindOfUnauthorized(code string) Kind {
	switch code {
	case "jwt_validation_error":
		return ErrUserTokenRejected
	case "invalid_key":
		return ErrInvalidKey
	case "key_revoked":
		return ErrKeyRevoked
	case "key_expired":
		return ErrKeyExpired
	case "key_rotated_grace_expired":
		return ErrKeyRotationExpired
	case "key_not_active":
		return ErrKeyInactive
	case "agent_inactive":
		return ErrAgentInactive
	case "agent_revoked":
		return ErrAgentRevoked
	}
	// What is left is about key, clock or signature: nothing that the person
	// could mend.
	return ErrOperator
}

func kindOfForbidden(code string) Kind {
	switch code {
	case "insufficient_scope":
		return ErrInsufficientScope
	case "grant_expired":
		return ErrGrantExpired
	case "grant_revoked":
		return ErrGrantRevoked
	case "credential_revoked":
		return ErrCredentialRevoked
	case "restricted_grant_requires_proxy":
		return ErrRequiresProxy
	case "grant_not_delegable":
		return ErrNotDelegable
	case "scope_mismatch":
		return ErrScopesMissing
	case "step_up_required":
		return ErrStepUpRequired
	case "redact_discharge_failed":
		return ErrRedactFailed
	}
	return ErrPolicy
}

func kindOfNotFound(code string) Kind {
	switch code {
	case "":
		// Not the vault's words: a wrong address, or another server's page.
		return ErrUnavailable
	case "no_delegated_grant":
		return ErrNoDelegatedGrant
	case "caller_agent_unresolved", "agent_not_found":
		return ErrAgentNotFound
	case "secret_not_found":
		return ErrConnectConfig
	}
	return ErrGrantNotFound
}

func kindOfConflict(code string) Kind {
	switch code {
	case "ambiguous_grant":
		return ErrAmbiguousGrant
	case "token_refresh_in_progress":
		return ErrRefreshInProgress
	case "no_delegated_grant":
		return ErrNoDelegatedGrant
	case "sibling_label_conflict":
		return ErrLabelConflict
	case "credential_id_required":
		return ErrCredentialChoice
	case "end_user_credential_not_assignable":
		return ErrNotAssignable
	case "managed_oauth_scope_approval_required", "idp_signin_not_configured", "no_eligible_grants",
		"binding_hosts_required", "provider_contract_repair_required":
		return ErrConnectConfig
	}
	return kindOfRest(http.StatusConflict)
}

func kindOfUnprocessable(code string) Kind {
	switch code {
	case "blocked_destination":
		return ErrBlockedDestination
	case "secret_template_mismatch":
		return ErrConnectConfig
	}
	return kindOfRest(http.StatusUnprocessableEntity)
}

func kindOfTooMany(code string) Kind {
	switch code {
	case "", "rate_limit_exceeded":
		return ErrRateLimited
	case "quota_exceeded":
		return ErrQuotaExceeded
	}
	return ErrRefused
}
