package authserver

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

const (
	// exchangeTimeout bounds all that a callback asks the provider for.
	exchangeTimeout = 15 * time.Second
	// maxSkew is how far the provider's clock may be off.
	maxSkew = 60 * time.Second
)

// providerDown is an error of a provider that a later try may not meet.
func providerDown(cause error) *Error {
	return ErrUnavailable.because(cause, "the login is not possible at the moment, try again later")
}

// providerFault is an error of a provider that somebody has to mend. The status
// is for the page that a person sees when no client waits.
func providerFault(cause error) *Error {
	e := ErrServer.because(cause, "the login failed at the identity provider")
	e.Status = http.StatusBadGateway
	return e
}

// finish takes the provider's answer. It does so once for each login: what comes
// with the same state again is neither sent to the provider nor told the client.
func (o *OIDCIdentity) finish(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error) {
	saved := o.saved(l)
	if saved == nil {
		return nil, ErrInvalidRequest.because(nil, "this login was not begun")
	}
	first, err := l.take(r.Context())
	if err != nil {
		return nil, err
	}
	if !first {
		l.server.errorPage(w, r, loginOver())
		return nil, nil
	}
	if l.callback != o.cfg.Callback {
		return nil, providerFault(errors.New("the answer came to the redirect URI of another identity provider"))
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), o.http), discoveryTimeout+exchangeTimeout)
	defer cancel()
	p, err := o.discovery.get(ctx)
	if err != nil {
		return nil, err
	}
	if saved.Issuer != p.issuer {
		return nil, providerFault(errors.New("the login was begun at another identity provider than is configured now"))
	}
	code, err := o.readAnswer(p, r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	ctx, cancel = context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	token, err := o.exchange(ctx, p, l, code, saved.Verifier)
	if err != nil {
		return nil, err
	}
	return o.personOf(ctx, p, l, token, saved.Nonce)
}

// readAnswer returns the code of an authorization response. The answer must be
// this provider's (RFC 9207 section 2.4).
func (o *OIDCIdentity) readAnswer(p *oidcProvider, query string) (string, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", providerFault(errors.New("the answer's query is malformed"))
	}
	for _, name := range []string{"code", "error", "iss", "state"} {
		if len(q[name]) > 1 {
			return "", providerFault(fmt.Errorf("the answer has %s more than once", name))
		}
	}
	switch iss := q.Get("iss"); {
	case q.Has("iss") && iss != p.issuer:
		return "", providerFault(fmt.Errorf("the answer is of the issuer %s, not of %s", shorten(iss), p.issuer))
	case !q.Has("iss") && p.sendsIss:
		return "", providerFault(errors.New("the answer lacks iss, which the provider says it sends"))
	}
	if q.Has("error") {
		return "", o.refusal(q.Get("error"), q.Get("error_description"))
	}
	if q.Get("code") == "" {
		return "", providerFault(errors.New("the answer has neither code nor error"))
	}
	return q.Get("code"), nil
}

// refusal is what the client hears of the provider's error. The provider's own
// words go to the log alone.
func (o *OIDCIdentity) refusal(code, description string) error {
	code, description = shorten(code), shorten(description)
	o.cfg.Logger.Info("the identity provider refused a login", zap.String("error", code), zap.String("error_description", description))
	cause := fmt.Errorf("identity provider answers %s: %s", code, description)
	refused := []string{
		"access_denied", "account_selection_required", "consent_required", "interaction_required", "login_required",
	}
	switch {
	case slices.Contains(refused, code):
		return ErrAccessDenied.because(cause, "the person did not log in")
	case code == ErrUnavailable.Code:
		return providerDown(cause)
	}
	return providerFault(cause)
}

// exchange redeems the code.
func (o *OIDCIdentity) exchange(ctx context.Context, p *oidcProvider, l *Login, code, verifier string) (*oauth2.Token, error) {
	token, err := o.authenticated(p, func(style oauth2.AuthStyle) (*oauth2.Token, error) {
		return o.client(p, l, style).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	})
	if err != nil {
		return nil, exchangeFailure("redeeming the code", err, code, verifier, o.cfg.ClientSecret)
	}
	return token, nil
}

