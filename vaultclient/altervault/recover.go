package altervault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// ConnectError says that the person has to connect an account, or to widen or
// mend what is connected, at URL.
type ConnectError struct {
	vaultclient.ConnectError
	URL string
}

// PendingError says that the person has to approve the call at URL.
type PendingError struct {
	Provider string // name
	URL      string
	Approval Approval // for [Use.Approval]
}

// Error implements error. The URL is left out: it belongs to one person.
func (e *PendingError) Error() string {
	return "provider " + e.Provider + ": the call waits for an approval"
}

// ModelError is a failure that the model may know and perhaps mend.
type ModelError struct {
	Message string
	Cause   error // for the log
}

// Error implements error.
func (e *ModelError) Error() string { return e.Message + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Cause }

// hint is what a link to connect remembers beside the person and the provider.
type hint struct {
	Repair string `json:"r,omitempty"` // id of a grant that is replaced
	Agent  string `json:"a,omitempty"` // to whom the grant is delegated
}

// explain makes the way out of what the vault said: each of its refusals leads
// to the person, to the model, or to the operator.
func (a *attempt) explain(ctx context.Context, err error) error {
	var refused *alter.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch title := a.provider.Title; {
	case wantsOtherToken(err):
		if err := a.vault.cfg.Tokens.RejectUserToken(ctx, a.use.UserID, a.token, isAny(err, alter.ErrStepUpRequired)); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", ErrLoginRequired, refused)
	case isAny(err, alter.ErrScopesMissing):
		return a.connect(refused, vaultclient.ReasonScopesMissing, hint{Agent: a.use.Agent})
	case isAny(err, alter.ErrCredentialRevoked, alter.ErrProviderUnauthorized):
		return a.connect(refused, vaultclient.ReasonAuthorizationRequired, hint{Repair: refused.GrantID, Agent: a.use.Agent})
	case isAny(err, alter.ErrGrantNotFound, alter.ErrNoDelegatedGrant, alter.ErrReauthRequired):
		return a.connect(refused, vaultclient.ReasonAuthorizationRequired, hint{Agent: a.use.Agent})
	case isAny(err, alter.ErrAmbiguousGrant):
		return &ModelError{Message: a.ambiguous(refused), Cause: err}
	case isAny(err, alter.ErrApproval):
		return a.undone(refused)
	case isAny(err, alter.ErrRefreshInProgress):
		return &ModelError{Message: "access to " + title + " is being renewed at this moment; try again in a few seconds", Cause: err}
	case isAny(err, alter.ErrRateLimited, alter.ErrQuotaExceeded):
		return &ModelError{Message: tooMany(refused), Cause: err}
	case isAny(err, alter.ErrBlockedDestination):
		return &ModelError{Message: "the vault does not allow requests to this host", Cause: err}
	case isAny(err, alter.ErrRequiresProxy):
		return a.operator(err, "this grant can be used through the vault only")
	case isAny(err, alter.ErrPolicy, alter.ErrNotDelegable):
		return &ModelError{Message: "a policy of the vault refused this call (" + clean(refused.Code) + ")", Cause: err}
	case isAny(err, alter.ErrUnavailable):
		return &ModelError{Message: "access to " + title + " cannot be had at the moment; try again in a minute", Cause: err}
	}
	a.vault.checkProvider(ctx, a.provider.Name, err)
	return a.operator(err, "the tool is not set up as it should be; whoever runs this server can see why in its log")
}

func isAny(err error, kinds ...alter.Kind) bool {
	return slices.ContainsFunc(kinds, func(k alter.Kind) bool { return errors.Is(err, k) })
}

// operator tells the log what only the operator can mend, and the model that it
// is nothing to try again.
func (a *attempt) operator(err error, message string) error {
	fields := []zap.Field{zap.String("provider", a.provider.Name), zap.String("tool", a.use.Tool), zap.Error(err)}
	var refused *alter.Error
	if errors.As(err, &refused) {
		fields = append(fields, zap.Strings("missing", refused.Missing), zap.String("hint", refused.Hint),
			zap.String("correlation_id", refused.CorrelationID))
	}
	a.vault.log.Error("the vault refused a call in a way that only its operator can mend", fields...)
	return &ModelError{Message: message, Cause: err}
}

// connect leads the person to the page where they connect.
func (a *attempt) connect(cause *alter.Error, reason string, h hint) error {
	link := &connect.Link{
		UserID: a.use.UserID, Provider: a.provider.Name, Label: a.use.Label,
		Scopes: slices.Concat(a.use.Scopes, cause.Missing),
	}
	if h != (hint{}) {
		raw, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("encoding a link: %w", err)
		}
		link.Hint = raw
	}
	u, err := a.vault.URL(a.use.Endpoint, link)
	if err != nil {
		return fmt.Errorf("making a link to connect: %w", err)
	}
	return &ConnectError{
		ConnectError: vaultclient.ConnectError{Provider: a.provider.Name, Reason: reason, Missing: cause.Missing, Cause: cause},
		URL:          u,
	}
}

// maxAccounts is how many accounts the model is told of.
const maxAccounts = 20

// ambiguous lists the accounts to choose from, as the model may name them.
func (a *attempt) ambiguous(e *alter.Error) string {
	var names []string
	for _, c := range e.Candidates[:min(len(e.Candidates), maxAccounts)] {
		name := clean(c.Account)
		if c.Label != "" {
			name += " (label " + clean(c.Label) + ")"
		}
		names = append(names, name)
	}
	text := "several " + a.provider.Title + " accounts are connected"
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if e.CandidatesTruncated || len(e.Candidates) > maxAccounts {
		text += " and more"
	}
	return text + "; say which one by the argument account, if the tool has it"
}

// tooMany says how long to wait.
func tooMany(e *alter.Error) string {
	text := "the vault takes no more requests for now"
	if e.Kind == alter.ErrQuotaExceeded {
		text = "the vault's quota is used up"
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf("; try again in %d seconds", int64(e.RetryAfter/time.Second))
	}
	return text
}

// clean keeps what the vault says to one printable line, for it goes to a model:
// no separators of lines that are no control characters, and nothing invisible.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}
