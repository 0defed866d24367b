package alter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// expiryMargin is how long before its end a kept token is no longer used, for
// the way to the provider and clocks that differ.
const expiryMargin = 30 * time.Second

// tokens are those kept in memory. One call to the vault is under way for each
// at a time.
type tokens struct {
	kept    *lru.Cache[tokenKey, keptToken]
	flights singleflight.Group
	drops   atomic.Uint64 // grants that ended
}

// tokenKey is a hash of everything that the vault decides by.
type tokenKey [sha256.Size]byte

type keptToken struct {
	token *Token
	until time.Time
}

func newTokens(size int) (*tokens, error) {
	kept, err := lru.New[tokenKey, keptToken](size)
	if err != nil {
		return nil, invalid("kept tokens: %d: want a positive number", size)
	}
	return &tokens{kept: kept}, nil
}

// tokenKey holds method and host too, for the vault may refuse by them. Lengths
// stand before values, so that no two lists of values make the same text.
func (c *Client) tokenKey(method string, u *url.URL, use *Use) tokenKey {
	caller := c.cfg.Caller
	if use.Caller != nil {
		caller = *use.Caller
	}
	h := sha256.New()
	var length [4]byte
	for _, s := range []string{
		use.ID, use.Provider, use.Account, use.Label, use.AppUserID, use.UserToken.Reveal(),
		caller.Name, string(caller.Type), c.constraints, method, u.Scheme, u.Host,
	} {
		binary.BigEndian.PutUint32(length[:], uint32(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	return tokenKey(h.Sum(nil))
}

// token returns a token that is kept, or a new one; fresh says which.
func (c *Client) token(ctx context.Context, method string, u *url.URL, use *Use) (t *Token, fresh bool, err error) {
	// A rule is about the single request: nothing is kept under one.
	if c.cfg.Keep < 0 || c.rule != "" {
		t, err = c.fetchToken(ctx, method, u, use)
		return t, true, err
	}
	key := c.tokenKey(method, u, use)
	if k, ok := c.tokens.kept.Get(key); ok && c.cfg.Now().Before(k.until) {
		return k.token, false, nil
	}
	t, err = c.flight(ctx, key, method, u, use)
	return t, true, err
}

// flight asks the vault once for all who wait for the same token. It goes on
// when one of them leaves, for the others' sake.
func (c *Client) flight(ctx context.Context, key tokenKey, method string, u *url.URL, use *Use) (*Token, error) {
	done := c.tokens.flights.DoChan(string(key[:]), func() (any, error) {
		detached, end := c.background.detach(ctx)
		defer end()
		detached, cancel := context.WithTimeout(detached, c.cfg.Timeout)
		defer cancel()
		begun := c.tokens.drops.Load()
		t, err := c.fetchToken(detached, method, u, use)
		if err == nil {
			c.keep(key, t)
		}
		if c.tokens.drops.Load() != begun { // it may be of the grant that ended
			c.tokens.kept.Remove(key)
		}
		return t, err
	})
	select {
	case res := <-done:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Token), nil
	case <-ctx.Done():
		return nil, &Error{Kind: ErrUnavailable, Op: "POST /sdk/token", Err: fmt.Errorf("waiting for a token: %w", ctx.Err())}
	}
}

// keep keeps a token as long as it may be, if that is worth it.
func (c *Client) keep(key tokenKey, t *Token) {
	now := c.cfg.Now()
	until := now.Add(c.cfg.Keep)
	if end := t.Expiry.Add(-expiryMargin); !t.Expiry.IsZero() && end.Before(until) {
		until = end
	}
	if until.After(now) {
		c.tokens.kept.Add(key, keptToken{token: t, until: until})
	}
}

// forget drops a token that a provider refused, unless another has taken its
// place meanwhile.
func (c *Client) forget(method string, u *url.URL, use *Use, refused *Token) {
	key := c.tokenKey(method, u, use)
	if k, ok := c.tokens.kept.Peek(key); ok && k.token == refused {
		c.tokens.kept.Remove(key)
	}
}

// dropGrant drops whatever is kept of a grant, and what is about to be.
func (t *tokens) dropGrant(id string) {
	t.drops.Add(1)
	for _, key := range t.kept.Keys() {
		if k, ok := t.kept.Peek(key); ok && k.token.GrantID == id {
			t.kept.Remove(key)
		}
	}
}
