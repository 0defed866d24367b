package vaultclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Ways in which a provider is told that a grant is given up: the values of
// [Provider.Revocation].
const (
	// RevocationRFC7009 posts the token as a form, with the client's credentials.
	RevocationRFC7009 = "rfc7009"
	// RevocationGitHub deletes the person's grant to the client, and with it each
	// token of theirs, by a request whose JSON holds one of the access tokens.
	RevocationGitHub = "github"
	// RevocationSlack posts with the access token as bearer, which ends that one. A
	// failure is an answer with status 200 and "ok": false.
	RevocationSlack = "slack"
)

// inURL is replaced with the client's id in a revocation URL.
const inURL = "{client_id}"

// Revoke tells the provider that a grant is given up, in the way of p.Revocation.
// access is zero when it has ended, and refresh when there is none. Without a
// revocation endpoint, or a token to name the grant by, it does nothing. The
// error holds neither token, even if the provider repeats them, and is
// [ErrUnavailable] when the provider did not answer.
func (p *Provider) Revoke(ctx context.Context, rt http.RoundTripper, access, refresh Secret) error {
	if p.RevocationURL == "" || access.IsZero() && refresh.IsZero() {
		return nil
	}
	if p.Revocation == "" || p.Revocation == RevocationRFC7009 {
		token := refresh // ends the access tokens as well (RFC 7009 section 2.1)
		if token.IsZero() {
			token = access
		}
		status, _, _, err := p.postForm(ctx, rt, p.RevocationURL, url.Values{"token": {token.Reveal()}})
		return checkRevoked(status, err)
	}
	if access.IsZero() { // the others know a grant by an access token that is good
		tokens, err := p.Refresh(ctx, rt, refresh)
		if err != nil {
			return fmt.Errorf("renewing the token to revoke by: %w", err)
		}
		access = tokens.AccessToken
	}
	if p.Revocation == RevocationGitHub {
		return p.revokeAtGitHub(ctx, rt, access)
	}
	return p.revokeAtSlack(ctx, rt, access)
}

func (p *Provider) revokeAtGitHub(ctx context.Context, rt http.RoundTripper, access Secret) error {
	body, err := json.Marshal(map[string]string{"access_token": access.Reveal()})
	if err != nil {
		return fmt.Errorf("making a revocation request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	target := strings.ReplaceAll(p.RevocationURL, inURL, url.PathEscape(p.ClientID))
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making a revocation request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(p.ClientID, p.ClientSecret.Reveal()) // as they are, unlike at a token endpoint
	status, _, _, err := send(rt, req)
	return checkRevoked(status, err)
}

func (p *Provider) revokeAtSlack(ctx context.Context, rt http.RoundTripper, access Secret) error {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.RevocationURL, http.NoBody)
	if err != nil {
		return fmt.Errorf("making a revocation request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	status, _, body, err := send(rt, req)
	if err := checkRevoked(status, err); err != nil {
		return err
	}
	var reply struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &reply); err != nil { // whose error may repeat what was read
		return fmt.Errorf("revocation endpoint answered %d and no JSON with ok", status)
	}
	if !reply.OK {
		return fmt.Errorf("revocation endpoint answered ok: false, %s", clip(hide(reply.Error, access.Reveal())))
	}
	return nil
}

// checkRevoked takes each answer but a success for a failure: redirects are not
// followed, so one has not revoked anything.
func checkRevoked(status int, err error) error {
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("revocation endpoint answered %d", status)
	}
	return err
}
