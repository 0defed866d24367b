package alter_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// signInSteps are those in which a person logs in.
func signInSteps() map[string]step {
	alice := func(w *world, session string) bool { return w.vault.CompleteSignIn(session, "alice", time.Hour) }
	steps := map[string]step{
		"auth session": {do: authSession},
		"auth session, polled until the person has logged in": logIn(alice),
		"auth session, expired":                               logIn(func(w *world, session string) bool { return w.vault.ExpireSignIn(session) }),
		"auth session, poll survives a 503":                   {do: pollSurvives, waits: true},
		"user token, verified and not":                        {do: verified},
		"identity":                                            {do: identity, caller: alter.Caller{Name: "my-mcp"}},
		"identity without a person":                           {do: identityOfNobody},
		"assertion of an identity":                            {do: assertion},
	}
	for _, code := range []string{"access_denied", "service_unavailable", "identity_provider_inactive", "identity_group_name_ambiguous"} {
		steps["auth session ends with "+code] = logIn(func(w *world, session string) bool {
			return w.vault.FailSignIn(session, code, "the sign-in failed")
		})
	}
	return steps
}

func authSession(w *world) (any, error) {
	s, err := w.CreateAuthSession(w.ctx)
	if err != nil {
		return nil, err
	}
	return []any{
		strings.HasPrefix(s.Token.Reveal(), "auth_sess_"), strings.HasPrefix(s.URL, w.vault.Issuer()), s.ExpiresIn.Seconds(),
	}, nil
}

// logIn is a step in which end comes while somebody polls.
func logIn(end func(*world, string) bool) step {
	return step{waits: true, do: func(w *world) (any, error) {
		s, err := w.CreateAuthSession(w.ctx)
		if err != nil {
			return nil, err
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.until(func(c altertest.Call) bool { return c.Path == "/sdk/auth/poll" && c.Status == 0 })
			if !end(w, s.Token.Reveal()) {
				w.t.Error("there was no session to end")
			}
		}()
		r, err := w.AwaitAuthSession(w.ctx, s.Token, alter.AwaitOptions{Timeout: 20 * time.Second})
		<-ended
		if err != nil {
			return nil, err
		}
		subject, err := w.VerifyUserToken(w.ctx, r.UserToken)
		return object{"info": r.UserInfo, "subject": subject}, err
	}}
}

func pollSurvives(w *world) (any, error) {
	s, err := w.CreateAuthSession(w.ctx)
	if err != nil {
		return nil, err
	}
	w.vault.CompleteSignIn(s.Token.Reveal(), "alice", time.Hour)
	w.vault.AddFault(altertest.Fault{Path: "/sdk/auth/poll", Status: 503, Body: []byte(`{"error":"unavailable","message":"m"}`)})
	r, err := w.AwaitAuthSession(w.ctx, s.Token, alter.AwaitOptions{Timeout: 20 * time.Second, Interval: 50 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	return r.UserInfo, nil
}

func verified(w *world) (any, error) {
	var told []any
	for _, token := range []string{
		w.token("alice").Reveal(), w.vault.UserToken("alice", -time.Second), w.token("alice").Reveal() + "x",
	} {
		subject, err := w.VerifyUserToken(w.ctx, vaultclient.NewSecret(token))
		if errors.Is(err, alter.ErrUserTokenRejected) {
			told = append(told, nil)
			continue
		}
		told = append(told, outcomeOf(w, subject, err))
	}
	return told, nil
}

func identity(w *world) (any, error) {
	var told []any
	for _, profile := range []bool{false, true} {
		who, err := w.ResolveIdentity(w.ctx, alter.IdentityQuery{UserToken: w.token("alice"), Profile: profile})
		if err != nil {
			return nil, err
		}
		told = append(told, []any{who.Subject, who.UserStatus, append([]string{}, who.Groups...), orNull(who.Email)})
	}
	return told, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func identityOfNobody(w *world) (any, error) {
	who, err := w.ResolveIdentity(w.ctx, alter.IdentityQuery{})
	if err != nil {
		return nil, err
	}
	return orNull(who.AppUserID), nil
}

func assertion(w *world) (any, error) {
	var told []any
	for _, how := range []struct {
		ttl     time.Duration
		profile bool
	}{{0, false}, {30 * time.Second, true}} {
		a, err := w.AssertIdentity(w.ctx, alter.IdentityQuery{UserToken: w.token("alice"), Profile: how.profile},
			alter.AssertionOptions{Audience: "https://memory.example.com", TTL: how.ttl})
		if err != nil {
			return nil, err
		}
		told = append(told, []any{
			subjectOf(w, a.Token) == "alter:user:"+a.Identity.AppUserID, a.Identity.Subject, orNull(a.Identity.Email),
		})
	}
	return told, nil
}

// subjectOf reads an assertion, as this client leaves it to others.
func subjectOf(w *world, token vaultclient.Secret) string {
	w.t.Helper()
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		w.t.Fatalf("an assertion of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		w.t.Fatalf("decoding an assertion: %v", err)
	}
	var claims struct{ Sub string }
	parse(w.t, payload, &claims)
	return claims.Sub
}
