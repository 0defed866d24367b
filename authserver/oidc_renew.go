package authserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// assumedLife is that of an access token whose provider does not say how long it
// lives (RFC 6749 section 5.1).
const assumedLife = time.Hour

// renewalRefused are the errors of a token endpoint after which only a login
// helps: the refresh token is over (RFC 6749 section 5.2), or the provider wants to
// see the person.
var renewalRefused = []string{ErrInvalidGrant.Code, "interaction_required", "login_required", "consent_required"}

// tokensOf reads what the token endpoint gave with a good ID token, or with none.
func (o *OIDCIdentity) tokensOf(id *oidc.IDToken, raw string, token *oauth2.Token) IdentityTokens {
	t := IdentityTokens{
		Access: NewSecret(token.AccessToken), AccessExpiry: o.accessExpiry(token), Refresh: NewSecret(token.RefreshToken),
	}
	if id != nil {
		t.Issuer, t.Subject, t.Nonce = id.Issuer, id.Subject, id.Nonce
		t.ID, t.IDExpiry = NewSecret(raw), id.Expiry
	}
	return t
}

// accessExpiry is when an access token ends: as the answer says, as the token
// says if it is a JWT, or after assumedLife.
func (o *OIDCIdentity) accessExpiry(token *oauth2.Token) time.Time {
	if token.ExpiresIn > 0 {
		return o.cfg.Now().Add(time.Duration(token.ExpiresIn) * time.Second)
	}
	var claims struct {
		Expiry int64 `json:"exp"`
	}
	if parts := strings.Split(token.AccessToken, "."); len(parts) == 3 {
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(payload, &claims) == nil && claims.Expiry > 0 {
			return time.Unix(claims.Expiry, 0)
		}
	}
	return o.cfg.Now().Add(assumedLife)
}

// RenewTokens implements [TokenRenewer] by the refresh grant (OpenID Connect Core
// 1.0 section 12). An ID token among the new ones must be good and of the same
// person at the same issuer, or all of them are refused. A refresh token is never
// sent to another provider than the one that gave it.
func (o *OIDCIdentity) RenewTokens(ctx context.Context, old IdentityTokens) (IdentityTokens, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, o.http), discoveryTimeout+exchangeTimeout)
	defer cancel()
	p, err := o.discovery.get(ctx)
	if err != nil {
		return IdentityTokens{}, err
	}
	if old.Issuer != p.issuer {
		return IdentityTokens{}, fmt.Errorf("%w: it was at another identity provider than is configured now", ErrRenewalRefused)
	}
	ctx, cancel = context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	token, err := o.authenticated(p, func(style oauth2.AuthStyle) (*oauth2.Token, error) {
		client := o.client(p, &Login{}, style)
		return client.TokenSource(ctx, &oauth2.Token{RefreshToken: old.Refresh.Reveal()}).Token()
	})
	if err != nil {
		return IdentityTokens{}, o.renewalFailure(err, old)
	}
	return o.renewed(ctx, p, token, old)
}

// renewalFailure tells a provider that will not renew any more from one that
// cannot at the moment, or refuses for what the operator has to mend.
func (o *OIDCIdentity) renewalFailure(err error, old IdentityTokens) error {
	cause := exchangeFailure("renewing a login", err, old.Refresh.Reveal(), o.cfg.ClientSecret)
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && slices.Contains(renewalRefused, refused.ErrorCode) {
		return fmt.Errorf("%w: %w", ErrRenewalRefused, cause)
	}
	return cause
}

// renewed checks what a renewal gave (OpenID Connect Core 1.0 section 12.2). While
// the provider's keys cannot be had the ID token cannot be checked; the refresh
// token is returned then, which may have been rotated.
func (o *OIDCIdentity) renewed(ctx context.Context, p *oidcProvider, token *oauth2.Token, old IdentityTokens) (IdentityTokens, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		t := o.tokensOf(nil, "", token)
		t.Issuer, t.Subject, t.Nonce = old.Issuer, old.Subject, old.Nonce
		return t, nil
	}
	id, err := p.verifier.Verify(ctx, raw)
	if keysAway(err) {
		return IdentityTokens{Refresh: NewSecret(token.RefreshToken)}, providerDown(fmt.Errorf("verifying the renewed ID token: %w", shortened{err}))
	}
	if err == nil {
		err = o.checkRenewed(id, old)
	}
	if err != nil {
		return IdentityTokens{}, fmt.Errorf("%w: the renewed ID token is not accepted: %w", ErrRenewalRefused, shortened{err})
	}
	t := o.tokensOf(id, raw, token)
	t.Nonce = old.Nonce
	return t, nil
}

func (o *OIDCIdentity) checkRenewed(id *oidc.IDToken, old IdentityTokens) error {
	known := make(claims)
	if err := id.Claims(&known); err != nil {
		return err
	}
	switch {
	case id.Issuer != old.Issuer || id.Subject != old.Subject:
		return errors.New("it is of another person than logged in")
	case id.Nonce != "" && id.Nonce != old.Nonce:
		return errors.New("its nonce is that of another login")
	}
	return o.checkIDToken(id, known, id.Nonce)
}

// keysAway reports whether a token could not be verified because the provider's
// keys could not be fetched. The library tells that in words alone.
func keysAway(err error) bool {
	return err != nil && strings.Contains(err.Error(), "fetching keys")
}
