package altermcp

import (
	"context"
	"fmt"
	"net/http"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// identitySigner signs statements of who calls. A vault that knows people may be
// one; otherwise the endpoint signs by its own key.
type identitySigner interface {
	// signIdentity returns a JWT of caller for audience. tool and agent are those of
	// the call; empty for none. Its errors are those of [mcphandler.Upstream].
	signIdentity(ctx context.Context, caller *mcphandler.Caller, audience, tool, agent string) (string, error)
}

// signerOf returns what signs for an endpoint.
func signerOf(v vault, auth *authserver.Server, endpoint string) identitySigner {
	if signer, ok := v.(identitySigner); ok {
		return signer
	}
	return ownSigner{auth, endpoint}
}

// ownSigner signs by the key of the endpoint's access tokens.
type ownSigner struct {
	server   *authserver.Server
	endpoint string // canonical URL
}

// signIdentity implements identitySigner.
func (s ownSigner) signIdentity(ctx context.Context, caller *mcphandler.Caller, audience, _, _ string) (string, error) {
	a := authserver.Assertion{
		Issuer: s.endpoint, Audience: audience, UserID: caller.UserID, ClientID: caller.ClientID, Name: caller.Name, Groups: caller.Groups,
	}
	if caller.EmailVerified {
		a.Email = caller.Email
	}
	signed, err := s.server.Assert(ctx, a)
	if err != nil {
		return "", &mcphandler.ToolError{Message: "who you are cannot be confirmed at the moment; try again in a minute", Cause: err}
	}
	return signed.Reveal(), nil
}

// signIdentity implements identitySigner: the vault signs.
func (v *alterVault) signIdentity(ctx context.Context, caller *mcphandler.Caller, audience, tool, agent string) (string, error) {
	signed, err := v.AssertIdentity(withOwnToken(ctx, caller), altervault.Assertion{
		UserID: caller.UserID, Audience: audience, Agent: agent, Tool: tool,
	})
	if err != nil {
		return "", alterError(err, nil)
	}
	return signed.Reveal(), nil
}

// addIdentity has a tool's request say who calls, if that is wanted.
func (u *upstream) addIdentity(caller *mcphandler.Caller, need *mcphandler.Need, req *http.Request) error {
	if need.Identity == nil {
		return nil
	}
	token, err := u.signer.signIdentity(req.Context(), caller, need.Identity.Audience, need.Tool, need.Agent)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return err
	}
	req.Header.Set(need.Identity.HeaderName(), need.Identity.HeaderValue(token))
	return nil
}

// identityUser is a tool whose requests may say who calls.
type identityUser interface {
	ToolName() string
	// IdentityNeed is what they say it for, or nil.
	IdentityNeed() *mcphandler.SignedIdentity
}

// checkAudiences refuses statements for the endpoint itself: whoever checks the
// audience alone would take an access token for one.
func (h *Handler) checkAudiences(run *running) error {
	for tool, audience := range h.guests.audiences {
		if err := run.checkAudience(audience, h.Path); err != nil {
			return fmt.Errorf("tool %q: signed_identity: %w", tool, err)
		}
	}
	return nil
}

func (run *running) checkAudience(audience, path string) error {
	for _, origin := range run.origins.all() {
		if audience == origin+path {
			return fmt.Errorf("audience %s: that is the endpoint, for which access tokens are; want the URI of who is told", audience)
		}
	}
	return nil
}
