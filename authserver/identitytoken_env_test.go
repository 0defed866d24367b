package authserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// upstream makes an idp give refresh tokens and renew by them.
type upstream struct {
	*idp
	mu      sync.Mutex
	given   []string          // all tokens, which nobody may read in a log
	live    map[string]string // refresh token to nonce
	renewed int               // refresh requests that were answered with tokens
	asked   int               // refresh requests

	// What a test changes.
	life     time.Duration                     // of ID and access tokens
	offline  bool                              // logins give a refresh token
	authTime time.Time                         // of ID tokens
	kept     bool                              // refresh tokens do not rotate
	fault    http.HandlerFunc                  // in place of an answer to a renewal
	change   func(claims map[string]any)       // of a renewed ID token
	shape    func(answer map[string]any)       // any answer with tokens
	answered func(answer map[string]any) error // before a renewal is answered; an error hangs up
}

func (u *upstream) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *upstream) count() (asked, renewed int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked, u.renewed
}

func (u *upstream) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("grant_type") != "refresh_token" {
		u.idp.mu.Lock()
		q := u.codes[r.FormValue("code")]
		delete(u.codes, r.FormValue("code"))
		u.idp.mu.Unlock()
		u.mu.Lock()
		answer := u.issue(q.Get("nonce"), nil, u.offline)
		u.mu.Unlock()
		writeJSON(w, http.StatusOK, answer)
		return
	}
	u.mu.Lock()
	u.asked++
	fault, answered := u.fault, u.answered
	u.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	u.mu.Lock()
	nonce, ok := u.live[r.FormValue("refresh_token")]
	if !ok {
		u.mu.Unlock()
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	if !u.kept {
		delete(u.live, r.FormValue("refresh_token"))
	}
	answer := u.issue(nonce, u.change, !u.kept)
	u.renewed++
	u.mu.Unlock()
	if answered != nil && answered(answer) != nil {
		hangUp(w, r)
	}
	writeJSON(w, http.StatusOK, answer)
}

// issue makes the answer to a good request. Its caller holds the lock.
func (u *upstream) issue(nonce string, change func(map[string]any), refresh bool) map[string]any {
	now, n := u.clock.Now().Unix(), len(u.given)
	claims := map[string]any{
		"iss": u.URL, "sub": "42", "aud": idpClient, "iat": now, "exp": now + int64(u.life.Seconds()), "nonce": nonce,
		"email": "alice@example.com", "name": "Alice", "groups": []string{"staff"}, "jti": fmt.Sprint(n),
	}
	if !u.authTime.IsZero() {
		claims["auth_time"] = u.authTime.Unix()
	}
	if change != nil {
		change(claims)
	}
	answer := map[string]any{
		"access_token": fmt.Sprintf("upstream access %d", n), "token_type": "Bearer",
		"expires_in": int64(u.life.Seconds()), "id_token": u.signed(claims, get(u.idp, &u.key)),
	}
	u.given = append(u.given, answer["access_token"].(string), answer["id_token"].(string))
	if refresh {
		token := fmt.Sprintf("upstream refresh %d", n)
		answer["refresh_token"], u.live[token] = token, nonce
		u.given = append(u.given, token)
	}
	if u.shape != nil {
		u.shape(answer)
	}
	return answer
}

// keepEnv is an authorization server that keeps ID tokens, with one person who is
// logged in by one client.
type keepEnv struct {
	*oidcEnv
	up     *upstream
	cfg    authserver.Config
	told   events
	userID string
	access string
	// refreshed is the client's refresh token.
	refreshed string
}

// newKeepEnv begins with tokens of an hour that can be renewed. change is of the
// provider and of the server.
func newKeepEnv(t *testing.T, change ...func(*upstream, *authserver.Config)) *keepEnv {
	t.Helper()
	k := &keepEnv{up: &upstream{live: make(map[string]string), life: time.Hour, offline: true}}
	k.oidcEnv = newOIDCEnvWith(t, func(c *authserver.Config) {
		c.KeepIdentityToken, c.Record = authserver.IdentityTokenID, k.told.record
		c.AccessTokenLifetime = 24 * time.Hour // which nothing is to end by
		for _, f := range change {
			f(k.up, c)
		}
		k.cfg = *c
	})
	k.up.idp = k.idp
	k.idp.set(func() { k.idp.token = k.up.serveToken })
	k.access, k.refreshed = k.logIn(k.newBrowser())
	k.userID = k.user(k.access)
	t.Cleanup(k.wantNoLeak)
	return k
}

