package authserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
)

// TokenRenewer is an [Identity] that can renew what it gave at a login.
type TokenRenewer interface {
	// RenewTokens returns the successors of old, which are of the same person
	// at the same provider. A refresh token that the provider did not rotate is
	// among them. The error is [ErrRenewalRefused] when a login is needed, and
	// another one when a later try may succeed. A refresh token that comes with
	// such an error takes the place of the old one: the provider rotated it, and
	// then something else failed.
	RenewTokens(ctx context.Context, old IdentityTokens) (IdentityTokens, error)
}

// ErrRenewalRefused is the error of a [TokenRenewer] whose provider will not
// renew, for good.
var ErrRenewalRefused = errors.New("the identity provider refuses to renew a login")

const (
	// identityRenewal bounds one renewal, from the first read to the last write.
	// For as long no other node tries the same refresh token, so a failure is
	// also followed by as long a rest.
	identityRenewal = 25 * time.Second
	// identityWait is how long a node waits for the renewal of another one, and
	// identityPoll how often it looks.
	identityWait = 5 * time.Second
	identityPoll = 100 * time.Millisecond
	// Waits between tries to store what a provider gave.
	firstKeepWait = 100 * time.Millisecond // doubled after each try
	lastKeepWait  = 3 * time.Second
	// maxFailures bounds how many people's failed renewals are remembered.
	maxFailures = 1 << 12
)

// IdentityRenewals holds the renewals of identity tokens that are under way. The
// zero value is ready. Several servers may share one.
type IdentityRenewals struct {
	flights singleflight.Group // one per person
	running sync.WaitGroup
}

// Wait returns when no renewal is under way: what a provider rotates must be
// stored before the store is closed. None may begin any more.
func (r *IdentityRenewals) Wait() { r.running.Wait() }

// renewTokens gets a successor of k; why says that it was refused where it is
// used, and is empty otherwise. Calls at the same time share one flight, which goes
// on when the caller that began it gives up: the provider may have rotated the
// refresh token by then.
func (s *Server) renewTokens(ctx context.Context, k *KeptTokens, why Refusal) (*KeptTokens, error) {
	if until, failed := s.renewalFailures.Get(k.UserID); failed && !s.cfg.Now().After(until) {
		return nil, fmt.Errorf("%w: a renewal has just failed", ErrIdentityTokenUnavailable)
	}
	renewals := s.cfg.IdentityRenewals
	key := strconv.Quote(s.cfg.Realm) + strconv.Quote(k.UserID) + strconv.FormatInt(k.Version, 10) + string(why)
	renewals.running.Add(1)
	flight := renewals.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), identityRenewal)
		defer cancel()
		return s.renewAlone(ctx, k, why)
	})
	answer := make(chan singleflight.Result, 1)
	go func() { // outlives a caller that gives up
		defer renewals.running.Done()
		answer <- <-flight
	}()
	select {
	case res := <-answer:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*KeptTokens), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrIdentityTokenUnavailable, ctx.Err())
	}
}

// renewAlone renews k unless that was done since it was read. Of several nodes
// one does: most providers take a refresh token that comes twice for stolen.
func (s *Server) renewAlone(ctx context.Context, k *KeptTokens, why Refusal) (*KeptTokens, error) {
	newest, err := s.readTokens(ctx, k.UserID, s.cfg.Store.IdentityTokens)
	if err != nil || newest.Version != k.Version {
		return s.settled(newest, err)
	}
	until := s.cfg.Now().Add(identityRenewal)
	lease := "identity renewal:" + k.UserID + ":" + strconv.FormatInt(k.Version, 10)
	first, err := s.cfg.Store.TakeOnce(ctx, lease, until)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentityTokenUnavailable, err)
	}
	if !first {
		return s.awaitRenewal(ctx, k)
	}
	renewed, err := s.askRenewal(ctx, newest, why)
	if errors.Is(err, ErrIdentityTokenUnavailable) {
		s.renewalFailures.Add(k.UserID, until.Add(time.Millisecond))
		s.log.Warn("an identity provider's token could not be renewed", zap.String("user", k.UserID), zap.Error(err))
	}
	return renewed, err
}

