package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// killDelay is how long a killed program's output is waited for.
const killDelay = 5 * time.Second

// command prepares a program in its own process group, which ends with ctx.
func command(ctx context.Context, dir string, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killDelay
	return cmd
}

// Program is how programs are run to their end.
type Program struct {
	Dir     string
	Env     []string
	Timeout time.Duration // of one run
}

// Run runs a program without input and returns its output, both streams
// together. A failure ends the test and shows the output.
func (p Program) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := p.Try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
	}
	return out
}

// Try is like [Program.Run], but a program may end with a failure, which is the
// error. That it takes too long ends the test.
func (p Program) Try(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), p.Timeout)
	defer cancel()
	out, err := command(ctx, p.Dir, p.Env, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %q: %v (%v)\n%s", filepath.Base(name), args, err, ctx.Err(), out)
	}
	return string(out), err
}

// showOnFailure shows a file when the test has failed.
func showOnFailure(t testing.TB, file string) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		const most = 12 << 10 // bytes
		text, err := os.ReadFile(file)
		if err != nil {
			t.Logf("output is lost: %v", err)
			return
		}
		if len(text) > most {
			text = text[len(text)-most:]
		}
		t.Logf("end of %s:\n%s", filepath.Base(file), text)
	})
}
