package authserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// keyReload is how often, at most, an unknown kid makes the keys be read again:
// another node may have made a new one.
const keyReload = 30 * time.Second

// firstKeyReload is the same while no key is known at all: another node may make
// the first one at any moment.
const firstKeyReload = time.Second

// keyring holds the keys that access tokens are signed with: ES256, rows of the
// store, read on first use.
type keyring struct {
	store KeyStore
	now   func() time.Time

	mu     sync.Mutex
	keys   []signingKey // newest first
	readAt time.Time
}

type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

// newest returns the key to sign with, making the first one when there is none.
func (k *keyring) newest(ctx context.Context) (signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) > 0 {
		return k.keys[0], nil
	}
	if err := k.read(ctx); err != nil {
		return signingKey{}, err
	}
	if len(k.keys) == 0 {
		if err := k.makeFirst(ctx); err != nil {
			return signingKey{}, err
		}
	}
	return k.keys[0], nil
}

// byID returns the public key of a kid, or nil when no key has it.
func (k *keyring) byID(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.find(id); key != nil {
		return key, nil
	}
	wait := keyReload
	if len(k.keys) == 0 {
		wait = firstKeyReload
	}
	if !k.readAt.IsZero() && k.now().Sub(k.readAt) < wait {
		return nil, nil
	}
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	return k.find(id), nil
}

func (k *keyring) find(id string) *ecdsa.PublicKey {
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i].private.PublicKey
		}
	}
	return nil
}

func (k *keyring) read(ctx context.Context) error {
	rows, err := k.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading signing keys: %w", err)
	}
	keys := make([]signingKey, 0, len(rows))
	for _, row := range rows {
		parsed, err := x509.ParsePKCS8PrivateKey(row.Private)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", row.ID, err)
		}
		private, ok := parsed.(*ecdsa.PrivateKey)
		if !ok || private.Curve != elliptic.P256() {
			return fmt.Errorf("signing key %s is not for ES256", row.ID)
		}
		keys = append(keys, signingKey{row.ID, private})
	}
	k.keys, k.readAt = keys, k.now()
	return nil
}

// makeFirst stores a first key and reads back whichever came first.
func (k *keyring) makeFirst(ctx context.Context) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encoding a signing key: %w", err)
	}
	row := &SigningKey{ID: randomID(), Private: der, CreatedAt: k.now()}
	if err := k.store.AddFirstKey(ctx, row); err != nil {
		return fmt.Errorf("storing a signing key: %w", err)
	}
	if err := k.read(ctx); err != nil {
		return err
	}
	if len(k.keys) == 0 {
		return errors.New("the store lost the signing key")
	}
	return nil
}

// public returns the key set that verifies access tokens (RFC 7517).
func (k *keyring) public(ctx context.Context) (jwk.Set, error) {
	if _, err := k.newest(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	set := jwk.NewSet()
	for _, key := range k.keys {
		pub, err := jwk.FromRaw(&key.private.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("encoding signing key %s: %w", key.id, err)
		}
		for name, value := range map[string]any{
			jwk.KeyIDKey: key.id, jwk.AlgorithmKey: jwa.ES256, jwk.KeyUsageKey: jwk.ForSignature,
		} {
			if err := pub.Set(name, value); err != nil {
				return nil, fmt.Errorf("encoding signing key %s: %w", key.id, err)
			}
		}
		if err := set.AddKey(pub); err != nil {
			return nil, fmt.Errorf("encoding signing key %s: %w", key.id, err)
		}
	}
	return set, nil
}

// serveJWKS serves the public keys for whoever verifies access tokens.
func (s *Server) serveJWKS(w http.ResponseWriter, r *http.Request) {
	set, err := s.keys.public(r.Context())
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	s.writeMetadata(w, set)
}
