package local

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// grantTimeout bounds the work on one grant: the token endpoint, and reads and
// writes before and after.
const grantTimeout = 30 * time.Second

// Waits between tries to store what a provider gave; together they fit into
// grantTimeout beside a slow token endpoint.
const (
	firstStoreWait = 100 * time.Millisecond // doubled after each try
	lastStoreWait  = 3 * time.Second
)

const (
	// claimWait is how long a node waits for the renewal of another one, and
	// claimPoll how often it looks. Should the other one be gone, its claim ends
	// after grantTimeout.
	claimWait = 5 * time.Second
	claimPoll = 50 * time.Millisecond
)

// Renewals holds the renewals that are under way.
type Renewals struct {
	flights singleflight.Group // one per grant
	running sync.WaitGroup
}

// Wait returns when no renewal is under way: what a provider rotates must be
// stored before the store is closed. None may begin any more.
func (r *Renewals) Wait() { r.running.Wait() }

// renew gets a successor of a grant. Calls at the same time share one flight,
// which goes on when the caller that began it gives up: the provider may have
// rotated the refresh token by then. A flight for an older version than the
// stored one asks no provider, so that only one does for each grant.
func (v *Vault) renew(ctx context.Context, p *vaultclient.Provider, g *Grant) (*Grant, error) {
	key := strconv.Quote(g.UserID) + strconv.Quote(g.Provider) + strconv.Quote(g.Label) + g.Client + strconv.FormatInt(g.Version, 10)
	v.cfg.Renewals.running.Add(1)
	flight := v.cfg.Renewals.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grantTimeout)
		defer cancel()
		return v.renewAlone(ctx, p, g)
	})
	answer := make(chan singleflight.Result, 1)
	go func() { // outlives a caller that gives up
		defer v.cfg.Renewals.running.Done()
		answer <- <-flight
	}()
	select {
	case res := <-answer:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Grant), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renewAlone renews a grant unless that was done since g was read. Of several
// nodes one does: most providers take a refresh token that comes twice for stolen.
func (v *Vault) renewAlone(ctx context.Context, p *vaultclient.Provider, g *Grant) (*Grant, error) {
	id := "grant renewal:" + strconv.Quote(g.UserID) + strconv.Quote(g.Provider) + strconv.Quote(g.Label)
	waited, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	for {
		release, claimed, err := v.cfg.Store.Claim(ctx, id, v.cfg.Now().Add(grantTimeout))
		if err != nil {
			return nil, fmt.Errorf("%w: claiming a renewal: %w", vaultclient.ErrUnavailable, err)
		}
		_, newest, err := v.grant(ctx, requestOf(g))
		if claimed {
			defer release()
		}
		if err != nil || newest.Version != g.Version {
			return newest, err
		}
		if claimed {
			return v.askRenewal(ctx, p, newest)
		}
		select {
		case <-waited.Done():
			return nil, fmt.Errorf("%w: another node renews this grant, or ended while it did", vaultclient.ErrUnavailable)
		case <-time.After(claimPoll):
		}
	}
}

// askRenewal asks the provider and stores what it gives.
func (v *Vault) askRenewal(ctx context.Context, p *vaultclient.Provider, newest *Grant) (*Grant, error) {
	tokens, err := p.Refresh(ctx, v.cfg.HTTP, newest.RefreshToken)
	if vaultclient.IsDead(err) {
		v.record(EventRenewal, p.Name, OutcomeRefused)
		return v.bury(ctx, newest, err)
	}
	var kept *Grant
	if err != nil {
		err = fmt.Errorf("renewing a grant: %w", err)
	} else {
		kept, err = v.keep(ctx, newest, tokens)
	}
	if err != nil {
		v.record(EventRenewal, p.Name, OutcomeFailed)
		return nil, err
	}
	v.record(EventRenewal, p.Name, OutcomeOK)
	return kept, nil
}

// keep stores what the provider gave in place of old, before anybody uses it.
func (v *Vault) keep(ctx context.Context, old *Grant, tokens *vaultclient.Tokens) (*Grant, error) {
	g := *old
	g.take(tokens, v.cfg.Now())
	err := v.put(ctx, &g)
	if errors.Is(err, ErrConflict) {
		// While a reload is under way two vaults serve one store. The other one
		// may have sent the same refresh token too late and buried the grant.
		stored, readErr := v.cfg.Store.Grant(ctx, g.UserID, g.Provider, g.Label)
		if readErr != nil || !stored.Dead || stored.Version != old.Version+1 {
			if errors.Is(readErr, ErrNotFound) {
				v.revokeAt(ctx, &g) // the person disconnected meanwhile
			}
			_, stored, err = v.grant(ctx, requestOf(old))
			return stored, err // renewed or connected anew, or gone
		}
		g.Version = stored.Version
		err = v.put(ctx, &g)
	}
	if err != nil {
		v.log.Error("a renewed grant could not be stored", zap.String("provider", g.Provider), zap.String("user", g.UserID), zap.Error(err))
		return nil, fmt.Errorf("%w: storing a renewed grant: %w", vaultclient.ErrUnavailable, err)
	}
	v.log.Debug("grant renewed", zap.String("provider", g.Provider), zap.String("user", g.UserID))
	return &g, nil
}

// put stores a grant whose predecessor is spent at the provider, so that a
// failure would lock the person out: it tries for some seconds.
func (v *Vault) put(ctx context.Context, g *Grant) error {
	for wait := firstStoreWait; ; wait *= 2 {
		err := v.cfg.Store.PutGrant(ctx, g)
		if err == nil || errors.Is(err, ErrConflict) || wait > lastStoreWait {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// bury marks a grant that the provider will not renew; its tokens are erased. If
// it was renewed or connected anew meanwhile, that is returned instead.
func (v *Vault) bury(ctx context.Context, g *Grant, cause error) (*Grant, error) {
	dead := *g
	dead.Dead, dead.UpdatedAt = true, v.cfg.Now()
	dead.AccessToken, dead.RefreshToken = vaultclient.Secret{}, vaultclient.Secret{}
	err := v.cfg.Store.PutGrant(ctx, &dead)
	if errors.Is(err, ErrConflict) {
		_, stored, err := v.grant(ctx, requestOf(g))
		return stored, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: storing a dead grant: %w", vaultclient.ErrUnavailable, err)
	}
	v.log.Info("grant is dead", zap.String("provider", g.Provider), zap.String("user", g.UserID), zap.Error(cause))
	return nil, connectFirst(requestOf(g), cause)
}

// take puts new tokens into a grant. A provider that gives no new refresh token
// means the old one to go on.
func (g *Grant) take(t *vaultclient.Tokens, now time.Time) {
	g.AccessToken = t.AccessToken
	if !t.RefreshToken.IsZero() {
		g.RefreshToken = t.RefreshToken
	}
	g.Expiry = time.Time{}
	if t.ExpiresIn > 0 {
		g.Expiry = now.Add(t.ExpiresIn)
	}
	if t.Scopes != nil {
		g.Scopes = t.Scopes
	}
	g.Dead, g.Damaged, g.UpdatedAt = false, nil, now
}

func requestOf(g *Grant) vaultclient.Request {
	return vaultclient.Request{UserID: g.UserID, Provider: g.Provider, Label: g.Label}
}
