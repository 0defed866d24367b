package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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
	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(work, "caddy"), "./cmd/caddy")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, out)
	}
	return nil
}
