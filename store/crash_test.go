package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// childCommand returns the command that runs what on the database at path.
func childCommand(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, "finding test binary", err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+what, "STORE_TEST_PATH="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// child is the main function of a child process.
func child(what, path string) error {
	ctx := context.Background()
	if what == "bare" {
		return openBare(ctx, path)
	}
	db, err := OpenSQLite(ctx, path, testOptions())
	if what == "open" {
		fmt.Println(errors.Is(err, ErrLocked), err)
		return nil
	}
	if err != nil {
		return err
	}
	if what == "full" {
		return fillDisk(ctx, db)
	}
	if round, ok := strings.CutPrefix(what, "audit "); ok {
		return auditForever(ctx, db, round)
	}
	return writeForever(ctx, db.Realm("realm"), what)
}

// writeForever writes in eight goroutines until the process is killed, and
// prints a line before and after each write that a reader can check.
func writeForever(ctx context.Context, r *Realm, round string) error {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if err := writeOnce(ctx, r, fmt.Sprintf("%s-%d-%d", round, g, i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	return <-errs
}

// writeOnce registers a client, redeems a code, rotates the family twice and
// writes a grant twice, all named id.
func writeOnce(ctx context.Context, r *Realm, id string) error {
	now := at()
	ends := now.Add(time.Hour)
	f := &authserver.Family{
		ID: id, ClientID: id, CreatedAt: now, ExpiresAt: ends, Generation: 1, Current: hashOf(id + "1"),
	}
	g := &local.Grant{UserID: id, Provider: "google", AccessToken: vaultclient.NewSecret(id)}
	rotation := func(n int) func() error {
		return func() error {
			ok, err := r.RotateFamily(ctx, &authserver.Rotation{
				FamilyID: id, Presented: hashOf(id + strconv.Itoa(n-1)), Next: hashOf(id + strconv.Itoa(n)),
				Successor: []byte("successor"), Now: now, ExpiresAt: ends,
			})
			if err == nil && !ok {
				err = errors.New("family was not rotated")
			}
			return err
		}
	}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"client", func() error { return r.AddClient(ctx, &authserver.Client{ID: id}, 1<<30) }},
		{"code", func() error { return r.AddCode(ctx, &authserver.Code{Hash: hashOf(id), FamilyID: id, ExpiresAt: ends}) }},
		{"family", func() error { return r.RedeemCode(ctx, hashOf(id), f) }},
		{"rotation2", rotation(2)},
		{"rotation3", rotation(3)},
		{"grant1", func() error { return r.PutGrant(ctx, g) }},
		{"grant2", func() error { return r.PutGrant(ctx, g) }},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s of %s: %w", step.name, id, err)
		}
		fmt.Println(step.name, id)
	}
	return nil
}

// TestKilled kills a process at random moments of its writing. The number of
// rounds is STORE_CRASH_ROUNDS, by default 15.
//
// Security CRASH-01 to CRASH-04.
func TestKilled(t *testing.T) {
	rounds := 15
	if s := os.Getenv("STORE_CRASH_ROUNDS"); s != "" {
		var err error
		rounds, err = strconv.Atoi(s)
		must(t, "STORE_CRASH_ROUNDS", err)
	}
	path := filepath.Join(t.TempDir(), "alter.db")
	acknowledged := map[string]map[string]bool{} // id to steps
	for round := range rounds {
		count := 0
		for _, line := range killedAfter(t, path, strconv.Itoa(round), randomBelow(400)) {
			step, id, ok := strings.Cut(line, " ")
			if !ok {
				t.Fatalf("child printed %q", line)
			}
			if acknowledged[id] == nil {
				acknowledged[id] = map[string]bool{}
			}
			acknowledged[id][step] = true
			count++
		}
		if count == 0 {
			t.Errorf("round %d: nothing was acknowledged", round)
		}
		db, err := OpenSQLite(t.Context(), path, testOptions())
		must(t, "OpenSQLite after a kill", err)
		for id, steps := range acknowledged {
			checkWritten(t, db.Realm("realm"), id, steps)
		}
		must(t, "Close", db.Close())
	}
}

