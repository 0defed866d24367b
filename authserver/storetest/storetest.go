// Package storetest is the suite that every implementation of authserver.Store
// passes.
package storetest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// racers is how many goroutines try what only one may do.
const racers = 64

// Run runs the suite. newStore returns an empty store for one test, and cleans
// up after it. The store's own clock, if it has one, must be near the real time.
func Run(t *testing.T, newStore func(t *testing.T) authserver.Store) {
	for name, test := range map[string]func(t *testing.T, s authserver.Store){
		"a client is read as it was added":                  clientRoundTrip,
		"an unknown client is not found":                    clientUnknown,
		"a client id cannot be taken again":                 clientTwice,
		"the limit of clients holds":                        clientLimit,
		"the limit of clients holds in a race":              clientLimitRace,
		"sweeping removes unused and idle clients":          clientSweep,
		"sweeping makes room under the limit":               clientSweepMakesRoom,
		"a user is made once and then updated":              userUpsert,
		"users whose ids look alike are different":          userAlike,
		"one subject in a race is one user":                 userRace,
		"a session lives from adding to its end":            sessionLife,
		"a consent is replaced as a whole":                  consentReplace,
		"consents of similar keys are different":            consentAlike,
		"a code is read until its end":                      codeLife,
		"a code is redeemed once":                           codeRedeem,
		"a code past its end is not redeemed":               codeEnded,
		"a code is redeemed once in a race":                 codeRace,
		"redeeming stores the family or takes no code":      codeBothOrNeither,
		"a family rotates from its newest token alone":      familyRotate,
		"a revoked or ended family does not rotate":         familyDead,
		"a family rotates once in a race":                   familyRace,
		"a family that races with its revocation is ended":  familyRevokeRace,
		"identity tokens are those of the newest login":     tokensNewest,
		"renewed identity tokens replace their own version": tokensByVersion,
		"identity tokens are renewed once in a race":        tokensRace,
		"a device waits until its end":                      deviceLife,
		"a device is decided about once":                    deviceDecided,
		"a device is decided about once in a race":          deviceRace,
		"the limit of devices that wait holds":              deviceLimit,
		"an id is taken once":                               onceTaken,
		"an id is taken once in a race":                     onceRace,
		"the first signing key stays":                       keyFirst,
		"the first signing key of a race is seen by all":    keyRace,
		"an authorization is its family, person, client":    authorizationRead,
		"an authorization lacks what is gone":               authorizationLacks,
		"identity tokens are renewed from their version":    tokensByVersion,
	} {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
	}
}

// now is the time of a test, in the precision of a store.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}

// hash is a SHA-256 as callers pass it.
func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// equal fails the test if got is not want.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// must fails the test at once if err is not nil.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// race calls f in many goroutines at once, and returns for how many of them it
// returned true.
func race(f func(i int) bool) int {
	var ready, done sync.WaitGroup
	var wins atomic.Int64
	start := make(chan struct{})
	for i := range racers {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			if f(i) {
				wins.Add(1)
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return int(wins.Load())
}
