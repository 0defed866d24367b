package altermcp

import (
	"bytes"
	"testing"
)

// Security VAULT-02: the nonce that begins what is sealed never comes again.
func TestSealedTwiceLooksDifferent(t *testing.T) {
	const rounds = 100_000
	s, err := newSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	plain, ad := []byte("the same every time"), []byte("row")
	// Tink's prefix, the salt that the key of this one is derived from, and the
	// nonce (XAES-256-GCM: 12 and 12 bytes).
	const begin = 5 + 12 + 12
	seen := make(map[[begin]byte]bool, rounds)
	for range rounds {
		sealed, err := s.Seal(plain, ad)
		if err != nil || bytes.Contains(sealed, plain) {
			t.Fatalf("Seal = %x, %v", sealed, err)
		}
		nonce := [begin]byte(sealed[:begin])
		if seen[nonce] {
			t.Fatalf("nonce %x came twice in %d", nonce, rounds)
		}
		seen[nonce] = true
	}
}

// Security VAULT-05: what an older key sealed opens, and the current one seals.
func TestOlderKeys(t *testing.T) {
	keys := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	of := func(keys ...[]byte) *sealer {
		t.Helper()
		s, err := newSealer(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	older, both, newer := of(keys[0]), of(keys[1], keys[0]), of(keys[1])
	for name, tc := range map[string]struct {
		by, opener *sealer
		opens      bool
	}{
		"the older key, with both at hand":  {older, both, true},
		"both, with the newer key at hand":  {both, newer, true},
		"both, with the older key at hand":  {both, older, false},
		"the older key, with the newer one": {older, newer, false},
	} {
		sealed, err := tc.by.Seal([]byte("secret"), []byte("row"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := tc.opener.Open(sealed, []byte("row")); (err == nil) != tc.opens || tc.opens && string(plain) != "secret" {
			t.Errorf("sealed by %s: Open = %q, %v", name, plain, err)
		}
	}
	if both.fingerprint != newer.fingerprint || len(both.older) != 1 || both.older[0] != older.fingerprint {
		t.Errorf("fingerprints are %s and %v, want %s and %s", both.fingerprint, both.older, newer.fingerprint, older.fingerprint)
	}
}

// Security VAULT-04: each bit of what is sealed counts, and so does what it is
// bound to.
func TestSealedBitsAllCount(t *testing.T) {
	s, err := newSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("secret"), []byte("row"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Open(sealed, []byte("row")); err != nil || string(plain) != "secret" {
		t.Fatalf("Open = %q, %v", plain, err)
	}
	for i := range 8 * len(sealed) {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		if plain, err := s.Open(changed, []byte("row")); err == nil {
			t.Errorf("Open with bit %d changed = %q, want an error", i, plain)
		}
	}
	for n := range sealed {
		if plain, err := s.Open(sealed[:n], []byte("row")); err == nil {
			t.Errorf("Open of the first %d bytes = %q, want an error", n, plain)
		}
	}
	if plain, err := s.Open(sealed, []byte("other row")); err == nil {
		t.Errorf("Open in another row = %q, want an error", plain)
	}
}