// authenticated asks the token endpoint by each way of client authentication until
// one is not refused.
func (o *OIDCIdentity) authenticated(p *oidcProvider, ask func(oauth2.AuthStyle) (*oauth2.Token, error)) (*oauth2.Token, error) {
	var failure error
	for _, style := range p.styles {
		token, err := ask(style)
		if err == nil {
			return token, nil
		}
		failure = err
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.ErrorCode != ErrInvalidClient.Code && refused.Response.StatusCode != http.StatusUnauthorized {
			break
		}
	}
	return nil, failure
}

// exchangeFailure tells a provider that is down from one that says no. A body is
// never quoted: it might hold tokens. The secrets of the request are cut out of
// the provider's words, which may repeat them.
func exchangeFailure(doing string, err error, secrets ...string) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		cause := fmt.Errorf("token endpoint answers %d %s: %s", refused.Response.StatusCode, shorten(without(refused.ErrorCode, secrets)), shorten(without(refused.ErrorDescription, secrets)))
		if isOutage(refused.Response.StatusCode) {
			return providerDown(cause)
		}
		return providerFault(cause)
	}
	cause := fmt.Errorf("%s: %w", doing, shortened{err})
	var unreached *url.Error
	if errors.As(err, &unreached) || errors.Is(err, context.DeadlineExceeded) {
		return providerDown(cause)
	}
	return providerFault(cause)
}

// isOutage reports the statuses that say "later" rather than "no".
func isOutage(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// personOf verifies the ID token and reads who logged in.
func (o *OIDCIdentity) personOf(ctx context.Context, p *oidcProvider, l *Login, token *oauth2.Token, nonce string) (*Person, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, providerFault(errors.New("the token endpoint gave no ID token"))
	}
	idToken, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, providerFault(fmt.Errorf("verifying the ID token: %w", shortened{err}))
	}
	known := make(claims)
	if err := idToken.Claims(&known); err != nil {
		return nil, providerFault(fmt.Errorf("reading the ID token: %w", shortened{err}))
	}
	if err := o.checkIDToken(idToken, known, nonce); err != nil {
		return nil, providerFault(fmt.Errorf("checking the ID token: %w", err))
	}
	subject := known.text(o.cfg.SubjectClaim)
	if subject == "" || len(subject) > maxSubject {
		return nil, providerFault(fmt.Errorf("the claim %s of the ID token is no text of 1 to %d bytes", o.cfg.SubjectClaim, maxSubject))
	}
	more := claims(nil)
	if known.text("email") == "" || known[o.cfg.GroupsClaim] == nil {
		if more, err = o.userinfo(ctx, p, token, idToken.Subject); err != nil {
			return nil, err
		}
	}
	return &Person{
		Issuer: p.issuer, Subject: subject, Profile: o.claims.profile(known, more), Tokens: o.tokensOf(idToken, raw, token),
		Silent: !l.Force && known.instant("auth_time").Before(l.begun().Add(-maxSkew)),
	}, nil
}

// checkIDToken does what is left of OpenID Connect Core 1.0 section 3.1.3.7
// after signature, algorithm, issuer, audience and end.
func (o *OIDCIdentity) checkIDToken(t *oidc.IDToken, known claims, nonce string) error {
	latest := o.cfg.Now().Add(maxSkew)
	notBefore, _ := known["nbf"].(float64)
	azp, hasAzp := known["azp"]
	switch {
	case subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(nonce)) != 1:
		return errors.New("its nonce is not that of this login")
	case t.IssuedAt.IsZero():
		return errors.New("it lacks iat")
	case t.IssuedAt.After(latest) || time.Unix(int64(notBefore), 0).After(latest):
		return errors.New("it is of the future")
	case hasAzp && azp != o.cfg.ClientID:
		return errors.New("it was made for another client")
	case !hasAzp && len(t.Audience) > 1:
		return errors.New("it has several audiences and no azp")
	}
	return nil
}
