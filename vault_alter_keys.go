package altermcp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// unmarshalKeys reads the current API key and those before it.
func (v *AlterVault) unmarshalKeys(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("api_key takes the key, and then older ones, found nothing")
	}
	v.APIKey, v.OlderAPIKeys = args[0], args[1:]
	return nil
}

// resolveOlderKeys reads the older API keys, when the current one is known.
func (v *AlterVault) resolveOlderKeys() error {
	v.olderKeys = nil
	for _, value := range v.OlderAPIKeys {
		text, err := expandSecret("api_key", value)
		if err != nil {
			return err
		}
		key := vaultclient.NewSecret(text)
		if _, err := alter.CheckAPIKey(key); err != nil {
			return fmt.Errorf("api_key: an older one: %w", err)
		}
		if key == v.config.APIKey || slices.Contains(v.olderKeys, key) {
			return errors.New("api_key: the same key twice")
		}
		v.olderKeys = append(v.olderKeys, key)
	}
	return nil
}

// auditQueues returns a queue for what is reported with the current key, and one
// for each older key, whose records the current one sends. A spool is of one key,
// because nobody but the operator knows without asking the vault that two are of
// the same app; so what an older key left would wait until it is swept.
//
// The older ones have queues of their own, and do not move into the current one's
// spool: another node, or the configuration before a reload, may still add to
// them and hold what is in them.
func (v *AlterVault) auditQueues(realm *store.Realm, log *zap.Logger) ([]*alter.AuditQueue, error) {
	var queues []*alter.AuditQueue
	for _, key := range append([]vaultclient.Secret{v.config.APIKey}, v.olderKeys...) {
		q, err := alter.NewAuditQueue(alter.AuditQueueConfig{Spool: realm.AuditSpool(alter.AuditScope(key)), Logger: log})
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	return queues, nil
}
