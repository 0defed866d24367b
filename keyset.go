package altermcp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// keyStorageKey is where a key that was made on first start lies in Caddy's
// storage, and keyLock the lock that is held while it is made.
const (
	keyStorageKey = "alter_mcp/encryption.key"
	keyLock       = "alter_mcp_encryption_key"
)

// sealer seals what must be read back. It satisfies the Sealer of each package
// that has one.
type sealer struct {
	aead        tink.AEAD
	fingerprint string   // of the key that seals: tells keys apart and says nothing about them
	older       []string // of those that only open
}

// Seal encrypts plaintext, bound to ad.
func (s *sealer) Seal(plaintext, ad []byte) ([]byte, error) { return s.aead.Encrypt(plaintext, ad) }

// Open decrypts what Seal made with the same ad.
func (s *sealer) Open(sealed, ad []byte) ([]byte, error) { return s.aead.Decrypt(sealed, ad) }

// parseKey reads an encryption key: 32 bytes in base64, as `openssl rand
// -base64 32` prints.
func parseKey(text string) ([]byte, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	key, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(text))
	if err != nil || len(key) != 32 {
		return nil, errors.New("want 32 bytes in base64, such as `openssl rand -base64 32` prints")
	}
	return key, nil
}

// newSealer makes a Tink keyset. The first key seals, all open. XAES-256-GCM has
// nonces so long that random ones never meet, however much is sealed.
func newSealer(keys ...[]byte) (*sealer, error) {
	s := new(sealer)
	manager := keyset.NewManager()
	for i, key := range keys {
		added, err := addKey(manager, key)
		if err == nil && i == 0 {
			err = manager.SetPrimary(added)
		}
		if err != nil {
			return nil, fmt.Errorf("encryption key: %w", err)
		}
		sum := sha256.Sum256(append([]byte("alter_mcp key fingerprint|"), key...))
		if print := hex.EncodeToString(sum[:8]); i == 0 {
			s.fingerprint = print
		} else {
			s.older = append(s.older, print)
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	if s.aead, err = aead.New(handle); err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	return s, nil
}

// addKey adds a key under an id made of it, so that it has the same one in every
// keyset, and returns the id.
func addKey(manager *keyset.Manager, key []byte) (uint32, error) {
	params, err := xaesgcm.NewParameters(xaesgcm.VariantTink, 12)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(append([]byte("alter_mcp key id|"), key...))
	id := max(binary.BigEndian.Uint32(sum[:4]), 1)
	k, err := xaesgcm.NewKey(secretdata.NewBytesFromData(key, insecuresecretdataaccess.Token{}), id, params)
	if err != nil {
		return 0, err
	}
	return manager.AddKey(k)
}

// storedKey returns the key from Caddy's storage, making it on the first start
// of all. Where sealed data exists already, a key that is gone is an error: a
// new one could not open anything.
func storedKey(ctx context.Context, storage certmagic.Storage, dataExists bool) ([]byte, error) {
	if err := storage.Lock(ctx, keyLock); err != nil {
		return nil, fmt.Errorf("locking the encryption key: %w", err)
	}
	defer storage.Unlock(context.WithoutCancel(ctx), keyLock) //nolint:errcheck // a lock that is left goes stale by itself
	text, err := storage.Load(ctx, keyStorageKey)
	if err == nil {
		key, err := parseKey(string(text))
		if err != nil {
			return nil, fmt.Errorf("encryption key at %s in Caddy's storage: %w", keyStorageKey, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the encryption key: %w", err)
	}
	if dataExists {
		return nil, fmt.Errorf("the encryption key at %s in Caddy's storage is gone, and the store cannot be read without it: "+
			"restore it, set encryption_key, or move the store away to begin anew", keyStorageKey)
	}
	key := make([]byte, 32)
	rand.Read(key)
	text = []byte(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := storage.Store(ctx, keyStorageKey, text); err != nil {
		return nil, fmt.Errorf("storing the encryption key: %w", err)
	}
	return key, nil
}