// wantNoLeak fails the test when the log holds a token.
func (k *keepEnv) wantNoLeak() {
	k.Helper()
	k.up.mu.Lock()
	defer k.up.mu.Unlock()
	for _, token := range k.up.given {
		if k.logged(token) {
			k.Errorf("the log holds %.20s...", token)
		}
	}
}

// logIn logs the person in by the client and returns its tokens.
func (k *keepEnv) logIn(b *browser) (access, refresh string) {
	k.Helper()
	status, answer, _ := k.token(codeForm(k.clientID, k.params(b.get(k.callbackURL(b))).Get("code")))
	if status != http.StatusOK {
		k.Fatalf("token = %d %v", status, answer)
	}
	refresh, _ = answer["refresh_token"].(string)
	return answer["access_token"].(string), refresh
}

func (k *keepEnv) user(access string) string {
	k.Helper()
	a, err := k.server.Verify(k.Context(), access, k.base+testPath)
	if err != nil {
		k.Fatal(err)
	}
	return a.User.ID
}

// newServer is another server with the same configuration and store, as after a
// restart or on another node.
func (k *keepEnv) newServer(change ...func(*authserver.Config)) *authserver.Server {
	k.Helper()
	cfg := k.cfg
	cfg.IdentityRenewals = nil
	for _, f := range change {
		f(&cfg)
	}
	s, err := authserver.New(cfg)
	if err != nil {
		k.Fatal(err)
	}
	return s
}

// mustToken returns the person's identity token.
func (k *keepEnv) mustToken() string {
	k.Helper()
	token, err := k.server.IdentityToken(context.Background(), k.userID)
	if err != nil {
		k.Fatalf("IdentityToken = %v", err)
	}
	return token.Token.Reveal()
}

// wantRenewals fails the test unless the provider was asked and renewed as often.
func (k *keepEnv) wantRenewals(asked, renewed int) {
	k.Helper()
	if a, r := k.up.count(); a != asked || r != renewed {
		k.Errorf("provider was asked for %d renewals and gave %d, want %d and %d", a, r, asked, renewed)
	}
}

// wantGone fails the test unless the person must log in again, wherever it is
// noticed, and nothing but that is lost.
func (k *keepEnv) wantGone(why string) {
	k.Helper()
	if _, err := k.server.IdentityToken(context.Background(), k.userID); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		k.Errorf("%s: IdentityToken = %v, want ErrIdentityTokenGone", why, err)
	}
	if _, err := k.verify(k.access); !errors.Is(err, authserver.ErrInvalidToken) || !strings.Contains(err.Error(), "login at the identity provider") {
		k.Errorf("%s: Verify = %v, want ErrInvalidToken because of the identity provider", why, err)
	}
	k.told.take()
	k.refused(why, k.clientID, k.refreshed)
	for _, e := range k.told.take() {
		if e.Kind == authserver.EventRefreshReuse {
			k.Errorf("%s: it is told as reuse of a refresh token", why)
		}
	}
}

// wantWhole fails the test unless everything works, and refreshes.
func (k *keepEnv) wantWhole(when string) {
	k.Helper()
	k.mustToken()
	if _, err := k.verify(k.access); err != nil {
		k.Errorf("%s: Verify = %v", when, err)
	}
	k.access, k.refreshed = k.mustRefresh(k.clientID, k.refreshed)
	if _, err := k.verify(k.access); err != nil {
		k.Errorf("%s: Verify after a refresh = %v", when, err)
	}
}

// wantUnavailable fails the test unless there is no token at the moment, while
// all else goes on.
func (k *keepEnv) wantUnavailable(why string) {
	k.Helper()
	if _, err := k.server.IdentityToken(context.Background(), k.userID); !errors.Is(err, authserver.ErrIdentityTokenUnavailable) {
		k.Errorf("%s: IdentityToken = %v, want ErrIdentityTokenUnavailable", why, err)
	}
	k.access, k.refreshed = k.mustRefresh(k.clientID, k.refreshed)
	if _, err := k.verify(k.access); err != nil {
		k.Errorf("%s: Verify = %v", why, err)
	}
}

// isLoggedIn reports whether a browser's login counts: the consent page of a
// person who is logged in goes on to the client, and any other to the login.
func (k *keepEnv) isLoggedIn(b *browser) bool {
	k.Helper()
	p := b.submit(b.get(k.authorizeURL(k.clientID)), "decision", "allow")
	return !strings.HasPrefix(p.location, testPath+"/login?")
}

// rest waits until a renewal that failed may be tried again.
func (k *keepEnv) rest() { k.clock.advance(26 * time.Second) }
