package altermcp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// This file joins the packages that do not know each other. No decision is
// taken here.

// authenticator gives mcphandler the callers that authserver knows.
type authenticator struct{ server *authserver.Server }

// Authenticate implements [mcphandler.Authenticator].
func (a authenticator) Authenticate(r *http.Request) (*mcphandler.Caller, error) {
	token, err := bearerToken(r)
	if err != nil {
		return nil, err
	}
	endpoint := endpointOf(r)
	access, err := a.server.Verify(r.Context(), token, endpoint)
	switch {
	case errors.Is(err, authserver.ErrInvalidToken):
		return nil, fmt.Errorf("%w: %w", mcphandler.ErrInvalidToken, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", mcphandler.ErrUnavailable, err)
	}
	profile := &access.User.Profile
	caller := &mcphandler.Caller{
		UserID: access.User.ID, Issuer: access.User.Issuer, Subject: access.User.Subject,
		Email: profile.Email, EmailVerified: profile.EmailVerified,
		Name: profile.Name, Groups: profile.Groups, Claims: profile.Claims,
		ClientID: access.ClientID, ClientName: access.ClientName,
		Scopes: access.Scopes, Expiry: access.Expiry, Endpoint: endpoint,
	}
	if !access.IdentityToken.IsZero() {
		caller.Credential = access.IdentityToken
	}
	return caller, nil
}

// bearerToken finds the access token, in the header and nowhere else (OAuth 2.1
// section 5.1).
func bearerToken(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", mcphandler.ErrNoToken
	}
	if len(headers) > 1 {
		return "", fmt.Errorf("%w: more than one Authorization header", mcphandler.ErrInvalidToken)
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", mcphandler.ErrNoToken
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", fmt.Errorf("%w: it is empty", mcphandler.ErrInvalidToken)
	}
	return token, nil
}

// upstream sends tools' requests, with the grants of the vault where they need
// one.
type upstream struct {
	base http.RoundTripper
	// Set when the endpoint starts, before any tool is called.
	vault  vault
	signer identitySigner
}

func newUpstream() *upstream { return &upstream{base: vaultclient.NewBase()} }

// closeIdle closes connections that nobody uses, at the end of a configuration.
func (u *upstream) closeIdle() {
	if t, ok := u.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Do implements [mcphandler.Upstream].
func (u *upstream) Do(caller *mcphandler.Caller, need mcphandler.Need, req *http.Request) (*http.Response, error) {
	if err := u.addIdentity(caller, &need, req); err != nil {
		return nil, err
	}
	if need.Provider == "" {
		return u.base.RoundTrip(req) // a RoundTripper follows no redirect
	}
	return u.vault.Send(caller, need, req)
}

// browser tells the vault's pages who is logged in.
type browser struct {
	server *authserver.Server
	rules  *Handler
}

// Person implements [connect.Browser].
func (b browser) Person(w http.ResponseWriter, r *http.Request) (connect.Person, bool) {
	p, ok := b.server.Person(w, r)
	may := func(provider string) bool { return b.rules.admitToProvider(p.User, provider) }
	return connect.Person{UserID: p.UserID, Name: p.Name, Email: p.Email, Session: p.Session, May: may}, ok
}

// recordCall counts a tools/call and writes its audit line. providers are the
// tools with the provider that each needs.
func recordCall(log *zap.Logger, providers map[string]string) func(mcphandler.CallRecord) {
	return func(rec mcphandler.CallRecord) {
		metrics.countCall(providers, &rec)
		log.Info("tool called",
			zap.String("endpoint", rec.Caller.Endpoint), zap.String("user", rec.Caller.UserID), zap.String("client_id", rec.Caller.ClientID),
			zap.String("tool", rec.Tool), zap.String("provider", providers[rec.Tool]),
			zap.String("outcome", rec.Outcome), zap.Duration("duration", rec.Duration))
	}
}
