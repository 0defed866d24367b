package altervault

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// assertionLife is how long an assertion is asked to be good: the longest that
// the vault gives, as it is kept for most of it.
const assertionLife = alter.MaxAssertionTTL

// Assertion says of whom and for whom the vault is to sign a statement.
type Assertion struct {
	UserID string
	// Audience is who will read it: an absolute URI of at most 512 characters.
	Audience string
	// Agent is the managed agent that acts for the person, by name or UUID; empty
	// for none.
	Agent string
	// Tool that asks, for the vault's record; empty for none.
	Tool string
}

// AssertIdentity returns the vault's signed statement of who the person is, an
// ES256 JWT that is good for half a minute at least and five at most. Errors:
// [*ModelError], [ErrLoginRequired]; any other is for the log alone.
func (v *Vault) AssertIdentity(ctx context.Context, a Assertion) (vaultclient.Secret, error) {
	if a.UserID == "" {
		return vaultclient.Secret{}, vaultclient.ErrNoPerson
	}
	use := &Use{UserID: a.UserID, Agent: a.Agent, Tool: a.Tool}
	ctx = alter.WithAuditContext(ctx, auditContext(use))
	caller := (&attempt{use: use}).caller()
	for again := true; ; again = false {
		token, err := v.userToken(ctx, a.UserID)
		if err != nil {
			return vaultclient.Secret{}, err
		}
		signed, err := v.cfg.Client.Assertion(ctx, alter.IdentityQuery{UserToken: token, Profile: true, Caller: caller},
			alter.AssertionOptions{Audience: a.Audience, TTL: assertionLife})
		switch {
		case err == nil:
			return signed.Token, nil
		case !wantsOtherToken(err):
			return vaultclient.Secret{}, v.explainAssertion(&a, err)
		}
		if rejected := v.cfg.Tokens.RejectUserToken(ctx, a.UserID, token, isAny(err, alter.ErrStepUpRequired)); rejected != nil {
			return vaultclient.Secret{}, rejected
		}
		if !again {
			return vaultclient.Secret{}, fmt.Errorf("%w: %w", ErrLoginRequired, err)
		}
	}
}

// explainAssertion makes the way out of what the vault said.
func (v *Vault) explainAssertion(a *Assertion, err error) error {
	var refused *alter.Error
	switch {
	case !errors.As(err, &refused):
		return err
	case isAny(err, alter.ErrRateLimited, alter.ErrQuotaExceeded):
		return &ModelError{Message: tooMany(refused), Cause: err}
	case isAny(err, alter.ErrPolicy, alter.ErrNoDelegatedGrant):
		return &ModelError{Message: "the vault does not say who you are for this call (" + clean(refused.Code) + ")", Cause: err}
	case isAny(err, alter.ErrUnavailable):
		return &ModelError{Message: "who you are cannot be confirmed at the moment; try again in a minute", Cause: err}
	}
	v.log.Error("the vault refused to say who calls in a way that only its operator can mend",
		zap.String("audience", a.Audience), zap.String("tool", a.Tool), zap.Error(err),
		zap.Strings("missing", refused.Missing), zap.String("hint", refused.Hint), zap.String("correlation_id", refused.CorrelationID))
	return &ModelError{
		Message: "the tool is not set up as it should be; whoever runs this server can see why in its log", Cause: err,
	}
}
