// Command bench measures what a call costs in the server under test and in
// others that do the same work. See README.md; ./run builds what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/suite"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o suite.Options
	flag.BoolVar(&o.Quick, "quick", false, "a few calls and people, to see that it works; the figures are worth nothing")
	readme := flag.Bool("readme", false, "write the tables into README.md and bench/README.md, beside standard output")
	parts := flag.String("parts", "calls,auth,memory,alter", "what is measured")
	flag.StringVar(&o.Work, "work", ".work", "folder of the binaries, for data and logs")
	flag.StringVar(&o.Config, "config", "config", "folder of the Caddyfiles")
	flag.StringVar(&o.LoadCPU, "load-cpu", "0", "CPU of all but the server under test; this program is put there by ./run")
	flag.StringVar(&o.ServerCPU, "server-cpu", "1", "CPU of the server under test")
	flag.IntVar(&o.Rounds, "rounds", 6, "how often each system is measured, in turn")
	flag.IntVar(&o.Calls, "calls", 16_000, "calls per system and round; slow ones get a part")
	flag.IntVar(&o.People, "people", 256, "who call")
	flag.IntVar(&o.Crowd, "crowd", 10_000, "people in the measurement of memory")
	flag.IntVar(&o.Flows, "flows", 1000, "registrations, logins and refreshes per round")
	flag.Func("only", "regular expression: the names of the systems to measure", expression(&o.Only))
	flag.Func("skip", "regular expression: the names of the systems to leave out", expression(&o.Skip))
	flag.StringVar(&o.Profile, "profile", "", "folder for profiles of CPU and allocations of the Caddys, which make them slower")
	flag.Parse()
	if o.Quick {
		o.Rounds, o.Calls, o.People, o.Crowd, o.Flows = 1, 1000, 32, 200, 100
	}
	if err := check(&o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	s, err := suite.New(ctx, o, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	})
	if err != nil {
		return err
	}
	err = measure(ctx, s, strings.Split(*parts, ","))
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	return write(s, *readme)
}

// expression returns what sets a flag to a regular expression.
func expression(into **regexp.Regexp) func(string) error {
	return func(text string) (err error) {
		*into, err = regexp.Compile(text)
		return err
	}
}

func check(o *suite.Options) error {
	const most = 1_000_000
	for name, n := range map[string]int{"rounds": o.Rounds, "calls": o.Calls, "people": o.People, "crowd": o.Crowd, "flows": o.Flows} {
		if n < 1 || n > most {
			return fmt.Errorf("-%s %d: want 1 to %d", name, n, most)
		}
	}
	if o.Calls < 20*o.People/10 || o.Crowd < 20 {
		return errors.New("want more calls than twice the people, and a crowd of 20 at least")
	}
	return nil
}

func measure(ctx context.Context, s *suite.Suite, parts []string) error {
	all := map[string]func(context.Context) error{"calls": s.Calls, "auth": s.Auth, "memory": s.Memory, "alter": s.Alter}
	for _, part := range parts {
		one := all[part]
		if one == nil {
			return fmt.Errorf("-parts %q: there are calls, auth, memory and alter", part)
		}
		if err := one(ctx); err != nil {
			return err
		}
	}
	return nil
}

// write writes the tables. The pages are those of the checkout whose folder
// bench this program runs in.
func write(s *suite.Suite, readme bool) error {
	ofRun := regexp.MustCompile(`^-(work|load-cpu|server-cpu)=`) // what ./run adds
	command := "bench/run"
	for _, arg := range os.Args[1:] {
		if !ofRun.MatchString(arg) {
			command += " " + arg
		}
	}
	full := s.Full(command)
	if _, err := fmt.Print(full); err != nil || !readme {
		return err
	}
	short, err := s.Short(command)
	if err != nil {
		return err
	}
	return errors.Join(suite.Insert("README.md", full), suite.Insert("../README.md", short))
}
