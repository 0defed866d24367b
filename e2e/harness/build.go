package harness

import (
	"os"
	"path/filepath"
	"time"
)

// buildWithin bounds a build without a cache.
const buildWithin = 10 * time.Minute

// BuildCaddy builds the server under test into [Work], unless [CaddyVariable]
// names one.
func BuildCaddy() error {
	if os.Getenv(CaddyVariable) != "" {
		return nil
	}
	root, err := Repository()
	if err != nil {
		return err
	}
	work, err := Work()
	if err != nil {
		return err
	}
	return GoBuild(root, filepath.Join(work, "caddy"), "./cmd/caddy")
}
