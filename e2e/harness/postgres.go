package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	postgresReady = 30 * time.Second
	postgresStop  = time.Minute      // its last checkpoint waits for the disk
	postgresLife  = 30 * time.Minute // no database outlives this
)

// Postgres is a database server of its own, in a temporary folder and on a loopback
// port. It runs as an unprivileged user where it would run as root, which it
// refuses.
type Postgres struct {
	bin, dir string
	port     int
	as       *syscall.Credential

	cmd    *exec.Cmd
	cancel context.CancelFunc
	exited chan struct{}
	log    bytes.Buffer // read after the end
}

// postgresUser and postgresPassword are who may use it. The password must appear
// nowhere.
const (
	postgresUser     = "alter"
	PostgresPassword = "p4ss-that-nobody-may-see" //nolint:gosec // of a database on loopback
)

// NewPostgres makes a database server and starts it.
func NewPostgres() (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "alter-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin, dir: dir}
	if err := p.make(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// postgresPrograms finds the folder of the server's programs: those of the newest
// version that Debian's package installs, or what is in PATH.
func postgresPrograms() (string, error) {
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(versions) == 0 {
		file, err := exec.LookPath("initdb")
		if err != nil {
			return "", errors.New("PostgreSQL is not installed, run e2e/install.sh nodes (Debian: apt-get install postgresql)")
		}
		return filepath.Dir(file), nil
	}
	number := func(file string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(file)))) // 0 comes first
		return n
	}
	newest := slices.MaxFunc(versions, func(a, b string) int { return number(a) - number(b) })
	return filepath.Dir(newest), nil
}

func (p *Postgres) make() error {
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			return fmt.Errorf("finding an unprivileged user: %w", err)
		}
		uid, errUID := strconv.Atoi(who.Uid)
		gid, errGID := strconv.Atoi(who.Gid)
		if err := errors.Join(errUID, errGID, os.Chown(p.dir, uid, gid)); err != nil {
			return err
		}
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids of the system
	}
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil { //nolint:gosec // the other user reads it
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), postgresReady)
	defer cancel()
	out, err := p.command(ctx, "initdb", "-D", p.data(), "-U", postgresUser, "--pwfile="+password,
		"--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8").CombinedOutput()
	if err != nil {
		return fmt.Errorf("making the database: %w\n%s", err, out)
	}
	listener, err := listenAnywhere()
	if err != nil {
		return err
	}
	p.port = listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return err
	}
	return p.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := command(ctx, p.dir, []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, filepath.Join(p.bin, name), args...)
	cmd.SysProcAttr.Credential = p.as
	return cmd
}

// Start starts the server on its port and returns when it answers.
func (p *Postgres) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresLife)
	cmd := p.command(ctx, "postgres", "-D", p.data(), "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+p.dir, "-c", "max_connections=200")
	p.log.Reset()
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		cancel()
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	exited := make(chan struct{})
	p.cmd, p.cancel, p.exited = cmd, cancel, exited
	go func() {
		_ = cmd.Wait() // its log says more
		close(exited)
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	deadline := time.After(postgresReady)
	for {
		ready := p.command(ctx, "pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port))
		if ready.Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-exited:
			return fmt.Errorf("PostgreSQL ended while starting:\n%s", p.log.String())
		case <-deadline:
			return errors.Join(errors.New("PostgreSQL is not ready"), p.Stop())
		}
	}
}

// Stop ends the server with all its connections, and keeps its data.
func (p *Postgres) Stop() error { return p.end(syscall.SIGINT) }

// Crash ends it without a checkpoint, as a failure of its machine's power supply
// would.
func (p *Postgres) Crash() error { return p.end(syscall.SIGQUIT) }

func (p *Postgres) end(how syscall.Signal) error {
	defer p.cancel()
	if err := p.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(postgresStop):
		return errors.New("PostgreSQL does not end")
	}
}

// Freeze stops the server and these of its processes in their tracks, as a network
// that swallows packets looks from outside, until the returned function is called.
func (p *Postgres) Freeze(backends ...string) (thaw func() error, err error) {
	pids := []int{p.cmd.Process.Pid}
	for _, text := range backends {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("freezing a process: %w", err)
		}
		pids = append(pids, pid)
	}
	signal := func(s syscall.Signal) error {
		var errs []error
		for _, pid := range pids {
			if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	return func() error { return signal(syscall.SIGCONT) }, signal(syscall.SIGSTOP)
}

// Remove ends the server, which need not save anything, and removes its data.
func (p *Postgres) Remove() error {
	return errors.Join(p.Crash(), os.RemoveAll(p.dir))
}

// URL is where it is reached. Each database that is named is made by [Postgres.NewDatabase].
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", postgresUser, PostgresPassword, p.port, database)
}

// NewDatabase makes an empty database.
func (p *Postgres) NewDatabase(name string) error {
	_, err := p.SQL("postgres", "CREATE DATABASE "+name)
	return err
}

// SQL runs a statement and returns its rows, values with | between them.
func (p *Postgres) SQL(database, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), postgresReady)
	defer cancel()
	out, err := p.command(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", p.URL(database), "-c", statement).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running SQL: %w\n%s", err, out)
	}
	return string(bytes.TrimSpace(out)), nil
}
