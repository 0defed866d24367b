package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// What a sealed column holds. It is part of the associated data, as is the key
// of the row: a value opens only where it was written.
const (
	sealedUser      = "user"
	sealedGrant     = "grant"
	sealedClient    = "client metadata"
	sealedKey       = "signing key"
	sealedSuccessor = "refresh successor"
	sealedAudit     = "audit record"
	sealedApproval  = "approval"

	sealedIdentityTokens = "identity tokens"
)

// tuple joins parts so that no two different lists give the same bytes.
func tuple(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// digest is the SHA-256 of a tuple.
func digest(parts ...string) []byte {
	sum := sha256.Sum256(tuple(parts...))
	return sum[:]
}

// associated returns the associated data of a sealed column.
func (r *Realm) associated(purpose string, key []string) []byte {
	return tuple(append([]string{"alter-mcp store 1", purpose, r.name}, key...)...)
}

// seal encrypts plain for the row that key names.
func (r *Realm) seal(plain []byte, purpose string, key ...string) ([]byte, error) {
	sealed, err := r.db.sealer.Seal(plain, r.associated(purpose, key))
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", purpose, err)
	}
	return sealed, nil
}

// open is the inverse of seal. Its error is [ErrDamaged].
func (r *Realm) open(sealed []byte, purpose string, key ...string) ([]byte, error) {
	plain, err := r.db.sealer.Open(sealed, r.associated(purpose, key))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w: %w", purpose, ErrDamaged, err)
	}
	return plain, nil
}

// sealJSON seals v as JSON.
func (r *Realm) sealJSON(v any, purpose string, key ...string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", purpose, err)
	}
	return r.seal(plain, purpose, key...)
}

// openJSON is the inverse of sealJSON.
func (r *Realm) openJSON(sealed []byte, v any, purpose string, key ...string) error {
	plain, err := r.open(sealed, purpose, key...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("decoding %s: %w", purpose, err)
	}
	return nil
}
