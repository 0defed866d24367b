package alter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// assertions are those kept in memory. One call to the vault is under way for each
// at a time.
type assertions struct {
	kept    *lru.Cache[assertionKey, keptAssertion]
	flights singleflight.Group
}

// assertionKey is a hash of everything that an assertion says, and by whose token.
type assertionKey [sha256.Size]byte

type keptAssertion struct {
	assertion *Assertion
	until     time.Time
}

func newAssertions(size int) (*assertions, error) {
	kept, err := lru.New[assertionKey, keptAssertion](size)
	if err != nil {
		return nil, invalid("kept assertions: %d: want a positive number", size)
	}
	return &assertions{kept: kept}, nil
}

// Assertion returns what [Client.AssertIdentity] does, or one of the same person,
// caller and audience that is kept: for Config.Keep at most, and until 30 seconds
// before it ends. Who waits for the same one shares one call to the vault.
func (c *Client) Assertion(ctx context.Context, q IdentityQuery, o AssertionOptions) (*Assertion, error) {
	if c.cfg.Keep < 0 || c.rule != "" {
		return c.AssertIdentity(ctx, q, o)
	}
	key := c.assertionKey(&q, &o)
	if k, ok := c.assertions.kept.Get(key); ok && c.cfg.Now().Before(k.until) {
		return k.assertion, nil
	}
	done := c.assertions.flights.DoChan(string(key[:]), func() (any, error) {
		detached, end := c.background.detach(ctx) // it goes on when one of them leaves
		defer end()
		detached, cancel := context.WithTimeout(detached, c.cfg.Timeout)
		defer cancel()
		a, err := c.AssertIdentity(detached, q, o)
		if err == nil {
			c.keepAssertion(key, a)
		}
		return a, err
	})
	select {
	case res := <-done:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Assertion), nil
	case <-ctx.Done():
		return nil, &Error{Kind: ErrUnavailable, Op: "POST " + pathAssert, Err: fmt.Errorf("waiting for an assertion: %w", ctx.Err())}
	}
}

// assertionKey has lengths before values, so that no two lists of values make the
// same text.
func (c *Client) assertionKey(q *IdentityQuery, o *AssertionOptions) assertionKey {
	caller := c.cfg.Caller
	if q.Caller != nil {
		caller = *q.Caller
	}
	h := sha256.New()
	var length [4]byte
	for _, s := range []string{
		q.UserToken.Reveal(), q.AppUserID, strconv.FormatBool(q.Profile), o.Audience, o.TTL.String(),
		caller.Name, string(caller.Type), c.constraints,
	} {
		binary.BigEndian.PutUint32(length[:], uint32(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	return assertionKey(h.Sum(nil))
}

func (c *Client) keepAssertion(key assertionKey, a *Assertion) {
	now := c.cfg.Now()
	until := now.Add(c.cfg.Keep)
	if end := a.ExpiresAt.Add(-expiryMargin); end.Before(until) {
		until = end
	}
	if until.After(now) {
		c.assertions.kept.Add(key, keptAssertion{a, until})
	}
}
