package authserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"golang.org/x/sync/singleflight"
)

const (
	// keysKept is after how long a provider's keys are read again, which ends the
	// use of those that it has withdrawn.
	keysKept = time.Hour
	// keysRetry is the least time between two fetches. Tokens that anybody makes
	// up name keys that nobody has: they must not become requests to the provider.
	keysRetry = 10 * time.Second
)

// keySet keeps the public keys by which a provider signs access tokens. Those of
// ID tokens are go-oidc's, which fetches for each signature that does not fit:
// there it is the provider itself that sends the token.
type keySet struct {
	url    string
	http   *http.Client
	now    func() time.Time
	flight singleflight.Group

	mu    sync.Mutex
	set   jwk.Set // nil: never read
	read  time.Time
	tried time.Time
	err   error // of the last fetch
}

// verify checks the signature of a compact JWS and returns the payload. The error
// is [ErrInvalidToken], or another one while there are no keys.
func (k *keySet) verify(ctx context.Context, token string) ([]byte, error) {
	set, err := k.get(ctx, keysKept)
	if err != nil {
		return nil, err
	}
	payload, unknown, err := verifyBy(set, token)
	if !unknown {
		return payload, err
	}
	fresh, fetchErr := k.get(ctx, keysRetry) // the provider may have new ones
	if fetchErr != nil {
		return nil, fetchErr
	}
	if fresh != set {
		payload, _, err = verifyBy(fresh, token)
	}
	return payload, err
}

// get returns keys that are at most that old, or older ones that cannot be read
// anew at the moment.
func (k *keySet) get(ctx context.Context, age time.Duration) (jwk.Set, error) {
	if set, due, err := k.kept(age); !due {
		return set, err
	}
	done := k.flight.DoChan("", func() (any, error) { return k.fetch(age) })
	select {
	case result := <-done:
		set, _ := result.Val.(jwk.Set)
		return set, result.Err
	case <-ctx.Done():
		return nil, providerDown(ctx.Err())
	}
}

func (k *keySet) kept(age time.Duration) (set jwk.Set, due bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	due = now.Sub(k.tried) >= keysRetry && (k.set == nil || now.Sub(k.read) >= age)
	if k.set != nil {
		return k.set, due, nil
	}
	return nil, due, k.err
}

// fetch reads the keys. One request's impatience does not end it for others.
func (k *keySet) fetch(age time.Duration) (jwk.Set, error) {
	if set, due, err := k.kept(age); !due {
		return set, err // another fetch has just ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), discoveryTimeout)
	defer cancel()
	set, err := k.request(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried = k.now()
	if err == nil {
		k.set, k.read, k.err = set, k.tried, nil
		return set, nil
	}
	k.err = providerDown(fmt.Errorf("reading the keys of the identity provider: %w", shortened{err}))
	if k.set != nil {
		return k.set, nil
	}
	return nil, k.err
}

func (k *keySet) request(ctx context.Context) (jwk.Set, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body) // which newOIDCClient bounds
	if err != nil {
		return nil, err
	}
	return jwk.Parse(body, jwk.WithIgnoreParseError(true)) // one key of a kind of its own is no reason to refuse all
}

// bearerTypes are the header types of access tokens: that of RFC 9068 section
// 2.1, and what providers say that do not follow it.
var bearerTypes = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// verifyBy verifies a token by the keys of a set; unknown says that none of them
// is the one that the token names. Of what the header says, the key's id and the
// algorithm are looked at, and the algorithm has to be one for that key (RFC 8725
// sections 3.1 and 3.10).
func verifyBy(set jwk.Set, token string) (payload []byte, unknown bool, err error) {
	payload, err = jws.Verify([]byte(token), jws.WithKeyProvider(jws.KeyProviderFunc(
		func(_ context.Context, sink jws.KeySink, sig *jws.Signature, _ *jws.Message) error {
			head := sig.ProtectedHeaders()
			if len(head.Critical()) > 0 || !slices.Contains(bearerTypes, strings.ToLower(head.Type())) {
				return fmt.Errorf("%w: not an access token", ErrInvalidToken)
			}
			unknown = true
			for i := range set.Len() {
				key, _ := set.Key(i)
				if head.KeyID() != "" && key.KeyID() != head.KeyID() {
					continue
				}
				if fits(key, head.Algorithm()) {
					unknown = false
					sink.Key(head.Algorithm(), key)
				}
			}
			return nil
		})))
	if err != nil {
		return nil, unknown, fmt.Errorf("%w: not signed by the identity provider", ErrInvalidToken)
	}
	return payload, false, nil
}

// fits reports whether a key of a provider may have signed by an algorithm: it is
// a public one for signatures, and the algorithm its own or one of its kind.
func fits(key jwk.Key, alg jwa.SignatureAlgorithm) bool {
	if use := key.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return false
	}
	if own := key.Algorithm(); own != nil && own.String() != "" && own.String() != alg.String() {
		return false
	}
	kinds := map[jwa.SignatureAlgorithm]jwa.KeyType{
		jwa.RS256: jwa.RSA, jwa.RS384: jwa.RSA, jwa.RS512: jwa.RSA, jwa.PS256: jwa.RSA, jwa.PS384: jwa.RSA, jwa.PS512: jwa.RSA,
		jwa.ES256: jwa.EC, jwa.ES384: jwa.EC, jwa.ES512: jwa.EC, jwa.EdDSA: jwa.OKP,
	}
	kind, ok := kinds[alg]
	return ok && key.KeyType() == kind
}