// askRenewal asks the provider and stores what it says.
func (s *Server) askRenewal(ctx context.Context, k *KeptTokens, why Refusal) (*KeptTokens, error) {
	tokens, err := s.cfg.Identity.(TokenRenewer).RenewTokens(ctx, k.Tokens)
	if err == nil {
		return s.keepRenewed(ctx, k, tokens, why)
	}
	if errors.Is(err, ErrRenewalRefused) {
		return s.bury(ctx, k, why, err)
	}
	if !tokens.Refresh.IsZero() && !tokens.Refresh.Equal(k.Tokens.Refresh) {
		rotated := *k
		rotated.Tokens.Refresh = tokens.Refresh
		if err := s.putTokens(ctx, &rotated); err != nil && !errors.Is(err, ErrConflict) {
			s.log.Error("a refresh token of the identity provider could not be stored", zap.String("user", k.UserID), zap.Error(err))
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrIdentityTokenUnavailable, err)
}

// settled is the end of a renewal that somebody else was faster with.
func (s *Server) settled(k *KeptTokens, err error) (*KeptTokens, error) {
	if err != nil {
		return nil, err
	}
	if k.Dead {
		return nil, s.goneBy(k)
	}
	return k, nil
}

// awaitRenewal waits for the other node that renews k.
func (s *Server) awaitRenewal(ctx context.Context, k *KeptTokens) (*KeptTokens, error) {
	ctx, cancel := context.WithTimeout(ctx, identityWait)
	defer cancel()
	tick := time.NewTicker(identityPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.renewalFailures.Add(k.UserID, s.cfg.Now().Add(identityWait))
			return nil, fmt.Errorf("%w: another node renews it, or has just failed to", ErrIdentityTokenUnavailable)
		case <-tick.C:
		}
		newest, err := s.readTokens(ctx, k.UserID, s.cfg.Store.IdentityTokens)
		if err == nil && newest.Version == k.Version || errors.Is(err, ErrIdentityTokenUnavailable) {
			continue
		}
		return s.settled(newest, err)
	}
}

// keepRenewed stores what the provider gave in place of old, before anybody uses
// it. A provider that gives the same token, or none (it need not renew ID tokens,
// OpenID Connect Core 1.0 section 12.2), is not asked again.
func (s *Server) keepRenewed(ctx context.Context, old *KeptTokens, tokens IdentityTokens, why Refusal) (*KeptTokens, error) {
	token, _ := tokens.of(s.cfg.KeepIdentityToken)
	before, _ := old.Tokens.of(s.cfg.KeepIdentityToken)
	if token.IsZero() || token.Equal(before) {
		s.log.Warn("the identity provider renews no such tokens", zap.String("user", old.UserID), zap.String("kind", string(s.cfg.KeepIdentityToken)))
		return s.bury(ctx, old, why, errors.New("the renewal gave no other token"))
	}
	k := &KeptTokens{
		UserID: old.UserID, Version: old.Version, Tokens: tokens.only(s.cfg.KeepIdentityToken), Refused: why != "", UpdatedAt: s.cfg.Now(),
	}
	err := s.putTokens(ctx, k)
	if errors.Is(err, ErrConflict) {
		// Somebody logged in meanwhile, which counts; but not when that login
		// brought no refresh token and goes on with the one that is spent now, nor
		// when another node came too late with it and gave up.
		stored, readErr := s.readTokens(ctx, k.UserID, s.cfg.Store.IdentityTokens)
		late := readErr == nil && (stored.Dead || stored.Tokens.Refresh.Equal(old.Tokens.Refresh))
		if !late || stored.Version != old.Version+1 {
			return s.settled(stored, readErr)
		}
		k.Version = stored.Version
		err = s.putTokens(ctx, k)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: storing a renewed one: %w", ErrIdentityTokenUnavailable, err)
	}
	s.log.Debug("identity provider's token renewed", zap.String("user", k.UserID))
	return k, nil
}

// putTokens stores tokens whose predecessors are spent at the provider, so that a
// failure would log the person out: it tries for some seconds.
func (s *Server) putTokens(ctx context.Context, k *KeptTokens) error {
	for wait := firstKeepWait; ; wait *= 2 {
		err := s.cfg.Store.PutIdentityTokens(ctx, k)
		if err == nil || errors.Is(err, ErrConflict) || wait > lastKeepWait {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// bury marks tokens that only a login can replace and erases them. If that has
// happened meanwhile, the new ones are returned.
func (s *Server) bury(ctx context.Context, k *KeptTokens, why Refusal, cause error) (*KeptTokens, error) {
	dead := &KeptTokens{UserID: k.UserID, Version: k.Version, Dead: true, Stale: why == LoginTooOld, UpdatedAt: s.cfg.Now()}
	err := s.cfg.Store.PutIdentityTokens(ctx, dead)
	if errors.Is(err, ErrConflict) {
		return s.settled(s.readTokens(ctx, k.UserID, s.cfg.Store.IdentityTokens))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: storing that it is dead: %w", ErrIdentityTokenUnavailable, err)
	}
	s.log.Info("identity provider's token is dead", zap.String("user", k.UserID), zap.Error(cause))
	return nil, fmt.Errorf("%w: %w", ErrIdentityTokenGone, cause)
}
