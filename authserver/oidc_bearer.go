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
)

// maxBearer bounds an access token of an identity provider in bytes: those with
// a person's groups are long.
const maxBearer = 16 << 10

// VerifyToken implements [TokenVerifier]: it accepts what RFC 9068 section 4 does,
// and JWTs of providers that leave out the type.
func (o *OIDCIdentity) VerifyToken(ctx context.Context, token string) (*Bearer, error) {
	if len(o.cfg.AcceptAudiences) == 0 || len(token) > maxBearer || !isCompactJWS(token) {
		return nil, fmt.Errorf("%w: not a token of this server", ErrInvalidToken)
	}
	if !sameIssuer(readUnverified(token).text("iss"), o.cfg.Issuer) { // spares asking the provider
		return nil, fmt.Errorf("%w: neither a token of this server nor of its identity provider", ErrInvalidToken)
	}
	p, err := o.discovery.get(ctx)
	if err != nil {
		return nil, err
	}
	payload, err := p.keys.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	known := make(claims)
	if err := json.Unmarshal(payload, &known); err != nil {
		return nil, fmt.Errorf("%w: its claims are no JSON object", ErrInvalidToken)
	}
	if err := o.checkBearer(p, known); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	subject := known.text(o.cfg.SubjectClaim)
	if subject == "" || len(subject) > maxSubject {
		return nil, fmt.Errorf("%w: its claim %s is no text of 1 to %d bytes", ErrInvalidToken, o.cfg.SubjectClaim, maxSubject)
	}
	if len(known.client()) > maxClaimText {
		return nil, fmt.Errorf("%w: it names a client of more than %d bytes", ErrInvalidToken, maxClaimText)
	}
	return &Bearer{
		Person:   Person{Issuer: p.issuer, Subject: subject, Profile: o.claims.profile(known, nil)},
		ClientID: known.client(), Expiry: known.time("exp"),
	}, nil
}

// readUnverified reads the claims of a JWT that is still to be verified.
func readUnverified(token string) claims {
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil {
		return nil
	}
	return c
}

// client is the client that a token was given to (RFC 9068 section 2.2; azp is
// what others than that RFC say).
func (c claims) client() string {
	for _, name := range []string{"client_id", "azp", "appid", "cid"} {
		if id := c.text(name); id != "" {
			return id
		}
	}
	return ""
}

// time returns a claim that is a time in seconds, or the zero time.
func (c claims) time(name string) time.Time {
	seconds, ok := c[name].(float64)
	if !ok {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// checkBearer checks all but the signature of an access token: that it is one, for
// this server, of a person, and good now.
func (o *OIDCIdentity) checkBearer(p *oidcProvider, known claims) error {
	now := o.cfg.Now()
	latest := now.Add(maxSkew)
	audience := o.acceptedAudience(known)
	switch {
	case known.text("iss") != p.issuer:
		return errors.New("it is of another issuer")
	case audience == "":
		return errors.New("it is for another audience")
	case !now.Before(known.time("exp")):
		return errors.New("it has expired, or says no end")
	case known.time("nbf").After(latest) || known.time("iat").After(latest):
		return errors.New("it is of the future")
	case known["cnf"] != nil:
		return errors.New("it is bound to a key, and no bearer token")
	case known["events"] != nil:
		return errors.New("it is a security event, such as a logout")
	case audience != o.cfg.ClientID && (known["nonce"] != nil || known["at_hash"] != nil || known["c_hash"] != nil):
		return errors.New("it is an ID token")
	}
	return checkKind(known, audience == o.cfg.ClientID)
}

// acceptedAudience returns the audience of the token that the operator has named,
// or "".
func (o *OIDCIdentity) acceptedAudience(known claims) string {
	for _, audience := range known.list("aud") {
		if slices.Contains(o.cfg.AcceptAudiences, audience) {
			return audience
		}
	}
	return ""
}

// checkKind refuses what the claims that providers have for this call no access
// token of a person: Keycloak's typ, Entra's idtyp, Auth0's gty, and the subject
// of RFC 9068 section 2.2 for a client of its own.
func checkKind(known claims, takesID bool) error {
	switch typ := strings.ToLower(known.text("typ")); {
	case typ == "refresh" || typ == "offline" || typ == "logout":
		return fmt.Errorf("it is a %s token", typ)
	case typ == "id" && !takesID:
		return errors.New("it is an ID token")
	}
	if known.text("idtyp") == "app" || known.text("gty") == "client-credentials" || known.text("sub") == known.client() {
		return errors.New("it stands for a program and not for a person")
	}
	return nil
}