// killedAfter runs a writing child, kills it after it has printed that many
// lines and one more, and returns all whole lines that it printed.
func killedAfter(t *testing.T, path, round string, count int) []string {
	t.Helper()
	cmd := childCommand(t, round, path)
	out, err := cmd.StdoutPipe()
	must(t, "StdoutPipe", err)
	must(t, "starting child", cmd.Start())
	var lines []string
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			break // the end of what it printed before it was killed
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
		if len(lines) == count+1 {
			must(t, "killing child", cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("child ended by itself: %v", err)
	}
	return lines
}

// checkWritten checks that what was acknowledged is there, and that what was
// not is there as a whole or not at all.
func checkWritten(t *testing.T, r *Realm, id string, steps map[string]bool) {
	t.Helper()
	ctx := t.Context()
	if _, err := r.Client(ctx, id); err != nil {
		t.Errorf("client %s: %v", id, err)
	}

	f, err := r.Family(ctx, id)
	generation := int64(0)
	if err == nil {
		generation = f.Generation
	}
	least := int64(0)
	for step, n := range map[string]int64{"family": 1, "rotation2": 2, "rotation3": 3} {
		if steps[step] {
			least = max(least, n)
		}
	}
	if generation < least {
		t.Errorf("family %s: generation %d (%v), acknowledged was %d", id, generation, err, least)
	}
	if generation > 0 && string(f.Current) != string(hashOf(id+strconv.FormatInt(generation, 10))) {
		t.Errorf("family %s: the current hash is not that of generation %d", id, generation)
	}
	if steps["code"] {
		checkCode(t, r, id, generation > 0)
	}

	g, err := r.Grant(ctx, id, "google", "")
	switch {
	case err != nil && steps["grant1"]:
		t.Errorf("grant of %s: %v", id, err)
	case err == nil && steps["grant2"] && g.Version != 2:
		t.Errorf("grant of %s: version %d, acknowledged was 2", id, g.Version)
	}
}

// checkCode checks that a code is used if, and only if, its family is there.
func checkCode(t *testing.T, r *Realm, id string, family bool) {
	t.Helper()
	var used bool
	err := r.db.reads.row(t.Context(), codeState, r.name, hashOf(id)).Scan(&used)
	if err != nil || used != family {
		t.Errorf("code %s: used %t (%v), its family is there: %t", id, used, err, family)
	}
}

// TestTornLog cuts the write-ahead log at many places, as a loss of power may,
// and opens what is left: a beginning of all writes, in which codes and families
// agree.
//
// Security CRASH-05.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "alter.db")
	db := openTest(t, path)
	const families = 20
	for i := range families {
		familyFor(t, db.Realm("realm"), strconv.Itoa(i))
	}
	file, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	log, err := os.ReadFile(path + "-wal")
	must(t, "ReadFile", err)

	const cuts = 40
	most := 0
	for i := range cuts + 1 {
		torn := filepath.Join(dir, fmt.Sprint("torn", i))
		must(t, "WriteFile", os.WriteFile(torn, file, 0o600))
		must(t, "WriteFile", os.WriteFile(torn+"-wal", log[:len(log)*i/cuts], 0o600))
		r := openTest(t, torn).Realm("realm")
		found := 0
		for n := range families {
			id := strconv.Itoa(n)
			_, err := r.Family(t.Context(), id)
			if err == nil && found != n {
				t.Errorf("cut %d: family %d is there, and one before it is not", i, n)
			}
			if err == nil {
				found++
				checkCode(t, r, "code of "+id, true)
			}
		}
		if found < most {
			t.Errorf("cut %d: %d families, fewer than with less of the log", i, found)
		}
		most = found
		familyFor(t, r, "new")
	}
	if most != families {
		t.Errorf("%d families with the whole log, want %d", most, families)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alter.db")
	db := openTest(t, path)
	out, err := childCommand(t, "open", path).Output()
	must(t, "child", err)
	for _, want := range []string{"true ", path, "another Caddy process", "caddy reload"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("second process: %q, want it to contain %q", out, want)
		}
	}
	_, err = OpenSQLite(t.Context(), path, testOptions())
	wantErr(t, "OpenSQLite again in this process", err, ErrLocked)

	must(t, "Close", db.Close())
	out, err = childCommand(t, "open", path).Output()
	must(t, "child", err)
	if got, want := string(out), "false <nil>\n"; got != want {
		t.Errorf("second process after Close: %q, want %q", got, want)
	}
}
