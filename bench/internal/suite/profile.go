package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profileSeconds is how long a profile is taken: less than the load takes.
const profileSeconds = 3

// adminAddress returns where a Caddy is to have its admin endpoint, which holds
// the profiler; it is empty while no profiles are taken.
func (s *Suite) adminAddress() (string, error) {
	if s.opts.Profile == "" {
		return "", nil
	}
	port, err := freePort()
	return "127.0.0.1:" + port, err
}

// profile takes profiles of CPU and of allocations of a Caddy while it does what
// name says, if they are wanted. The profiler is Caddy's own, of its admin
// endpoint.
func (s *Suite) profile(ctx context.Context, name, admin string) <-chan error {
	done := make(chan error, 1)
	if admin == "" {
		close(done)
		return done
	}
	name = strings.Map(func(c rune) rune {
		if strings.ContainsRune(" ,:/", c) {
			return '_'
		}
		return c
	}, name)
	go func() {
		errs := make(chan error, 1)
		go func() { errs <- s.saveProfile(ctx, admin, "allocs", name) }()
		err := s.saveProfile(ctx, admin, "profile", name)
		done <- errors.Join(err, <-errs)
	}()
	return done
}

func (s *Suite) saveProfile(ctx context.Context, admin, kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second+profileSeconds*time.Second)
	defer cancel()
	address := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", admin, kind, profileSeconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("taking a profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("taking a profile: status %d", resp.StatusCode)
	}
	out, err := os.Create(filepath.Join(s.opts.Profile, name+"."+kind+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
