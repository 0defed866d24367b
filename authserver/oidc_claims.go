package authserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/mail"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

const (
	maxSubject   = 1024     // bytes
	maxClaims    = 16 << 10 // bytes of JSON that are kept of an ID token
	maxClaimText = 512      // bytes of a name or an address
)

// protocolClaims are about the login and not about the person.
var protocolClaims = []string{
	"at_hash", "aud", "azp", "c_hash", "exp", "iat", "jti", "nbf", "nonce", "s_hash",
}

// claims are what a provider says of a person.
type claims map[string]any

// text returns a claim that is a text, or "".
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// truth reports whether a claim is true; some providers write it as a text.
func (c claims) truth(name string) bool {
	return c[name] == true || c[name] == "true"
}

// instant returns a claim that is a time (RFC 7519 section 2), or the year 1970.
func (c claims) instant(name string) time.Time {
	seconds, _ := c[name].(float64)
	return time.Unix(int64(seconds), 0)
}

// list returns the texts of a claim that is a list of them, or one.
func (c claims) list(name string) []string {
	if s := c.text(name); s != "" {
		return []string{s}
	}
	var texts []string
	values, _ := c[name].([]any)
	for _, v := range values {
		if s, ok := v.(string); ok && s != "" {
			texts = append(texts, s)
		}
	}
	return texts
}

// claimReader reads who a person is from the claims of an identity provider.
type claimReader struct {
	groupsClaim string
	trustEmail  bool
	log         *zap.Logger
}

// profile reads the claims of the ID token and those that userinfo added.
func (r claimReader) profile(token, userinfo claims) Profile {
	var p Profile
	for _, source := range []claims{token, userinfo} {
		address := source.text("email")
		if p.Email == "" {
			p.Email = addressOf(address)
		}
		// Verified is an address only by who says that address.
		if p.Email != "" && p.Email == address && source.truth("email_verified") {
			p.EmailVerified = true
		}
		for _, name := range []string{"name", "preferred_username", "nickname"} {
			if p.Name == "" && len(source.text(name)) <= maxClaimText {
				p.Name = source.text(name)
			}
		}
		if source[r.groupsClaim] != nil && p.Groups == nil {
			p.Groups = source.list(r.groupsClaim)
		}
	}
	p.EmailVerified = p.Email != "" && (p.EmailVerified || r.trustEmail)
	p.Claims = r.kept(token)
	return p
}

// addressOf returns the address if it is one and nothing more.
func addressOf(address string) string {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > maxClaimText {
		return ""
	}
	return address
}

// kept returns the claims about the person, the small ones first, as far as
// they go into maxClaims.
func (r claimReader) kept(token claims) json.RawMessage {
	texts := make(map[string]json.RawMessage, len(token))
	for name, value := range token {
		text, err := json.Marshal(value)
		if err == nil && !slices.Contains(protocolClaims, name) {
			texts[name] = text
		}
	}
	size := func(name string) int { return len(`{"":}`) + len(name) + len(texts[name]) }
	names := slices.SortedFunc(maps.Keys(texts), func(a, b string) int {
		return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(a, b))
	})
	left := maxClaims
	for i, name := range names {
		if left -= size(name); left < 0 {
			r.log.Warn("claims of an ID token are too large to be kept", zap.Strings("claims", names[i:]), zap.Int("most_bytes", maxClaims))
			for _, name := range names[i:] {
				delete(texts, name)
			}
			break
		}
	}
	return joinClaims(texts)
}

// joinClaims makes one object of claims, nil of none.
func joinClaims(texts map[string]json.RawMessage) json.RawMessage {
	if len(texts) == 0 {
		return nil
	}
	object, err := json.Marshal(texts)
	if err != nil {
		return nil // never: each is JSON
	}
	return object
}

// splitClaims is the opposite of joinClaims.
func splitClaims(object json.RawMessage) map[string]json.RawMessage {
	texts := make(map[string]json.RawMessage)
	if object != nil {
		_ = json.Unmarshal(object, &texts) // never fails: joinClaims made it
	}
	return texts
}

// userinfo asks for the claims that the ID token lacks (OpenID Connect Core 1.0
// section 5.3). A provider that has nothing to say is only logged. One that is
// down fails the login: without the groups that it would have named, a rule that
// keeps a group out would let the person in.
func (o *OIDCIdentity) userinfo(ctx context.Context, p *oidcProvider, token *oauth2.Token, subject string) (claims, error) {
	if p.userinfo == "" {
		return nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo, nil)
	if err != nil {
		return nil, providerFault(fmt.Errorf("asking for userinfo: %w", err))
	}
	token.SetAuthHeader(req)
	req.Header.Set("Accept", "application/json")
	resp, err := o.http.Do(req)
	if err != nil {
		return nil, providerDown(fmt.Errorf("asking for userinfo: %w", err))
	}
	defer resp.Body.Close()
	if isOutage(resp.StatusCode) {
		return nil, providerDown(fmt.Errorf("userinfo answers %s", resp.Status))
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, providerDown(fmt.Errorf("reading userinfo: %w", err))
	}
	more, err := readUserinfo(resp.StatusCode, body, subject)
	if err != nil {
		o.cfg.Logger.Warn("userinfo of the identity provider is not used", zap.Error(err))
	}
	return more, nil
}

func readUserinfo(status int, body []byte, subject string) (claims, error) {
	if status != http.StatusOK {
		return nil, fmt.Errorf("it answers %d", status)
	}
	more := make(claims)
	if err := json.Unmarshal(body, &more); err != nil {
		return nil, fmt.Errorf("reading it: %w", shortened{err})
	}
	if more.text("sub") != subject {
		return nil, errors.New("it is about somebody else than the ID token")
	}
	return more, nil
}
