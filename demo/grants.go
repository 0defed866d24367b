package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"sync"
	"time"
)

const (
	codeLifetime    = time.Minute
	refreshLifetime = 30 * 24 * time.Hour
	maxRows         = 1000 // of codes, access tokens and refresh tokens each
)

// grants are the codes and tokens that are out.
type grants struct {
	now      func() time.Time
	lifetime time.Duration // of access tokens

	mu      sync.Mutex
	codes   *table[*code]
	access  *table[access]
	refresh *table[*grant]
}

// grant is what a person allowed once.
type grant struct {
	mailbox mailbox
	scopes  []string
	ended   bool
}

// code is an authorization code. It stays after its use, so that a second use is
// noticed.
type code struct {
	grant       *grant
	redirectURI string
	challenge   string // S256
	used        bool
}

// access is what an access token is good for.
type access struct {
	grant  *grant
	scopes []string
}

// tokens are a fresh pair.
type tokens struct {
	access, refresh string
	scopes          []string
}

func newGrants(now func() time.Time, lifetime time.Duration) *grants {
	return &grants{
		now: now, lifetime: lifetime,
		codes: newTable[*code](maxRows), access: newTable[access](maxRows), refresh: newTable[*grant](maxRows),
	}
}

// issueCode makes a code for what a person allowed.
func (g *grants) issueCode(c *code) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	secret := rand.Text()
	g.codes.put(secret, c, g.now().Add(codeLifetime))
	return secret
}

// redeem turns a code into tokens. A second use ends the grant (RFC 6749,
// section 4.1.2).
func (g *grants) redeem(secret, redirectURI, verifier string) (tokens, *problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.codes.get(secret, g.now())
	if !ok {
		return tokens{}, &problem{"invalid_grant", "the code is unknown or too old"}
	}
	if c.used {
		c.grant.ended = true
		return tokens{}, &problem{"invalid_grant", "the code was used before"}
	}
	c.used = true // also by a wrong attempt: nobody may guess on
	if c.redirectURI != redirectURI {
		return tokens{}, &problem{"invalid_grant", "the redirect URI is not the one that the code was made for"}
	}
	if !verifies(verifier, c.challenge) {
		return tokens{}, &problem{"invalid_grant", "the code verifier does not fit"}
	}
	return g.issue(c.grant, c.grant.scopes), nil
}

// verifies reports whether a verifier fits its challenge (RFC 7636, sections 4.1
// and 4.6).
func verifies(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(got), []byte(challenge)) == 1
}

// rotate turns a refresh token into new tokens, for the scopes or, without any,
// for all of the grant. The old refresh token is then worth nothing.
func (g *grants) rotate(secret string, scopes []string) (tokens, *problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr, ok := g.refresh.get(secret, g.now())
	if !ok || gr.ended {
		return tokens{}, &problem{"invalid_grant", "the refresh token is unknown, too old, revoked or was used before"}
	}
	if len(scopes) == 0 {
		scopes = gr.scopes
	}
	for _, scope := range scopes {
		if !slices.Contains(gr.scopes, scope) {
			return tokens{}, &problem{"invalid_scope", "the scope goes beyond what was allowed"}
		}
	}
	g.refresh.remove(secret)
	return g.issue(gr, scopes), nil
}

// issue makes a pair of tokens. g.mu is held.
func (g *grants) issue(gr *grant, scopes []string) tokens {
	t := tokens{access: rand.Text(), refresh: rand.Text(), scopes: scopes}
	now := g.now()
	g.access.put(t.access, access{gr, scopes}, now.Add(g.lifetime))
	g.refresh.put(t.refresh, gr, now.Add(refreshLifetime))
	return t
}

// check returns what an access token is good for.
func (g *grants) check(secret string) (access, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.access.get(secret, g.now())
	return a, ok && !a.grant.ended
}

// revoke ends an access token, or with a refresh token the whole grant (RFC
// 7009, section 2.1). Unknown tokens are nothing to do.
func (g *grants) revoke(secret string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gr, ok := g.refresh.get(secret, g.now()); ok {
		gr.ended = true
	}
	g.refresh.remove(secret)
	g.access.remove(secret)
}
