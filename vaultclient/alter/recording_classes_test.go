package alter_test

import (
	"context"
	"errors"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// classes are the SDK's names of the kinds; first the special ones.
var classes = []struct {
	kind alter.Kind
	name string
}{
	{alter.ErrAgentInactive, "AgentInactiveError"},
	{alter.ErrAgentNotFound, "AgentNotFoundError"},
	{alter.ErrAgentRevoked, "AgentRevokedError"},
	{alter.ErrAmbiguousGrant, "AmbiguousGrantError"},
	{alter.ErrApprovalDenied, "ApprovalDeniedError"},
	{alter.ErrApprovalExpired, "ApprovalExpiredError"},
	{alter.ErrApprovalFailed, "ApprovalExecutionFailedError"},
	{alter.ErrApprovalTimedOut, "ApprovalTimeoutError"},
	{alter.ErrBlockedDestination, "BlockedDestinationError"},
	{alter.ErrCallerAgentMismatch, "CallerAgentMismatchError"},
	{alter.ErrCallerAgentResolution, "CallerAgentResolutionError"},
	{alter.ErrConnectConfig, "ConnectConfigError"},
	{alter.ErrConnectDenied, "ConnectDeniedError"},
	{alter.ErrConnectTimeout, "ConnectFlowError"},
	{alter.ErrConnect, "ConnectFlowError"},
	{alter.ErrCredentialRevoked, "CredentialRevokedError"},
	{alter.ErrGrantDeleted, "GrantDeletedError"},
	{alter.ErrGrantExpired, "GrantExpiredError"},
	{alter.ErrGrantNotFound, "GrantNotFoundError"},
	{alter.ErrGrantRevoked, "GrantRevokedError"},
	{alter.ErrInsufficientScope, "InsufficientScopeError"},
	{alter.ErrInvalidKey, "InvalidKeyError"},
	{alter.ErrKeyAppNotFound, "KeyAppNotFoundError"},
	{alter.ErrKeyExpired, "KeyExpiredError"},
	{alter.ErrKeyInactive, "KeyInactiveError"},
	{alter.ErrKeyRevoked, "KeyRevokedError"},
	{alter.ErrKeyRotationExpired, "KeyRotationExpiredError"},
	{alter.ErrLabelConflict, "SiblingLabelConflictError"},
	{alter.ErrNoDelegatedGrant, "NoDelegatedGrantError"},
	{alter.ErrNotDelegable, "GrantNotDelegableError"},
	{alter.ErrProviderUnauthorized, "ProviderUnauthorizedError"},
	{alter.ErrQuotaExceeded, "QuotaExceededError"},
	{alter.ErrRateLimited, "RateLimitError"},
	{alter.ErrRedactFailed, "RedactDischargeFailedError"},
	{alter.ErrRefreshInProgress, "TokenRefreshInProgressError"},
	{alter.ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
	{alter.ErrScopesMissing, "ScopeReauthRequiredError"},
	{alter.ErrSignIn, "AlterSDKError"},
	{alter.ErrStepUpRequired, "StepUpRequiredError"},
	{alter.ErrUserTokenRejected, "ReAuthRequiredError"},
	{alter.ErrPolicy, "PolicyViolationError"},
	{alter.ErrProviderUnreached, "NetworkError"},
	{alter.ErrMalformed, "BackendError"},
	{alter.ErrApproval, "BackendError"},
	{alter.ErrOperator, "BackendError"},
	{alter.ErrRefused, "BackendError"},
	{alter.ErrUnavailable, "BackendError"},
}

// failure tells an error in the SDK's words.
func failure(t *testing.T, err error) object {
	t.Helper()
	var e *alter.Error
	if !errors.As(err, &e) {
		t.Fatalf("an error that the SDK has no class for: %v", err)
	}
	told := object{"error": className(t, e)}
	for name, value := range map[string]int{
		"status_code": e.Status, "retry_after": int(e.RetryAfter.Seconds()),
		"max_session_age_seconds": int(e.MaxSessionAge.Seconds()),
	} {
		if value != 0 {
			told[name] = value
		}
	}
	if e.Code != "" {
		told["code"] = e.Code
	}
	if len(e.Missing) > 0 {
		told["missing_scopes"] = e.Missing
	}
	var accounts []string
	for _, candidate := range e.Candidates {
		accounts = append(accounts, candidate.Account)
	}
	if accounts != nil {
		told["account_identifiers"] = accounts
	}
	return told
}

func className(t *testing.T, e *alter.Error) string {
	t.Helper()
	if e.Status == 0 && errors.Is(e, context.DeadlineExceeded) && e.Kind != alter.ErrApprovalTimedOut {
		return "TimeoutError"
	}
	if e.Kind == alter.ErrUnavailable && e.Err != nil {
		return "NetworkError"
	}
	for _, class := range classes {
		if errors.Is(e, class.kind) {
			return class.name
		}
	}
	t.Fatalf("the kind %q has no class of the SDK", e.Kind)
	return ""
}

// outcomeOf is a part of a step's outcome that may be an error.
func outcomeOf[T any](w *world, value T, err error) any {
	w.t.Helper()
	if err != nil {
		return failure(w.t, err)
	}
	return value
}
