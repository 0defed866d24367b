package altertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

// uuidText is the form in which the vault accepts and gives ids.
var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// newID returns the next id of a run. The same calls in the same order get the
// same ids. The caller holds the lock.
func (v *Vault) newID(kind string) string {
	v.ids++
	return uuidOf(fmt.Sprintf("%s %d", kind, v.ids))
}

// uuidOf derives a UUID (version 8, RFC 9562) from a name.
func uuidOf(name string) string {
	sum := sha256.Sum256([]byte("altertest " + name))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	x := hex.EncodeToString(sum[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// rfc3339 writes a time as the vault does.
func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// AgentID returns an id for a managed agent of this name.
func AgentID(name string) string { return uuidOf("agent " + name) }
