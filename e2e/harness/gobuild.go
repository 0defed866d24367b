package harness

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds into the folder [Work] what tests of programs start: the server,
// as [BuildCaddy] does, and the command that takes the place of xdg-open.
func Build() error {
	root, err := Repository()
	if err != nil {
		return err
	}
	work, err := Work()
	if err != nil {
		return err
	}
	if err := BuildCaddy(); err != nil {
		return err
	}
	return GoBuild(filepath.Join(root, "e2e"), filepath.Join(work, "desktop", "xdg-open"), "./cmd/xdg-open")
}

// GoBuild builds a package of the module in the folder dir. It may take ten
// minutes.
func GoBuild(dir, output, pkg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", output, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}
